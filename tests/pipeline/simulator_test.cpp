// Kernels in the simulator: what strategies emit agrees with the reference evaluator and has no finding.

#include <gtest/gtest.h>

#include <string>

#include "tests/pipeline/differential.h"
#include "tests/pipeline/tile_programs.h"

namespace quern::pipeline {
namespace {

runtime::Device& simulator() { return runtime::open_device("sim:sm_90a"); }

TEST(Simulator, RandomProgramsAgreeWithTheReferenceAndHaveNoFindings) {
  for (const std::string& difference : differences_of_generated(simulator(), 60)) ADD_FAILURE() << difference;
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

}  // namespace
}  // namespace quern::pipeline
