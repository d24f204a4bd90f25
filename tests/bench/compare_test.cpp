// Ours and the peers of the CPU on small cases; what is said where a peer is missing.

#include "bench/compare.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <thread>

#include "bench/library.h"
#include "quern/error.h"

namespace quern::bench {
namespace {

// The text of the Error that `work` throws.
template <typename Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

bool has_cpu() {
  for (const DeviceInfo& device : devices().devices) {
    if (device.id == "cpu") return true;
  }
  return false;
}

WorkloadResult compare_on_cpu(const char* source, std::string_view peer) {
  const Executable executable = compile(Program::parse(source), {.device = "cpu", .use_store = false});
  const std::array against = {find_peer(peer)};
  return compare(executable, source, {}, against, {.samples = 3, .runs = 2});
}

// Agreement with one peer over sources; skipped where its library is missing.
template <std::size_t N>
void expect_agreement(std::string_view peer, const std::array<const char*, N>& sources) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const Task probe{.call = parse_call(sources[0]), .device = Device::open("cpu")};
  try {
    find_peer(peer).make(probe);
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  for (const char* source : sources) {
    const WorkloadResult result = compare_on_cpu(source, peer);
    EXPECT_TRUE(result.right) << source << ": " << result.check;
    ASSERT_EQ(result.comparisons.size(), 1u) << source;
    const Comparison& comparison = result.comparisons.front();
    EXPECT_EQ(comparison.disagreement, "") << source;
    EXPECT_EQ(comparison.ratios.size(), 2u) << source;
    EXPECT_GT(comparison.ratio, 0) << source;
    EXPECT_FALSE(comparison.library.empty());
  }
}

TEST(Peers, UnknownOnesAreRefusedWithTheKnown) {
  EXPECT_EQ(error_of([] { find_peer("mkl"); }),
            "unknown peer 'mkl'; there are: cublas, cudnn, onednn, openblas, memcpy");
}

TEST(Peers, MissingLibrariesAreNamedWithPlacesAndRemedy) {
  const std::string text =
      error_of([] { Library::open("nosuch", "libquern-no-such.so.7", "Install nothing of the kind"); });
  EXPECT_TRUE(
      text.starts_with("nosuch cannot be compared with: libquern-no-such.so.7 is missing. Install nothing of "
                       "the kind. Looked for:\n  libquern-no-such.so.7: "))
      << text;
  EXPECT_NE(text.find("/usr/local/cuda/lib64/libquern-no-such.so.7: no such file"), std::string::npos) << text;
}

TEST(Peers, MissingFunctionsAreNamed) {
  const Library libc = Library::open("libc", "libc.so.6", "");
  void (*function)() = nullptr;
  const std::string text = error_of([&] { libc.find(function, "quern_no_such"); });
  EXPECT_NE(text.find("has no function quern_no_such"), std::string::npos) << text;
}

TEST(Compare, RefusesWhatNoPeerDoes) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const std::string text = error_of([] { compare_on_cpu("softmax(m=8, n=8)", "openblas"); });
  EXPECT_TRUE(
      text.starts_with("no peer can be compared in softmax(m=8, n=8) on cpu:\n  openblas: matmul and linear of f32"))
      << text;
}

// Whether the peer does the task; one that is not installed does none.
bool does(const char* peer, const Task& task) {
  try {
    return static_cast<bool>(find_peer(peer).make(task));
  } catch (const Error& missing) {
    EXPECT_NE(std::string(missing.what()).find("cannot be compared with"), std::string::npos) << missing.what();
    return false;
  }
}

TEST(Compare, LeavesBiasAndActivationToGpus) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  for (const char* source :
       {"linear(m=8, n=8, k=8)", "linear(m=8, n=8, k=8, bias=off, act=relu)",
        "conv2d(n=1, c=1, h=5, w=5, k=1, r=1, s=1, bias=on)", "conv2d(n=1, c=1, h=5, w=5, k=1, r=1, s=1, act=relu)"}) {
    const Task task{.call = parse_call(source), .device = Device::open("cpu")};
    EXPECT_FALSE(does("onednn", task)) << source;
    EXPECT_FALSE(does("openblas", task)) << source;
  }
}

TEST(Compare, LeavesAttentionToGpus) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const Call call{
      "attention",
      {{"batch", "1"}, {"heads", "1"}, {"q", "8"}, {"kv", "8"}, {"d", "8"}, {"dtype", "bf16"}, {"causal", "off"}}};
  const Task task{.call = call, .device = Device::open("cpu")};
  for (const char* peer : {"onednn", "openblas", "memcpy"}) EXPECT_FALSE(does(peer, task)) << peer;
}

TEST(Compare, OneDnnAgrees) {
  expect_agreement("onednn", std::array{
                                 "matmul(m=33, n=29, k=65)",
                                 "matmul(m=16, n=48, k=20, a=col, b=col)",
                                 "bmm(batch=3, m=5, n=7, k=9, b=col)",
                                 "linear(m=16, n=48, k=20, bias=off)",
                                 "conv2d(n=1, c=16, h=9, w=8, k=24, r=3, s=3, pad=1, layout=nhwc)",
                                 "conv2d(n=2, c=3, h=9, w=8, k=4, r=3, s=2, stride=2x1, pad=0x1x1x0)",
                                 "conv2d(n=1, c=8, h=9, w=9, k=8, r=3, s=3, dilation=2, groups=2, layout=nhwc)",
                                 "conv2d(n=1, c=8, h=9, w=9, k=4, r=3, s=3, pad=1, groups=4)",
                             });
}

