#include "compiler/partition.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "compiler/analysis.h"
#include "compiler/lift_reductions.h"
#include "compiler/strategies/strategy.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verify.h"

namespace quern::compiler {
namespace {

// The strategies of the program's kernels, in order, and how many tensors pass between them.
std::string kernels_of(std::string_view text) {
  const Partition parts = partition(lift_reductions(ir::parse_program(text)));
  std::string result;
  for (const ir::Program& kernel : parts.kernels) {
    result += std::string(strategy_for(kernel, parse_target("cpu")).fields.strategy) + " ";
  }
  return result + std::to_string(parts.workspace.size());
}

TEST(Partition, ElementwiseChainsAreOneKernel) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[n, m], b: f32[m]) -> (y: f32[n, m]) {
    t[i, j] = x[i, j] + b[j]
    u[i, j] = tanh(t[i, j]) * t[i, j]
    y[i, j] = u[i, j] + 1.0
  })"),
            "pointwise 0");
}

TEST(Partition, OutputsOfOneSpaceShareAKernel) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[n]) -> (y: f32[n], z: f32[n]) {
    y[i] = x[i] + 1.0
    z[i] = x[i] * 2.0
  })"),
            "pointwise 0");
}

TEST(Partition, MatmulTakesItsEpilogueAlong) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[m, k], w: f32[k, n], b: f32[n]) -> (y: f32[m, n]) {
    s[i, j] = sum[p](x[i, p] * w[p, j])
    y[i, j] = gelu(s[i, j] + b[j])
  })"),
            "contraction 0");
}

TEST(Partition, ProducersFuseIntoLoads) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[m, k], g: f32[k], w: f32[k, n]) -> (y: f32[m, n]) {
    a[i, p] = relu(x[i, p]) * g[p]
    y[i, j] = sum[p](a[i, p] * w[p, j])
  })"),
            "contraction 0");
}

TEST(Partition, ConvolutionIsAContraction) {
  EXPECT_EQ(kernels_of(R"(kernel conv(x: f32[2, 8, 8, 4], f: f32[6, 3, 3, 4]) -> (y: f32[2, 8, 8, 6]) {
    a[b, p, q, o] = sum[u in 3, v in 3, i in 4]((x[b, p+u-1, q+v-1, i] else 0.0) * f[o, u, v, i])
    y[b, p, q, o] = max(a[b, p, q, o], 0.0)
  })"),
            "contraction 0");
}

TEST(Partition, SoftmaxIsOneKernel) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: bf16[m, n]) -> (y: bf16[m, n]) {
    m1[i] = max[j](f32(x[i, j]))
    e[i, j] = exp(f32(x[i, j]) - m1[i])
    y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2]))
  })"),
            "reduction 0");
}

TEST(Partition, NormIsOneKernel) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[m, n], g: f32[n]) -> (y: f32[m, n]) {
    mean[i] = sum[j](x[i, j]) / f32(n)
    var[i] = welford[j](x[i, j])
    y[i, j] = (x[i, j] - mean[i]) * rsqrt(var[i] + 0.00001) * g[j]
  })"),
            "reduction 0");
}

TEST(Partition, TwoMatmulsAreTwoKernelsAndAWorkspace) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[m, k], w: f32[k, n], v: f32[n, p]) -> (y: f32[m, p]) {
    h[i, j] = sum[q](x[i, q] * w[q, j])
    a[i, j] = relu(h[i, j])
    y[i, j] = sum[q](a[i, q] * v[q, j])
  })"),
            "contraction contraction 1");
}

TEST(Partition, ARowSumOfAMatmulIsItsOwnKernel) {
  EXPECT_EQ(kernels_of(R"(kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n], r: f32[m]) {
    y[i, j] = sum[p](x[i, p] * w[p, j])
    r[i] = sum[j](y[i, j])
  })"),
            "contraction reduction 0");
}

TEST(Partition, GemvIsAReduction) {
  EXPECT_EQ(kernels_of(R"(kernel f(a: f32[m, k], x: f32[k]) -> (y: f32[m]) {
    y[i] = sum[p](a[i, p] * x[p])
  })"),
            "reduction 0");
}

