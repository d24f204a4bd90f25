// What the text of a wrong program is answered with.

#include <gtest/gtest.h>

#include "ir/parser.h"
#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;
using test::error_of;

struct Case {
  const char* text;
  const char* message;  // a part of it
};

void PrintTo(const Case& test, std::ostream* out) { *out << test.text; }

class ProgramErrors : public ::testing::TestWithParam<Case> {};

TEST_P(ProgramErrors, Text) {
  EXPECT_TRUE(contains(error_of([] { parse_program(GetParam().text); }), GetParam().message)) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, ProgramErrors,
    ::testing::Values(Case{"kernal t()", "1:1: expected 'kernel', got 'kernal'\n  kernal t()\n  ^"},
                      Case{"kernel (", "expected the name of a kernel, got '('"},
                      Case{"kernel sum(", "'sum' is reserved: it cannot be the name of a kernel"},
                      Case{"kernel t(x) -> ", "1:11: expected ':', got ')'"},
                      Case{"kernel t(x: float[n])", "expected a dtype (f64 f32 f16 bf16 f8e4m3"},
                      Case{"kernel t(x: f32)", "expected '[', got ')'"},
                      Case{"kernel t(x: f32[n m])", "expected ',' or ']', got 'm'"},
                      Case{"kernel t(x: f32[n] y: f32[n])", "expected ',', 'const' or ')', got 'y'"},
                      Case{"kernel t(x: f32[n])", "expected '->', got the end of the text"},
                      Case{"kernel t() -> () {", "expected the name of an output, got ')'"},
                      Case{"kernel t() -> (y: f32[n]) y[i]", "expected 'with' or '{', got 'y'"},
                      Case{"kernel t() -> (y: f32[n]) { y[i] = 1",
                           "expected an operator, ';', '}' or the end of the line, got the end"},
                      Case{"kernel t() -> (y: f32[n]) { y[i] = 1 z[i] = 2 }",
                           "expected an operator, ';', '}' or the end of the line"},
                      Case{"kernel t() -> (y: f32[n]) { y = 1 }", "expected '[', got '='"},
                      Case{"kernel t() -> (y: f32[n]) { y[i] 1 }", "expected ':' or '=', got '1'"},
                      Case{"kernel t() -> (y: f32[n]) { 1 }", "expected a definition or '}', got '1'"},
                      Case{"kernel t() -> (y: f32[n]) with aligned(y) { y[i] = 1 }", "expected ',', got ')'"},
                      Case{"kernel t() -> (y: f32[n]) { extern f() -> (y) \"\" }", "expected 'cuda', got a string"}));

INSTANTIATE_TEST_SUITE_P(
    Names, ProgramErrors,
    ::testing::Values(
        Case{"kernel t(x: f32[n], x: f32[n]) -> (y: f32[n]) { y[i] = x[i] }", "1:21: the name 'x' is taken"},
        Case{"kernel t(n: f32[n]) -> (y: f32[n]) { y[i] = n[i] }", "the name 'n' is taken"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[n] = x[n] }",
             "1:40: the name 'n' is taken: symbols, tensors and axes"},
        Case{"kernel t(x: f32[n, n]) -> (y: f32[n, n]) { y[i, i] = x[i, i] }", "the name 'i' is taken"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = sum[i](x[i]) }", "the name 'i' is taken"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = sum[x](1.0) }", "the name 'x' is taken"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { n[i] = x[i]\n y[i] = n[i] }", "the name 'n' is taken"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[k] }", "unknown name 'k'; known here: i, n, x, y"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = z[i] }", "unknown tensor 'z'; known here: i, n, x, y"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { x[i] = 1\n y[i] = 1 }", "x is an input: it cannot be defined"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = 1\n y[i] = 2 }", "2:2: y is defined a second time"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n], z: f32[n]) { y[i] = 1 }",
             "output z has no definition; write z[...] = ..."},
        Case{"kernel t(x: f32[n]) -> (y: f32[n] update z) { y[i] = 1 }", "unknown input 'z'; there are: x"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with aligned(z, 16) { y[i] = 1 }",
             "unknown argument 'z'; there are: x, y"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { extern f(q) -> (y) cuda \"\" }", "unknown tensor 'q'"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { extern f(x) -> (y, z) cuda \"\" }",
             "z is no output: give it a type"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { extern f(x) -> (y: f32[n]) cuda \"\" }",
             "y is an output, which has"}));

INSTANTIATE_TEST_SUITE_P(
    Sizes, ProgramErrors,
    ::testing::Values(
        Case{"kernel t(x: f32[2 * n]) -> (y: f32[2 * n]) { y[i] = x[i] }",
             "symbol n of kernel t is not bound: no dimension"},
        Case{"kernel t(x: f32[n - n + -3]) -> (y: f32[n]) { y[i] = 1 }", "dimension 0 of x is"},
        Case{"kernel t(x: f32[1.5]) -> (y: f32[n]) { y[i] = 1 }", "the float 1.5 stands where the dtype is i64"},
        Case{"kernel t(x: f32[n > 1]) -> (y: f32[n]) { y[i] = 1 }", "a size is an integer, here is bool"},
        Case{"kernel t(x: f32[x[0]]) -> (y: f32[3]) { y[i] = 1 }", "unknown tensor 'x'"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with sum[k in 3](k) > 2 { y[i] = 1 }",
             "sizes and facts are of numbers and symbols; they reduce nothing"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with 3 > 4 { y[i] = 1 }",
             "kernel t states the fact 3 > 4, which never holds; mend it or leave it out"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with n % 2 > 5 { y[i] = 1 }", "the fact n % 2 > 5, which never holds"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with n in sum[k in 3](k) { y[i] = 1 }", "they reduce nothing"},
        Case{"kernel t(x: f32[m, n] strides(1)) -> (y: f32[m]) { y[i] = 1 }", "x has 1 strides for a shape of rank 2"},
        Case{"kernel t() -> (y: f32[m, 4] strides(4, 0)) { y[i, j] = 1 }",
             "output y has the stride 0 in dimension 1, of"},
        Case{"kernel t() -> (y: f32[3, 4] strides(2, 1)) { y[i, j] = 1 }",
             "output y of shape [3, 4] has the strides (2, 1), with which elements share an address"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n + 1] update x) { y[i] = 1 }",
             "output y is f32[n + 1], but updates x, which is f32[n]"},
        Case{"kernel t(x: f32[n]) -> (y: i32[n] update x) { y[i] = 1 }",
             "output y is i32[n], but updates x, which is f32[n]"},
        Case{"kernel t(x: f32[n] const) -> (y: f32[n] update x) { y[i] = 1 }", "x, which is const: its contents never"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n] update x, z: f32[n] update x) { y[i] = 1; z[i] = 2 }",
             "input x is updated by two outputs"}));