TEST(Compare, OpenBlasAgrees) {
  expect_agreement("openblas", std::array{
                                   "matmul(m=33, n=29, k=65)",
                                   "matmul(m=16, n=48, k=20, a=col)",
                                   "matmul(m=1, n=7, k=9, b=col)",
                                   "matmul(m=5, n=3, k=2, a=col, b=col)",
                                   "linear(m=5, n=3, k=8, w=col, bias=off)",
                               });
}

TEST(Peers, MemcpyScalesWithTheBytes) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  Task task{.call = {}, .device = Device::open("cpu"), .bytes = 4096, .memory_bound = true};
  const std::optional<PeerCase> copy = find_peer("memcpy").make(task);
  ASSERT_TRUE(copy);
  EXPECT_FALSE(copy->computes);
  EXPECT_EQ(copy->scale, 4096 / (2.0 * (1 << 30)));  // 1 GiB is read and written
  ASSERT_EQ(copy->variants.size(), 1u);
  task.memory_bound = false;
  EXPECT_FALSE(find_peer("memcpy").make(task));
}

// A peer with a variant that it refuses, and one that writes nothing.
std::optional<PeerCase> make_idle(const Task&) {
  return PeerCase{
      .library = "none",
      .variants = {{"refused", [](auto, void*) { throw Error("not on this machine"); }}, {"idle", [](auto, void*) {}}}};
}

TEST(Compare, FindsOutputsThatAPeerLeavesOut) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const char* source = "matmul(m=8, n=8, k=8)";
  const Executable executable = compile(Program::parse(source), {.device = "cpu", .use_store = false});
  const std::array against = {Peer{"idle", "nothing", make_idle}};
  const WorkloadResult result = compare(executable, source, {}, against, {.samples = 2});
  EXPECT_TRUE(result.right) << result.check;
  ASSERT_EQ(result.comparisons.size(), 1u);
  EXPECT_EQ(result.comparisons[0].variant, "idle");
  EXPECT_NE(result.comparisons[0].disagreement.find("64 of all 64 elements wrong"), std::string::npos)
      << result.comparisons[0].disagreement;
}

// Two variants of one way that write nothing, and an honest one that takes its time.
std::optional<PeerCase> make_hasty(const Task& task) {
  const auto executable = std::make_shared<const Executable>(
      compile(Program::parse("matmul(m=8, n=8, k=8)"), {.device = task.device.info().id, .use_store = false}));
  const auto slow = [executable](std::span<void* const> arguments, void* stream) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    executable->launch(arguments, {}, stream);
  };
  return PeerCase{
      .library = "none",
      .variants = {
          {"hasty 1", [](auto, void*) {}, "hasty"}, {"hasty 2", [](auto, void*) {}, "hasty"}, {"slow", slow, "slow"}}};
}

TEST(Compare, CountsTheFastestVariantThatIsRight) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const char* source = "matmul(m=8, n=8, k=8)";
  const Executable executable = compile(Program::parse(source), {.device = "cpu", .use_store = false});
  const std::array against = {Peer{"hasty", "matmul", make_hasty}};
  const Comparison comparison = compare(executable, source, {}, against, {.samples = 2}).comparisons.at(0);
  EXPECT_EQ(comparison.variant, "slow");
  EXPECT_EQ(comparison.disagreement, "");
  EXPECT_TRUE(comparison.left_out.starts_with("hasty ")) << comparison.left_out;
  EXPECT_NE(comparison.left_out.find("64 of all 64 elements wrong"), std::string::npos) << comparison.left_out;
  EXPECT_EQ(comparison.left_out.find("; "), std::string::npos) << "one per way: " << comparison.left_out;
}

// A peer that computes twice the product and says so.
std::optional<PeerCase> make_twice(const Task& task) {
  const Program program = Program::parse(
      "kernel twice(a: f32[8, 8], b: f32[8, 8]) -> (c: f32[8, 8]) { c[i, j] = 2 * sum[p](a[i, p] * b[p, j]) }");
  const auto executable =
      std::make_shared<const Executable>(compile(program, {.device = task.device.info().id, .use_store = false}));
  const auto run = [executable](std::span<void* const> arguments, void* stream) {
    executable->launch(arguments, {}, stream);
  };
  return PeerCase{.library = "none", .variants = {{.name = "twice", .run = run, .way = "twice", .computes = program}}};
}

TEST(Compare, ChecksAVariantByWhatItComputes) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const char* source = "matmul(m=8, n=8, k=8)";
  const Executable executable = compile(Program::parse(source), {.device = "cpu", .use_store = false});
  const std::array against = {Peer{"twice", "matmul", make_twice}};
  const WorkloadResult result = compare(executable, source, {}, against, {.samples = 2});
  EXPECT_TRUE(result.right) << result.check;
  EXPECT_EQ(result.comparisons.at(0).disagreement, "");
}

TEST(Statistics, MediansAndGeometricMeans) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(geometric_mean(std::array{2.0, 8.0}), 4);
  EXPECT_EQ(geometric_mean({}), 0);
}

}  // namespace
}  // namespace quern::bench