TEST(Partition, KernelsAreProgramsOfTheirOwn) {
  const Partition parts = partition(lift_reductions(ir::parse_program(R"(
      kernel f(x: f32[8, 8], w: f32[8, 8], v: f32[8, 8], g: i32[8], h: f32[8, 8]) -> (y: f32[8, 8] update h)
          with aligned(x, 32), aligned(v, 32), aligned(y, 32), g in 0..8 {
        t[i, j] = sum[p](x[i, p] * w[p, j])
        y[i, j] = sum[p](t[i, p] * v[g[p], j])
      })")));
  ASSERT_EQ(parts.kernels.size(), 2u);
  for (const ir::Program& kernel : parts.kernels) EXPECT_NO_THROW(ir::verify(kernel)) << ir::to_string(kernel);
  EXPECT_EQ(parts.kernels[0].facts.size(), 1u);
  EXPECT_EQ(parts.kernels[1].facts.size(), 3u);
}

TEST(Analysis, RolesOfABatchedMatmul) {
  const ir::Program program = lift_reductions(ir::parse_program(
      R"(kernel f(x: f32[b, m, k], w: f32[b, k, n]) -> (y: f32[b, m, n]) {
    y[c, i, j] = sum[p](x[c, i, p] * w[c, p, j])
  })"));
  const auto contraction = analyze_contraction(program);
  ASSERT_TRUE(contraction.has_value());
  EXPECT_EQ(contraction->batch.size(), 1u);
  EXPECT_EQ(contraction->m[0].var->name, "i");
  EXPECT_EQ(contraction->n[0].var->name, "j");
  EXPECT_EQ(contraction->k[0].var->name, "p");
}

TEST(Analysis, NIsTheSideOfTheContiguousAxis) {
  const ir::Program program = lift_reductions(ir::parse_program(
      R"(kernel f(x: f32[1, 3, 8, 8], f: f32[16, 3, 3, 3]) -> (y: f32[1, 16, 6, 6]) {
    y[b, o, p, q] = sum[c in 3, u in 3, v in 3](x[b, c, p+u, q+v] * f[o, c, u, v])
  })"));
  const auto contraction = analyze_contraction(program);
  ASSERT_TRUE(contraction.has_value());
  EXPECT_EQ(contraction->m[0].var->name, "o");
  EXPECT_EQ(contraction->n.back().var->name, "q");
}

TEST(Partition, WhatItLiftsHasNamesOfItsOwn) {
  const Partition parts = partition(lift_reductions(ir::parse_program(R"(
    kernel f(a: f32[12, 31], b: f32[12, 13, 31], c: f32[12, 33]) -> (y: f32[12, 13]) {
      y[i, j] = sum[p](a[i, p] * b[i, j, p]) - sum[q](c[i, q])
    })")));
  std::set<std::string> names;
  for (const ir::TensorRef& tensor : parts.workspace) EXPECT_TRUE(names.insert(tensor->name).second) << tensor->name;
  EXPECT_EQ(names.size(), 2u);
}

// The strategies of the program's kernels on Hopper.
std::string kernels_on_hopper(std::string_view text) {
  const Target target = parse_target("cuda:sm_90a");
  std::string result;
  const Fuses fuse = [&](const ir::Program& group) { return fuses(group, target); };
  for (const ir::Program& kernel : partition(lift_reductions(ir::parse_program(text)), fuse).kernels) {
    result += std::string(strategy_for(kernel, target).fields.strategy) + " ";
  }
  return result;
}

TEST(Partition, SumsOfAProductsRowsBelongToItsKernelWhereOneComputesThem) {
  const auto product = [](std::string_view dtype, std::string_view sums) {
    return fmt::format(R"(kernel f(x: {0}[m, k], w: {0}[k, n]) -> (y: {0}[m, n], r: f32[m]) {{
      s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))
      y[i, j] = {0}(s[i, j])
      {1} }})",
                       dtype, sums);
  };
  constexpr std::string_view kRows = "r[i] = sum[j](f32(y[i, j]))";
  EXPECT_EQ(kernels_on_hopper(product("bf16", kRows)), "wgmma ");
  EXPECT_EQ(kernels_on_hopper(product("f32", kRows)), "contraction reduction ");
  EXPECT_EQ(kernels_on_hopper(product("bf16", "q[i] = sum[j](f32(y[i, j]))\n r[i] = q[i] * 0.5")), "wgmma pointwise ");
  EXPECT_EQ(kernels_on_hopper(product("bf16", "r[i] = sum[j]{order = fixed}(f32(y[i, j]))")), "wgmma reduction ");
  EXPECT_EQ(kernels_on_hopper(product("bf16", "r[i] = max[j](f32(y[i, j]))")), "wgmma reduction ");
}

