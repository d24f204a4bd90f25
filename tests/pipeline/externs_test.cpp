#include <gtest/gtest.h>

#include "ir/evaluate.h"
#include "ir/generate.h"
#include "ir/parser.h"
#include "pipeline/compile.h"
#include "tests/ir/message.h"
#include "tests/pipeline/extern_program.h"

#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {
namespace {

using test::contains;
using test::error_of;

const Target kHopper = parse_target("cuda:sm_90a");

ScheduledProgram scheduled(const std::string& text, const Target& target = kHopper) {
  return schedule_program(ir::parse_program(text), target, choose_fallback(target));
}

TEST(Externs, RunBetweenTheKernelsThatTheyDependOn) {
  std::string order;
  const ScheduledProgram program = scheduled(test::kExternProgram);
  for (const ScheduledKernel& kernel : program.kernels) order += std::string(kernel.strategy->fields.strategy) + " ";
  EXPECT_EQ(order, "reduction extern pointwise ");
  EXPECT_EQ(program.workspace.size(), 2u) << "what it reads and what it writes";
}

TEST(Externs, AreLaunchedWithReadsWritesAndSymbols) {
  const Artifact artifact = compile(scheduled(test::kExternProgram), kHopper, {.binary = false});
  EXPECT_EQ(artifact.source.find("extern \"C\" __global__ void scale("), artifact.source.rfind("void scale(") - 22)
      << "once, for all variants";
  for (const Variant& variant : artifact.plan.variants) {
    ASSERT_EQ(variant.steps.size(), 3u);
    const auto& launch = std::get<Launch>(variant.steps[1].action);
    EXPECT_EQ(launch.kernel, "scale");
    EXPECT_EQ(launch.threads, 256);
    EXPECT_EQ(launch.grid[0], PlanExpr::limit(DeviceLimit::resident_blocks));
    ASSERT_EQ(launch.parameters.size(), 4u);
    EXPECT_EQ(std::get<PlanPointer>(launch.parameters[0]).base, PlanPointer::Base::workspace);
    EXPECT_EQ(std::get<ScalarParameter>(launch.parameters[2]).value, PlanExpr::symbol(0));
    EXPECT_EQ(std::get<ScalarParameter>(launch.parameters[3]).type, ScalarParameter::Type::i64);
  }
}

TEST(Externs, HaveAPlaceInTheSchedulesOfAProgram) {
  const std::string text = to_string(scheduled(test::kExternProgram));
  EXPECT_TRUE(contains(text, "; extern; "));
  const ScheduledProgram again = schedule_program(ir::parse_program(test::kExternProgram), kHopper, choose_text(text));
  EXPECT_EQ(to_string(again), text);
}

TEST(Externs, OfOneNameAreOneText) {
  const auto program = [](const std::string& second) {
    return "kernel f(x: f32[n]) -> (y: f32[n], z: f32[n]) {\n extern e(x) -> (y) cuda \"a\"\n extern e(x) -> (z) cuda "
           "\"" +
           second + "\" }";
  };
  EXPECT_TRUE(contains(error_of([&] { compile(scheduled(program("b")), kHopper, {.binary = false}); }),
                       "f has two externs e of different text"));
  EXPECT_EQ(compile(scheduled(program("a")), kHopper, {.binary = false}).source.find("a\n"), 0u);
}

TEST(Externs, CpusRefuseThem) {
  const std::string error = error_of([] { scheduled(test::kExternProgram, parse_target("cpu:x86-64-v3")); });
  EXPECT_TRUE(contains(error, "extern scale is CUDA text, which runs on GPUs alone"));
}

TEST(Externs, TheEvaluatorRefusesThem) {
  const ir::Program program = ir::parse_program(test::kExternProgram);
  const std::vector<std::int64_t> sizes{1, 1};
  const std::vector<ir::OwnedTensor> inputs = ir::generate_inputs(program, sizes, 1);
  const ir::Coordinate at{0};
  const std::string error = error_of([&] { ir::evaluate_elements(program, sizes, {&inputs[0].host, 1}, 0, {&at, 1}); });
  EXPECT_TRUE(contains(error, "extern scale of f is CUDA text, which the reference evaluator does not run"));
}

#if QUERN_WITH_CUDA

class ExternText : public testing::Test {
 protected:
  void SetUp() override {
    try {
      runtime::cuda::Nvrtc::get();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  static std::string error_with(const std::string& text) {
    return error_of([&] {
      compile(scheduled("kernel f(x: f32[n]) -> (y: f32[n]) { extern twice(x) -> (y) cuda \"" + text + "\" }"),
              kHopper);
    });
  }
};

TEST_F(ExternText, Compiles) {
  const Artifact artifact = compile(scheduled(test::kExternProgram), kHopper);
  EXPECT_FALSE(artifact.binary.bytes.empty());
}

TEST_F(ExternText, FaultsAreTheUsers) {
  EXPECT_TRUE(contains(error_with("extern \\\"C\\\" __global__ void twice(const float* x) { nonsense; }"),
                       "the CUDA text of extern twice does not compile"));
  EXPECT_TRUE(contains(error_with("extern \\\"C\\\" __global__ void thrice(const float*, float*, long long) {}"),
                       "the CUDA text of extern twice defines no kernel of that name"));
}

#endif

}  // namespace
}  // namespace quern::pipeline