INSTANTIATE_TEST_SUITE_P(
    Extents, ProgramErrors,
    ::testing::Values(
        Case{"kernel t(x: f32[m, k], w: f32[l, n]) -> (y: f32[m, n]) { y[i, j] = sum[p](x[i, p] * w[p, j]) }",
             "axis p indexes dimension 1 of x, which is k, and dimension 0 of w, which is l; write the range"},
        Case{"kernel t(x: f32[n]) -> (y: f32[m]) { y[i] = x[i] }",
             "axis i runs over m (from dimension 0 of y), but indexes dimension 0 of x, which is n"},
        Case{"kernel t(x: f32[m], z: f32[n]) -> (y: f32[m, n]) { t[i] = 1.0\n y[i, j] = t[i] + t[j] }",
             "axis j runs over n (from dimension 1 of y), but indexes dimension 0 of t, which is m"},
        Case{
            "kernel t(x: f32[m]) -> (y: f32[n]) { t[i] = i > 0 ? x[i] : 0\n y[i] = t[i] else 1 }",
            "axis i runs over n (from axis i, which reads dimension 0 of t), but indexes dimension 0 of x, which is m"},
        Case{"kernel t(x: f32[m], z: f32[n]) -> (y: f32[]) { y[] = sum[p](p < m ? x[p] : z[p]) }",
             "axis p indexes dimension 0 of x, which is m, and dimension 0 of z, which is n; write the range"},
        Case{"kernel t() -> (y: f32[n], z: f32[m]) { t[i] = 1.0\n y[i] = t[i] else 0\n z[j] = t[j] else 0 }",
             "axis i runs over n (from axis i, which reads dimension 0 of t), but axis j, which reads dimension 0 of t "
             "too, over m; write the range that is meant, as in i in n"},
        Case{"kernel t() -> (y: f32[n], z: f32[m]) { t[i] = 1.0\n z[j] = t[j] else 0\n y[i] = t[i] else 0 }",
             "axis i runs over m (from axis j, which reads dimension 0 of t), but axis i"},
        Case{"kernel t(x: f32[n], w: f32[m]) -> (y: f32[]) {\n t[i] = 1.0\n"
             " y[] = sum[p](w[p] + (t[p] else 0)) + sum[q](x[q] * (t[q] else 0)) }",
             "axis i runs over m (from axis p, which reads dimension 0 of t), but axis q"},
        Case{"kernel t(x: f32[n]) -> (y: f32[]) { y[] = sum[p](x[p + 1] else 0) }",
             "the range of axis p is not known: it indexes no dimension as itself; write it, as in p in 16"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { t[i] = 1.0\n y[i] = t[i + 1] }", "the range of axis i is not known"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i in n - 1] = x[i] }",
             "axis i is written with the extent n - 1, but dimension 0 of y is n"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i in 1..n] = x[i] }", "the axes of a definition begin at 0"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = sum[p in i](x[p]) }", "unknown name 'i'; known here: n"},
        Case{"kernel t(x: f32[m, n]) -> (y: f32[m]) { y[i, j] = x[i, j] }",
             "y has the shape [m], but is defined over 2 axes"},
        Case{"kernel t(x: f32[m, n]) -> (y: f32[m]) { y[i] = x[i] }", "x has 2 dimensions [m, n], here is 1 index"}));