// Softmax and mixture of scores `s`, in the words of a program that computes them.
std::string attention(std::string_view before, std::string_view after) {
  return "kernel f(q: bf16[4, 256, 64], k: bf16[4, 256, 64], v: bf16[4, 256, 64], w: bf16[64, 64]) -> (y: bf16[4, 256, "
         "64]) "
         "{\n" +
         std::string(before) +
         "m[b, i] = max[j](s[b, i, j])\n"
         "e[b, i, j] = exp(s[b, i, j] - m[b, i])\n"
         "l[b, i] = sum[j](e[b, i, j])\n" +
         std::string(after) + "}";
}
constexpr std::string_view kScores = "s[b, i, j] = sum[p](f32(q[b, i, p]) * f32(k[b, j, p])) * 0.125\n";
constexpr std::string_view kMixture = "y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / l[b, i])\n";

TEST(Partition, AttentionIsOneKernelWhereOneComputesIt) {
  EXPECT_EQ(kernels_on_hopper(attention(kScores, kMixture)), "attention ");
  EXPECT_EQ(kernels_of(attention(kScores, kMixture)), "contraction reduction contraction 3");
}

TEST(Partition, ASoftmaxOfScoresTimesValuesIsAttention) {
  const auto of = [](std::string_view weights) {
    return fmt::format("h[b, i, j] = bf16({})\ny[b, i, c] = bf16(sum[j](f32(h[b, i, j]) * f32(v[b, j, c])))\n",
                       weights);
  };
  EXPECT_EQ(kernels_on_hopper(attention(kScores, of("e[b, i, j] / l[b, i]"))), "attention ");
  EXPECT_EQ(kernels_on_hopper(attention(kScores, of("e[b, i, j] / sum[g](e[b, i, g])"))), "attention ");
  EXPECT_EQ(kernels_on_hopper(attention(kScores, of("e[b, i, j] / m[b, i]"))), "wgmma reduction wgmma ");
}

// Why the kernels of a program on Hopper are not one of attention.
std::string apart_on_hopper(std::string_view text, std::string_view target_text = "cuda:sm_90a") {
  const Target target = parse_target(target_text);
  const Fuses fuse = [&](const ir::Program& group) { return fuses(group, target); };
  std::string result;
  for (const Apart& apart : partition(lift_reductions(ir::parse_program(text)), fuse).apart) {
    result += apart.mixture->name + ": " + apart.reason + "\n";
  }
  return result;
}

TEST(Partition, SaysWhyAttentionIsApart) {
  EXPECT_EQ(apart_on_hopper(attention(kScores, kMixture)), "");
  EXPECT_EQ(apart_on_hopper(attention(kScores, kMixture), "cuda:sm_80"), "y_sum: cuda:sm_80 has no wgmma\n");
  EXPECT_EQ(apart_on_hopper(attention(kScores, "y[b, i, c] = bf16(sum[j](e[b, i, j] * f32(v[b, j, c])) / l[b, i])\n")),
            "y_sum: its weights are not exp(a - max(a)), or that divided by its sum, rounded to bf16 or f16 and "
            "widened to f32\n");
  EXPECT_EQ(apart_on_hopper(attention(kScores,
                                      "h[b, i, j] = bf16(e[b, i, j] / l[b, i])\n"
                                      "u[b, j, c] = relu(f32(v[b, j, c]))\n"
                                      "y[b, i, c] = bf16(sum[j](f32(h[b, i, j]) * u[b, j, c]))\n")),
            "y_sum: its values are not of bf16 or f16, widened to f32\n");
  EXPECT_EQ(apart_on_hopper("kernel f(x: f32[m, n]) -> (y: f32[m, n]) { e[i, j] = exp(x[i, j] - max[l](x[i, l]))\n"
                            "y[i, j] = e[i, j] / sum[l](e[i, l]) }"),
            "");
}

