#include "tests/pipeline/differential.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "ir/parser.h"

namespace quern::pipeline {
namespace {

// QUERN_FUZZ_SEED and QUERN_FUZZ_COUNT widen or repeat the search.
std::uint64_t number(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : fallback;
}

TEST(Differential, RandomProgramsOnTheCpuAgreeWithTheReference) {
  runtime::Device& cpu = runtime::open_device("cpu");
  const std::uint64_t first = number("QUERN_FUZZ_SEED", 1), count = number("QUERN_FUZZ_COUNT", 150);
  int wrong = 0;
  for (std::uint64_t seed = first; seed < first + count && wrong < 3; ++seed) {
    const std::string difference = differ_generated(seed, cpu);
    EXPECT_EQ(difference, "");
    wrong += difference.empty() ? 0 : 1;
  }
}

struct Case {
  const char* name;
  const char* text;
  std::vector<std::vector<std::int64_t>> sizes;
};

class Shapes : public testing::TestWithParam<Case> {};

const Case kCases[] = {
    {"matmul",
     "kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
     {{1, 1, 1}, {7, 5, 3}, {0, 4, 4}, {4, 0, 4}, {4, 4, 0}, {33, 129, 65}, {17, 300, 40}, {15, 16, 31}}},
    {"matmul_columns",
     "kernel f(x: f32[k, m], w: f32[n, k]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[p, i] * w[j, p]) }",
     {{3, 7, 5}, {64, 32, 48}, {129, 33, 65}}},
    {"batched",
     "kernel f(x: f32[b, m, k], w: f32[b, k, n]) -> (y: f32[b, m, n]) { y[c, i, j] = sum[p](x[c, i, p] * w[c, p, j]) }",
     {{3, 7, 5, 9}, {2, 40, 33, 17}}},
    {"softmax",
     R"(kernel f(x: bf16[m, n]) -> (y: bf16[m, n]) {
       t[i] = max[j](f32(x[i, j]))
       e[i, j] = exp(f32(x[i, j]) - t[i])
       y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) })",
     {{1, 1}, {5, 7}, {3, 257}, {2, 1000}, {0, 3}}},
    {"columns",
     "kernel f(x: f32[m, n]) -> (y: f32[n]) { y[j] = sum[i](x[i, j]) }",
     {{1, 1}, {7, 5}, {100, 33}, {0, 4}}},
    {"full", "kernel f(x: f32[n]) -> (y: f32[]) { y[] = sum[i](x[i]) }", {{0}, {1}, {1000}, {4097}}},
    {"argmax", "kernel f(x: f32[m, n]) -> (y: i64[m]) { y[i] = argmax[j](x[i, j]) }", {{3, 5}, {2, 300}}},
    {"transpose", "kernel f(x: f32[m, n]) -> (y: f32[n, m]) { y[j, i] = x[i, j] }", {{5, 3}, {33, 65}, {64, 64}}},
    {"convolution",
     R"(kernel f(x: f32[n, h, w, c], g: f32[k, 3, 3, c], b: f32[k]) -> (y: f32[n, h, w, k]) {
       a[z, p, q, o] = sum[u, v, i]((x[z, p + u - 1, q + v - 1, i] else 0) * g[o, u, v, i])
       y[z, p, q, o] = relu(a[z, p, q, o] + b[o]) })",
     {{1, 5, 5, 3, 4}, {2, 7, 6, 16, 20}}},
    {"norm",
     R"(kernel f(x: f32[m, n], g: f32[n]) -> (y: f32[m, n]) {
       mean[i] = sum[j](x[i, j]) / f32(n)
       var[i] = welford[j](x[i, j])
       y[i, j] = (x[i, j] - mean[i]) * rsqrt(var[i] + 0.001) * g[j] })",
     {{3, 7}, {4, 129}}},
};

TEST_P(Shapes, AgreeWithTheReferenceUnderSeveralSchedules) {
  runtime::Device& cpu = runtime::open_device("cpu");
  const Target& target = cpu.info().target;
  const ir::Program program = ir::parse_program(GetParam().text);
  for (const std::vector<std::int64_t>& sizes : GetParam().sizes) {
    EXPECT_EQ(differ(program, sizes, cpu, choose_fallback(target), 1), "");
    for (std::uint64_t seed = 2; seed < 4; ++seed) {
      EXPECT_EQ(differ(program, sizes, cpu, choose_random(target, seed), seed), "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Differential, Shapes, testing::ValuesIn(kCases),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace quern::pipeline
