// Every scalar function and conversion of generated CUDA C on a GPU, against the rows' references and bounds.

#include <gtest/gtest.h>

#include "base/error.h"
#include "codegen/cuda/printer.h"
#include "runtime/cuda/nvrtc.h"
#include "runtime/device.h"
#include "tests/codegen/cuda_functions.h"

namespace quern::codegen {
namespace {

runtime::Device* gpu() {
  try {
    return &runtime::open_device("cuda");
  } catch (const Error&) {
    return nullptr;
  }
}

// A plan that launches the one kernel on arguments as large as its parameters.
Plan plan_of(const ir::Kernel& kernel, const CudaText& text, const Target& target) {
  Plan plan{.name = text.entry, .target = to_text(target)};
  Launch launch{.kernel = text.entry};
  launch.grid[0] = PlanExpr(*ir::as_integer(kernel.grid[0]));
  launch.threads = kernel.warps * kernel.lanes;
  for (const ir::BufferRef& param : kernel.params) {
    launch.parameters.push_back(PlanPointer{.index = static_cast<int>(plan.arguments.size())});
    plan.arguments.push_back({.name = "a" + std::to_string(plan.arguments.size()),
                              .dtype = param->dtype,
                              .shape = {PlanExpr(*ir::as_integer(param->shape[0]))},
                              .strides = {PlanExpr(1)},
                              .is_output = param->name == "y"});
  }
  plan.variants.push_back({.name = "all", .steps = {{.action = launch}}});
  return plan;
}

void check(const std::vector<test::Computation>& computations) {
  runtime::Device& device = *gpu();
  const Target& target = device.info().target;
  const ir::Kernel kernel = test::kernel_of(computations);
  const CudaText text = print_cuda(kernel, target);
  const auto compiled =
      runtime::cuda::Nvrtc::get().compile(text.source, "functions.cu", target.arch, {.extra = text.options});
  const auto program = device.load(plan_of(kernel, text, target), {to_text(target), compiled.cubin});

  const runtime::Stream stream(device);
  std::vector<runtime::Buffer> buffers;
  std::vector<void*> arguments;
  for (const test::Computation& each : computations) {
    for (const Elements& operand : each.operands) {
      buffers.emplace_back(device, operand.bytes.size());
      device.upload(buffers.back().data(), operand.bytes.data(), operand.bytes.size(), stream.get());
    }
    buffers.emplace_back(device, each.operands[0].size() * static_cast<std::size_t>(byte_size(each.result)));
  }
  for (const runtime::Buffer& buffer : buffers) arguments.push_back(buffer.data());
  program->launch(arguments, {}, stream.get(), nullptr);

  std::size_t next = 0;
  for (const test::Computation& each : computations) {
    const runtime::Buffer& result = buffers[next += each.operands.size()];
    ++next;
    Elements got(each.result);
    got.bytes.resize(result.size());
    device.download(got.bytes.data(), result.data(), result.size(), stream.get());
    int wrong = 0;
    for (std::size_t i = 0; i < got.size() && wrong < 4; ++i) {
      const std::string deviation = each.deviation(got, i);
      EXPECT_EQ(deviation, "");
      wrong += deviation.empty() ? 0 : 1;
    }
  }
}

class GpuCudaFunctions : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (gpu() == nullptr) GTEST_SKIP() << "no GPU: " << runtime::list_devices().why_no_cuda;
  }
  DType dtype() const { return static_cast<DType>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(GpuDtypes, GpuCudaFunctions, testing::Range(0, kDTypeCount),
                         [](const auto& instance) { return std::string(name(static_cast<DType>(instance.param))); });

TEST_P(GpuCudaFunctions, MeetTheirBounds) { check(test::functions_of(dtype(), 1)); }
TEST_P(GpuCudaFunctions, ConversionsAreExact) { check(test::conversions_of(dtype(), 1)); }

}  // namespace
}  // namespace quern::codegen
