#include "compiler/in_place.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "compiler/lift_reductions.h"
#include "compiler/strategies/strategy.h"
#include "ir/parser.h"
#include "tests/ir/message.h"

namespace quern::compiler {
namespace {

using test::contains;
using test::error_of;

// The strategies of the program's kernels, in order, and the tensors that pass between them.
std::string kernels_of(std::string_view text) {
  const Partition parts = partition(lift_reductions(ir::parse_program(text)));
  std::string result;
  for (const ir::Program& kernel : parts.kernels) {
    result += std::string(strategy_for(kernel, parse_target("cpu")).fields.strategy) + " ";
  }
  for (const ir::TensorRef& tensor : parts.workspace) result += tensor->name + " ";
  return result;
}

struct Case {
  const char* name;
  const char* program;
  const char* kernels;
};

// Each element is read where it is written alone, or by kernels ahead.
const Case kInPlace[] = {
    {"Elementwise", "kernel f(x: f32[m, n], b: f32[n]) -> (y: f32[m, n] update x) { y[i, j] = x[i, j] + b[j] }",
     "pointwise "},
    {"UnderAFill", "kernel f(x: f32[n]) -> (y: f32[n] update x) { y[i] = x[i] else 0 }", "pointwise "},
    {"OnOneSide", "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n] update x) { y[i] = z[i] > 0 ? z[i] : x[i] }",
     "pointwise "},
    {"ByStrides",
     "kernel f(x: f32[m, n] strides (1, m)) -> (y: f32[m, n] strides (1, m) update x) {\n"
     "y[i, j] = x[i, j] + 1 }",
     "pointwise "},
    {"NotRead", "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n] update x) { y[i] = z[i] }", "pointwise "},
    {"Momentum",
     "kernel f(w: f32[n], v: f32[n], g: f32[n]) -> (w2: f32[n] update w, v2: f32[n] update v) {\n"
     "v2[i] = 0.9 * v[i] + g[i]\n w2[i] = w[i] - 0.01 * v2[i] }",
     "pointwise "},
    {"MomentumTheOtherWayRound",
     "kernel f(w: f32[n], v: f32[n], g: f32[n]) -> (v2: f32[n] update v, w2: f32[n] update w) {\n"
     "v2[i] = 0.9 * v[i] + g[i]\n w2[i] = w[i] - 0.01 * v2[i] }",
     "pointwise "},
    {"Rotation",
     "kernel f(a: f32[n], b: f32[n], t: f32[n]) -> (a2: f32[n] update a, b2: f32[n] update b) {\n"
     "a2[i] = a[i] * cos(t[i]) - b[i] * sin(t[i])\n b2[i] = a[i] * sin(t[i]) + b[i] * cos(t[i]) }",
     "pointwise "},
    {"AnEpilogue",
     "kernel f(a: f32[m, k], w: f32[k, n], x: f32[m, n]) -> (y: f32[m, n] update x) {\n"
     "s[i, j] = sum[p](a[i, p] * w[p, j])\n y[i, j] = x[i, j] + s[i, j] }",
     "contraction "},
    {"ScaledRows",
     "kernel f(x: f32[m, n], z: f32[m, n]) -> (y: f32[m, n] update x) {\n"
     "y[i, j] = x[i, j] / sum[l](z[i, l] * z[i, l]) }",
     "reduction "},
    {"ASumOfRows", "kernel f(x: f32[m], z: f32[m, n]) -> (y: f32[m] update x) { y[i] = x[i] + sum[j](z[i, j]) }",
     "reduction "},
    {"AKernelAhead", "kernel f(x: f32[n]) -> (y: f32[n] update x, s: f32[]) { y[i] = x[i] * 2\n s[] = sum[i](x[i]) }",
     "reduction pointwise "},
    {"AnExternThatReadsItNot",
     "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n] update x) { extern e(z) -> (y) cuda \"\" }", "extern "},
};

const Case kElsewhere[] = {
    {"Reversal", "kernel f(x: f32[n]) -> (y: f32[n] update x) { y[i] = x[n - 1 - i] }", "pointwise pointwise y_new "},
    {"Transposition", "kernel f(x: f32[n, n]) -> (y: f32[n, n] update x) { y[i, j] = x[j, i] }",
     "pointwise pointwise y_new "},
    {"Neighbours", "kernel f(x: f32[n]) -> (y: f32[n] update x) { y[i] = x[i] + (x[i - 1] else 0) }",
     "pointwise pointwise y_new "},
    {"AnIndex", "kernel f(x: i32[n], z: f32[n]) -> (y: i32[n] update x) with x in 0..n { y[i] = x[i] + x[x[i]] }",
     "pointwise pointwise y_new "},
    {"Product",
     "kernel f(x: f32[m, k], w: f32[k, k]) -> (y: f32[m, k] update x) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction pointwise y_new "},
    {"Softmax",
     "kernel f(x: f32[m, n]) -> (y: f32[m, n] update x) {\n"
     "e[i, j] = exp(x[i, j] - max[l](x[i, l]))\n y[i, j] = e[i, j] / sum[l](e[i, l]) }",
     "reduction pointwise y_new "},
    {"ASecondOutput",
     "kernel f(x: f32[n]) -> (y: f32[n] update x, z: f32[n]) { y[i] = x[i] + 1\n z[i] = x[n - 1 - i] }",
     "pointwise pointwise y_new "},
    {"ASecondOutputOfOtherAxes",
     "kernel f(x: f32[n, n]) -> (y: f32[n, n] update x, z: f32[n, n]) { y[i, j] = x[i, j] + 1\n z[j, i] = x[i, j] }",
     "pointwise pointwise y_new "},
    {"AnElementThatTheValueNeedsNot",  // the load could come behind the store
     "kernel f(a: f32[n], b: f32[n]) -> (a2: f32[n] update a, b2: f32[n] update b) { a2[i] = b[i]\n b2[i] = a[i] }",
     "pointwise pointwise pointwise a2_new b2_new "},
    {"ASecondEpilogue",
     "kernel f(a: f32[m, k], w: f32[k, n], x: f32[m, n]) -> (y: f32[m, n] update x, z: f32[m, n]) {\n"
     "y[i, j] = x[i, j] + sum[p](a[i, p] * w[p, j])\n z[i, j] = y[i, j] * 2 }",
     "contraction pointwise y_new "},
    {"AKernelBehind",
     "kernel f(x: f32[n], w: f32[n, n], y_new: f32[n]) -> (y: f32[n] update x, z: f32[n]) {\n"
     "y[i] = sum[p](w[i, p] * y_new[p])\n z[i] = sum[p](w[p, i] * y[p]) + x[i] }",
     "reduction reduction pointwise y_new2 "},
    {"AnExtern", "kernel f(x: f32[n], z: f32[n]) -> (y: f32[n] update x) { extern e(z, x) -> (y) cuda \"\" }",
     "pointwise extern pointwise y_new "},
};

class InPlaceKernels : public testing::TestWithParam<Case> {};

TEST_P(InPlaceKernels, AreThese) { EXPECT_EQ(kernels_of(GetParam().program), GetParam().kernels); }

INSTANTIATE_TEST_SUITE_P(Stays, InPlaceKernels, testing::ValuesIn(kInPlace),
                         [](const auto& instance) { return std::string(instance.param.name); });
INSTANTIATE_TEST_SUITE_P(IsCopied, InPlaceKernels, testing::ValuesIn(kElsewhere),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(InPlace, TheCopyIsLastAndAloneWritesTheOutput) {
  const ir::Program program = ir::parse_program(
      "kernel f(x: f32[n]) -> (y: f32[n] update x, z: f32[]) { y[i] = x[n - 1 - i]\n z[] = sum[i](y[i]) }");
  const Partition parts = partition(lift_reductions(program));
  ASSERT_EQ(parts.kernels.size(), 3u);
  EXPECT_TRUE(is_output(parts.kernels[2], *program.outputs[0].tensor));
  EXPECT_EQ(parts.kernels[1].inputs, parts.workspace) << "what reads the output reads the value";
  EXPECT_TRUE(is_read_in_time(parts.kernels, program.outputs[0]));
}

TEST(InPlace, ExternsWriteNoWorkspaceByStrides) {
  EXPECT_TRUE(contains(error_of([] {
                         kernels_of(
                             "kernel f(x: f32[n] strides (2)) -> (y: f32[n] strides (2) update x) {\n"
                             "extern e(x) -> (y) cuda \"\" }");
                       }),
                       "extern e writes y, which updates x"));
}

}  // namespace
}  // namespace quern::compiler
