// Random index arithmetic: what simplify, range, divisor, prove and linear say holds at every sampled point.
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "ir/printer.h"
#include "ir/scalar.h"
#include "ir/simplify.h"

namespace quern::ir {
namespace {

using Point = std::vector<std::pair<VarRef, std::int64_t>>;

std::int64_t value_at(const Expr& e, const Point& point) {
  if (e->kind == ExprKind::constant) return e->integer;
  if (e->kind == ExprKind::variable) {
    for (const auto& [var, value] : point) {
      if (var == e->var) return value;
    }
    throw std::logic_error("unbound " + e->var->name);
  }
  if (e->kind == ExprKind::cast)
    return convert(e->dtype, e->args[0]->dtype, {.integer = value_at(e->args[0], point)}).integer;
  std::vector<Scalar> operands;
  for (const Expr& arg : e->args) operands.push_back({.integer = value_at(arg, point)});
  return fit(e->dtype, row(e->op).reference(e->args.back()->dtype, operands)).integer;
}

// A scope: symbols n (any), m (a multiple of 4), axes i < n, j < m, k in 0..6, t in -3..9, b < ceil_div(n, 4), and r
// below what is left of n from 4 * b.
struct World {
  VarRef n = make_var("n"), m = make_var("m"), i = make_var("i"), j = make_var("j"), k = make_var("k");
  VarRef t = make_var("t"), b = make_var("b"), r = make_var("r"), s = make_var("s", DType::i32);
  Assumptions known = Assumptions()
                          .with_at_least(n, 0)
                          .with_at_least(m, 0)
                          .with(equals(mod(m, 4), 0))
                          .with({i, 0, Expr(n)})
                          .with({j, 0, Expr(m)})
                          .with({k, 0, 6})
                          .with({t, -3, 9})
                          .with({b, 0, ceil_div(n, 4)})
                          .with({r, 0, min(4, Expr(n) - Expr(b) * 4)})
                          .with(Axis{s, 0, 8});

  std::vector<VarRef> variables() const { return {n, m, i, j, k, t, b, r}; }

  Point sample(std::mt19937_64& random) const {
    const auto below = [&](std::int64_t limit) {
      return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    const std::int64_t n_value = 1 + below(9), m_value = 4 + 4 * below(3), b_value = below((n_value + 3) / 4);
    return {{n, n_value},        {m, m_value},
            {i, below(n_value)}, {j, below(m_value)},
            {k, below(6)},       {t, below(12) - 3},
            {b, b_value},        {r, below(std::min<std::int64_t>(4, n_value - 4 * b_value))},
            {s, below(8)}};
  }
};

class Maker {
 public:
  Maker(const World& world, std::uint64_t seed) : world_(world), random_(seed) {}

  Expr integer(int depth) {
    if (depth == 0) return leaf();
    const auto sub = [&] { return integer(depth - 1); };
    switch (random_() % 16) {
      case 0:
      case 1:
      case 2:
        return binary(Op::add, depth);
      case 3:
      case 4:
        return binary(Op::sub, depth);
      case 5:
      case 6:
        return sub() * number();
      case 7:
        return binary(Op::mul, depth - 1);
      case 8:
      case 9:
        return div(sub(), divisor());
      case 10:
      case 11:
        return mod(sub(), divisor());
      case 12:
        return binary(random_() % 2 ? Op::min : Op::max, depth);
      case 13: {
        const Expr c = condition(depth - 1);
        const Expr x = sub();
        return select(c, x, sub());
      }
      case 14: {
        const Expr x = sub();
        const Expr c = divisor();
        return div(x, c) * c + mod(x, c);
      }
      default:
        return leaf();
    }
  }

  Expr condition(int depth) {
    if (depth > 1 && random_() % 3 == 0) {
      const Expr a = condition(depth - 1);
      const Expr b = condition(depth - 1);
      switch (random_() % 3) {
        case 0:
          return both(a, b);
        case 1:
          return either(a, b);
        default:
          return negate(a);
      }
    }
    const Op ops[] = {Op::lt, Op::le, Op::gt, Op::ge, Op::eq, Op::ne};
    return binary(ops[random_() % 6], depth);
  }

