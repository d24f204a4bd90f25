#include "ir/bind.h"

#include <gtest/gtest.h>

#include "ir/canonical.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;
using test::error_of;

const char* const kConv =
    "kernel conv(x: f32[n, h, w, c], f: f32[k, r, r, c] const) -> (y: f32[n, h - r + 1, w - r + 1, k])"
    " with c % 4 == 0, n in 1..65, aligned(x, 16) {\n"
    "  a[b, p, q, o] = sum[u, v, i](x[b, p + u, q + v, i] * f[o, u, v, i])\n"
    "  y[b, p, q, o] = relu(a[b, p, q, o])\n}\n";

TEST(Bind, AllSymbols) {
  const Program bound = bind(parse_program(kConv), {{"n", 2}, {"h", 8}, {"w", 7}, {"c", 4}, {"k", 5}, {"r", 3}});
  EXPECT_TRUE(bound.symbols.empty());
  EXPECT_EQ(bound.facts.size(), 1U);
  const Program written = parse_program(
      "kernel conv(x: f32[2, 8, 7, 4], f: f32[5, 3, 3, 4] const) -> (y: f32[2, 6, 5, 5]) with aligned(x, 16) {\n"
      "  a[b, p, q, o] = sum[u, v, i](x[b, p + u, q + v, i] * f[o, u, v, i])\n"
      "  y[b, p, q, o] = relu(a[b, p, q, o])\n}\n");
  EXPECT_TRUE(equal(bound, written)) << to_string(bound);
}

TEST(Bind, SomeSymbols) {
  const Program program = parse_program(kConv);
  const Program bound = bind(program, {{"c", 64}, {"r", 3}});
  EXPECT_EQ(bound.symbols.size(), 4U);
  EXPECT_EQ(bound.facts.size(), 2U);  // c % 4 == 0 holds
  EXPECT_NE(bound.definitions[0].tensor, program.definitions[0].tensor);
  EXPECT_TRUE(equal(bind(bound, {{"n", 1}, {"h", 4}, {"w", 4}, {"k", 2}}),
                    bind(program, {{"n", 1}, {"h", 4}, {"w", 4}, {"k", 2}, {"c", 64}, {"r", 3}})));
  EXPECT_TRUE(equal(bind(program, {}), program));
}

TEST(Bind, OnlyDimensionsAreAtLeast0) {
  const Program strided = parse_program("kernel t(x: f32[n] strides(s)) -> (y: f32[n]) { y[i] = x[i] }");
  EXPECT_TRUE(equal(bind(strided, {{"s", -2}}),
                    parse_program("kernel t(x: f32[n] strides(-2)) -> (y: f32[n]) { y[i] = x[i] }")));
  EXPECT_TRUE(contains(error_of([&] { bind(strided, {{"n", -2}}); }), "n = -2: a size is at least 0"));
}

TEST(Bind, SizesThatWrap) {
  const Program program = parse_program("kernel p(x: f32[n, m]) -> (y: f32[n * m * n * m]) { y[i] = x[0, 0] }");
  EXPECT_EQ(error_of([&] { bind(program, {{"n", 4000000000}, {"m", 3000000000}}); }),
            "dimension 0 of y is n * m * n * m, which leaves 64 bits at m = 3000000000, n = 4000000000; use smaller "
            "sizes");
}

TEST(Bind, Mistakes) {
  const Program program = parse_program(kConv);
  const auto error = [&](const std::map<std::string, std::int64_t>& sizes) {
    return error_of([&] { bind(program, sizes); });
  };
  EXPECT_TRUE(contains(error({{"z", 1}}), "kernel conv has no symbol z; its symbols: n, h, w, c, k, r"));
  EXPECT_TRUE(contains(error({{"h", -1}}), "h = -1: a size is at least 0"));
  EXPECT_TRUE(contains(error({{"c", 6}}), "states the fact c % 4 == 0, which does not hold at c = 6"));
  EXPECT_TRUE(contains(error({{"n", 65}}), "states the fact n in 1..65, which does not hold at n = 65"));
  EXPECT_TRUE(contains(error({{"h", 2}, {"r", 4}}), "dimension 1 of y is -1; a size is at least 0"));
  const Program shift = parse_program("kernel t(x: f32[m]) -> (y: f32[n]) { y[i] = x[i + 2] }");
  EXPECT_NO_THROW(bind(shift, {{"m", 6}, {"n", 4}}));
  EXPECT_TRUE(
      contains(error_of([&] { bind(shift, {{"m", 5}, {"n", 4}}); }), "y reads x[i + 2] outside: at i = 3 index"));
  const Program best = parse_program("kernel t(x: f32[n]) -> (y: i64[]) { y[] = argmax[i](x[i]) }");
  EXPECT_TRUE(contains(error_of([&] { bind(best, {{"n", 0}}); }), "argmax runs over nothing"));
}

TEST(Bind, ZeroIsASize) {
  const Program program = parse_program("kernel t(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) }");
  EXPECT_NO_THROW(bind(program, {{"m", 0}, {"n", 3}}));
  EXPECT_NO_THROW(bind(program, {{"m", 3}, {"n", 0}}));
  // Reads that never happen are outside of nothing.
  for (const char* text : {"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[i] - x[0] }",
                           "kernel t(x: f32[n]) -> (y: f32[]) { y[] = sum[j](x[j] * x[n - 1]) }"}) {
    EXPECT_NO_THROW(bind(parse_program(text), {{"n", 0}})) << text;
  }
}

}  // namespace
}  // namespace quern::ir
