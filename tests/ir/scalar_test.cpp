// The tables of scalar functions and reducers, and host scalars.
#include "ir/scalar.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "ir/evaluate.h"
#include "ir/expr.h"
#include "ir/printer.h"
#include "ir/simplify.h"

namespace quern::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double at(const Expr& e, const std::vector<VarRef>& vars, const std::vector<double>& values) {
  std::vector<std::pair<VarRef, Scalar>> point;
  for (std::size_t i = 0; i < vars.size(); ++i) point.emplace_back(vars[i], Scalar{.real = values[i]});
  return evaluate_scalar(e, point).real;
}

std::int64_t integer(Op op, DType type, std::vector<std::int64_t> operands) {
  std::vector<Scalar> x;
  for (const std::int64_t operand : operands) x.push_back({.integer = operand});
  return fit(type, row(op).reference(type, x)).integer;
}

TEST(ScalarFunctions, RowsStandAtTheirOpAndNamesAreUnique) {
  std::set<std::string_view> names;
  for (int i = 0; i < kOpCount; ++i) {
    const ScalarFunction& f = row(static_cast<Op>(i));
    EXPECT_EQ(static_cast<int>(f.op), i);
    EXPECT_TRUE(names.insert(f.name).second) << f.name;
    EXPECT_TRUE(f.reference) << f.name;
    EXPECT_EQ(f.precedence > 0, !f.notation.empty()) << f.name;
    EXPECT_EQ(parse_function(f.name).has_value(), f.notation.empty()) << f.name;
    // Somebody spells it.
    EXPECT_TRUE(!f.notation.empty() || !f.cuda.empty() || f.expansion) << f.name;
  }
}

