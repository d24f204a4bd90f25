// Every scalar function in every dtype that it takes, against its row's reference and bound.

#include <gtest/gtest.h>

#include "tests/codegen/llvm/cpu_runner.h"
#include "tests/codegen/llvm/elementwise.h"

namespace quern::codegen {
namespace {

class LlvmFunctions : public testing::TestWithParam<Target> {};

INSTANTIATE_TEST_SUITE_P(Targets, LlvmFunctions, testing::ValuesIn(runnable_targets()),
                         [](const auto& instance) { return test_name(instance.param); });

void check(const Target& target, const ir::ScalarFunction& row, DType dtype, bool uniform, std::size_t step) {
  if (!result_of(row, dtype)) return;
  const std::vector<Elements> operands = operands_of(row, dtype, step);
  const Formula f = [&](std::span<const ir::Expr> x) { return ir::call(row.op, {x.begin(), x.end()}); };
  const Elements got = run_elementwise(target, f, operands, uniform);
  int wrong = 0;
  for (std::size_t i = 0; i < got.size() && wrong < 4; ++i) {
    const std::string text = deviation(row, operands, got, i);
    EXPECT_EQ(text, "") << (uniform ? "as a scalar" : "");
    wrong += text.empty() ? 0 : 1;
  }
}

// The host's level sees every dtype and many values, in vectors and as scalars; the others what is lowered differently.
TEST_P(LlvmFunctions, MeetTheirBounds) {
  const bool host = GetParam().arch == host_cpu_target().arch;
  for (const ir::ScalarFunction& row : ir::scalar_functions()) {
    for (int d = 0; d < kDTypeCount; ++d) {
      const auto dtype = static_cast<DType>(d);
      const bool differs = dtype == DType::f64 || dtype == DType::f32 || dtype == DType::i32 || dtype == DType::u64;
      if (host || differs) check(GetParam(), row, dtype, false, host ? 5 : 37);
      if (host && differs) check(GetParam(), row, dtype, true, 37);
    }
  }
}

}  // namespace
}  // namespace quern::codegen