 private:
  Expr binary(Op op, int depth) {
    const Expr a = integer(std::max(depth - 1, 0));
    return call(op, {a, integer(std::max(depth - 1, 0))});
  }
  Expr leaf() {
    const auto variables = world_.variables();
    const std::uint64_t choice = random_() % (variables.size() + 2);
    if (choice < variables.size()) return variables[choice];
    return choice == variables.size() ? number() : cast(DType::i64, world_.s);
  }
  Expr number() { return static_cast<std::int64_t>(random_() % 13) - 4; }
  Expr divisor() {
    const std::int64_t constants[] = {1, 2, 3, 4, 6, 8, 12};
    const std::uint64_t choice = random_() % 10;
    if (choice < 7) return constants[choice];
    return choice == 7 ? Expr(world_.n) : choice == 8 ? Expr(world_.m) : number();
  }

  const World& world_;
  std::mt19937_64 random_;
};

TEST(IndexArithmetic, HoldsAtEveryPoint) {
  const World world;
  for (std::uint64_t seed = 0; seed < 1200; ++seed) {
    Maker maker(world, seed);
    const Expr e = maker.integer(2 + static_cast<int>(seed % 4));
    const Expr simple = simplify(e, world.known);
    const Interval values = range(e, world.known);
    const std::int64_t d = divisor(e, world.known);
    const auto parts = linear(e, std::vector{world.i, world.k}, world.known);
    std::mt19937_64 random(seed);
    for (int n = 0; n < 40; ++n) {
      const Point point = world.sample(random);
      const std::int64_t value = value_at(e, point);
      const std::string where = "seed " + std::to_string(seed) + ": " + to_string(e) + " = " + std::to_string(value) +
                                "\n  simplified " + to_string(simple);
      ASSERT_EQ(value, value_at(simple, point)) << where;
      ASSERT_TRUE((!values.lo || *values.lo <= value) && (!values.hi || value <= *values.hi))
          << where << "\n  range " << values.lo.value_or(-999) << " .. " << values.hi.value_or(999);
      ASSERT_TRUE(d == 0 ? value == 0 : value % d == 0) << where << "\n  divisor " << d;
      if (parts) {
        std::int64_t sum = value_at(parts->rest, point);
        sum += value_at(parts->coefficients[0], point) * value_at(world.i, point);
        sum += value_at(parts->coefficients[1], point) * value_at(world.k, point);
        ASSERT_EQ(sum, value) << where;
      }
    }
  }
}

TEST(IndexArithmetic, ConditionsKeepTheirTruth) {
  const World world;
  int proven = 0;
  for (std::uint64_t seed = 0; seed < 1200; ++seed) {
    Maker maker(world, seed + 100000);
    const Expr e = maker.condition(2 + static_cast<int>(seed % 4));
    const Expr simple = simplify(e, world.known);
    proven += is_constant(simple) ? 1 : 0;
    std::mt19937_64 random(seed);
    for (int n = 0; n < 40; ++n) {
      const Point point = world.sample(random);
      ASSERT_EQ(value_at(e, point), value_at(simple, point))
          << "seed " << seed << ": " << to_string(e) << "\n  simplified " << to_string(simple);
    }
  }
  EXPECT_GT(proven, 100);
}

TEST(IndexArithmetic, SimplifyIsDoneAfterOnce) {
  const World world;
  int again = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    Maker maker(world, seed);
    const Expr once = simplify(maker.integer(4), world.known);
    again += to_string(simplify(once, world.known)) != to_string(once) ? 1 : 0;
  }
  // Rules that need others' results first may find more; they are few.
  EXPECT_LE(again, 8);
}

}  // namespace
}  // namespace quern::ir
