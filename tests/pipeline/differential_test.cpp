#include "tests/pipeline/differential.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "ir/parser.h"

namespace quern::pipeline {
namespace {

TEST(Differential, RandomProgramsOnTheCpuAgreeWithTheReference) {
  runtime::Device& cpu = runtime::open_device("cpu");
  for (const std::string& difference : differences_of_generated(cpu, 150)) ADD_FAILURE() << difference;
}

class Shapes : public testing::TestWithParam<ShapeCase> {};

TEST_P(Shapes, AgreeWithTheReferenceUnderSeveralSchedules) {
  runtime::Device& cpu = runtime::open_device("cpu");
  const Target& target = cpu.info().target;
  const ir::Program program = ir::parse_program(GetParam().text);
  for (const std::vector<std::int64_t>& sizes : GetParam().sizes) {
    EXPECT_EQ(differ(program, sizes, cpu, choose_fallback(target), 1), "");
    for (std::uint64_t seed = 2; seed < 4; ++seed) {
      EXPECT_EQ(differ(program, sizes, cpu, choose_random(target, seed), seed), "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Differential, Shapes, testing::ValuesIn(shape_cases()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace quern::pipeline
