// What the host computes at a call against the evaluator: the same integers, for every operation that it takes.

#include "pipeline/host_expr.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "base/error.h"
#include "ir/evaluate.h"
#include "ir/printer.h"
#include "ir/scalar_functions.h"

namespace quern::pipeline {
namespace {

using namespace ir;  // NOLINT: this file is about the language's nodes

constexpr std::array kIntegers = {DType::i8, DType::i16, DType::i32, DType::i64,
                                  DType::u8, DType::u16, DType::u32, DType::u64};
constexpr std::array kInAllIntegers = {Op::add, Op::sub,     Op::mul,       Op::neg,     Op::abs,
                                       Op::eq,  Op::bit_and, Op::bit_or,    Op::bit_xor, Op::bit_not,
                                       Op::ne,  Op::select,  Op::shift_left};
constexpr std::array kWithSign = {Op::floor_div, Op::mod, Op::lt,    Op::le,   Op::gt,   Op::ge,
                                  Op::min,       Op::max, Op::clamp, Op::sign, Op::relu, Op::shift_right};

class Maker {
 public:
  Maker(const Program& program, std::uint64_t seed) : program_(program), random_(seed) {}

  Expr integer(DType dtype, int depth) {
    if (depth == 0) return leaf(dtype);
    if (below(4) == 0)
      return ir::cast(dtype, below(5) == 0 ? condition(depth - 1) : integer(pick(kIntegers), depth - 1));
    const Op op = dtype == DType::u64 || below(2) == 0 ? pick(kInAllIntegers) : pick(kWithSign);
    if (row(op).types == TypeRule::comparison) return ir::cast(dtype, condition(depth));
    std::vector<Expr> args;
    if (op == Op::select) args.push_back(condition(depth - 1));
    while (static_cast<int>(args.size()) < row(op).arity) args.push_back(integer(dtype, depth - 1));
    return call(op, args);
  }

 private:
  Expr condition(int depth) {
    const DType dtype = pick(kIntegers);
    const auto number = [&] { return integer(dtype, std::max(depth - 1, 0)); };
    if (dtype == DType::u64) return call(below(2) == 0 ? Op::eq : Op::ne, {number(), number()});
    const Expr order = call(below(2) == 0 ? Op::lt : Op::ge, {number(), number()});
    if (below(3) == 0) return call(Op::logical_not, {order});
    return below(3) == 0
               ? call(below(2) == 0 ? Op::logical_and : Op::bit_xor, {order, ir::cast(DType::boolean, number())})
               : order;
  }

  Expr leaf(DType dtype) {
    if (below(3) == 0)
      return constant(dtype, static_cast<std::int64_t>(below(20)) - (is_signed_integer(dtype) ? 6 : 0));
    return ir::cast(dtype, Expr(program_.symbols[below(program_.symbols.size())]));
  }

  std::size_t below(std::size_t limit) { return random_() % limit; }
  template <typename T, std::size_t count>
  T pick(const std::array<T, count>& from) {
    return from[below(count)];
  }

  const Program& program_;
  std::mt19937_64 random_;
};

Program with_symbols() {
  Program program;
  program.name = "k";
  program.symbols = {make_var("n"), make_var("m")};
  return program;
}

TEST(HostExpr, ComputesWhatTheEvaluatorDoes) {
  const Program program = with_symbols();
  int depend = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Maker maker(program, seed);
    const Expr e = maker.integer(DType::i64, 1 + static_cast<int>(seed % 4));
    const PlanExpr host = host_expr(e, program);
    depend += !host.is_constant();
    for (const std::int64_t n :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{5}, std::int64_t{200}, std::int64_t{1} << 40}) {
      for (const std::int64_t m : {3, 64, 70000}) {
        const std::array symbols = {n, m};
        const std::array<std::pair<VarRef, Scalar>, 2> values = {
            {{program.symbols[0], {.integer = n}}, {program.symbols[1], {.integer = m}}}};
        ASSERT_EQ(evaluate(host, {symbols, {}}), evaluate_scalar(e, values).integer)
            << "seed " << seed << ", n = " << n << ", m = " << m << ": " << to_string(e);
      }
    }
  }
  EXPECT_GT(depend, 2000);
}

TEST(HostExpr, RefusesWhatLaunchPlansDoNotCompute) {
  const Program program = with_symbols();
  const Expr n(program.symbols[0]);
  const auto error = [&](const Expr& e) -> std::string {
    try {
      host_expr(e, program);
    } catch (const Error& refused) {
      return refused.what();
    }
    return "none";
  };
  const std::string rest =
      "; a call computes them in integers alone, and only its sums, products, bits and equality in u64; write it in "
      "i64, or give the symbols numbers";
  const Expr half = ir::cast(DType::f64, n) * constant(DType::f64, 0.5);
  EXPECT_EQ(error(ir::cast(DType::i64, half)), "a size, range or fact of 'k' takes 'f64(n) * 0.5' in f64" + rest);
  const Expr ordered = call(Op::floor_div, {ir::cast(DType::u64, n), constant(DType::u64, std::int64_t{3})});
  EXPECT_EQ(error(ir::cast(DType::i64, ordered)), "a size, range or fact of 'k' takes 'u64(n) // 3' in u64" + rest);
}

}  // namespace
}  // namespace quern::pipeline
