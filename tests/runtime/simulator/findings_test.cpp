// What the simulator finds: each fault planted in a kernel, and the same kernel without it.

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
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

}  // namespace
}  // namespace quern::runtime::simulator
