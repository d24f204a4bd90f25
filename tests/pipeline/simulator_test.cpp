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

struct Scheduled {
  const char* name;
  const char* program;
  const char* schedule;  // empty: the default
};
constexpr Scheduled kScheduled[] = {
    {"TilesOfFewerCopiesThanThreads",
     "kernel f(a: bf16[64, 64], b: bf16[64, 64]) -> (c: f32[64, 64]) { c[i, j] = sum[p](f32(a[i, p]) * f32(b[p, j])) }",
     ""},
    {"ColumnsOfFewerCopiesThanThreads",
     "kernel f(a: f32[1, 7], b: f32[1, 64]) -> (c: f32[7, 64]) { c[i, j] = sum[p](a[p, i] * b[p, j]) }",
     "contraction block=32x32x16 thread=2x2 stages=3 copy=async"},
    {"VectorsOfSeveralCopies",
     "kernel f(a: f64[64, 64], b: f64[64, 64]) -> (c: f64[64, 64]) { c[i, j] = sum[p](a[i, p] * b[p, j]) }",
     "contraction block=32x32x16 thread=4x8 stages=4 copy=async pad=no"},
    {"ConditionsWithinACopy",
     "kernel f(a: f64[2, 13], b: f64[1, 2]) -> (c: f64[13, 1]) { c[i, j] = sum[p](a[p, i] * b[j, p]) }",
     "contraction block=16x32x8 thread=4x4 stages=4 copy=async split_k=2 pad=yes"},
    {"FillsThatAreNotZero",
     "kernel f(a: f32[33, 15], b: f32[32, 15]) -> (c: f32[33, 32]) { c[i, j] = sum[p in 15](a[i, p] * (b[j, p + 1] "
     "else "
     "2)) }",
     ""},
    {"NeighboursInTheTileAlone",
     "kernel f(a: f32[64, 32], b: f32[32, 65]) -> (c: f32[64, 65]) { c[i, j] = sum[p](a[i, p] * b[p, j]) }",
     "contraction block=64x64x8 thread=8x8 stages=2 copy=async"},
    {"ColumnsOfNothing", "kernel f(x: f32[0, 7]) -> (y: f32[7]) { y[j] = sum[i](x[i, j]) }", ""},
    {"RowsOfNothing", "kernel f(x: f32[7, 0]) -> (y: f32[7]) { y[i] = sum[j](x[i, j]) }", ""},
    {"NothingAtAll", "kernel f(x: i8[0]) -> (y: i8[]) { y[] = max[i](x[i]) }", ""},
};

class SimulatedSchedules : public testing::TestWithParam<Scheduled> {};

TEST_P(SimulatedSchedules, AgreeWithTheReferenceAndHaveNoFindings) {
  const Target& target = simulator().info().target;
  const ir::Program program = ir::parse_program(GetParam().program);
  const std::string schedule = GetParam().schedule;
  const ChooseSchedule given = [&](const ir::Program&, const compiler::Strategy&) {
    return compiler::parse_schedule(schedule);
  };
  const Artifact artifact =
      compile(schedule_program(program, target, schedule.empty() ? choose_fallback(target) : given), target);
  EXPECT_EQ(mismatch(artifact, program, {}, simulator(), 1), "");
}

INSTANTIATE_TEST_SUITE_P(Simulator, SimulatedSchedules, testing::ValuesIn(kScheduled),
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
  const auto choose = [](const ir::Program&, const compiler::Strategy&) {
    return compiler::parse_schedule("contraction block=128x128x16 thread=8x8 stages=3 copy=async split_k=1 raster=8");
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
