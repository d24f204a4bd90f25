// Generated CUDA C through NVRTC, for every architecture and without a GPU: the samples keep their arrays in registers
// and hold the instructions that they promise; all functions and conversions compile.

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "codegen/cuda/printer.h"
#include "tests/codegen/cuda_functions.h"
#include "tests/codegen/cuda_kernels.h"

#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"

namespace quern::codegen {
namespace {

const runtime::cuda::Nvrtc* nvrtc() {
  try {
    return &runtime::cuda::Nvrtc::get();
  } catch (const Error&) {
    return nullptr;
  }
}

runtime::cuda::CompiledCuda compile(const ir::Kernel& kernel, const Target& target) {
  const CudaText text = print_cuda(kernel, target);
  return nvrtc()->compile(text.source, text.entry + ".cu", target.arch, {.extra = text.options});
}

class CudaTextCompiles : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (nvrtc() == nullptr) GTEST_SKIP() << "NVRTC is not to be found here";
  }
};

INSTANTIATE_TEST_SUITE_P(Targets, CudaTextCompiles, testing::ValuesIn(test::cuda_targets()),
                         [](const auto& instance) { return instance.param.substr(5); });

TEST_P(CudaTextCompiles, SamplesKeepTheirArraysInRegisters) {
  for (const test::Sample& sample : test::sample_kernels()) {
    if (std::ranges::find(sample.targets, GetParam()) == sample.targets.end()) continue;
    const runtime::cuda::CompiledCuda compiled = compile(sample.kernel, parse_target(GetParam()));
    ASSERT_EQ(compiled.kernels.size(), 1u) << sample.name;
    EXPECT_EQ(compiled.kernels[0].stack_bytes, 0) << sample.name;
    EXPECT_EQ(compiled.log.find("warning"), std::string::npos) << sample.name << "\n" << compiled.log;
    for (const std::string& instruction : sample.ptx) {
      EXPECT_NE(compiled.ptx.find(instruction), std::string::npos) << sample.name << " has no " << instruction;
    }
  }
}

TEST_P(CudaTextCompiles, ConversionsOfAllDtypes) {
  std::vector<test::Computation> all;
  for (int d = 0; d < kDTypeCount; ++d) {
    for (test::Computation& each : test::conversions_of(static_cast<DType>(d), 10000)) all.push_back(std::move(each));
  }
  EXPECT_NO_THROW(compile(test::kernel_of(all), parse_target(GetParam())));
}

TEST_P(CudaTextCompiles, FunctionsOfAllDtypes) {
  // What a dtype adds is the same on every architecture, but for 8-bit floats.
  const bool is_first = GetParam() == test::cuda_targets().front();
  for (int d = 0; d < kDTypeCount; ++d) {
    const auto dtype = static_cast<DType>(d);
    if (!is_first && dtype != DType::f8e4m3 && dtype != DType::i64) continue;
    EXPECT_NO_THROW(compile(test::kernel_of(test::functions_of(dtype, 10000)), parse_target(GetParam())))
        << name(dtype);
  }
}

}  // namespace
}  // namespace quern::codegen
#endif
