#include "ir/canonical.h"

#include <gtest/gtest.h>

#include <set>

#include "ir/parser.h"

namespace quern::ir {
namespace {

bool same(const char* a, const char* b) {
  const Program p = parse_program(a);
  const Program q = parse_program(b);
  EXPECT_EQ(equal(p, q), digest(p) == digest(q));
  return equal(p, q);
}

TEST(Canonical, NamesOrdersAndWrittenRangesDoNotMatter) {
  EXPECT_TRUE(
      same("kernel a(x: f32[m, k]) -> (y: f32[m]) { t[i, j] = x[i, j] * 2; s[i] = x[i, 0]\n"
           " y[i] = sum[j](t[i, j]) + s[i] }",
           "kernel b(q: f32[r, c]) -> (out: f32[r]) { out[a in r] = sum[z in c](u[a, z]) + v[a]\n"
           " v[p] = q[p, 0]; u[k, l] = q[k, l] * 2.0 }"));
  EXPECT_TRUE(same("kernel a(x: f32[m]) -> (y: f32[m]) { y[i] = (x[i] + 1) }",
                   "kernel a(x: f32[m]) -> (y: f32[m]) { y[m2] = x[m2] + 1.0 }"));
}

TEST(Canonical, EverythingElseDoes) {
  const char* base = "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) }";
  std::set<std::string> texts = {canonical_text(parse_program(base))};
  const char* others[] = {
      "kernel a(x: f32[n, n]) -> (y: f32[n]) { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[n, m]) -> (y: f32[m]) { y[i] = sum[j](x[j, i]) }",
      "kernel a(x: f32[m, n] const) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[m, n] strides(n, 1)) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) with exact { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) with m % 16 == 0 { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) with n % 16 == 0 { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j in 1..n](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = prod[j](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j]{acc=f64}(x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j]{order=fixed}(x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j where j < i](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j](x[i, j] else 0) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) + 0 }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { y[i] = sum[j](x[i, j]) + -0.0 }",
      "kernel a(x: f32[8, n]) -> (y: f32[8]) { y[i] = sum[j](x[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { t[i, j] = x[i, j]; y[i] = sum[j](t[i, j]) }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { extern f(x) -> (y) cuda \"a\" }",
      "kernel a(x: f32[m, n]) -> (y: f32[m]) { extern f(x) -> (y) cuda \"b\" }",
      "kernel a(x: f64[m, n]) -> (y: f64[m]) { y[i] = sum[j](x[i, j]) }",
  };
  for (const char* other : others) {
    EXPECT_TRUE(texts.insert(canonical_text(parse_program(other))).second) << other;
    EXPECT_FALSE(same(base, other)) << other;
  }
}

TEST(Canonical, TheTextIsStable) {
  EXPECT_EQ(canonical_text(parse_program("kernel a(x: f32[m, n]) -> (y: f32[m]) with m % 2 == 0 {\n"
                                         " y[i] = e[i] * 0.5; e[p] = sum[j](x[p, j] else 1) }")),
            "quern 1\nkernel k(t: f32[s, s2]) -> (t2: f32[s]) with s % 2 == 0 {\n"
            "  t3[a in s]: f32 = sum[a2 in s2](t[a, a2] else 1.0)\n"
            "  t2[a in s]: f32 = t3[a] * 0.5\n}\n");
}

}  // namespace
}  // namespace quern::ir
