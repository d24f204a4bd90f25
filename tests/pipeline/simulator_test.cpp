// Kernels in the simulator: what strategies emit agrees with the reference evaluator and has no finding.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "compiler/strategies/strategy.h"
#include "ir/parser.h"
#include "runtime/simulator/device.h"
#include "tests/pipeline/differential.h"
#include "tests/pipeline/tile_programs.h"

namespace quern::pipeline {
namespace {

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kIsMeasured = true;
#else
constexpr bool kIsMeasured = false;
#endif

runtime::Device& simulator() { return runtime::open_device("sim:sm_90a"); }

TEST(Simulator, RandomProgramsAgreeWithTheReferenceAndHaveNoFindings) {
  for (const std::string& difference : differences_of_generated(simulator(), 150)) ADD_FAILURE() << difference;
}

class SimulatedShapes : public testing::TestWithParam<ShapeCase> {};

TEST_P(SimulatedShapes, AgreeWithTheReferenceAndHaveNoFindings) {
  for (const std::string& difference : differences_of_shapes(GetParam(), simulator())) ADD_FAILURE() << difference;
}

INSTANTIATE_TEST_SUITE_P(Simulator, SimulatedShapes, testing::ValuesIn(shape_cases()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

class SimulatedTilePrograms : public testing::TestWithParam<TileProgram> {};

TEST_P(SimulatedTilePrograms, AgreeWithTheReferenceAndHaveNoFindings) {
  const TileProgram& program = GetParam();
  const Artifact artifact = artifact_of(program, simulator().info().target);
  const std::vector<std::int64_t>& sizes = program.sizes[0];
  EXPECT_EQ(mismatch(artifact, program_of(program), sizes, simulator(), 1), "");
}

INSTANTIATE_TEST_SUITE_P(Simulator, SimulatedTilePrograms, testing::ValuesIn(tile_programs()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

// --- How long it takes ----------------------------------------------------------------------------------------------

// Seconds of the fastest of a few runs of all blocks.
double seconds_of(const Artifact& artifact, const ir::Program& program, std::span<const std::int64_t> sizes,
                  bool checks) {
  runtime::simulator::set_mode(checks);
  const auto loaded = simulator().load(artifact.plan, artifact.binary);
  const DeviceArguments arguments = device_arguments(program, sizes, simulator(), 1);
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    loaded->launch(arguments.pointers, sizes, nullptr, nullptr);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  runtime::simulator::set_mode(true);
  return best;
}

struct Seconds {
  double checked, values_alone;
};

void expect_within(const char* what, Seconds seconds, Seconds limits) {
  std::printf("%s: %.1f ms checked, %.1f ms values alone\n", what, 1e3 * seconds.checked, 1e3 * seconds.values_alone);
  if (!kIsMeasured) return;
  EXPECT_LE(seconds.checked, limits.checked) << what;
  EXPECT_LE(seconds.values_alone, limits.values_alone) << what;
}

// Of one block, with its begin and end: 128 x 128 x 64 of ordinary arithmetic.
TEST(SimulatorSpeed, ABlockOfOrdinaryArithmeticIsQuick) {
  const Target& target = simulator().info().target;
  const ir::Program program = ir::parse_program(
      "kernel f(x: f32[128, 64], w: f32[64, 128]) -> (y: f32[128, 128]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }");
  const auto choose = [](const ir::Program&, const compiler::Strategy& strategy) {
    return compiler::parse_schedule("contraction block=128x128x16 thread=8x8 stages=3 copy=async split_k=1 raster=8",
                                    strategy.fields);
  };
  const Artifact artifact = compile(schedule_program(program, target, choose), target);
  expect_within("128x128x64 SIMT", {seconds_of(artifact, program, {}, true), seconds_of(artifact, program, {}, false)},
                {0.5, 0.1});
}

// A step of 128 x 256 x 64 of a wgmma pipeline: what further steps of its one busy block cost, without the begin and
// the end of all the resident ones.
TEST(SimulatorSpeed, AStepOfAWgmmaPipelineIsQuick) {
  const TileProgram& tile = tile_programs()[0];
  ASSERT_STREQ(tile.name, "persistent_gemm");
  const Artifact artifact = artifact_of(tile, simulator().info().target);
  const auto step = [&](bool checks) {
    constexpr std::int64_t kMore = 16;
    const auto seconds = [&](std::int64_t steps) {
      return seconds_of(artifact, program_of(tile), std::array<std::int64_t, 3>{128, 256, 64 * steps}, checks);
    };
    return (seconds(1 + kMore) - seconds(1)) / kMore;
  };
  expect_within("128x256x64 wgmma", {step(true), step(false)}, {0.1, 0.03});
}

}  // namespace
}  // namespace quern::pipeline
