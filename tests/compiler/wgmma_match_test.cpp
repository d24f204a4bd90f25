#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/target.h"
#include "compiler/lift_reductions.h"
#include "compiler/strategies/strategy.h"
#include "ir/parser.h"

namespace quern::compiler {
namespace {

// Why wgmma does not take the one kernel of a program; empty: it does.
std::string reason(std::string_view parameters, std::string_view definitions, std::string_view target = "cuda:sm_90a") {
  const std::string text = fmt::format("kernel f({}) {{\n{}\n}}", parameters, definitions);
  const ir::Program program = lift_reductions(ir::parse_program(text));
  return strategy_named("wgmma").matches(program, parse_target(target)).reason;
}

constexpr std::string_view kMatrices = "x: bf16[m, k], w: bf16[k, n]) -> (y: f32[m, n]";
constexpr std::string_view kProduct = "y[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))";

TEST(WgmmaMatch, TakesProductsInPlace) { EXPECT_EQ(reason(kMatrices, kProduct), ""); }

TEST(WgmmaMatch, SaysWhatTheTargetLacks) {
  EXPECT_EQ(reason(kMatrices, kProduct, "cuda:sm_80"), "cuda:sm_80 has no wgmma");
  EXPECT_EQ(reason(kMatrices, kProduct, "cpu:x86-64-v3"), "cpu:x86-64-v3 has no wgmma");
}

TEST(WgmmaMatch, SaysWhatIsWrongWithTheSum) {
  EXPECT_EQ(reason("x: f32[m]) -> (y: f32[m]", "y[i] = x[i] + 1.0"), "it is no contraction");
  EXPECT_EQ(reason(kMatrices, "y[i, j] = sum[p]{order = fixed}(f32(x[i, p]) * f32(w[p, j]))"),
            "y is summed in a given order");
  EXPECT_EQ(reason("x: bf16[m, k], w: bf16[k, n, h]) -> (y: f32[m, n, h]",
                   "y[i, j, l] = sum[p](f32(x[i, p]) * f32(w[p, j, l]))"),
            "its second factor has 2 axes of its own, not one");
}

TEST(WgmmaMatch, SaysWhichFactorItCannotRead) {
  EXPECT_EQ(reason("x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]", "y[i, j] = sum[p](x[i, p] * w[p, j])"),
            "x is of f32, not of bf16 or f16 widened to f32");
  EXPECT_EQ(reason(kMatrices, "y[i, j] = sum[p](relu(f32(x[i, p])) * f32(w[p, j]))"),
            "the factor relu(f32(x[i, p])) is computed, not read from an input of the kernel");
  EXPECT_EQ(reason("x: bf16[m, k], w: f16[k, n]) -> (y: f32[m, n]", kProduct), "it multiplies bf16 by f16");
  EXPECT_EQ(reason("x: bf16[m + k, k], w: bf16[k, n]) -> (y: f32[m, n]",
                   "y[i in m, j] = sum[p in k](f32(x[i + p, p]) * f32(w[p, j]))"),
            "no bulk copy brings tiles of x[i + p, p]");
  EXPECT_EQ(
      reason("x: bf16[m, 64], w: bf16[64, n]) -> (y: f32[m, n]", "y[i, j] = sum[p in 32](f32(x[i, p]) * f32(w[p, j]))"),
      "the sum over p is of a part of x");
}

}  // namespace
}  // namespace quern::compiler
