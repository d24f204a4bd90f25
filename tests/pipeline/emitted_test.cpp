// What the named examples come to: which conditions stay in their kernels, and what the PTX of the untuned schedules
// holds. How many kernels and loads there are is counted in tests/api/strategies_test.cpp.

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "base/error.h"
#include "ir/kernel_rewrite.h"
#include "ir/parser.h"
#include "pipeline/compile.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"
#endif

namespace quern::pipeline {
namespace {

struct Example {
  const char* name;
  const char* text;
  const char* schedule;          // under which conditions are counted
  int checks;                    // conditions that stay: of branches and of copies
  std::vector<const char*> ptx;  // what the fallback's PTX for aligned data holds
  std::vector<const char*> no_ptx;
};

void PrintTo(const Example& example, std::ostream* stream) { *stream << example.name; }

constexpr const char* kTiles = "contraction block=128x128x16 thread=8x8 stages=3 copy=async split_k=1 raster=8";
// Wide accesses alone.
const std::vector<const char*> kWide{"ld.global.nc.v4", "st.global.v4"};
const std::vector<const char*> kNarrow{"ld.global.nc.f32", "ld.global.nc.u16", "st.global.f32", "st.global.u16"};
const std::vector<const char*> kNarrowLoads{"ld.global.nc.f32", "ld.global.nc.u16"};

const Example kExamples[] = {
    {"chain_with_broadcast",
     R"(kernel f(x: f32[4096, 8192], b: f32[8192]) -> (y: f32[4096, 8192]) {
       t[i, j] = x[i, j] + b[j]
       y[i, j] = relu(t[i, j]) * t[i, j] })",
     "pointwise threads=256 vec=4 rows=4", 0, kWide, kNarrow},
    {"bias_gelu_mul_residual",
     R"(kernel f(x: bf16[8192, 8192], b: bf16[8192], g: bf16[8192, 8192], r: bf16[8192, 8192])
           -> (y: bf16[8192, 8192]) {
       t[i, j] = gelu(f32(x[i, j]) + f32(b[j]))
       y[i, j] = bf16(t[i, j] * f32(g[i, j]) + f32(r[i, j])) })",
     "pointwise threads=256 vec=8 rows=2", 0, kWide, kNarrow},
    {"transpose",
     "kernel f(x: f32[4096, 4096]) -> (y: f32[4096, 4096]) { y[j, i] = x[i, j] }",
     "pointwise threads=256 vec=1 rows=1 tile=64x64",
     0,
     {"ld.global", "st.global", "bar.sync"},
     {}},
    {"concat",
     R"(kernel f(a: f32[4096, 512], b: f32[4096, 512]) -> (y: f32[4096, 1024]) {
       y[i, j] = j < 512 ? relu(a[i, j]) : b[i, j - 512] })",
     "pointwise threads=256 vec=4 rows=4",
     0,
     {"st.global.v4"},
     {}},
    {"pad_and_slice",
     R"(kernel f(x: f32[4096, 256]) -> (y: f32[4092, 264]) {
       p[i, j] = x[i, j - 4] else 0.0
       y[i, j] = p[i + 2, j] * 2.0 })",
     "pointwise threads=64 vec=4 rows=4", 2, kWide, kNarrow},
    {"softmax",
     R"(kernel f(x: bf16[8192, 8192]) -> (y: bf16[8192, 8192]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
     "reduction rows=1 row_threads=256 vec=8 unroll=4 keep=yes", 0, kWide, kNarrow},
    {"layer_norm",
     R"(kernel f(x: bf16[8192, 4096], g: bf16[4096], b: bf16[4096]) -> (y: bf16[8192, 4096]) {
       mean[i] = sum[j](f32(x[i, j])) / 4096.0
       var[i] = welford[j](f32(x[i, j]))
       y[i, j] = bf16((f32(x[i, j]) - mean[i]) * rsqrt(var[i] + 0.00001) * f32(g[j]) + f32(b[j])) })",
     "reduction rows=1 row_threads=128 vec=8 unroll=4 keep=yes", 0, kWide, kNarrow},
    {"rms_norm",
     R"(kernel f(x: bf16[8192, 4096], g: bf16[4096]) -> (y: bf16[8192, 4096]) {
       s[i] = sum[j](f32(x[i, j]) * f32(x[i, j]))
       y[i, j] = bf16(f32(x[i, j]) * rsqrt(s[i] / 4096.0 + 0.00001) * f32(g[j])) })",
     "reduction rows=1 row_threads=128 vec=8 unroll=4 keep=yes", 0, kWide, kNarrow},
    {"row_sum",
     "kernel f(x: f32[8192, 8192]) -> (y: f32[8192]) { y[i] = sum[j](x[i, j]) }",
     "reduction rows=1 row_threads=256 vec=4 unroll=4",
     1,
     {"ld.global.nc.v4"},
     kNarrowLoads},
    {"few_rows_in_two_stages",
     "kernel f(x: f32[4, 65536]) -> (y: f32[4]) { y[i] = sum[j](x[i, j]) }",
     "reduction rows=1 row_threads=256 vec=4 unroll=4 split=16",
     3,
     {"ld.global.nc.v4"},
     {}},
    {"column_sum", "kernel f(x: f32[4096, 65536]) -> (y: f32[65536]) { y[j] = sum[i](x[i, j]) }",
     "reduction rows=128 row_threads=8 vec=4 unroll=4", 1, kWide, kNarrow},
    {"full_sum",
     "kernel f(x: f32[8192, 8192]) -> (y: f32[]) { y[] = sum[i, j](x[i, j]) }",
     "reduction rows=1 row_threads=256 vec=4 unroll=4 split=1024",
     2,
     {"ld.global.nc.v4"},
     {}},
    {"argmax",
     "kernel f(x: f32[8192, 4096]) -> (y: i64[8192]) { y[i] = argmax[j](x[i, j]) }",
     "reduction rows=1 row_threads=256 vec=4 unroll=4",
     1,
     {"ld.global.nc.v4"},
     kNarrowLoads},
    {"matmul",
     "kernel f(x: f32[4096, 4096], w: f32[4096, 4096]) -> (y: f32[4096, 4096]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     kTiles,
     1,
     {"cp.async.cg.shared.global", "ld.shared.v4", "st.global.v4"},
     kNarrow},
    {"batched_matmul",
     R"(kernel f(x: f32[64, 512, 256], w: f32[64, 256, 1024]) -> (y: f32[64, 512, 1024]) {
       y[b, i, j] = sum[p](x[b, i, p] * w[b, p, j]) })",
     kTiles,
     1,
     {"cp.async.cg.shared.global", "st.global.v4"},
     kNarrow},
    {"linear_bias_gelu",
     R"(kernel f(x: f32[4096, 4096], w: f32[4096, 4096], b: f32[4096]) -> (y: f32[4096, 4096]) {
       s[i, j] = sum[p](x[i, p] * w[p, j])
       y[i, j] = gelu(s[i, j] + b[j]) })",
     kTiles,
     1,
     {"cp.async.cg.shared.global", "st.global.v4"},
     kNarrow},
    {"split_k_matmul",
     "kernel f(x: f32[128, 8192], w: f32[8192, 256]) -> (y: f32[128, 256]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     "contraction block=128x128x16 thread=8x8 stages=3 copy=async split_k=4 raster=8",
     3,
     {"cp.async.cg.shared.global"},
     {}},
    {"conv2d_nhwc",
     R"(kernel f(x: f32[8, 32, 32, 64], g: f32[128, 3, 3, 64]) -> (y: f32[8, 32, 32, 128]) {
       y[z, p, q, o] = sum[u, v, i]((x[z, p + u - 1, q + v - 1, i] else 0) * g[o, u, v, i]) })",
     kTiles,
     4,
     {"cp.async.cg.shared.global"},
     kNarrowLoads},
    {"conv2d_nchw",
     R"(kernel f(x: f32[8, 64, 32, 32], g: f32[128, 64, 3, 3]) -> (y: f32[8, 128, 32, 32]) {
       y[z, o, p, q] = sum[i, u, v]((x[z, i, p + u - 1, q + v - 1] else 0) * g[o, i, u, v]) })",
     kTiles,
     4,
     {"cp.async.ca.shared.global", "st.global.v4"},
     {}},
};

