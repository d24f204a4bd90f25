// Which programs' neighbouring elements share reductions.

#include "ir/sharing.h"

#include <gtest/gtest.h>

#include <string>

#include "ir/parser.h"

namespace quern::ir {
namespace {

std::int64_t of(const std::string& definitions) {
  return elements_in_row(
      parse_program("kernel f(x: f32[m, n], w: f32[n, k]) -> (y: f32[m, k]) {\n" + definitions + "\n}"));
}

TEST(Sharing, OneElementOfARowWhereEachReducesItsOwn) {
  EXPECT_EQ(of("y[i, j] = w[0, j] * 2"), 1);
  EXPECT_EQ(of("y[i, j] = sum[p](x[i, p] * w[p, j])"), 1);
  EXPECT_EQ(of("a[i, p] = x[i, p] + 1\n y[i, j] = sum[p](a[i, p] * w[p, j])"), 1);
  EXPECT_EQ(of("s[i] = sum[p](x[i, p])\n y[i, j] = s[i] * w[0, j]"), 1);
}

TEST(Sharing, ManyWhereReductionsAreReduced) {
  EXPECT_GT(of("s[i] = max[p](x[i, p])\n y[i, j] = sum[p](exp(x[i, p] - s[i]) * w[p, j])"), 1);
  EXPECT_GT(of("s[i] = max[p](x[i, p])\n a[i, p] = exp(x[i, p] - s[i])\n y[i, j] = sum[p](a[i, p] * w[p, j])"), 1);
  EXPECT_GT(of("y[i, j] = sum[p](max[q](x[i, q]) * w[p, j])"), 1);
}

}  // namespace
}  // namespace quern::ir
