// Expressions as CUDA C, one line each.

#include <gtest/gtest.h>

#include <cmath>

#include "codegen/cuda/expr.h"
#include "tests/codegen/cuda_kernels.h"

namespace quern::codegen {
namespace {

using namespace ir;  // NOLINT: this file is about the language's nodes

class CudaExpr : public testing::Test {
 protected:
  static BufferRef data(const std::string& name, DType dtype) { return test::global(name, dtype, 100); }
  Expr at(const BufferRef& buffer) const { return read(buffer, {Expr(i)}); }
  std::string text(const Expr& e) { return printer.value(e); }

  const VarRef i = make_var("i"), j = make_var("j"), n = make_var("n"), i32 = make_var("c", DType::i32);
  const BufferRef x = data("x", DType::f32), y = data("y", DType::f32), b = data("b", DType::bf16),
                  h = data("h", DType::f16), d = data("d", DType::f64), k = data("k", DType::i32),
                  s = data("s", DType::i8), u = data("u", DType::u32), w = data("w", DType::i64),
                  p = data("p", DType::boolean);

  Names names;
  IndexMath index_math{Kernel{.body = block({})}};
  ExprPrinter printer{names, index_math};
};

TEST_F(CudaExpr, ParenthesesStandWhereTheyAreNeeded) {
  EXPECT_EQ(text(at(x) + at(y) * at(x)), "x[i] + y[i] * x[i]");
  EXPECT_EQ(text((at(x) + at(y)) * at(x)), "(x[i] + y[i]) * x[i]");
  EXPECT_EQ(text(at(x) - (at(y) - at(x))), "x[i] - (y[i] - x[i])");
  EXPECT_EQ(text(at(x) + (at(y) + at(x))), "x[i] + (y[i] + x[i])");
  EXPECT_EQ(text(Expr(i) + (Expr(j) + Expr(n))), "i + j + n");
  EXPECT_EQ(text(-(at(x) + at(y))), "-(x[i] + y[i])");
  EXPECT_EQ(text(-(-at(x))), "-(-x[i])");
  EXPECT_EQ(text(at(x) + -at(y)), "x[i] - y[i]");
  EXPECT_EQ(text(at(x) - constant(DType::f32, -2.0)), "x[i] + 2.0f");
  EXPECT_EQ(text(both(either(less(i, j), less(j, n)), negate(equals(i, n)))), "(i < j || j < n) && !(i == n)");
  EXPECT_EQ(text(call(Op::bit_xor, {Expr(i), call(Op::bit_and, {Expr(j), Expr(7)})})), "i ^ (j & 7)");
}

TEST_F(CudaExpr, LiteralsHaveTheirType) {
  EXPECT_EQ(text(constant(DType::f32, 0.1)), "0.1f");
  EXPECT_EQ(text(constant(DType::f64, 0.1)), "0.1");
  EXPECT_EQ(text(constant(DType::f32, 1.0)), "1.0f");
  EXPECT_EQ(text(constant(DType::f32, 1e20)), "1e+20f");
  EXPECT_EQ(text(constant(DType::f32, -INFINITY)), "-infinity()");
  EXPECT_EQ(text(constant(DType::f32, NAN)), "not_a_number()");
  EXPECT_EQ(text(constant(DType::bf16, 1.0)), "bf16{0x3f80}");
  EXPECT_EQ(text(constant(DType::f8e4m3, 0.0)), "f8e4m3{0}");
  EXPECT_EQ(text(Expr(std::int64_t{5000000000})), "5000000000ll");
  EXPECT_EQ(text(Expr(5)), "5");
  EXPECT_EQ(printer.exact(Expr(5)), "5ll");
  EXPECT_EQ(text(constant(DType::u32, std::int64_t{4000000000})), "4000000000u");
  EXPECT_EQ(text(constant(DType::i32, std::int64_t{-2147483648})), "(-2147483647 - 1)");
  EXPECT_EQ(text(boolean(true)), "true");
}

TEST_F(CudaExpr, NarrowFloatsComputeInFloatAndRound) {
  EXPECT_EQ(text(at(b) + at(b)), "to_bf16(to_float(b[i]) + to_float(b[i]))");
  EXPECT_EQ(text(at(h) * constant(DType::f16, 0.5)), "to_f16(to_float(h[i]) * 0.5f)");
  EXPECT_EQ(text(cast(DType::f32, at(b)) + at(x)), "to_float(b[i]) + x[i]");
  EXPECT_EQ(text(less(at(b), constant(DType::bf16, 0.0))), "to_float(b[i]) < 0.0f");
  EXPECT_EQ(text(call(Op::exp, {at(h)})), "to_f16(expf(to_float(h[i])))");
  EXPECT_EQ(text(select(at(p), at(b), constant(DType::bf16, 0.0))), "p[i] != 0 ? b[i] : bf16{0}");
  EXPECT_EQ(text(cast(DType::f32, select(at(p), at(b), constant(DType::bf16, 0.0)))),
            "p[i] != 0 ? to_float(b[i]) : 0.0f");
}

TEST_F(CudaExpr, CastsRoundOnceAndSaturate) {
  EXPECT_EQ(text(cast(DType::bf16, at(x))), "to_bf16(x[i])");
  EXPECT_EQ(text(cast(DType::bf16, at(d))), "to_bf16(round_to_odd(d[i]))");
  EXPECT_EQ(text(cast(DType::bf16, at(w))), "to_bf16(round_to_odd(w[i]))");
  EXPECT_EQ(text(cast(DType::f16, at(s))), "to_f16((float)s[i])");
  EXPECT_EQ(text(cast(DType::f8e4m3, at(b))), "to_f8e4m3(to_float(b[i]))");
  EXPECT_EQ(text(cast(DType::i8, at(b))), "to_i8(to_float(b[i]))");
  EXPECT_EQ(text(cast(DType::i64, at(d))), "to_i64(d[i])");
  EXPECT_EQ(text(cast(DType::f32, at(d))), "(float)d[i]");
  EXPECT_EQ(text(cast(DType::boolean, at(x) + at(y))), "x[i] + y[i] != 0.0f");
  EXPECT_EQ(text(cast(DType::f32, less(i, n))), "(float)(i < n)");
}

TEST_F(CudaExpr, IndexArithmeticIsPlain) {
  EXPECT_EQ(text(Expr(i) * 128 + cast(DType::i64, Expr(i32))), "i * 128 + c");
  EXPECT_EQ(text(cast(DType::i64, Expr(i32)) * 128), "(long long)c * 128");
  EXPECT_EQ(text(less(cast(DType::i64, Expr(i32)), 128)), "c < 128");
  EXPECT_EQ(text(read(x, {cast(DType::i64, Expr(i32))})), "x[c]");
  EXPECT_EQ(text(min(Expr(i), Expr(5))), "q_min(i, 5ll)");
}

TEST_F(CudaExpr, DataWraps) {
  EXPECT_EQ(text(at(k) + at(k)), "wrap_add(k[i], k[i])");
  EXPECT_EQ(text(at(s) * constant(DType::i8, std::int64_t{3})), "wrap_mul(s[i], (signed char)3)");
  EXPECT_EQ(text(at(u) * at(u) + constant(DType::u32, std::int64_t{1})), "u[i] * u[i] + 1u");
  EXPECT_EQ(text(-at(w)), "wrap_neg(w[i])");
  EXPECT_EQ(text(call(Op::shift_left, {at(k), at(k)})), "q_shift_left(k[i], k[i])");
  EXPECT_EQ(text(call(Op::shift_right, {at(u), constant(DType::u32, std::int64_t{9})})), "u[i] >> 9");
  EXPECT_EQ(text(call(Op::shift_right, {at(u), constant(DType::u32, std::int64_t{32})})), "q_shift_right(u[i], 32u)");
  EXPECT_EQ(text(call(Op::abs, {at(k)})), "q_abs(k[i])");
}

TEST_F(CudaExpr, DivisionIsPlainWhereNothingIsNegative) {
  printer.assumptions = printer.assumptions.with_at_least(i, 0);
  EXPECT_EQ(text(div(Expr(i), Expr(8))), "i / 8");
  EXPECT_EQ(text(mod(Expr(i), Expr(8))), "i % 8");
  EXPECT_EQ(text(div(Expr(j), Expr(8))), "q_floor_div(j, 8ll)");
  EXPECT_EQ(text(mod(Expr(i), Expr(n))), "q_mod(i, n)");
  printer.assumptions = printer.assumptions.with_at_least(n, 1);
  EXPECT_EQ(text(mod(Expr(i), Expr(n))), "i % n");
}

TEST_F(CudaExpr, FunctionsAreSpelledAsTheirRowSays) {
  EXPECT_EQ(text(call(Op::sqrt, {at(x)})), "sqrtf(x[i])");
  EXPECT_EQ(text(call(Op::sqrt, {at(d)})), "sqrt(d[i])");
  EXPECT_EQ(text(call(Op::max, {at(d), constant(DType::f64, 0.0)})), "q_max(d[i], 0.0)");
  EXPECT_EQ(text(call(Op::relu, {at(x)})), "q_max(x[i], 0.0f)");
  EXPECT_EQ(text(call(Op::relu, {at(b)})), "to_bf16(q_max(to_float(b[i]), 0.0f))");
}

}  // namespace
}  // namespace quern::codegen
