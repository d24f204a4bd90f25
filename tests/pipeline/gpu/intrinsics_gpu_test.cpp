// The meanings of intrinsics against the hardware: each kernel of intrinsic_kernels.h, bit for bit or within bounds.

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/pipeline/intrinsic_kernels.h"

namespace quern::pipeline {
namespace {

class GpuIntrinsics : public testing::TestWithParam<IntrinsicKernel> {};

TEST_P(GpuIntrinsics, DoWhatTheSimulatorDoes) {
  runtime::Device* gpu = nullptr;
  try {
    gpu = &runtime::open_device("cuda");
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  if (gpu->info().target.arch != "sm_90a")
    GTEST_SKIP() << "the kernels are for sm_90a, not " << gpu->info().target.arch;
  const ir::Kernel kernel = thread_form(GetParam());
  for (const Numbers numbers : {Numbers::integers, Numbers::random}) {
    const Contents computed = on_device(kernel, numbers, *gpu);
    if (numbers == Numbers::random && !GetParam().program.empty()) {
      EXPECT_EQ(beyond_bounds(GetParam(), computed), "");
      continue;
    }
    runtime::simulator::Report report;
    const Contents expected = simulated(kernel, numbers, report);
    for (std::size_t p = 0; p < expected.size(); ++p) {
      for (std::size_t i = 0; i < expected[p].size(); ++i) {
        ASSERT_EQ(computed[p][i], expected[p][i]) << kernel.params[p]->name << ", byte " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, GpuIntrinsics, testing::ValuesIn(intrinsic_kernels()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace quern::pipeline
