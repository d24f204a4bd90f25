// What the simulator finds: each fault planted in a kernel, and the same kernel without it.

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/simulator/planted.h"
#include "tests/runtime/simulator/simulated.h"

namespace quern::runtime::simulator {
namespace {

std::vector<float> counting(std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(i);
  return values;
}

class PlantedFaults : public testing::TestWithParam<Planted> {};

// Under every order of the warps something of it is found, and nothing else.
TEST_P(PlantedFaults, AreFoundAndTheCleanTwinHasNone) {
  const Planted& p = GetParam();
  const auto run = [&](const char* body, std::uint64_t seed) {
    const auto n = static_cast<std::size_t>(p.elements);
    return simulate(kernel_text(body, p.elements, p.blocks, p.warps), {counting(n), counting(n)}, {}, {.seed = seed});
  };
  std::set<std::string> all;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const Simulated clean = run(p.clean, seed);
    EXPECT_TRUE(clean.findings.empty()) << "seed " << seed << ": " << to_text(clean.findings[0]);
    const std::set<std::string> found = run(p.faulty, seed).kinds();
    EXPECT_FALSE(found.empty()) << "seed " << seed;
    all.insert(found.begin(), found.end());
  }
  EXPECT_EQ(fmt::format("{}", fmt::join(all, "; ")), p.finds);
}

INSTANTIATE_TEST_SUITE_P(Simulator, PlantedFaults, testing::ValuesIn(planted_faults()),
                         [](const auto& instance) { return std::string(instance.param.name); });

// --- What has no clean twin -----------------------------------------------------------------------------------------

Simulated run(const std::string& text, std::size_t elements = 256) {
  return simulate(text, {counting(elements), counting(elements)}, {"y"});
}

TEST(Findings, LimitsOfTheArchitecture) {
  const Simulated large =
      run("kernel f (x: f32[256], y: f32[256]) grid (b in 1) warps 1 lanes 32 thread (warp, lane) {\n  shared s: "
          "f32[60000]\n"
          "  y[lane] = x[lane]\n}\n");
  ASSERT_EQ(large.kinds(), std::set<std::string>{"limit"});
  EXPECT_EQ(large.findings[0].message, "240000 B of shared memory, sm_90a has 232448 for a block");
  const Simulated many =
      run("kernel f (x: f32[256], y: f32[256]) grid (b in 16) warps 1 lanes 32 cluster (16) thread (warp, lane) {\n"
          "  y[lane] = x[lane]\n}\n");
  ASSERT_EQ(many.kinds(), std::set<std::string>{"limit"});
  EXPECT_EQ(many.findings[0].message, "a cluster of 16 blocks, sm_90a has 8");
}

TEST(Findings, SayWhereAndWho) {
  const Simulated found =
      run(kernel_text("for i in 3 rolled {\n  if lane < 2 {\n    y[warp * 32 + lane + i * 100] = x[lane]\n"
                      "  }\n}\n"));
  ASSERT_EQ(found.findings.size(), 0u);
  const Simulated outside =
      run(kernel_text("for i in 3 rolled {\n  if lane < 2 {\n    y[warp * 32 + lane + i * 120] = x[lane]\n"
                      "  }\n}\n"));
  ASSERT_EQ(outside.findings.size(), 1u);
  const Finding& f = outside.findings[0];
  EXPECT_EQ(f.kind, FindingKind::out_of_bounds);
  EXPECT_EQ(f.kernel, "f");
  EXPECT_EQ(f.statement, "y[warp * 32 + lane + i * 120] = x[lane]");
  EXPECT_EQ(f.axes, (std::vector<std::pair<std::string, std::int64_t>>{{"i", 2}}));
  EXPECT_EQ(f.threads, (std::vector<int>{32, 33}));
  EXPECT_EQ(f.buffer, "y");
  EXPECT_EQ(f.count, 2);
}

// The loop has ended when the block does.
TEST(Findings, OfWorkThatIsNotWaitedForSayWhenItWasIssued) {
  const Simulated found = run(
      kernel_text("for i in 2 rolled {\n cp_async(s[i * 256 + lane * 4], x[lane * 4], 16, 16)\n cp_async_commit()\n}\n",
                  256, 1, 1));
  ASSERT_FALSE(found.findings.empty());
  EXPECT_EQ(found.findings[0].kind, FindingKind::exited);
  EXPECT_EQ(found.findings[0].axes, (std::vector<std::pair<std::string, std::int64_t>>{{"i", 1}}));
}

TEST(Findings, AccessesOfAnEndedBlock) {
  // Block 1 of the cluster arrives at a barrier of block 0, which may have ended.
  const char* body =
      "if warp == 0 && lane == 0 {\n mbarrier_init(full[0], 1)\n "
      "mbarrier_init_fence()\n}\ncluster_arrive()\ncluster_wait()\n"
      "if b == 1 && warp == 0 && lane == 0 {\n mbarrier_arrive_cluster(full[0], 0)\n}\n";
  std::string text = kernel_text(body, 256, 2);
  text.replace(text.find(" thread ("), 8, " cluster (2) thread ");
  std::set<std::string> all;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Simulated found = simulate(text, {counting(256), counting(256)}, {}, {.seed = seed});
    for (const std::string& kind : found.kinds()) all.insert(kind);
  }
  EXPECT_EQ(all, std::set<std::string>{"exited full"});
}

