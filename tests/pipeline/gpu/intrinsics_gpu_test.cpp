// The meanings of intrinsics against the hardware: each kernel of intrinsic_kernels.h, bit for bit or within bounds.

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/error.h"
#include "tests/pipeline/intrinsic_kernels.h"

namespace quern::pipeline {
namespace {

class GpuIntrinsics : public testing::TestWithParam<IntrinsicKernel> {
 protected:
  void SetUp() override {
    try {
      gpu = &runtime::open_device("cuda");
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
    if (gpu->info().target.arch != "sm_90a")
      GTEST_SKIP() << "the kernels are for sm_90a, not " << gpu->info().target.arch;
  }

  // Bit for bit.
  void expect_as_simulated(const ir::Kernel& kernel, Numbers numbers, const Contents& computed) const {
    runtime::simulator::Report report;
    const Contents expected = simulated(kernel, numbers, report);
    for (std::size_t p = 0; p < expected.size(); ++p) {
      for (std::size_t i = 0; i < expected[p].size(); ++i) {
        ASSERT_EQ(computed[p][i], expected[p][i]) << kernel.params[p]->name << ", byte " << i;
      }
    }
  }

  runtime::Device* gpu = nullptr;
};

TEST_P(GpuIntrinsics, DoWhatTheSimulatorDoes) {
  const ir::Kernel kernel = thread_form(GetParam());
  for (const Numbers numbers : {Numbers::integers, Numbers::random}) {
    const Contents computed = on_device(kernel, numbers, *gpu);
    if (numbers == Numbers::random && !GetParam().program.empty()) {
      EXPECT_EQ(beyond_bounds(GetParam(), computed), "");
    } else {
      expect_as_simulated(kernel, numbers, computed);
    }
  }
}

class GpuTf32 : public GpuIntrinsics {};

// What a tf32 does not hold is cut off, not rounded.
TEST_P(GpuTf32, OperandsAreCut) {
  const ir::Kernel kernel = thread_form(GetParam());
  expect_as_simulated(kernel, Numbers::between_tf32, on_device(kernel, Numbers::between_tf32, *gpu));
}

INSTANTIATE_TEST_SUITE_P(Gpu, GpuIntrinsics, testing::ValuesIn(intrinsic_kernels()),
                         [](const auto& instance) { return instance.param.name; });

std::vector<IntrinsicKernel> tf32_kernels() {
  std::vector<IntrinsicKernel> kernels;
  std::ranges::copy_if(intrinsic_kernels(), std::back_inserter(kernels),
                       [](const IntrinsicKernel& k) { return k.program.find("grade=tf32") != std::string::npos; });
  return kernels;
}

INSTANTIATE_TEST_SUITE_P(Gpu, GpuTf32, testing::ValuesIn(tf32_kernels()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace quern::pipeline