// Where a definition has other elements than what it is read at, or is read outside, it is not what one kernel keeps.
TEST(Partition, AttentionReadsEachElementOnceAndNoOther) {
  const auto is_fused = [](std::string_view y, std::string_view keys, std::string_view definitions) {
    return kernels_on_hopper(fmt::format("kernel f(q: bf16[128, 64], k: bf16[{}, 64], v: bf16[128, 64], g: f32[64]) -> "
                                         "(y: f32[{}]) {{\ns[i, j] = sum[p](f32(q[i, p]) * f32(k[j, p]))\n{}}}",
                                         keys, y, definitions)) == "attention ";
  };
  const auto is_mixed = [&](std::string_view y, std::string_view total, std::string_view value) {
    return is_fused(y, "128",
                    fmt::format("e[i in 128, j] = exp(s[i, j] - max[l](s[i, l]))\n{} = sum[j](e[i, j])\n"
                                "o[i in 128, c in 64] = sum[j](f32(bf16(e[i, j])) * f32(v[j, c]))\ny[i, c] = {}\n",
                                total, value));
  };
  EXPECT_TRUE(is_mixed("128, 64", "t[i in 128]", "o[i, c] / t[i]"));
  EXPECT_FALSE(is_mixed("100, 64", "t[i in 128]", "o[i, c] / t[i]"));
  EXPECT_FALSE(is_mixed("128, 32", "t[i in 128]", "o[i, c] / t[i]"));
  EXPECT_FALSE(is_mixed("200, 64", "t[i in 128]", "(o[i, c] else 0.0) / (t[i] else 1.0)"));
  EXPECT_FALSE(is_mixed("128, 64", "t[i in 50]", "o[i, c] / (t[i] else 1.0)"));
  EXPECT_FALSE(is_mixed("128, 64", "t[i in 128, c in 64]", "o[i, c] / t[i, c]"));
  EXPECT_FALSE(is_fused("128, 64", "100",
                        "e[i, j in 128] = exp((s[i, j] else -inf) - max[l in 128](s[i, l] else -inf))\n"
                        "y[i, c] = sum[j](f32(bf16(e[i, j])) * f32(v[j, c])) / sum[j](e[i, j])\n"));
  EXPECT_FALSE(is_fused("128, 64", "128",
                        "a[i, j, c in 64] = s[i, j] + g[c]\ne[i, j, c in 64] = exp(a[i, j, c] - max[l](a[i, l, c]))\n"
                        "y[i, c] = sum[j](f32(bf16(e[i, j, c])) * f32(v[j, c]))\n"));
}

TEST(Partition, WhatIsAheadOfAttentionAndBehindItStaysApart) {
  const std::string projected =
      "u[b, i, c] = bf16(sum[p](f32(q[b, i, p]) * f32(w[p, c])))\n"
      "s[b, i, j] = sum[p](f32(u[b, i, p]) * f32(k[b, j, p])) * 0.125\n";
  EXPECT_EQ(kernels_on_hopper(attention(projected, kMixture)), "wgmma attention ");
  const std::string followed =
      "o[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / l[b, i])\n"
      "y[b, i, c] = bf16(sum[p](f32(o[b, i, p]) * f32(w[p, c])))\n";
  EXPECT_EQ(kernels_on_hopper(attention(kScores, followed)), "attention wgmma ");
}

