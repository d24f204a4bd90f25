// How programs become kernels under the strategies' own choice: how many, with how much workspace, and how often each
// input is loaded from memory. Counted in thread form, without a GPU.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "ir/kernel_rewrite.h"
#include "ir/simplify.h"
#include "pipeline/compile.h"
#include "pipeline/variants.h"
#include "quern/program.h"

namespace quern::pipeline {
namespace {

using Loads = std::map<std::string, double>;

std::int64_t trips(const ir::For& loop) {
  const ir::Expr count = ir::simplify(ir::ceil_div(loop.hi - loop.lo, loop.step));
  return ir::as_integer(count).value_or(1);
}

// Elements of each input that all threads load together, over the input's own: 1 where each is loaded once. Checks are
// taken to hold.
Loads loads_of(const ir::Kernel& kernel) {
  std::map<const ir::Tensor*, double> elements;
  double threads = kernel.warps * kernel.lanes;
  for (const ir::Expr& extent : kernel.grid) threads *= static_cast<double>(ir::as_integer(extent).value_or(1));
  ir::visit(kernel.body, [&](const ir::Stmt& stmt, const ir::Enclosing& around) {
    double times = threads;
    for (const ir::StmtNode* node : around) {
      if (const auto* loop = std::get_if<ir::For>(&node->value)) times *= static_cast<double>(trips(*loop));
    }
    if (const auto* move = ir::get_if<ir::Move>(stmt)) {
      elements[move->from.get()] += times * move->width;
      return true;
    }
    const auto* intrinsic = ir::get_if<ir::Intrinsic>(stmt);
    const bool copies = intrinsic && intrinsic->id == ir::IntrinsicId::cp_async;
    ir::for_each_expr(stmt, [&](const ir::Expr& e) {
      ir::visit(e, [&](const ir::Expr& node) {
        if (node->kind != ir::ExprKind::read) return true;
        const double width = copies ? static_cast<double>(*ir::as_integer(intrinsic->args[2])) /
                                          static_cast<double>(byte_size(node->dtype))
                                    : 1;
        elements[node->tensor.get()] += times * width;
        return true;
      });
    });
    return true;
  });
  Loads loads;
  for (const ir::BufferRef& param : kernel.params) {
    if (!elements.contains(param.get())) continue;
    loads[param->name] = elements[param.get()] / static_cast<double>(*ir::as_integer(param->shape[0]));
  }
  return loads;
}

struct Case {
  const char* name;
  const char* program;
  std::vector<const char*> strategies;
  std::int64_t workspace;  // bytes
  Loads loads;             // of the last kernel; empty: not said
  const char* target = "cuda:sm_90a";
};

const Case kCases[] = {
    {"Add", "add(n=1048576)", {"pointwise"}, 0, {{"a", 1}, {"b", 1}}},
    {"Chain",
     "bias_gelu_mul_residual(m=1024, n=1024, dtype=bf16)",
     {"pointwise"},
     0,
     {{"x", 1}, {"gate", 1}, {"residual", 1}, {"bias", 1024}}},
    {"Transpose", "transpose2d(m=1024, n=2048)", {"pointwise"}, 0, {{"x", 1}}},
    {"RowSum", "row_sum(m=4096, n=8192)", {"reduction"}, 0, {{"x", 1}}},
    {"ColumnSum", "col_sum(m=4096, n=65536)", {"reduction"}, 0, {{"x", 1}}},
    {"FullSum", "full_sum(n=16777216)", {"reduction", "reduction"}, 4 * 1024, {}},
    {"Softmax", "softmax(m=4096, n=8192, dtype=bf16)", {"reduction"}, 0, {{"x", 1}}},
    {"LayerNorm",
     "layer_norm(m=4096, n=8192, dtype=bf16, residual=on)",
     {"reduction"},
     0,
     {{"x", 1}, {"residual", 1}, {"weight", 4096}, {"bias", 4096}}},
    {"RmsNorm", "rms_norm(m=4096, n=8192, dtype=bf16)", {"reduction"}, 0, {{"x", 1}, {"weight", 4096}}},
    {"Argmax", "reduce(reducer=argmax, shape=4096x1024, axes=1)", {"reduction"}, 0, {{"x", 1}}},
    // Blocks of 128 x 128: a row is loaded for each block of columns, in steps of 32, and one step more is checked for.
    {"Matmul", "matmul(m=4096, n=4096, k=4096)", {"contraction"}, 0, {{"a", 32.25}, {"b", 32.25}}},
    {"MatmulTransposed",
     "matmul(m=4096, n=4096, k=4096, a=col, b=col)",
     {"contraction"},
     0,
     {{"a", 32.25}, {"b", 32.25}}},
    {"BatchedMatmul", "bmm(batch=64, m=1024, n=1024, k=128)", {"contraction"}, 0, {{"a", 10}, {"b", 10}}},
    {"LinearGelu",
     "linear(m=4096, n=4096, k=4096, act=gelu)",
     {"contraction"},
     0,
     {{"x", 32.25}, {"w", 32.25}, {"b", 32 * 128}}},
    {"SplitK", "matmul(m=256, n=256, k=65536)", {"contraction", "reduction"}, -1, {}},
    {"OddMatmul",
     "matmul(m=1021, n=1021, k=1021)",
     {"pointwise", "pointwise", "contraction"},
     4 * 1021 * 1024 + 4 * 1024 * 1024,
     {}},
    {"ConvolutionNhwc",
     "conv2d(n=128, c=128, h=28, w=28, k=128, r=3, s=3, pad=1, bias=on, act=relu, layout=nhwc)",
     {"contraction"},
     0,
     {}},
    {"ConvolutionNchw", "conv2d(n=128, c=128, h=28, w=28, k=128, r=3, s=3, pad=1)", {"contraction"}, 0, {}},
    {"SliceOfSum",
     "kernel f(x: f32[1024, 4096]) -> (y: f32[512]) { y[i] = sum[j](x[i + 512, j]) }",
     {"reduction"},
     0,
     {{"x", 0.5}}},
    {"PadIntoChain",
     "kernel f(x: f32[1022], z: f32[1024]) -> (y: f32[1024]) { p[i in 1024] = x[i - 1] else 0.0\n"
     "y[i] = relu(p[i]) * z[i] }",
     {"pointwise"},
     0,
     {}},
    {"ConcatIntoSum",
     "kernel f(a: f32[4096, 512], b: f32[4096, 512]) -> (y: f32[4096]) {\n"
     "c[i in 4096, j in 1024] = j < 512 ? a[i, j] : b[i, j - 512]\n y[i] = sum[j](c[i, j]) }",
     {"reduction"},
     0,
     {}},
    // Panels of w, kept over calls, and the product.
    {"LinearOnCpu", "linear(m=64, n=128, k=256)", {"pointwise", "contraction"}, 0, {}, "cpu:x86-64-v4"},
};

class Strategies : public testing::TestWithParam<Case> {};

TEST_P(Strategies, KernelsWorkspaceAndLoads) {
  const Case& c = GetParam();
  const Target target = parse_target(c.target);
  const Program program = Program::parse(c.program);
  const ScheduledProgram scheduled = schedule_program(program.ir(), target, choose_fallback(target));
  std::vector<std::string> strategies;
  for (const ScheduledKernel& kernel : scheduled.kernels) strategies.emplace_back(kernel.strategy->fields.strategy);
  EXPECT_EQ(strategies, std::vector<std::string>(c.strategies.begin(), c.strategies.end()));
  const Artifact artifact = compile(scheduled, target, {.fast_variant_only = true, .binary = false});
  const std::vector<std::int64_t> limits(kDeviceLimitCount, 1);
  const std::int64_t workspace = workspace_bytes(artifact.plan.variants.at(0), {{}, limits});
  if (c.workspace < 0) {
    EXPECT_GT(workspace, 0);
  } else {
    EXPECT_EQ(workspace, c.workspace);
  }
  if (!c.loads.empty()) {
    EXPECT_EQ(loads_of(artifact.kernels.back().thread), c.loads);
  }
}

// The variants of a program, each with how many guards it has.
std::string variants(const char* text) {
  const Target target = parse_target("cuda:sm_90a");
  const Program program = Program::parse(text);
  std::string result;
  for (const VariantFacts& variant :
       variants_of(schedule_program(program.ir(), target, choose_fallback(target)), target)) {
    result += fmt::format("{}{}:{}", result.empty() ? "" : " ", variant.name, variant.guards.size());
  }
  return result;
}

TEST(Variants, WhatTheFactsSayIsNotCompiledTwice) {
  const auto of_rows = [](const char* rows, const char* facts) {
    return variants(
        fmt::format("kernel f(x: bf16[{0}, 64]) -> (y: bf16[{0}, 64]) {1} {{ y[i, j] = relu(x[i, j]) }}", rows, facts)
            .c_str());
  };
  EXPECT_EQ(of_rows("64", ""), "aligned:2 any:0");
  EXPECT_EQ(of_rows("64", "with aligned(x, 16)"), "aligned:1 any:0");
  EXPECT_EQ(of_rows("64", "with aligned(x, 32), aligned(y, 16)"), "any:0");
  EXPECT_EQ(of_rows("64", "with aligned(x, 8), aligned(y, 16)"), "aligned:1 any:0");
  // Of an unknown size: it is not empty, and offsets fit in 32 bits.
  EXPECT_EQ(of_rows("m", "with aligned(x, 16), aligned(y, 16)"), "aligned:2 any:1 large:0");
}

INSTANTIATE_TEST_SUITE_P(Api, Strategies, testing::ValuesIn(kCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
