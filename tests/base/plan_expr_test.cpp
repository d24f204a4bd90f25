#include "base/plan_expr.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"
#include "base/fast_division.h"

namespace quern {
namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();

const PlanExpr m = PlanExpr::symbol(0);
const PlanExpr n = PlanExpr::symbol(1);
const std::vector<std::string> kNames = {"m", "n"};

std::int64_t value(const PlanExpr& e, std::int64_t m_value, std::int64_t n_value) {
  const std::array symbols = {m_value, n_value};
  const std::array<std::int64_t, kDeviceLimitCount> limits = {132, 232448, 233472, 50, 264};
  return evaluate(e, {symbols, limits});
}

TEST(PlanExpr, DivisionRoundsDownAndTheRemainderFollowsTheDivisor) {
  for (std::int64_t a = -9; a <= 9; ++a) {
    for (std::int64_t b = -4; b <= 4; ++b) {
      const double q = b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
      EXPECT_EQ(value(floor_div(m, n), a, b), static_cast<std::int64_t>(std::floor(q))) << a << " // " << b;
      EXPECT_EQ(value(ceil_div(m, n), a, b), static_cast<std::int64_t>(std::ceil(q))) << a << " / " << b;
      EXPECT_EQ(value(m % n, a, b), b == 0 ? 0 : a - b * static_cast<std::int64_t>(std::floor(q))) << a << " % " << b;
    }
  }
}

TEST(PlanExpr, OverflowWraps) {
  EXPECT_EQ(value(m - n, kLowest, 1), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(value(floor_div(m, n), kLowest, -1), kLowest);
  EXPECT_EQ(value(ceil_div(m, n), kLowest, -1), kLowest);
  EXPECT_EQ(value(m % n, kLowest, -1), 0);
  EXPECT_EQ(value(m * n, kLowest, 3), kLowest);
}

TEST(PlanExpr, ExactValuesDoNotWrap) {
  const std::array<std::int64_t, 1> far = {std::int64_t{1} << 32};
  const PlanExpr x = PlanExpr::symbol(0);
  EXPECT_EQ(evaluate_exactly(x * x, {far, {}}), std::nullopt);
  EXPECT_EQ(evaluate_exactly(floor_div(x * x, x), {far, {}}), std::nullopt) << "on the way";
  EXPECT_EQ(evaluate_exactly(x * 4 - 1, {far, {}}), (std::int64_t{1} << 34) - 1);
}

TEST(PlanExpr, ComparisonsAndSelect) {
  EXPECT_EQ(value(less(m, n), 1, 2), 1);
  EXPECT_EQ(value(less_equal(m, n), 3, 2), 0);
  EXPECT_EQ(value(both(equal(m, 3), not_equal(n, 3)), 3, 2), 1);
  EXPECT_EQ(value(either(equal(m, 4), equal(n, 3)), 3, 2), 0);
  EXPECT_EQ(value(select(less(m, n), m * 10, n * 100), 5, 2), 200);
  EXPECT_EQ(value(min(m, n) + max(m, n), 5, 2), 7);
  EXPECT_EQ(value(min(ceil_div(m, 128), PlanExpr::limit(DeviceLimit::processors) * 2), 1 << 20, 0), 264);
}

TEST(PlanExpr, BitsAndShifts) {
  const auto apply_to = [](PlanOp op, std::int64_t a, std::int64_t b) {
    return value(PlanExpr::make(op, std::array{m, n}), a, b);
  };
  EXPECT_EQ(apply_to(PlanOp::bit_and, -4, 14), 12);
  EXPECT_EQ(apply_to(PlanOp::bit_or, -4, 3), -1);
  EXPECT_EQ(apply_to(PlanOp::bit_xor, 6, 3), 5);
  EXPECT_EQ(apply_to(PlanOp::shift_left, 5, 2), 20);
  EXPECT_EQ(apply_to(PlanOp::shift_left, 5, 63), kLowest);
  EXPECT_EQ(apply_to(PlanOp::shift_right, -5, 1), -3);
  for (const std::int64_t out : {std::int64_t{-1}, std::int64_t{64}, kLowest}) {
    EXPECT_EQ(apply_to(PlanOp::shift_left, 5, out), 0);
    EXPECT_EQ(apply_to(PlanOp::shift_right, 5, out), 0);
    EXPECT_EQ(apply_to(PlanOp::shift_right, -5, out), -1);
  }
}

TEST(PlanExpr, ConstantsFoldAndNeutralElementsVanish) {
  EXPECT_EQ((PlanExpr(7) * 6 + 1).constant_value(), 43);
  EXPECT_EQ(m + 0, m);
  EXPECT_EQ(m * 1, m);
  EXPECT_EQ(floor_div(m, 1), m);
  EXPECT_EQ(select(1, m, n), m);
  EXPECT_EQ(m.symbol_count(), 1);
  EXPECT_EQ((n * 4).symbol_count(), 2);
  EXPECT_THROW(m.constant_value(), InternalError);
}

TEST(PlanExpr, TextIsInfixWithTheNeededParentheses) {
  EXPECT_EQ(to_text(equal(m % 16, 0), kNames), "m % 16 == 0");
  EXPECT_EQ(to_text((m + 1) * n - (m - n), kNames), "(m + 1) * n - (m - n)");
  EXPECT_EQ(to_text(min(ceil_div(m, 128), PlanExpr::limit(DeviceLimit::processors)), kNames),
            "min(ceil_div(m, 128), @processors)");
  EXPECT_EQ(to_text(select(less(m, n), 1, PlanExpr::symbol(7)), kNames), "m < n ? 1 : s7");
}

TEST(PlanExpr, MissingSymbolsAndDeepNestingAreRefused) {
  EXPECT_THROW(evaluate(n, {}), InternalError);
  PlanExpr deep = m;
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) deep = m - deep;
      },
      Error);
  PlanExpr chain = m;
  for (int i = 0; i < 1000; ++i) chain = chain + n;
  EXPECT_EQ(value(chain, 1, 2), 2001) << "a chain to the left needs no depth";
}

