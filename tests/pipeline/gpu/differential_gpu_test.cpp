#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "tests/pipeline/differential.h"

namespace quern::pipeline {
namespace {

runtime::Device* gpu() {
  try {
    return &runtime::open_device("cuda");
  } catch (const Error&) {
    return nullptr;
  }
}

class GpuDifferential : public testing::Test {
 protected:
  void SetUp() override {
    if (gpu() == nullptr) GTEST_SKIP() << "no GPU: " << runtime::list_devices().why_no_cuda;
  }
};

TEST_F(GpuDifferential, RandomProgramsAgreeWithTheReference) {
  for (const std::string& difference : differences_of_generated(*gpu(), 60)) ADD_FAILURE() << difference;
}

class GpuShapes : public GpuDifferential, public testing::WithParamInterface<ShapeCase> {};

TEST_P(GpuShapes, AgreeWithTheReferenceUnderSeveralSchedules) {
  for (const std::string& difference : differences_of_shapes(GetParam(), *gpu())) ADD_FAILURE() << difference;
}

INSTANTIATE_TEST_SUITE_P(Gpu, GpuShapes, testing::ValuesIn(shape_cases()),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
