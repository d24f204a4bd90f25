// Ours and the peers of the CPU on small cases; what is said where a peer is missing.

#include "bench/compare.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>

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

WorkloadResult compare_on_cpu(const char* source, std::string_view peer, int threads = 1) {
  const Executable executable = compile(Program::parse(source), {.device = "cpu", .use_store = false});
  const std::array against = {find_peer(peer)};
  return compare(executable, source, {}, against, {.samples = 3, .runs = 2, .threads = threads});
}

// Agreement with one peer over sources; skipped where its library is missing.
template <std::size_t N>
void expect_agreement(std::string_view peer, const std::array<const char*, N>& sources) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const Task probe{.call = parse_call(sources[0]), .device = Device::open("cpu"), .threads = 1};
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
  EXPECT_TRUE(text.starts_with("no peer can be compared in softmax(m=8, n=8) on cpu:\n  openblas: matmul of f32"))
      << text;
}

TEST(Compare, OneDnnAgrees) {
  expect_agreement("onednn", std::array{
                                 "matmul(m=33, n=29, k=65)",
                                 "matmul(m=16, n=48, k=20, a=col, b=col)",
                                 "bmm(batch=3, m=5, n=7, k=9, b=col)",
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
                               });
}

TEST(Compare, MemcpyScalesWithTheBytes) {
  if (!has_cpu()) GTEST_SKIP() << "this build cannot run on the CPU";
  const WorkloadResult result = compare_on_cpu("add(n=1000)", "memcpy");
  ASSERT_EQ(result.comparisons.size(), 1u);
  const Comparison& comparison = result.comparisons.front();
  EXPECT_TRUE(result.right) << result.check;
  // 12 kB against 2 GiB in at least a millisecond and at most a minute.
  EXPECT_GT(comparison.theirs, 1e-3 * 12e3 / 2.2e9);
  EXPECT_LT(comparison.theirs, 60 * 12e3 / 2e9);
}

TEST(Statistics, MediansAndGeometricMeans) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(geometric_mean(std::array{2.0, 8.0}), 4);
  EXPECT_EQ(geometric_mean({}), 0);
}

}  // namespace
}  // namespace quern::bench
