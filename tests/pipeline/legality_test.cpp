// What is called legal compiles, for every architecture, without a GPU.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "base/error.h"
#include "ir/bind.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verify.h"
#include "pipeline/compile.h"

#if QUERN_WITH_CUDA
#include "runtime/cuda/nvrtc.h"

namespace quern::pipeline {
namespace {

bool has_nvrtc() {
  try {
    runtime::cuda::Nvrtc::get();
    return true;
  } catch (const Error&) {
    return false;
  }
}

struct Problem {
  const char* name;
  const char* text;
  std::map<std::string, std::int64_t> sizes;
};

const Problem kProblems[] = {
    {"matmul",
     "kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     {{"m", 4096}, {"n", 4096}, {"k", 4096}}},
    {"matmul_bf16",
     R"(kernel f(x: bf16[m, k], w: bf16[n, k], b: bf16[n]) -> (y: bf16[m, n]) {
       s[i, j] = sum[p](f32(x[i, p]) * f32(w[j, p]))
       y[i, j] = bf16(gelu(s[i, j] + f32(b[j]))) })",
     {{"m", 1024}, {"n", 1000}, {"k", 512}}},
    {"matmul_f8",
     R"(kernel f(x: f8e4m3[m, k], w: f8e5m2[k, n]) -> (y: f8e4m3[m, n]) {
       s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))
       y[i, j] = f8e4m3(s[i, j]) })",
     {{"m", 256}, {"n", 256}, {"k", 256}}},
    {"matmul_i8",
     "kernel f(x: i8[m, k], w: i8[k, n]) -> (y: i32[m, n]) { y[i, j] = sum[p](i32(x[i, p]) * i32(w[p, j])) }",
     {{"m", 4096}, {"n", 4096}, {"k", 4096}}},
    {"attention",
     R"(kernel f(q: bf16[h, m, 128], k: bf16[h, m, 128], v: bf16[h, m, 128]) -> (y: bf16[h, m, 128]) {
       s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p]))
       a[b, i, j] = j <= i ? s[b, i, j] * 0.088 : -inf
       t[b, i] = max[j](a[b, i, j])
       e[b, i, j] = exp(a[b, i, j] - t[b, i])
       y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / sum[j](e[b, i, j])) })",
     {{"h", 128}, {"m", 4096}}},
    {"convolution",
     R"(kernel f(x: f32[n, h, w, c], g: f32[k, 3, 3, c]) -> (y: f32[n, h, w, k]) {
       y[z, p, q, o] = sum[u, v, i]((x[z, p + u - 1, q + v - 1, i] else 0) * g[o, u, v, i]) })",
     {{"n", 8}, {"h", 28}, {"w", 28}, {"c", 128}, {"k", 128}}},
    {"softmax",
     R"(kernel f(x: bf16[m, n]) -> (y: bf16[m, n]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
     {{"m", 8192}, {"n", 8192}}},
    {"columns", "kernel f(x: f32[m, n]) -> (y: f32[n]) { y[j] = sum[i](x[i, j]) }", {{"m", 4096}, {"n", 4096}}},
    {"transpose", "kernel f(x: f32[m, n]) -> (y: f32[n, m]) { y[j, i] = x[i, j] }", {{"m", 4096}, {"n", 4096}}},
    {"dynamic", "kernel f(x: f32[m, n], b: f32[n]) -> (y: f32[m, n]) { y[i, j] = tanh(x[i, j] + b[j]) }", {}},
};

class Legality : public testing::TestWithParam<Problem> {};

TEST_P(Legality, LegalSchedulesCompileForEveryArchitecture) {
  if (!has_nvrtc()) GTEST_SKIP() << "NVRTC is not to be found here";
  const ir::Program program = ir::bind(ir::parse_program(GetParam().text), GetParam().sizes);
  std::mt19937 random(7);
  for (const char* arch : {"cuda:sm_80", "cuda:sm_86", "cuda:sm_89", "cuda:sm_90a", "cuda:sm_100a", "cuda:sm_120a"}) {
    const Target target = parse_target(arch);
    for (const bool fallback : {true, false}) {
      const auto choose = [&](const ir::Program& kernel, const compiler::Strategy& strategy) {
        std::vector<compiler::Schedule> legal;
        for (const compiler::Schedule& schedule : strategy.candidates(kernel, target)) {
          if (strategy.check(kernel, schedule, target)) legal.push_back(schedule);
        }
        return fallback || legal.empty() ? strategy.fallback(kernel, target) : legal[random() % legal.size()];
      };
      const ScheduledProgram scheduled = schedule_program(program, target, choose);
      Artifact artifact;
      ASSERT_NO_THROW(artifact = compile(scheduled, target, {.fast_variant_only = true}))
          << arch << " " << to_string(scheduled);
      EXPECT_FALSE(artifact.binary.bytes.empty());
      // The tuner may try a schedule that spills; the one that nobody tuned must not.
      for (const Resources& kernel : fallback ? artifact.resources : std::vector<Resources>{}) {
        EXPECT_EQ(kernel.spill_bytes, 0) << arch << " " << to_string(scheduled) << " " << kernel.kernel;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Pipeline, Legality, testing::ValuesIn(kProblems),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

// What a schedule makes of a kernel stands for itself: facts of one operand are none of another's copy.
TEST(Parts, AreProgramsOfTheirOwn) {
  const Target target = parse_target("cuda:sm_90a");
  const ir::Program program = ir::parse_program(
      "kernel f(x: bf16[64, 63], w: bf16[63, 65]) -> (y: bf16[64, 65]) with aligned(x, 32), aligned(y, 32) {\n"
      "y[i, j] = bf16(sum[p](f32(x[i, p]) * f32(w[p, j]))) }");
  for (const char* schedule : {"contraction pad=yes", "contraction split_k=3", "wgmma pad=yes"}) {
    const ScheduledProgram scheduled = schedule_program(program, target, choose_text(schedule));
    EXPECT_GT(scheduled.kernels.size(), 1u) << schedule;
    for (const ScheduledKernel& kernel : scheduled.kernels) {
      EXPECT_NO_THROW(ir::verify(kernel.program)) << schedule << "\n" << ir::to_string(kernel.program);
    }
  }
}

}  // namespace
}  // namespace quern::pipeline
#endif