TEST(FastDivision, ExactForEveryPairOfSmallNumbersAndAtTheEdges) {
  const auto check = [](std::uint32_t dividend, std::int64_t divisor) {
    const auto expected = divisor == 0 ? 0 : static_cast<std::uint32_t>(dividend / divisor);
    ASSERT_EQ(divide(dividend, fast_division(divisor)), expected) << dividend << " / " << divisor;
  };
  constexpr std::uint32_t kTop = 0x7fffffffu;
  for (std::int64_t d = 0; d < 600; ++d) {
    for (std::uint32_t a = 0; a < 600; ++a) check(a, d);
    for (std::uint32_t a = 0; a < 600; ++a) check(kTop - a, d);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 300000; ++i) {
    // Divisors of every magnitude; dividends on both sides of a multiple, where a wrong constant shows first.
    const std::int64_t d = std::max<std::int64_t>(random() >> (random() % 31 + 1), 1);
    const std::uint32_t multiple = static_cast<std::uint32_t>(random() % (kTop / d + 1) * d);
    check(multiple, d);
    if (multiple > 0) check(multiple - 1, d);
    check(random() & kTop, d);
  }
  for (int bit = 0; bit <= 31; ++bit) {
    for (std::int64_t d : {(1LL << bit) - 1, 1LL << bit, (1LL << bit) + 1}) {
      if (d > (1LL << 31)) continue;
      for (std::uint32_t a : {0u, 1u, kTop - 1, kTop}) check(a, d);
    }
  }
}

TEST(FastDivision, RefusesDivisorsOutOfRange) {
  EXPECT_THROW(fast_division(-1), Error);
  EXPECT_THROW(fast_division((1LL << 31) + 1), Error);
}

}  // namespace
}  // namespace quern
