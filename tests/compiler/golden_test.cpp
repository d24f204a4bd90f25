// What each strategy writes and each pass makes of it, in text: one small case each, against tests/compiler/golden/.

#include "tests/ir/golden.h"

#include <gtest/gtest.h>

#include "compiler/expand_tiles.h"
#include "compiler/lift_reductions.h"
#include "compiler/narrow_indices.h"
#include "compiler/peel_checks.h"
#include "compiler/strategies/strategy.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_verify.h"
#include "ir/parser.h"
#include "ir/printer.h"

namespace quern::compiler {
namespace {

std::string printed(const std::vector<ir::Program>& programs) {
  std::string text;
  for (const ir::Program& program : programs) text += ir::to_string(program);
  return text;
}

Partition parts_of(const char* program) { return partition(lift_reductions(ir::parse_program(program))); }

const char* const kSoftmax =
    "kernel softmax(x: bf16[m, n]) -> (y: bf16[m, n]) {\n"
    "  y[i, j] = bf16(exp(f32(x[i, j]) - max[l](f32(x[i, l]))) / sum[q](exp(f32(x[i, q]) - max[l](f32(x[i, l])))))\n}";

TEST(Golden, LiftReductions) {
  const ir::Program lifted = lift_reductions(ir::parse_program(kSoftmax));
  EXPECT_TRUE(test::is_golden(ir::to_string(lifted), "tests/compiler/golden/lift_reductions.qn"));
}

TEST(Golden, Partition) {
  const char* program =
      "kernel two(x: f32[m, k], w: f32[k, n], v: f32[n, l]) -> (y: f32[m, l]) {\n"
      "  h[i, j] = sum[p](x[i, p] * w[p, j])\n  a[i, j] = relu(h[i, j])\n"
      "  y[i, o] = sum[j](a[i, j] * v[j, o])\n}";
  EXPECT_TRUE(test::is_golden(printed(parts_of(program).kernels), "tests/compiler/golden/partition.qn"));
}

struct TileCase {
  const char* name;
  const char* program;
  const char* schedule;
  const char* target = "cuda:sm_90a";
};

const TileCase kTileCases[] = {
    {"pointwise", "kernel f(x: f32[m, n], b: f32[n]) -> (y: f32[m, n]) { y[i, j] = x[i, j] + b[j] }",
     "pointwise threads=64 vec=4 rows=2"},
    {"pointwise_flat", "kernel f(x: f32[m, 3], b: f32[3]) -> (y: f32[m, 3]) { y[i, j] = x[i, j] + b[j] }",
     "pointwise threads=64 vec=4 rows=2"},
    {"pointwise_staged", "kernel f(x: f32[m, n]) -> (y: f32[n, m]) { y[j, i] = x[i, j] }",
     "pointwise threads=64 vec=1 rows=1 tile=32x64"},
    {"reduction_rows", "kernel f(x: f32[m, 512]) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) }",
     "reduction rows=1 row_threads=64 vec=4 unroll=2"},
    {"reduction_columns", "kernel f(x: f32[m, n]) -> (y: f32[n]) { y[j] = sum[i](x[i, j]) }",
     "reduction rows=64 row_threads=4 vec=2 unroll=2"},
    {"reduction_kept",
     "kernel f(x: f32[m, 256]) -> (y: f32[m, 256]) { s[i] = sum[j](x[i, j])\n"
     "y[i, j] = x[i, j] / s[i] }",
     "reduction rows=1 row_threads=32 vec=4 unroll=2 keep=yes"},
    {"contraction_register",
     "kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) {\n"
     "y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction block=32x32x8 thread=4x4"},
    {"contraction_async",
     "kernel f(x: f32[64, 64], w: f32[64, 64]) -> (y: f32[64, 64]) {\n"
     "y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction block=32x32x8 thread=4x4 copy=async stages=3"},
    {"contraction_cpu",
     "kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) {\n"
     "y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction block=28x64x32 thread=14x32", "cpu:x86-64-v4"},
    {"wgmma",
     "kernel f(x: bf16[4096, 4096], w: bf16[14336, 4096], b: f32[14336]) -> (y: bf16[4096, 14336]) {\n"
     "s[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p]))\n"
     "y[i, j] = bf16(gelu(s[i, j] + b[j])) }",
     "wgmma block=128x256x64 stages=4 cluster=2x1"},
    {"wgmma_convolution",
     "kernel f(x: bf16[128, 28, 28, 128], w: bf16[128, 3, 3, 128]) -> (y: bf16[128, 28, 28, 128]) {\n"
     "s[n, h, v, o] = sum[r in 3, q in 3, c](f32(x[n, h + r - 1, v + q - 1, c] else 0) * f32(w[o, r, q, c]))\n"
     "y[n, h, v, o] = bf16(relu(s[n, h, v, o])) }",
     "wgmma block=128x128x64 stages=5"},
    {"attention",
     "kernel f(q: bf16[4, 32, 4096, 128], k: bf16[4, 32, 4096, 128], v: bf16[4, 32, 4096, 128])\n"
     "    -> (y: bf16[4, 32, 4096, 128]) {\n"
     "s[b, h, i, j] = sum[p](f32(q[b, h, i, p]) * f32(k[b, h, j, p]))\n"
     "a[b, h, i, j] = j <= i ? s[b, h, i, j] * 0.0883883 : -inf\n"
     "e[b, h, i, j] = exp(a[b, h, i, j] - max[l](a[b, h, i, l]))\n"
     "y[b, h, i, c] = bf16(sum[j](f32(bf16(e[b, h, i, j])) * f32(v[b, h, j, c])) / sum[j](e[b, h, i, j])) }",
     "attention block=128x128 consumers=2 stages=2 overlap=yes"},
};

class TileGolden : public testing::TestWithParam<TileCase> {};

ir::Kernel tile_of(const TileCase& c) {
  const Target target = parse_target(c.target);
  const Partition parts = partition(lift_reductions(ir::parse_program(c.program)),
                                    [&](const ir::Program& group) { return fuses(group, target); });
  const ir::Program& kernel = parts.kernels.at(0);
  const Schedule schedule = parse_schedule(c.schedule);
  const Strategy& strategy = strategy_named(schedule.strategy);
  EXPECT_EQ(strategy.check(kernel, schedule, target).reason, "");
  std::vector<ir::Fact> facts;
  for (const ir::TensorRef& tensor : arguments(kernel)) {
    ir::Fact fact;
    fact.kind = ir::Fact::Kind::aligned;
    fact.tensor = tensor;
    fact.bytes = 16;
    facts.push_back(fact);
  }
  return strategy.emit(kernel, schedule, target, facts);
}

TEST_P(TileGolden, IsAsWritten) {
  const ir::Kernel tile = tile_of(GetParam());
  ir::verify(tile);
  EXPECT_TRUE(test::is_golden(ir::to_string(tile), std::string("tests/compiler/golden/") + GetParam().name + ".tile"));
}

INSTANTIATE_TEST_SUITE_P(Compiler, TileGolden, testing::ValuesIn(kTileCases),
                         [](const auto& instance) { return std::string(instance.param.name); });

// The passes one after the other, on a kernel that its threads overshoot, in one that takes a size.
TEST(Golden, Passes) {
  ir::Kernel kernel = tile_of({"", "kernel f(x: f32[300], z: f32[n]) -> (y: f32[300]) { y[i] = x[i] * z[i // n] }",
                               "pointwise threads=64 vec=1 rows=8"});
  const auto check = [&](const char* pass) {
    ir::verify(kernel);
    EXPECT_TRUE(test::is_golden(ir::to_string(kernel), std::string("tests/compiler/golden/") + pass + ".thread"));
  };
  kernel = expand_tiles(kernel);
  check("expand_tiles");
  kernel = peel_checks(kernel);
  check("peel_checks");
  kernel = narrow_indices(kernel);
  check("narrow_indices");
}

}  // namespace
}  // namespace quern::compiler