class Emitted : public testing::TestWithParam<Example> {};

// Of a kernel in thread form: branches, and copies that may fill.
int checks_in(const ir::Kernel& kernel) {
  int checks = 0;
  ir::visit(kernel.body, [&](const ir::Stmt& stmt, const ir::Enclosing&) {
    const auto* intrinsic = ir::get_if<ir::Intrinsic>(stmt);
    const bool fills = intrinsic && intrinsic->id == ir::IntrinsicId::cp_async && !ir::as_integer(intrinsic->args[3]);
    if (ir::get_if<ir::If>(stmt) || fills) ++checks;
    return true;
  });
  return checks;
}

TEST_P(Emitted, NoCheckStaysWhereNoneIsNeeded) {
  const Target target = parse_target("cuda:sm_90a");
  const ScheduledProgram scheduled =
      schedule_program(ir::parse_program(GetParam().text), target, choose_text(GetParam().schedule));
  const Artifact artifact = compile(scheduled, target, {.fast_variant_only = true, .binary = false});
  int checks = 0;
  for (const LoweredKernel& kernel : artifact.kernels) checks += checks_in(kernel.thread);
  EXPECT_EQ(checks, GetParam().checks);
}

#if QUERN_WITH_CUDA
TEST_P(Emitted, TheFallbackHoldsWhatItPromisesWithoutSpills) {
  try {
    runtime::cuda::Nvrtc::get();
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  const Example& example = GetParam();
  for (const char* arch : {"cuda:sm_80", "cuda:sm_90a"}) {
    const Target target = parse_target(arch);
    const Artifact artifact =
        compile(schedule_program(ir::parse_program(example.text), target, choose_fallback(target)), target,
                {.fast_variant_only = true});
    for (const Resources& kernel : artifact.resources) EXPECT_EQ(kernel.spill_bytes, 0) << arch << " " << kernel.kernel;
    for (const char* text : example.ptx)
      EXPECT_NE(artifact.ptx.find(text), std::string::npos) << arch << " lacks " << text;
    for (const char* text : example.no_ptx)
      EXPECT_EQ(artifact.ptx.find(text), std::string::npos) << arch << " has " << text;
  }
}
#endif

// What is no less than 0 is divided without the rounding of negative numbers, whose branches take NVRTC seconds.
TEST(Divisions, OfUnknownSizesRoundNoNegatives) {
  const Target target = parse_target("cuda:sm_90a");
  const ScheduledProgram scheduled = schedule_program(
      ir::parse_program("kernel f(x: f16[b, h, w, c], g: f16[o, 3, 3, c]) -> (y: f16[b, h // 2, w // 2, o]) {"
                        "  y[n, i, j, q] = f16(sum[u, v, l](f32(x[n, 2 * i + u - 1, 2 * j + v - 1, l] else 0) *"
                        "                                   f32(g[q, u, v, l]))) }"),
      target, choose_fallback(target));
  const std::string text = compile(scheduled, target, {.binary = false}).source;
  const std::size_t kernels = text.find("// variant: ");
  ASSERT_NE(kernels, std::string::npos);
  EXPECT_NE(text.find("wgmma", kernels), std::string::npos);
  for (const char* name : {"q_floor_div(", "q_mod("}) {
    const std::size_t at = text.find(name, kernels);
    EXPECT_EQ(at, std::string::npos) << text.substr(std::min(at, text.size()), 80);
  }
}

// What the kernel `f_0_0` of a product would be told, had it spilled some bytes.
std::string complaint(const char* schedule, int spilled) {
  const Target target = parse_target("cuda:sm_90a");
  const ir::Program program = ir::parse_program(
      "kernel f(a: bf16[256, 64], b: bf16[64, 256]) -> (c: bf16[256, 256]) { c[i, j] = bf16(sum[p](f32(a[i, p]) * "
      "f32(b[p, j]))) }");
  const Artifact artifact = compile(schedule_program(program, target, choose_text(schedule)), target,
                                    {.fast_variant_only = true, .binary = false});
  try {
    check_spills(artifact.kernels, {{.kernel = "f_0_0", .registers = 168, .spill_bytes = spilled, .shared_bytes = 0}});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Spills, AreRefusedWhereWarpsShareOutTheRegisters) {
  constexpr const char* kWgmma = "wgmma block=128x128x64";
  EXPECT_EQ(complaint(kWgmma, 0), "");
  EXPECT_EQ(complaint("contraction block=64x64x16 thread=4x4", 20), "");
  const std::string text = complaint(kWgmma, 20);
  EXPECT_EQ(text.find("kernel f_0_0 spills 20 bytes of registers: 'wgmma block=128x128x64 "), 0u) << text;
  EXPECT_NE(text.find("take a smaller block, or tune"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Named, Emitted, testing::ValuesIn(kExamples),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quern::pipeline