// --- Counts ---------------------------------------------------------------------------------------------------------

TEST(Counts, OfSharedMemory) {
  const auto wavefronts = [](const std::string& index, int width) {
    const Simulated run = simulate(
        kernel_text(fmt::format("for i in 32 rolled {{\n s[i * 32 + lane] = x[lane]\n}}\nwarp_sync()\nfragment r: "
                                "f32[4]\nmove r[0] = s[{}] width {}\n",
                                index, width),
                    256, 1, 1),
        {counting(256), counting(256)});
    EXPECT_TRUE(run.findings.empty()) << to_text(run.findings[0]);
    const Counts& counts = run.of("move r[0]");
    return std::pair(counts.wavefronts, counts.wavefronts_needed);
  };
  using Pair = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(wavefronts("lane", 1), Pair(1, 1));
  EXPECT_EQ(wavefronts("lane * 2", 1), Pair(2, 1));
  EXPECT_EQ(wavefronts("lane * 32", 1), Pair(32, 1));
  EXPECT_EQ(wavefronts("lane * 31", 1), Pair(1, 1));
  EXPECT_EQ(wavefronts("0", 1), Pair(1, 1));             // one word for all
  EXPECT_EQ(wavefronts("lane * 2", 2), Pair(2, 2));      // 256 bytes
  EXPECT_EQ(wavefronts("lane * 4", 4), Pair(4, 4));      // 512 bytes
  EXPECT_EQ(wavefronts("lane % 8 * 4", 4), Pair(4, 4));  // each quarter by itself
  EXPECT_EQ(wavefronts("lane * 32", 4), Pair(32, 4));
}

TEST(Counts, OfGlobalMemory) {
  const auto sectors = [](const std::string& index, int width) {
    const Simulated run =
        simulate(kernel_text(fmt::format("fragment r: f32[4]\nmove r[0] = x[{}] width {}\n", index, width), 1024, 1, 1),
                 {counting(1024), counting(1024)});
    EXPECT_TRUE(run.findings.empty()) << to_text(run.findings[0]);
    const Counts& counts = run.of("move r[0]");
    EXPECT_EQ(counts.global_read, 128 * width);
    return counts.sectors;
  };
  EXPECT_LE(sectors("lane", 1), 5);  // 4, or 5 where the memory begins within one
  EXPECT_EQ(sectors("lane * 8", 1), 32);
  EXPECT_EQ(sectors("0", 1), 1);
  EXPECT_LE(sectors("lane * 4", 4), 17);
}

}  // namespace
}  // namespace quern::runtime::simulator
