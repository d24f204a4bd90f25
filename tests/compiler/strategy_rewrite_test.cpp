// What a schedule rewrites its kernel to computes what the kernel computes, by the reference evaluator.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "compiler/lift_reductions.h"
#include "compiler/strategies/strategy.h"
#include "ir/evaluate.h"
#include "ir/generate.h"
#include "ir/parser.h"
#include "ir/printer.h"

namespace quern::compiler {
namespace {

using Sizes = std::vector<std::int64_t>;
using Tensors = std::vector<ir::OwnedTensor>;

ir::Program kernel_of(std::string_view text) {
  const Partition parts = partition(lift_reductions(ir::parse_program(text)));
  EXPECT_EQ(parts.kernels.size(), 1u) << text;
  return parts.kernels.at(0);
}

Rewrite rewritten(const ir::Program& kernel, std::string_view schedule) {
  const Schedule given = parse_schedule(schedule);
  auto result = strategy_named(given.strategy).rewrite(kernel, given);
  EXPECT_TRUE(result) << schedule;
  return result.value_or(Rewrite{});
}

// The outputs of the last kernel, each run on the inputs and on what those before it left.
Tensors run(std::span<const ir::Program> kernels, const ir::Program& whole, const Sizes& sizes, const Tensors& inputs) {
  std::map<const ir::Tensor*, ir::HostTensor> known;
  for (std::size_t i = 0; i < inputs.size(); ++i) known[whole.inputs[i].get()] = inputs[i].host;
  std::vector<Tensors> kept;
  for (const ir::Program& kernel : kernels) {
    std::vector<ir::HostTensor> arguments, results;
    Sizes own;
    for (const ir::VarRef& symbol : kernel.symbols) {
      const auto at = std::ranges::find(whole.symbols, symbol) - whole.symbols.begin();
      own.push_back(sizes.at(static_cast<std::size_t>(at)));
    }
    for (const ir::TensorRef& input : kernel.inputs) arguments.push_back(known.at(input.get()));
    for (ir::OwnedTensor& tensor : kept.emplace_back(ir::allocate_outputs(kernel, own))) {
      known[kernel.outputs[results.size()].tensor.get()] = tensor.host;
      results.push_back(tensor.host);
    }
    ir::evaluate(kernel, own, arguments, results);
  }
  return std::move(kept.back());
}

struct Case {
  const char* name;
  const char* program;  // of integers, so that the order of a sum does not show
  const char* schedule;
  std::vector<Sizes> sizes;
  const char* workspace;  // shape of what passes between the kernels
};

const Case kCases[] = {
    {"SplitK",
     "kernel f(x: i32[m, 12], w: i32[12, n]) -> (y: i32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction split_k=3",
     {{1, 1}, {5, 7}, {0, 3}},
     "[3, m, n]"},
    {"SplitKWithAnEpilogue",
     "kernel f(x: i32[m, 12], w: i32[12, n], b: i32[n]) -> (y: i32[m, n]) {\n"
     "s[i, j] = sum[p](x[i, p] * w[p, j])\n y[i, j] = max(s[i, j] + b[j], 0) }",
     "contraction split_k=4",
     {{3, 5}},
     "[4, m, n]"},
    {"SplitReduction",
     "kernel f(x: i32[m, 24]) -> (y: i32[m]) { y[i] = sum[j](x[i, j]) }",
     "reduction split=4",
     {{1}, {7}, {0}},
     "[4, m]"},
    {"SplitReductionOfRaggedParts",
     "kernel f(x: i32[m, 100]) -> (y: i32[m]) { y[i] = max[j](x[i, j]) }",
     "reduction split=5",
     {{1}, {7}, {0}},
     "[5, m]"},
    {"SplitReductionOfAnyLength",
     "kernel f(x: i32[n]) -> (y: i32[]) { y[] = sum[j where j % 3 == 0](x[j]) }",
     "reduction split=3",
     {{0}, {1}, {15}, {48}, {49}, {100}, {211}},
     "[3]"},
    {"PackOnce",
     "kernel f(x: i32[m, k], w: i32[k, n] const) -> (y: i32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction pack=once thread=4x8",
     {{1, 1, 1}, {5, 3, 9}, {4, 2, 16}, {3, 0, 5}, {2, 3, 0}},
     "[(n + 7) // 8, k, 8]"},
    {"PackOnceTransposed",
     "kernel f(x: i32[m, k], w: i32[n, k] const) -> (y: i32[m, n]) { y[i, j] = sum[p](x[i, p] * w[j, p]) }",
     "contraction pack=once thread=4x8",
     {{5, 3, 9}},
     "[(n + 7) // 8, k, 8]"},
    {"PackOnceOfBatches",
     "kernel f(x: i32[b, m, k], w: i32[b, k, n] const) -> (y: i32[b, m, n]) {\n"
     "y[c, i, j] = sum[p](x[c, i, p] * w[c, p, j]) }",
     "contraction pack=once thread=2x4",
     {{2, 3, 5, 6}},
     "[b, (n + 3) // 4, k, 4]"},
    {"PackOnceOfAConvolution",
     "kernel f(x: i32[n, h, w, 3], g: i32[k, 2, 3, 3] const) -> (y: i32[n, h, w, k]) {\n"
     "y[z, p, q, o] = sum[u, v, i]((x[z, p + u - 1, q + v - 1, i] else 0) * g[o, u, v, i]) }",
     "contraction pack=once thread=2x4",
     {{1, 4, 3, 5}},
     "[(k + 3) // 4, 18, 4]"},
    {"Pad",
     "kernel f(x: i32[m, k], w: i32[k, n]) -> (y: i32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction pad=yes",
     {{1, 1, 1}, {5, 3, 9}, {4, 8, 16}, {3, 0, 5}, {2, 3, 0}},
     "[m, (k + 3) // 4 * 4][(k + 3) // 4 * 4, (n + 3) // 4 * 4]"},
    {"PadWhatDoesNotLieAligned",
     "kernel f(x: i32[m, 8], w: i32[8, n]) -> (y: i32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction pad=yes",
     {{1, 1}, {5, 9}, {4, 16}, {3, 0}},
     "[8, (n + 3) // 4 * 4]"},
    {"PadNothing",
     "kernel f(x: i32[m, 8], w: i32[n, 8]) -> (y: i32[m, n]) { y[i, j] = sum[p](x[i, p] * w[j, p]) }",
     "contraction pad=yes",
     {{1, 1}, {5, 9}},
     ""},
    {"PadRowsThatBeginAtOddPlaces",
     "kernel f(x: i32[m, 8] strides (10, 1), w: i32[n, 8]) -> (y: i32[m, n]) {\n"
     "y[i, j] = sum[p](x[i, p] * w[j, p]) }",
     "contraction pad=yes",
     {{1, 1}, {5, 9}},
     "[m, 8]"},
    {"PadBatchesWithAnEpilogue",
     "kernel f(x: i32[b, k, m], w: i32[b, n, k], c: i32[n]) -> (y: i32[b, m, n]) {\n"
     "s[z, i, j] = sum[p](x[z, p, i] * w[z, j, p])\n y[z, i, j] = s[z, i, j] + c[j] }",
     "contraction pad=yes",
     {{2, 3, 5, 6}},
     "[b, (k + 3) // 4 * 4, (m + 3) // 4 * 4][b, n, (k + 3) // 4 * 4]"},
};

class StrategyRewrite : public testing::TestWithParam<Case> {};

TEST_P(StrategyRewrite, ComputesTheSame) {
  const Case& c = GetParam();
  const ir::Program kernel = kernel_of(c.program);
  const Rewrite rewrite = rewritten(kernel, c.schedule);
  ASSERT_EQ(rewrite.parts.kernels.size(), rewrite.parts.workspace.size() + 1);
  std::string shapes;
  for (const ir::TensorRef& tensor : rewrite.parts.workspace) {
    for (std::size_t d = 0; d < tensor->rank(); ++d) shapes += (d == 0 ? "[" : ", ") + ir::to_string(tensor->shape[d]);
    shapes += "]";
  }
  EXPECT_EQ(shapes, c.workspace);
  const Strategy& strategy = strategy_named(rewrite.schedule.strategy);
  EXPECT_FALSE(strategy.rewrite(rewrite.parts.kernels[rewrite.main], rewrite.schedule)) << "done once, not again";
  for (const Sizes& sizes : c.sizes) {
    const Tensors inputs = ir::generate_inputs(kernel, sizes, 1);
    const Tensors expected = run(std::span(&kernel, 1), kernel, sizes, inputs);
    const Tensors computed = run(rewrite.parts.kernels, kernel, sizes, inputs);
    ASSERT_EQ(computed.size(), expected.size());
    for (std::size_t o = 0; o < expected.size(); ++o) EXPECT_EQ(computed[o].bytes, expected[o].bytes) << sizes.size();
  }
}

INSTANTIATE_TEST_SUITE_P(Compiler, StrategyRewrite, testing::ValuesIn(kCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(PackOnce, TakesConstOperandsOnCpusAlone) {
  const auto verdict = [](std::string_view program, std::string_view target) {
    const ir::Program kernel = kernel_of(program);
    const Schedule schedule = parse_schedule("contraction pack=once block=28x32x16 thread=14x32");
    return strategy_named(schedule.strategy).check(kernel, schedule, parse_target(target)).reason;
  };
  const char* variable =
      "kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }";
  const char* constant =
      "kernel f(x: f32[m, k], w: f32[k, n] const) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }";
  EXPECT_EQ(verdict(constant, "cpu:x86-64-v4"), "");
  EXPECT_EQ(verdict(variable, "cpu:x86-64-v4"), "pack=once takes a second operand of const inputs alone, not of w");
  EXPECT_EQ(verdict(constant, "cuda:sm_90a"), "pack=once is for CPUs: on GPUs each block stages its operands");
}

}  // namespace
}  // namespace quern::compiler
