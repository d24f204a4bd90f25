#include "tests/pipeline/differential.h"

#include <gtest/gtest.h>

#include <string>

#if QUERN_WITH_CPU
namespace quern::pipeline {
namespace {

TEST(Differential, RandomProgramsOnTheCpuAgreeWithTheReference) {
  runtime::Device& cpu = runtime::open_device("cpu");
  for (const std::string& difference : differences_of_generated(cpu, 150)) ADD_FAILURE() << difference;
}

class Shapes : public testing::TestWithParam<ShapeCase> {};

TEST_P(Shapes, AgreeWithTheReferenceUnderSeveralSchedules) {
  runtime::Device& cpu = runtime::open_device("cpu");
  for (const std::string& difference : differences_of_shapes(GetParam(), cpu)) ADD_FAILURE() << difference;
}

INSTANTIATE_TEST_SUITE_P(Differential, Shapes, testing::ValuesIn(shape_cases()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace quern::pipeline
#endif
