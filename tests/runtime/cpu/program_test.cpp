// Plans on the CPU, with kernels written in LLVM's language.

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/fast_division.h"
#include "runtime/cpu/load.h"
#include "runtime/cpu/threads.h"
#include "tests/runtime/cpu/object_code.h"

namespace quern::runtime::cpu {
namespace {

// Blocks of one element each. `affine`: y[b] = expf(0) * (x[b] * scalar 0 (f32) + scalar 1 (i64)). `through_scratch`:
// fills 64 words of scratch with the block's number, then y[b] = their sum. `coordinates`: y[b] = x + 10 y + 100 z.
// `bits`: y[0] = scalar 0, y[1] = scalar 1.
constexpr std::string_view kKernels = R"(
  declare float @expf(float)

  define void @affine(ptr %args) {
  entry:
    %begin.at = getelementptr i64, ptr %args, i64 2
    %begin = load i64, ptr %begin.at
    %end.at = getelementptr i64, ptr %args, i64 3
    %end = load i64, ptr %end.at
    %buffers = load ptr, ptr %args
    %x = load ptr, ptr %buffers
    %y.at = getelementptr ptr, ptr %buffers, i64 1
    %y = load ptr, ptr %y.at
    %scalars.at = getelementptr ptr, ptr %args, i64 1
    %scalars = load ptr, ptr %scalars.at
    %factor = load float, ptr %scalars
    %bias.at = getelementptr i64, ptr %scalars, i64 1
    %bias.word = load i64, ptr %bias.at
    %bias = sitofp i64 %bias.word to float
    %one = call float @expf(float 0.0)
    br label %loop
  loop:
    %b = phi i64 [ %begin, %entry ], [ %next, %loop ]
    %from = getelementptr float, ptr %x, i64 %b
    %value = load float, ptr %from
    %scaled = fmul float %value, %factor
    %sum = fadd float %scaled, %bias
    %result = fmul float %sum, %one
    %to = getelementptr float, ptr %y, i64 %b
    store float %result, ptr %to
    %next = add i64 %b, 1
    %more = icmp slt i64 %next, %end
    br i1 %more, label %loop, label %done
  done:
    ret void
  }

  define void @through_scratch(ptr %args) {
  entry:
    %begin.at = getelementptr i64, ptr %args, i64 2
    %begin = load i64, ptr %begin.at
    %end.at = getelementptr i64, ptr %args, i64 3
    %end = load i64, ptr %end.at
    %buffers = load ptr, ptr %args
    %y = load ptr, ptr %buffers
    %scratch.at = getelementptr ptr, ptr %args, i64 7
    %scratch = load ptr, ptr %scratch.at
    br label %block
  block:
    %b = phi i64 [ %begin, %entry ], [ %b.next, %sum.done ]
    br label %fill
  fill:
    %i = phi i64 [ 0, %block ], [ %i.next, %fill ]
    %word = getelementptr i64, ptr %scratch, i64 %i
    store volatile i64 %b, ptr %word
    %i.next = add i64 %i, 1
    %filled = icmp eq i64 %i.next, 64
    br i1 %filled, label %sum, label %fill
  sum:
    %j = phi i64 [ 0, %fill ], [ %j.next, %sum ]
    %total = phi i64 [ 0, %fill ], [ %total.next, %sum ]
    %back = getelementptr i64, ptr %scratch, i64 %j
    %got = load volatile i64, ptr %back
    %total.next = add i64 %total, %got
    %j.next = add i64 %j, 1
    %summed = icmp eq i64 %j.next, 64
    br i1 %summed, label %sum.done, label %sum
  sum.done:
    %to = getelementptr i64, ptr %y, i64 %b
    store i64 %total.next, ptr %to
    %b.next = add i64 %b, 1
    %more = icmp slt i64 %b.next, %end
    br i1 %more, label %block, label %done
  done:
    ret void
  }

  define void @bits(ptr %args) {
    %buffers = load ptr, ptr %args
    %y = load ptr, ptr %buffers
    %scalars.at = getelementptr ptr, ptr %args, i64 1
    %scalars = load ptr, ptr %scalars.at
    %first = load i64, ptr %scalars
    store i64 %first, ptr %y
    %second.at = getelementptr i64, ptr %scalars, i64 1
    %second = load i64, ptr %second.at
    %y1 = getelementptr i64, ptr %y, i64 1
    store i64 %second, ptr %y1
    ret void
  }
)";

constexpr std::string_view kIncomplete = R"(
  declare float @_ZGVbN4v_missing(float)

