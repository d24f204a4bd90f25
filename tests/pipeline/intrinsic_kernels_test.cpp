#include "tests/pipeline/intrinsic_kernels.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/error.h"
#include "ir/intrinsics.h"
#include "ir/kernel_rewrite.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {
namespace {

TEST(IntrinsicKernels, HoldEveryIntrinsic) {
  std::set<ir::IntrinsicId> used;
  for (const IntrinsicKernel& kernel : intrinsic_kernels()) {
    const ir::Kernel thread = thread_form(kernel);
    ir::visit(thread.body, [&](const ir::Stmt& stmt, const ir::Enclosing&) {
      if (const auto* intrinsic = ir::get_if<ir::Intrinsic>(stmt)) used.insert(intrinsic->id);
      return true;
    });
  }
  for (const ir::IntrinsicRow& row : ir::intrinsics()) EXPECT_TRUE(used.contains(row.id)) << row.name;
}

class IntrinsicKernels : public testing::TestWithParam<IntrinsicKernel> {};

TEST_P(IntrinsicKernels, RunWithoutFindings) {
  runtime::simulator::Report report;
  const ir::Kernel kernel = thread_form(GetParam());
  const Contents after = simulated(kernel, Numbers::integers, report);
  EXPECT_TRUE(report.clean()) << findings_text(report);
  EXPECT_NE(after, contents_before(kernel, Numbers::integers)) << "nothing was written";
}

class IntrinsicProducts : public testing::TestWithParam<IntrinsicKernel> {};

TEST_P(IntrinsicProducts, AreWithinTheirBounds) {
  const ir::Kernel kernel = thread_form(GetParam());
  for (const Numbers numbers : {Numbers::integers, Numbers::random}) {
    runtime::simulator::Report report;
    EXPECT_EQ(beyond_bounds(GetParam(), simulated(kernel, numbers, report)), "");
  }
}

#if QUERN_WITH_CUDA
TEST_P(IntrinsicKernels, Compile) {
  try {
    runtime::cuda::Nvrtc::get();
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  EXPECT_FALSE(compiled(thread_form(GetParam()), parse_target("cuda:sm_90a")).binary.bytes.empty());
}
#endif

INSTANTIATE_TEST_SUITE_P(Simulator, IntrinsicKernels, testing::ValuesIn(intrinsic_kernels()),
                         [](const auto& instance) { return instance.param.name; });

std::vector<IntrinsicKernel> products() {
  std::vector<IntrinsicKernel> all = intrinsic_kernels();
  std::erase_if(all, [](const IntrinsicKernel& kernel) { return kernel.program.empty(); });
  return all;
}
INSTANTIATE_TEST_SUITE_P(Simulator, IntrinsicProducts, testing::ValuesIn(products()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace quern::pipeline
