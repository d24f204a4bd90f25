#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "ir/parser.h"
#include "tests/pipeline/differential.h"

namespace quern::pipeline {
namespace {

runtime::Device* gpu() {
  try {
    return &runtime::open_device("cuda");
  } catch (const Error&) {
    return nullptr;
  }
}

class GpuDifferential : public testing::Test {
 protected:
  void SetUp() override {
    if (gpu() == nullptr) GTEST_SKIP() << "no GPU: " << runtime::list_devices().why_no_cuda;
  }
};

TEST_F(GpuDifferential, RandomProgramsAgreeWithTheReference) {
  int wrong = 0;
  for (std::uint64_t seed = 1; seed < 60 && wrong < 5; ++seed) {
    const std::string difference = differ_generated(seed, *gpu());
    EXPECT_EQ(difference, "");
    wrong += difference.empty() ? 0 : 1;
  }
}

struct Case {
  std::string text;
  std::vector<std::vector<std::int64_t>> sizes;
};

TEST_F(GpuDifferential, ShapesAgreeWithTheReferenceUnderSeveralSchedules) {
  const std::vector<Case> cases = {
      {"kernel f(x: f32[m, k], w: f32[k, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
       {{1, 1, 1}, {7, 5, 3}, {0, 4, 4}, {4, 0, 4}, {33, 129, 65}, {128, 64, 128}, {130, 36, 132}}},
      {"kernel f(x: f32[k, m], w: f32[n, k]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[p, i] * w[j, p]) }",
       {{3, 7, 5}, {64, 32, 48}, {129, 33, 65}}},
      {"kernel f(x: bf16[m, k], w: bf16[k, n]) -> (y: bf16[m, n]) { s[i, j] = sum[p](f32(x[i, p]) * f32(w[p, j]))\n"
       "y[i, j] = bf16(s[i, j]) }",
       {{17, 40, 24}, {64, 64, 64}}},
      {"kernel f(x: f32[b, m, k], w: f32[b, k, n]) -> (y: f32[b, m, n]) { y[c, i, j] = sum[p](x[c, i, p] * w[c, p, j]) "
       "}",
       {{3, 7, 5, 9}, {2, 40, 32, 16}}},
      {"kernel f(x: bf16[m, n]) -> (y: bf16[m, n]) { t[i] = max[j](f32(x[i, j])); e[i, j] = exp(f32(x[i, j]) - t[i])\n"
       "y[i, j] = bf16(e[i, j] / sum[j2](e[i, j2])) }",
       {{1, 1}, {5, 7}, {3, 257}, {2, 1024}, {0, 3}}},
      {"kernel f(x: f32[m, n]) -> (y: f32[n]) { y[j] = sum[i](x[i, j]) }", {{1, 1}, {7, 5}, {1024, 64}, {0, 4}}},
      {"kernel f(x: f32[n]) -> (y: f32[]) { y[] = sum[i](x[i]) }", {{0}, {1}, {1000}, {8192}}},
      {"kernel f(x: f32[m, n]) -> (y: i64[m]) { y[i] = argmax[j](x[i, j]) }", {{3, 5}, {2, 300}}},
      {"kernel f(x: f32[m, n]) -> (y: f32[n, m]) { y[j, i] = x[i, j] }", {{5, 3}, {33, 65}, {64, 64}}},
      {"kernel f(x: f32[n, h, w, c], g: f32[k, 3, 3, c], b: f32[k]) -> (y: f32[n, h, w, k]) {\n"
       "a[z, p, q, o] = sum[u, v, i]((x[z, p + u - 1, q + v - 1, i] else 0) * g[o, u, v, i])\n"
       "y[z, p, q, o] = relu(a[z, p, q, o] + b[o]) }",
       {{1, 5, 5, 3, 4}, {2, 7, 6, 16, 20}}},
  };
  const Target& target = gpu()->info().target;
  for (const Case& one : cases) {
    const ir::Program program = ir::parse_program(one.text);
    for (const std::vector<std::int64_t>& sizes : one.sizes) {
      EXPECT_EQ(differ(program, sizes, *gpu(), choose_fallback(target), 1), "");
      EXPECT_EQ(differ(program, sizes, *gpu(), choose_random(target, 2), 2), "");
    }
  }
}

}  // namespace
}  // namespace quern::pipeline