  define void @calls_what_is_missing(ptr %args) {
    %v = call float @_ZGVbN4v_missing(float 0.0)
    store float %v, ptr %args
    ret void
  }
)";

Binary binary() { return {.target = "cpu:generic", .bytes = object_code(kKernels)}; }

const PlanExpr n = PlanExpr::symbol(0);

PlanPointer argument(int index) { return {.base = PlanPointer::Base::argument, .index = index}; }
PlanPointer slot(int index, std::int64_t offset = 0) {
  return {.base = PlanPointer::Base::workspace, .index = index, .byte_offset = offset};
}

Launch affine(PlanPointer from, PlanPointer to, std::int64_t factor, std::int64_t bias) {
  return {.kernel = "affine",
          .grid = {n, 1, 1},
          .parameters = {from, to, ScalarParameter{ScalarParameter::Type::f32, factor},
                         ScalarParameter{ScalarParameter::Type::i64, bias}}};
}

// y = f(x) over n elements.
Plan plan_of(std::vector<Step> steps, std::vector<WorkspaceSlot> workspace = {}, DType dtype = DType::f32) {
  Plan plan;
  plan.name = "program";
  plan.target = "cpu:generic";
  plan.symbols = {{.name = "n", .source = PlanSymbol::Source::dimension, .argument = 0, .dimension = 0}};
  plan.arguments = {{.name = "x", .dtype = dtype, .shape = {n}, .strides = {1}, .is_const = true},
                    {.name = "y", .dtype = dtype, .shape = {n}, .strides = {1}, .is_output = true}};
  plan.variants = {{.name = "only", .guards = {}, .workspace = std::move(workspace), .steps = std::move(steps)}};
  return plan;
}

void launch(LoadedProgram& program, std::int64_t size, void* x, void* y, void* workspace = nullptr) {
  void* const arguments[] = {x, y};
  program.launch(arguments, std::span(&size, 1), nullptr, workspace);
}

TEST(CpuProgram, RunsEveryBlockWithItsParameters) {
  const auto program = load(plan_of({{.action = affine(argument(0), argument(1), 3, -5)}}), binary());
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    EXPECT_EQ(thread_count(), threads);
    for (const std::int64_t size : {0l, 1l, 2l, 17l, 1000l}) {
      std::vector<float> x(static_cast<std::size_t>(size) + 1), y(x.size(), -1);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
      launch(*program, size, x.data(), y.data());
      for (std::size_t i = 0; i + 1 < x.size(); ++i) ASSERT_EQ(y[i], 3 * x[i] - 5);
      EXPECT_EQ(y.back(), -1);
    }
  }
  set_thread_count(0);
}

TEST(CpuProgram, PassesScalarsInWords) {
  Launch step{.kernel = "bits", .grid = {1, 1, 1}};
  step.parameters = {argument(1), FastDivisionParameter{7},
                     ScalarParameter{ScalarParameter::Type::i32, (std::int64_t{1} << 32) - 2}};
  std::int64_t x[2] = {}, y[2] = {};
  launch(*load(plan_of({{.action = step}}, {}, DType::i64), binary()), 2, x, y);
  EXPECT_EQ(static_cast<std::uint32_t>(y[0]), fast_division(7).multiplier);
  EXPECT_EQ(y[0] >> 32, fast_division(7).shift);
  EXPECT_EQ(y[1], -2);
}

TEST(CpuProgram, GivesEveryRunningBlockScratchOfItsOwn) {
  set_thread_count(4);
  Launch step{.kernel = "through_scratch", .grid = {n, 1, 1}, .shared_bytes = 512, .parameters = {argument(1)}};
  const auto program = load(plan_of({{.action = step}}, {}, DType::i64), binary());
  std::atomic<int> wrong = 0;
  const auto work = [&] {
    std::vector<std::int64_t> x(300), y(300);
    for (int repeat = 0; repeat < 50; ++repeat) {
      launch(*program, 300, x.data(), y.data());
      for (std::size_t b = 0; b < y.size(); ++b) wrong += y[b] != 64 * static_cast<std::int64_t>(b);
    }
  };
  std::thread one(work), two(work), three(work);
  one.join(), two.join(), three.join();
  EXPECT_EQ(wrong, 0);
  set_thread_count(0);
}