INSTANTIATE_TEST_SUITE_P(
    Types, ProgramErrors,
    ::testing::Values(
        Case{"kernel t(x: f32[n]) -> (y: bf16[n]) { y[i] = x[i] }",
             "y is bf16, its definition gives f32; write bf16(...) around it"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { t[i]: f16 = x[i]\n y[i] = 1 }",
             "t is f16, its definition gives f32"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i]: f16 = 1 }", "y is declared as f32, defined as f16"},
        Case{"kernel t(x: f32[n], w: bf16[n]) -> (y: f32[n]) {\n  y[i] = x[i] * w[i]\n}",
             "2:15: the operands of '*' are f32 and bf16; convert one, as in f32(...)\n    y[i] = x[i] * w[i]\n"
             "                ^"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with n { y[i] = 1 }", "a fact is a condition over symbols"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with nondecreasing(x) { y[i] = 1 }", "not a vector of integers"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with x in 4 { y[i] = 1 }", "it is f32[n]; ranges are of integers"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) with aligned(x, 12) { y[i] = 1 }", "an alignment is a power of two"}));

INSTANTIATE_TEST_SUITE_P(
    Cycles, ProgramErrors,
    ::testing::Values(Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = y[i] + 1 }",
                           "y reads itself; a scan is a reduction"},
                      Case{"kernel t(x: f32[n]) -> (y: f32[n]) { a[i] = b[i]; b[i] = c[i]; c[i] = a[i]; y[i] = a[i] }",
                           "definitions read each other in a circle: a reads b reads c reads a"},
                      Case{"kernel t(x: f32[n]) -> (y: f32[n]) { a[i in n] = b[i]\n extern f(a) -> (b: f32[n]) cuda "
                           "\"\"\n y[i] = a[i] }",
                           "definitions read each other in a circle: a reads f reads a"}));

INSTANTIATE_TEST_SUITE_P(
    Outside, ProgramErrors,
    ::testing::Values(
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[i + 1] }",
             "y reads x[i + 1] outside: at i = n - 1 index 0 is n, but dimension 0 of x is n; shrink the axis, or give "
             "the value outside: x[i + 1] else 0"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[i - 1] }", "at i = 0 index 0 is -1"},
        Case{"kernel t(x: f32[16]) -> (y: f32[8]) { y[i] = x[2 * i + 2] }", "at i = 7 index 0 is 16"},
        Case{"kernel t(x: f32[16]) -> (y: f32[8]) { y[i] = sum[r in 3](x[2 * i + r]) }", "index 0 is 16"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[n - i] }", "at i = 0 index 0 is n"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[0] + x[n] }", "y reads x[n] outside: index 0 is n"},
        Case{"kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = i < n ? x[i + n] : 0 }",
             "y reads x[i + n] outside: at i = n - 1 index 0 is n * 2 - 1, but dimension 0 of x is n"},
        Case{"kernel t(x: f32[4]) -> (y: f32[4]) { y[i] = sum[p in 4 where p > 0](x[p + 3]) }", "outside"},
        Case{"kernel t(x: f32[0, 4]) -> (y: i64[4]) { y[j] = argmax[i](x[i, j]) }",
             "in y, argmax runs over nothing: axis i has the range 0..0"}));

// Near misses that are right.
TEST(ProgramErrors, ReadsThatMayBeInsideAreAccepted) {
  for (const char* text : {
           "kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[i + 1] else 0 }",
           "kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = i + 1 < n ? x[i + 1] : 0 }",
           "kernel t(x: f32[n]) -> (y: f32[n - 1]) { y[i] = x[i + 1] - x[i] }",
           "kernel t(x: f32[m]) -> (y: f32[n]) { y[i in n] = x[i] }",
           "kernel t(x: f32[m]) -> (y: f32[n]) with n <= m { y[i] = x[i] }",
           "kernel t(x: f32[n], g: i32[m]) -> (y: f32[m]) { y[i] = x[g[i]] }",
           "kernel t(x: f32[n]) -> (y: f32[n]) { y[i] = x[i * i % n] }",
           "kernel t(x: f32[n]) -> (y: f32[n // 2]) { y[i] = max[r in 2](x[2 * i + r]) }",
           "kernel t(x: f32[0]) -> (y: f32[0]) { y[i] = x[i] }",
           "kernel t(x: f32[n]) -> (y: f32[]) { y[] = sum[p in 1..n](x[p - 1]) }",
           "kernel t(x: f32[0, 4]) -> (y: f32[4]) { y[j] = max[i](x[i, j]) }",
       }) {
    EXPECT_NO_THROW(parse_program(text)) << text;
  }
}

}  // namespace
}  // namespace quern::ir