TEST(Partition, WhatIsNotAttentionIsNotTakenForIt) {
  const auto is_fused = [](std::string_view before, std::string_view after) {
    return kernels_on_hopper(attention(before, after)).find("attention") != std::string::npos;
  };
  // Other keys than all, and depths from elsewhere than 0.
  const auto of_keys = [&](std::string_view largest, std::string_view mixed, std::string_view summed) {
    return kernels_on_hopper(fmt::format(
               "kernel f(q: bf16[4, 256, 64], k: bf16[4, 256, 64], v: bf16[4, 256, 64]) -> (y: bf16[4, 256, 64]) {{\n{}"
               "e[b, i, j in 256] = exp(s[b, i, j] - max[l in {}](s[b, i, l]))\n"
               "y[b, i, c] = bf16(sum[j in {}](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / sum[j in {}](e[b, i, "
               "j]))\n}}",
               kScores, largest, mixed, summed)) == "attention ";
  };
  EXPECT_TRUE(of_keys("256", "256", "256"));
  EXPECT_FALSE(of_keys("5..256", "5..256", "5..256"));
  EXPECT_FALSE(of_keys("128", "256", "256"));
  EXPECT_FALSE(of_keys("256", "256", "128"));
  EXPECT_FALSE(of_keys("128", "128", "128"));  // what lies behind the values may be no number
  EXPECT_FALSE(is_fused("s[b, i, j] = sum[p in 32..64](f32(q[b, i, p]) * f32(k[b, j, p]))\n", kMixture));
  // Numerators that are not rounded, that are of another maximum, scores that another kernel needs.
  EXPECT_FALSE(is_fused(kScores, "y[b, i, c] = bf16(sum[j](e[b, i, j] * f32(v[b, j, c])) / l[b, i])\n"));
  EXPECT_FALSE(is_fused(kScores,
                        "d[b, i, j] = exp(s[b, i, j] * 2.0 - m[b, i])\n"
                        "y[b, i, c] = bf16(sum[j](f32(bf16(d[b, i, j])) * f32(v[b, j, c])) / l[b, i])\n"));
  EXPECT_FALSE(is_fused(kScores,
                        "y[b, i, c] = bf16(sum[j](f32(bf16(e[b, i, j])) * f32(v[b, j, c])) / l[b, i] + "
                        "sum[j](s[b, i, j]))\n"));
}

// A program of random definitions, each of earlier ones, in a random order: matrices m* of n x n, vectors v* of n.
std::string random_program(std::mt19937& random) {
  const auto below = [&](std::size_t n) { return random() % n; };
  std::vector<std::string> matrices{"x", "w"}, vectors{"b"}, lines;
  std::string outputs;
  for (int i = 0; i < 14; ++i) {
    const std::string &a = matrices[below(matrices.size())], &c = matrices[below(matrices.size())],
                      &v = vectors[below(vectors.size())];
    const bool is_vector = below(3) == 0, is_output = below(3) == 0 || i == 13;
    const std::string name = fmt::format("{}{}", is_vector ? 'v' : 'm', i);
    const std::string value =
        is_vector       ? fmt::format(fmt::runtime(below(2) == 0 ? "sum[p]({}[i, p])" : "sum[p]({}[p, i])"), a)
        : below(3) == 0 ? fmt::format("sum[p]({}[i, p] * {}[p, j])", a, c)
        : below(2) == 0 ? fmt::format("{}[i, j] + {}[i, j]", a, c)
                        : fmt::format("{}[i, j] * {}[{}]", a, v, below(2) == 0 ? 'i' : 'j');
    lines.push_back(fmt::format("{}[{}] = {}", name, is_vector ? "i" : "i, j", value));
    if (is_output) outputs += fmt::format("{}{}: f32[{}]", outputs.empty() ? "" : ", ", name, is_vector ? "n" : "n, n");
    (is_vector ? vectors : matrices).push_back(name);
  }
  std::ranges::shuffle(lines, random);
  return fmt::format("kernel f(x: f32[n, n], w: f32[n, n], b: f32[n]) -> ({}) {{\n{}\n}}", outputs,
                     fmt::join(lines, "\n"));
}

TEST(Partition, KernelsReadWhatWasWrittenBefore) {
  std::mt19937 random(1);
  for (int i = 0; i < 400; ++i) {
    const std::string text = random_program(random);
    const ir::Program program = lift_reductions(ir::parse_program(text));
    std::set<std::string> written{"x", "w", "b"};
    for (const ir::Program& kernel : partition(program).kernels) {
      for (const ir::TensorRef& input : kernel.inputs)
        EXPECT_TRUE(written.contains(input->name)) << input->name << " of " << text;
      for (const ir::Output& output : kernel.outputs) written.insert(output.tensor->name);
    }
    for (const ir::Output& output : program.outputs) EXPECT_TRUE(written.contains(output.tensor->name)) << text;
  }
}

}  // namespace
}  // namespace quern::compiler