TEST(CpuProgram, KeepsIntermediateResultsInTheWorkspace) {
  const WorkspaceSlot slot_of_n{.bytes = n * PlanExpr(4)};
  const Memset clear{.destination = slot(1), .bytes = n * PlanExpr(4), .value = 0};
  const auto program = load(plan_of({{.action = affine(argument(0), slot(0), 2, 0)},
                                     {.action = clear},
                                     {.action = affine(slot(1), slot(1), 1, 7)},
                                     {.action = affine(slot(0), argument(1), 1, 1)}},
                                    {slot_of_n, slot_of_n}),
                            binary());
  const std::int64_t size = 10;
  EXPECT_EQ(program->workspace_bytes(std::span(&size, 1)), 512u);
  alignas(256) std::byte workspace[512] = {};
  std::vector<float> x(10, 4), y(10);
  launch(*program, size, x.data(), y.data(), workspace);
  EXPECT_EQ(y, std::vector<float>(10, 9));
  EXPECT_EQ(reinterpret_cast<const float*>(workspace)[0], 8);
  EXPECT_EQ(reinterpret_cast<const float*>(workspace + 256)[9], 7);
  y.assign(10, 0);
  launch(*program, size, x.data(), y.data());
  EXPECT_EQ(y, std::vector<float>(10, 9));
}

TEST(CpuProgram, ComputesFromConstArgumentsOnce) {
  const auto program = load(plan_of({{.action = affine(argument(0), slot(0), 2, 0), .once = true},
                                     {.action = affine(slot(0), argument(1), 1, 1)}},
                                    {{.bytes = n * PlanExpr(4), .persistent = true}}),
                            binary());
  std::vector<float> x(10, 4), other(10, 5), y(10);
  const std::int64_t size = 10;
  void* const arguments[] = {x.data(), y.data()};
  program->prepare(arguments, std::span(&size, 1), nullptr);
  x.assign(10, 100);  // a const argument does not change: what was computed stays
  launch(*program, size, x.data(), y.data());
  EXPECT_EQ(y, std::vector<float>(10, 9));
  launch(*program, size, other.data(), y.data());
  EXPECT_EQ(y, std::vector<float>(10, 11));
  launch(*program, 5, x.data(), y.data());
  EXPECT_EQ(y[4], 201);
}

std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(CpuProgram, SaysWhyItCanNotBeLoaded) {
  const Plan plan = plan_of({{.action = affine(argument(0), argument(1), 1, 1)}});
  const auto attempt = [](const Plan& wanted, const Binary& code) { return message([&] { load(wanted, code); }); };
  Binary damaged = binary();
  damaged.bytes.resize(100);
  EXPECT_NE(attempt(plan, damaged).find("the CPU code of 'program' (100 bytes) can't be loaded"), std::string::npos)
      << attempt(plan, damaged);
  Binary foreign = binary();
  foreign.target = "cuda:sm_90a";
  EXPECT_NE(attempt(plan, foreign).find("program 'program' was compiled for cuda:sm_90a, but this processor runs cpu:"),
            std::string::npos);
  Plan other = plan;
  std::get<Launch>(other.variants[0].steps[0].action).kernel = "nowhere";
  EXPECT_NE(attempt(other, binary()).find("kernel 'nowhere' of 'program' can't be linked on this machine"),
            std::string::npos)
      << attempt(other, binary());
  std::get<Launch>(other.variants[0].steps[0].action).kernel = "calls_what_is_missing";
  const Binary incomplete{.target = "cpu:generic", .bytes = object_code(kIncomplete)};
  EXPECT_NE(attempt(other, incomplete).find("_ZGVbN4v_missing"), std::string::npos) << attempt(other, incomplete);
}

TEST(CpuThreads, RefuseWhatIsNoNumber) {
  EXPECT_EQ(message([] { set_thread_count(-1); }), "-1 threads; give a number from 1 on, or 0 for the default");
  setenv("QUERN_THREADS", "many", 1);
  set_thread_count(0);
  EXPECT_EQ(message([] { thread_count(); }), "QUERN_THREADS is 'many'; give a number of threads from 1 on");
  setenv("QUERN_THREADS", "3", 1);
  EXPECT_EQ(thread_count(), 3);
  unsetenv("QUERN_THREADS");
  set_thread_count(0);
}

TEST(CpuThreads, GrowTheirMemory) {
  ThreadMemory memory;
  EXPECT_EQ(memory.at_least(0), nullptr);
  auto* first = static_cast<char*>(memory.at_least(10));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 4096, 0u);
  EXPECT_EQ(memory.at_least(4096), first);
  static_cast<char*>(memory.at_least(100000))[99999] = 1;
  EXPECT_NE(message([&] { memory.at_least(SIZE_MAX - 15); }).find("needs 18446744073709551600 bytes of scratch"),
            std::string::npos);
}

}  // namespace
}  // namespace quern::runtime::cpu
