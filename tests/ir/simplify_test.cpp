#include "ir/simplify.h"

#include <gtest/gtest.h>

#include <limits>

#include "ir/kernel.h"
#include "ir/printer.h"

namespace quern::ir {
namespace {

struct Simplify : testing::Test {
  VarRef i = make_var("i"), j = make_var("j"), k = make_var("k"), b = make_var("b"), r = make_var("r"),
         x = make_var("x");
  VarRef n = make_var("n"), m = make_var("m"), p = make_var("p"), q = make_var("q");
  Assumptions sizes = Assumptions().with_at_least(n, 0).with_at_least(m, 0);

  static void expect(const Expr& e, const Expr& wanted, const Assumptions& known) {
    const Expr got = simplify(e, known);
    EXPECT_TRUE(equal(got, wanted)) << to_string(e) << "\n  became   " << to_string(got) << "\n  expected "
                                    << to_string(wanted);
    EXPECT_TRUE(equal(simplify(got, known), got)) << "again: " << to_string(simplify(got, known));
  }
};

TEST_F(Simplify, SumsMergeAndSort) {
  expect(Expr(i) + 0, i, {});
  expect(Expr(j) + Expr(i), Expr(i) + Expr(j), {});
  expect(Expr(i) + 3 + Expr(i) - 1, Expr(i) * 2 + 2, {});
  expect(Expr(i) - Expr(i), 0, {});
  expect((Expr(i) + Expr(j)) - Expr(j), i, {});
  expect(Expr(3) + Expr(b) * 128 + Expr(i), Expr(b) * 128 + Expr(i) + 3, {});
  expect(-(Expr(i) - Expr(j)), Expr(j) - Expr(i), {});
  expect(Expr(n) * Expr(i) + Expr(n) * Expr(j), (Expr(i) + Expr(j)) * Expr(n), {});
  expect((Expr(b) * 128 + Expr(i)) * Expr(n) + Expr(j), (Expr(b) * 128 + Expr(i)) * Expr(n) + Expr(j), {});
  expect(Expr(5) * 4 - 20, 0, {});
}

TEST_F(Simplify, QuotientsAndRemaindersByConstants) {
  const Assumptions known = Assumptions().with({r, 0, 4}).with({x, 0, 64});
  expect(div(Expr(i) * 4 + Expr(r), 4), i, known);
  expect(mod(Expr(i) * 4 + Expr(r), 4), r, known);
  expect(div(Expr(i) * 4, 4), i, known);
  expect(div(Expr(i) * 8 + 4, 4), Expr(i) * 2 + 1, known);
  expect(mod(mod(i, 4), 4), mod(i, 4), known);
  expect(mod(mod(i, 8), 4), mod(i, 4), known);
  expect(div(div(i, 4), 8), div(i, 32), known);
  expect(div(mod(i, 32), 4), mod(div(i, 4), 8), known);
  expect(mod(x, 64), x, known);
  expect(div(x, 64), 0, known);
  expect(div(x, 8), div(x, 8), known);
  expect(mod(div(x, 8), 8), div(x, 8), known);
  expect(div(Expr(i) * 4 + Expr(r), 8), div(i, 2), known);
  expect(mod(Expr(i) * 4 + Expr(r), 8), mod(i, 2) * 4 + Expr(r), known);
  expect(mod(Expr(i) * 5, 4), mod(i, 4), known);
  expect(div(Expr(i), 1), i, known);
  expect(mod(Expr(i), 1), 0, known);
  expect(div(Expr(i), 0), 0, known);
  expect(mod(Expr(i), 0), 0, known);
  expect(div(Expr(r) + 8, 4), 2, known);
  expect(mod(Expr(r) + 8, 4), r, known);
  expect(div(Expr(r) - 4, 4), -1, known);
}

TEST_F(Simplify, DigitsRecombine) {
  expect(div(x, 8) * 8 + mod(x, 8), x, {});
  expect(div(x, 32) * 32 + mod(div(x, 8), 4) * 8 + mod(x, 8), x, {});
  expect(mod(div(x, 8), 4) * 8 + mod(x, 8), mod(div(x, 8), 4) * 8 + mod(x, 8), {});
  expect(Expr(x) - div(x, 4) * 4, mod(x, 4), {});
  expect((div(x, 8) * 8 + mod(x, 8)) * 16 + Expr(j), Expr(x) * 16 + Expr(j), {});
  const Assumptions known = Assumptions().with({x, 0, 32});
  expect(div(x, 8) * 8 + mod(x, 8), x, known);
  expect(mod(div(x, 8), 4) * 8 + mod(x, 8), x, known);
}

TEST_F(Simplify, SymbolicDivisors) {
  const Assumptions known = sizes.with({i, 0, Expr(m)}).with({j, 0, Expr(n)});
  const Expr flat = Expr(i) * Expr(n) + Expr(j);
  expect(div(flat, n), i, known);
  expect(mod(flat, n), j, known);
  expect(div(flat, Expr(n) * Expr(m)), 0, known);
  expect(div(j, n), 0, known);
  const Assumptions flat_known = sizes.with(less(0, Expr(n))).with({x, 0, Expr(m) * Expr(n)});
  expect(div(x, n) * Expr(n) + mod(x, n), x, flat_known);
  EXPECT_EQ(prove(less(div(x, n), m), flat_known), true);
  EXPECT_EQ(prove(less(mod(x, n), n), flat_known), true);
  // n may be 0, and then x // n is 0.
  expect(div(Expr(n) * Expr(x), n), div(Expr(n) * Expr(x), n), sizes);
  // A nested quotient keeps what stands beside it.
  const Assumptions some = sizes.with(less(0, Expr(n)));
  expect(div(div(x, 6) + Expr(n), n), div(x, Expr(n) * 6) + 1, some);
  expect(div(div(x, 6) + Expr(n), n) * Expr(n) + mod(div(x, 6) + Expr(n), n), Expr(n) + div(x, 6), some);
  const Expr w = Expr(n) + 2;
  const Assumptions padded = sizes.with({i, 0, Expr(m)}).with({j, 0, w});
  expect(div(Expr(i) * w + Expr(j), w), i, padded);
}

TEST_F(Simplify, DivisibleSymbols) {
  const Assumptions known = sizes.with(equals(mod(n, 4), 0)).with({r, 0, 4}).with({q, 0, div(n, 4)});
  expect(mod(n, 4), 0, known);
  expect(div(n, 4) * 4, n, known);
  expect(ceil_div(n, 4), div(n, 4), known);
  expect(less(Expr(i) * 4 + Expr(r), n), less(Expr(i) * 4, n), known);
  expect(less(Expr(i) * 4 + 3, n), less(Expr(i) * 4, n), known);
  EXPECT_EQ(prove(less(Expr(q) * 4 + 3, n), known), true);
  EXPECT_EQ(prove(less(Expr(q) * 4 + Expr(r), n), known), true);
  EXPECT_EQ(divisor(Expr(n) * 3 + Expr(q) * 8, known), 4);
  EXPECT_EQ(divisor(Expr(0), known), 0);
}

TEST_F(Simplify, Comparisons) {
  const Assumptions known = sizes.with({i, 0, 8}).with({j, 0, Expr(n)});
  expect(less(i, 8), boolean(true), known);
  expect(less(i, 0), boolean(false), known);
  expect(less(Expr(i) * 4, 16), less(i, 4), known);
  expect(less(Expr(j), n), boolean(true), known);
  expect(less(Expr(i) + Expr(j), Expr(j) + 3), less(i, 3), known);
  expect(less_equal(0, Expr(p) + Expr(q) - 1), less(0, Expr(p) + Expr(q)), known);
  expect(less(Expr(p) + Expr(q) - 1, n), less_equal(Expr(p) + Expr(q), n), known);
  expect(call(Op::gt, {p, q}), less(q, p), known);
  expect(equals(Expr(p) * 4, 6), boolean(false), known);
  expect(equals(Expr(p) * 4, 8), equals(p, 2), known);
  expect(equals(i, 9), boolean(false), known);
  expect(negate(less(p, q)), less_equal(q, p), known);
}

TEST_F(Simplify, TilesStayInside) {
  const Expr blocks = ceil_div(m, 128);
  const Assumptions whole = sizes.with(equals(mod(m, 128), 0)).with({b, 0, blocks}).with({i, 0, 128});
  EXPECT_EQ(prove(less(Expr(b) * 128 + Expr(i), m), whole), true);
  const Assumptions ragged = sizes.with({b, 0, blocks}).with({i, 0, 128});
  EXPECT_EQ(prove(less(Expr(b) * 128 + Expr(i), m), ragged), std::nullopt);
  EXPECT_EQ(prove(less(Expr(b) * 128, m), ragged), true);
  const Assumptions cut = sizes.with({b, 0, blocks}).with({i, 0, min(128, Expr(m) - Expr(b) * 128)});
  EXPECT_EQ(prove(less(Expr(b) * 128 + Expr(i), m), cut), true);
  const Assumptions stepped = sizes.with(equals(mod(n, 64), 0)).with({k, 0, Expr(n)}, 64).with({r, 0, 64});
  EXPECT_EQ(prove(less(Expr(k) + Expr(r), n), stepped), true);
  EXPECT_EQ(divisor(k, stepped), 64);
}

TEST_F(Simplify, FactsAndValues) {
  const Assumptions known =
      sizes.with(less_equal(Expr(m) * Expr(n), 2147483647)).with({i, 0, Expr(m)}).with({j, 0, Expr(n)});
  EXPECT_EQ(range(Expr(i) * Expr(n) + Expr(j), known).hi, 2147483646);
  EXPECT_EQ(range(Expr(i) * Expr(n) + Expr(j), known).lo, 0);
  const Assumptions let = sizes.with({i, 0, Expr(n)}).with_value(x, Expr(i) * 4);
  EXPECT_EQ(prove(less(x, Expr(n) * 4), let), true);
  EXPECT_EQ(divisor(x, let), 4);
  const VarRef inside = make_var("inside", DType::boolean);
  const Assumptions guarded = sizes.with_value(inside, less(Expr(p), n)).with(Expr(inside));
  EXPECT_EQ(prove(less(p, n), guarded), true);
  EXPECT_EQ(prove(Expr(inside), guarded), true);
  // An axis of one value is that value; a variable of one place is a constant.
  expect(Expr(i) + 1, Expr(j) + 1, Assumptions().with({i, Expr(j), Expr(j) + 1}));
  expect(Expr(i) + 1, 6, Assumptions().with({i, 5, 6}));
}

TEST_F(Simplify, RangesAreConservative) {
  const Assumptions known = sizes.with({i, -3, 8}).with({j, 0, Expr(n)});
  EXPECT_EQ(range(Expr(i) * 2 - 1, known), (Interval{-7, 13}));
  EXPECT_EQ(range(Expr(n) - Expr(j), known).lo, 1);
  EXPECT_EQ(range(mod(j, 7), known), (Interval{0, 6}));
  EXPECT_EQ(range(min(Expr(j), 5), known), (Interval{0, 5}));
  EXPECT_EQ(range(Expr(p), known), (Interval{}));
  const auto tensor = make_tensor("t", DType::i32, {Expr(n)});
  EXPECT_EQ(range(read(tensor, {Expr(j)}), known), (Interval{-2147483648LL, 2147483647}));
}

TEST_F(Simplify, ConditionsThatExcludeEachOtherDoNoHarm) {
  const Assumptions dead = Assumptions().with(less(i, 0)).with(less(3, i));
  EXPECT_NO_THROW(simplify(div(x, i) + mod(x, i) + Expr(i) * Expr(i), dead));
  EXPECT_NO_THROW(simplify(div(8, i), dead));
}

TEST_F(Simplify, KernelsKnowTheirGrid) {
  Kernel kernel;
  kernel.params = {make_global(make_tensor("x", DType::f32, {Expr(m)}))};
  kernel.symbols = {m, p};
  kernel.facts = {{.kind = Fact::Kind::condition, .condition = equals(mod(m, 128), 0)}};
  kernel.grid = {ceil_div(m, 128)};
  kernel.block = {b};
  kernel.warps = 4;
  kernel.warp = i;
  kernel.lane = j;
  const Assumptions known = assumptions_of(kernel);
  EXPECT_EQ(prove(less(Expr(b) * 128 + Expr(i) * 32 + Expr(j), m), known), true);
  EXPECT_EQ(range(m, known).lo, 0);
  EXPECT_EQ(range(p, known).lo, std::nullopt);
}

TEST_F(Simplify, LogicDropsWhatFollows) {
  const Expr a = less(p, q), c = less(i, 4), d = less(i, 8);
  expect(both(a, a), a, {});
  expect(both(c, d), c, {});
  expect(both(d, c), c, {});
  expect(either(c, d), d, {});
  expect(both(a, negate(a)), boolean(false), {});
  expect(either(a, negate(a)), boolean(true), {});
  expect(both(a, boolean(true)), a, {});
  expect(negate(negate(a)), a, {});
  expect(select(c, select(d, p, q), r), select(c, Expr(p), Expr(r)), {});
  expect(select(a, boolean(true), boolean(false)), a, {});
  expect(select(a, p, p), p, {});
}

TEST_F(Simplify, WrappingArithmeticStays) {
  const auto t = make_tensor("t", DType::i32, {8});
  const Expr element = read(t, {0});
  const Expr four = constant(DType::i32, std::int64_t{4});
  // element * 4 may wrap.
  const Expr e = div(element * four, four);
  expect(e, e, {});
  const Expr wide = div(cast(DType::i64, element) * 4, 4);
  expect(wide, cast(DType::i64, element), {});
  const Expr c = less(element + four, element);
  EXPECT_EQ(prove(c, {}), std::nullopt);
}

TEST_F(Simplify, FloatsKeepTheirBits) {
  const VarRef f = make_var("f", DType::f32);
  const auto real = [](double v) { return constant(DType::f32, v); };
  expect(Expr(f) * real(1), f, {});
  expect(real(1) * Expr(f), f, {});
  expect(Expr(f) - real(0), f, {});
  expect(Expr(f) + real(-0.0), f, {});
  for (const Expr& e : {Expr(f) + real(0), Expr(f) * real(0), Expr(f) - Expr(f), Expr(f) - real(-0.0)})
    expect(e, e, {});
  expect(real(1.5) + real(2), real(3.5), {});
  expect(real(16777216) + real(1), real(16777216), {});
  const Expr nan = real(std::numeric_limits<double>::quiet_NaN());
  expect(less(nan, nan), boolean(false), {});
  const Expr maybe_nan = equals(Expr(f), Expr(f));
  expect(maybe_nan, maybe_nan, {});
}

TEST_F(Simplify, Casts) {
  const VarRef h = make_var("h", DType::bf16), c = make_var("c", DType::i32), s = make_var("s", DType::i16);
  expect(cast(DType::bf16, cast(DType::f32, h)), h, {});
  expect(cast(DType::f64, cast(DType::f32, h)), cast(DType::f64, h), {});
  const Expr narrowing = cast(DType::f32, cast(DType::bf16, make_var("w", DType::f32)));
  expect(narrowing, narrowing, {});
  expect(cast(DType::i32, cast(DType::i64, c)), c, {});
  const Expr saturates = cast(DType::i8, cast(DType::f32, s));
  expect(saturates, saturates, {});
  expect(cast(DType::i32, constant(DType::f32, 3.9)), constant(DType::i32, std::int64_t{3}), {});
}

TEST_F(Simplify, FillsThatAreNeverNeededGo) {
  const auto t = make_tensor("t", DType::f32, {Expr(n)});
  const Expr zero = constant(DType::f32, 0.0);
  const Assumptions known = sizes.with({i, 0, Expr(n)});
  expect(read(t, {Expr(i)}, zero), read(t, {Expr(i)}), known);
  expect(read(t, {Expr(i) + Expr(n)}, zero), zero, known);
  const Expr halo = read(t, {Expr(i) - 1}, zero);
  expect(halo, halo, known);
  const Expr guarded = select(less(0, i), halo, zero);
  expect(guarded, select(less(0, i), read(t, {Expr(i) - 1}), zero), known);
}

TEST_F(Simplify, ReductionsOverNothing) {
  const auto t = make_tensor("t", DType::f32, {Expr(n)});
  const Expr element = read(t, {Expr(k)});
  expect(reduce(Reducer::sum, {{k, 0, 0}}, {element}), constant(DType::f32, 0.0), {});
  expect(reduce(Reducer::max, {{k, 3, 2}}, {element}), constant(DType::f32, -std::numeric_limits<double>::infinity()),
         {});
  expect(reduce(Reducer::argmax, {{k, 0, 5}}, {element}, less(k, 0)), -1, {});
  const std::vector<Axis> axes{{k, 0, Expr(n)}};
  expect(reduce(Reducer::sum, axes, {element}, less(k, n)), reduce(Reducer::sum, axes, {element}), {});
}

TEST_F(Simplify, Bits) {
  const Assumptions known = Assumptions().with({r, 0, 8}).with({x, 0, 64});
  const auto f = [](Op op, const Expr& a, const Expr& c) { return call(op, {a, c}); };
  expect(f(Op::bit_and, r, 7), r, known);
  expect(f(Op::bit_and, Expr(i) * 8, 7), 0, known);
  expect(f(Op::bit_xor, Expr(i) * 8, r), Expr(i) * 8 + Expr(r), known);
  expect(f(Op::shift_left, i, 3), Expr(i) * 8, known);
  expect(f(Op::shift_right, Expr(i) * 8, 3), i, known);
  expect(f(Op::shift_right, r, 3), 0, known);
}

TEST_F(Simplify, LinearFormsGiveStrides) {
  const Expr flat = (Expr(i) * 4 + Expr(j)) * Expr(n) + Expr(k) + 7;
  EXPECT_TRUE(is_integer(*coefficient(flat, k), 1));
  EXPECT_TRUE(equal(*coefficient(flat, i), Expr(n) * 4));
  EXPECT_TRUE(is_integer(*coefficient(flat, p), 0));
  EXPECT_FALSE(coefficient(Expr(i) * Expr(i), i));
  EXPECT_FALSE(coefficient(mod(i, 4), i));
  EXPECT_TRUE(coefficient(mod(j, 4) + Expr(i), i));
  const VarRef both_vars[] = {i, n};
  EXPECT_FALSE(linear(flat, both_vars));
  const VarRef vars[] = {i, k};
  const auto parts = linear(flat, vars);
  ASSERT_TRUE(parts);
  EXPECT_TRUE(equal(parts->rest, simplify(Expr(j) * Expr(n) + 7)));
  const VarRef narrow = make_var("t", DType::i32);
  EXPECT_TRUE(
      is_integer(*coefficient(cast(DType::i64, Expr(narrow) * constant(DType::i32, std::int64_t{4})), narrow), 4));
}

}  // namespace
}  // namespace quern::ir