TEST(ScalarFunctions, IntegersWrapAndRoundDown) {
  EXPECT_EQ(integer(Op::floor_div, DType::i32, {-7, 2}), -4);
  EXPECT_EQ(integer(Op::mod, DType::i32, {-7, 2}), 1);
  EXPECT_EQ(integer(Op::floor_div, DType::i32, {7, -2}), -4);
  EXPECT_EQ(integer(Op::mod, DType::i32, {7, -2}), -1);
  EXPECT_EQ(integer(Op::floor_div, DType::i32, {7, 0}), 0);
  EXPECT_EQ(integer(Op::mod, DType::i32, {7, 0}), 0);
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(integer(Op::floor_div, DType::i64, {lowest, -1}), lowest);
  EXPECT_EQ(integer(Op::mod, DType::i64, {lowest, -1}), 0);
  EXPECT_EQ(integer(Op::floor_div, DType::i8, {-128, -1}), -128);
  EXPECT_EQ(integer(Op::add, DType::i8, {127, 1}), -128);
  EXPECT_EQ(integer(Op::sub, DType::u8, {0, 1}), 255);
  EXPECT_EQ(integer(Op::floor_div, DType::u64, {-1, 2}), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(integer(Op::lt, DType::u64, {-1, 2}), 0);
  EXPECT_EQ(integer(Op::abs, DType::i8, {-128}), -128);
  EXPECT_EQ(integer(Op::shift_left, DType::i32, {1, 31}), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(integer(Op::shift_left, DType::i32, {1, 32}), 0);
  EXPECT_EQ(integer(Op::shift_right, DType::i32, {-8, 1}), -4);
  EXPECT_EQ(integer(Op::shift_right, DType::i32, {-8, 99}), -1);
  EXPECT_EQ(integer(Op::shift_right, DType::u64, {-1, 63}), 1);
  EXPECT_EQ(integer(Op::bit_not, DType::u8, {1}), 254);
  EXPECT_EQ(integer(Op::bit_not, DType::boolean, {1}), 0);
  EXPECT_EQ(integer(Op::clamp, DType::i32, {9, 0, 5}), 5);
}

TEST(ScalarFunctions, NanGoesThroughMinAndMax) {
  for (const Op op : {Op::min, Op::max}) {
    EXPECT_TRUE(std::isnan(row(op).reference(DType::f32, std::array<Scalar, 2>{{{.real = kNan}, {.real = 1}}}).real));
    EXPECT_TRUE(std::isnan(row(op).reference(DType::f32, std::array<Scalar, 2>{{{.real = 1}, {.real = kNan}}}).real));
  }
  EXPECT_TRUE(std::isnan(row(Op::relu).reference(DType::f32, std::array<Scalar, 1>{{{.real = kNan}}}).real));
  EXPECT_EQ(row(Op::round).reference(DType::f32, std::array<Scalar, 1>{{{.real = 2.5}}}).real, 2);
}

// Points inside the domains of all functions of one and two operands.
std::vector<std::vector<double>> points(const ScalarFunction& f, int count) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> positive(0.2, 3.0), any(-3.0, 3.0);
  const bool needs_positive =
      f.op == Op::log || f.op == Op::sqrt || f.op == Op::rsqrt || f.op == Op::pow || f.op == Op::log1p;
  std::vector<std::vector<double>> result(static_cast<std::size_t>(count));
  for (auto& point : result) {
    for (int i = 0; i < f.arity; ++i) point.push_back(needs_positive ? positive(random) : any(random));
    if (f.op == Op::clamp) point = {point[0], -1.5, 1.25};
  }
  return result;
}

std::vector<VarRef> operands(const ScalarFunction& f) {
  std::vector<VarRef> vars;
  for (int i = 0; i < f.arity; ++i) vars.push_back(make_var("x" + std::to_string(i), DType::f64));
  return vars;
}

TEST(ScalarFunctions, DerivativesFollowDifferences) {
  for (const ScalarFunction& f : scalar_functions()) {
    if (!f.derivative || f.types == TypeRule::select) continue;
    const std::vector<VarRef> vars = operands(f);
    const std::vector<Expr> args(vars.begin(), vars.end());
    for (const auto& point : points(f, 20)) {
      for (int i = 0; i < f.arity; ++i) {
        auto lo = point, hi = point;
        const double h = 1e-6;
        lo[static_cast<std::size_t>(i)] -= h;
        hi[static_cast<std::size_t>(i)] += h;
        const Expr value = call(f.op, args);
        const double slope = (at(value, vars, hi) - at(value, vars, lo)) / (2 * h);
        const double derivative = at(f.derivative(args, i), vars, point);
        EXPECT_NEAR(derivative, slope, 1e-6 * std::max(1.0, std::abs(slope)))
            << f.name << " of operand " << i << " at " << testing::PrintToString(point);
      }
    }
  }
}

TEST(ScalarFunctions, ExpansionsHaveTheSameValue) {
  for (const ScalarFunction& f : scalar_functions()) {
    if (!f.expansion) continue;
    const std::vector<VarRef> vars = operands(f);
    const std::vector<Expr> args(vars.begin(), vars.end());
    auto all = points(f, 50);
    if (f.arity == 1) all.insert(all.end(), {{0.0}, {1e-8}, {30.0}, {kInfinity}, {kNan}});
    for (const auto& point : all) {
      const double direct = at(call(f.op, args), vars, point), expanded = at(f.expansion(args), vars, point);
      if (std::isnan(direct)) {
        EXPECT_TRUE(std::isnan(expanded)) << f.name;
      } else if (std::isinf(direct)) {
        EXPECT_EQ(direct, expanded) << f.name;
      } else {
        EXPECT_NEAR(direct, expanded, 1e-13 * std::max(1.0, std::abs(direct)))
            << f.name << " at " << testing::PrintToString(point);
      }
    }
  }
}

TEST(ScalarFunctions, TrendsAndSlopesHold) {
  for (const ScalarFunction& f : scalar_functions()) {
    if (f.trend == Trend::none && f.slope == 0) continue;
    for (const auto& point : points(f, 40)) {
      for (std::size_t i = 0; i < point.size(); ++i) {
        std::vector<Scalar> lo, hi;
        for (const double x : point) lo.push_back({.real = x});
        hi = lo;
        hi[i].real += 0.05;
        const double rise = f.reference(DType::f64, hi).real - f.reference(DType::f64, lo).real;
        if (f.trend == Trend::increasing) {
          EXPECT_GE(rise, 0) << f.name;
        } else if (f.trend == Trend::decreasing) {
          EXPECT_LE(rise, 0) << f.name;
        } else {
          EXPECT_LE(std::abs(rise), f.slope * 0.0500001) << f.name;
        }
      }
    }
  }
}

TEST(ScalarFunctions, TypeRules) {
  const auto types = [](Op op, std::vector<DType> operands) { return result_type(op, operands); };
  EXPECT_EQ(types(Op::add, {DType::f32, DType::f32}), DType::f32);
  EXPECT_EQ(types(Op::add, {DType::f32, DType::f16}), std::nullopt);
  EXPECT_EQ(types(Op::add, {DType::boolean, DType::boolean}), std::nullopt);
  EXPECT_EQ(types(Op::add, {DType::f32}), std::nullopt);
  EXPECT_EQ(types(Op::lt, {DType::i8, DType::i8}), DType::boolean);
  EXPECT_EQ(types(Op::div, {DType::i32, DType::i32}), std::nullopt);
  EXPECT_EQ(types(Op::bit_and, {DType::boolean, DType::boolean}), DType::boolean);
  EXPECT_EQ(types(Op::select, {DType::boolean, DType::u8, DType::u8}), DType::u8);
  EXPECT_EQ(types(Op::select, {DType::i32, DType::u8, DType::u8}), std::nullopt);
  EXPECT_EQ(types(Op::logical_not, {DType::boolean}), DType::boolean);
}

TEST(Scalars, ConversionsFollowTheRules) {
  const auto from_integer = [](DType to, DType from, std::int64_t v) { return convert(to, from, {.integer = v}); };
  const auto from_real = [](DType to, double v) { return convert(to, DType::f64, {.real = v}); };
  EXPECT_EQ(from_real(DType::i8, 300).integer, 127);
  EXPECT_EQ(from_real(DType::i8, -3.9).integer, -3);
  EXPECT_EQ(from_real(DType::i32, kNan).integer, 0);
  EXPECT_EQ(from_real(DType::u64, 1e30).integer, -1);
  EXPECT_EQ(from_integer(DType::i8, DType::i32, 300).integer, 44);
  EXPECT_EQ(from_real(DType::f8e4m3, kInfinity).real, 448);
  EXPECT_EQ(from_real(DType::f16, 65520).real, kInfinity);
  EXPECT_EQ(from_integer(DType::f32, DType::u64, -1).real, 0x1p64);
  // 2^60 + 2^52 + 1 lies above the middle of two bf16 numbers, which a double no longer tells.
  EXPECT_EQ(from_integer(DType::bf16, DType::i64, (std::int64_t{1} << 60) + (std::int64_t{1} << 52) + 1).real,
            0x1p60 * (1 + 0x1p-7));
}

TEST(Scalars, QuickRoundingIsTheExactOne) {
  std::mt19937_64 random(3);
  for (const DType type : {DType::f16, DType::bf16, DType::f8e4m3, DType::f8e5m2}) {
    for (int i = 0; i < 20000; ++i) {
      const double x = std::bit_cast<double>((random() & 0x800fffffffffffffULL) | ((1023 - 30 + random() % 60) << 52));
      alignas(8) std::byte memory[8];
      store(type, memory, {.real = x});
      ASSERT_EQ(fit_real(type, x), load(type, memory).real) << name(type) << " " << x;
    }
  }
}

// combine is associative and commutative, with the identity on both sides, for every reducer and order of elements.
TEST(Reducers, StatesFormAMonoid) {
  std::mt19937_64 random(5);
  for (const ReducerRow& r : reducers()) {
    const DType element = r.accepts(DType::f64) ? DType::f64 : DType::boolean;
    std::vector<std::vector<Expr>> states;
    for (int i = 0; i < 4; ++i) {
      const double x = static_cast<double>(random() % 5) - 2;
      const Expr value = is_bool(element) ? boolean(x > 0) : constant(element, x);
      states.push_back(r.lift(element, value, Expr(i)));
    }
    const auto result = [&](const std::vector<Expr>& state) {
      const Expr e = simplify(r.finish(state));
      return is_float(e->dtype) ? e->real : static_cast<double>(e->integer);
    };
    const auto& [a, b, c, d] = std::tie(states[0], states[1], states[2], states[3]);
    const double left = result(r.combine(r.combine(r.combine(a, b), c), d));
    EXPECT_NEAR(left, result(r.combine(r.combine(a, b), r.combine(c, d))), 1e-12) << r.name;
    EXPECT_NEAR(left, result(r.combine(r.combine(d, c), r.combine(b, a))), 1e-12) << r.name;
    EXPECT_NEAR(result(a), result(r.combine(r.identity(element), a)), 1e-12) << r.name;
    EXPECT_NEAR(result(a), result(r.combine(a, r.identity(element))), 1e-12) << r.name;
    EXPECT_EQ(parse_reducer(r.name), r.reducer);
    EXPECT_EQ(r.state(element).size(), a.size()) << r.name;
    for (std::size_t s = 0; s < a.size(); ++s) EXPECT_EQ(a[s]->dtype, r.state(element)[s]) << r.name;
  }
}

}  // namespace
}  // namespace quern::ir
