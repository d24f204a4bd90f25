// Integer arithmetic of ExprPrinter: what C++ does as the language says stands plainly, the rest calls the prelude.

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "codegen/cuda/expr.h"
#include "codegen/cuda/types.h"
#include "ir/scalar.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// C++ computes in these as the language does, modulo 2^n.
bool wraps_in_cpp(DType dtype) { return dtype == DType::u32 || dtype == DType::u64; }

int width_in_bits(DType dtype) { return 8 * byte_size(dtype); }

// The C++ type of arithmetic in the dtype.
DType arithmetic_type(DType dtype) { return byte_size(dtype) < 4 ? DType::i32 : dtype; }

struct Operator {
  std::string_view symbol;
  Binding binding;
  std::string_view wrapping;  // the prelude's function that wraps
};

Operator operator_of(Op op) {
  switch (op) {
    case Op::add:
      return {"+", Binding::additive, "wrap_add"};
    case Op::sub:
      return {"-", Binding::additive, "wrap_sub"};
    case Op::mul:
      return {"*", Binding::multiplicative, "wrap_mul"};
    default:
      unreachable("an integer operation without a printer");
  }
}

// Holds what an operation makes of two 64-bit integers.
__extension__ using Wide = __int128;

// Shifts are by constants from 0 to 63.
Wide unwrapped(Op op, Wide a, Wide b) {
  switch (op) {
    case Op::add:
      return a + b;
    case Op::sub:
      return a - b;
    case Op::mul:
      return a * b;
    case Op::neg:
      return -a;
    case Op::shift_left:
      return a * (Wide{1} << b);
    default:
      unreachable("an operation that may wrap");
  }
}

}  // namespace

// By the ranges of the operands: range() of the result is that of the wrapped one.
bool ExprPrinter::stays_in_range(const Expr& e) const {
  if (byte_size(e->dtype) >= 4 && index_math_.is_index(e)) return true;
  std::vector<Wide> ends[2] = {{0}, {0}};
  for (std::size_t i = 0; i < e->args.size(); ++i) {
    const Interval interval = range(e->args[i], assumptions);
    if (!interval.lo || !interval.hi) return false;
    ends[i] = {*interval.lo, *interval.hi};
  }
  // Monotone in each operand, so the extremes are reached at the ends.
  for (const Wide a : ends[0]) {
    for (const Wide b : ends[1]) {
      const Wide result = unwrapped(e->op, a, b);
      if (result < lowest_integer(e->dtype) || result > highest_integer(e->dtype)) return false;
    }
  }
  return true;
}

bool ExprPrinter::is_nonnegative(const Expr& e) const {
  const Interval interval = range(e, assumptions);
  if (is_unsigned_integer(e->dtype) || (interval.lo && *interval.lo >= 0)) return true;
  return grows(e) && std::ranges::all_of(e->args, [&](const Expr& arg) { return is_nonnegative(arg); });
}

bool ExprPrinter::is_positive(const Expr& e) const {
  const Interval interval = range(e, assumptions);
  if (interval.lo && *interval.lo > 0) return true;
  return grows(e) && e->kind == ExprKind::call && e->op == Op::add && is_nonnegative(e) &&
         std::ranges::any_of(e->args, [&](const Expr& arg) { return is_positive(arg); });
}

void ExprPrinter::learn(const VarRef& var, const Expr& value) {
  const bool nonnegative = is_nonnegative(value);
  assumptions = assumptions.with_value(var, value);
  if (nonnegative) assumptions = assumptions.with_at_least(var, 0);
}

// Whether `e` is no less than 0 where its operands are not: index arithmetic never wraps.
bool ExprPrinter::grows(const Expr& e) const {
  if (!index_math_.is_index(e)) return false;
  if (e->kind == ExprKind::cast) return is_integer(e->args[0]->dtype);
  if (e->kind != ExprKind::call) return false;
  return e->op == Op::add || e->op == Op::mul || e->op == Op::floor_div || e->op == Op::mod || e->op == Op::min ||
         e->op == Op::max;
}

Text ExprPrinter::print_integer(const Expr& e) {
  const DType type = e->dtype;
  switch (e->op) {
    case Op::floor_div:
    case Op::mod:
      return print_division(e);
    case Op::shift_left:
    case Op::shift_right:
      return print_shift(e);
    case Op::bit_and:
    case Op::bit_or:
    case Op::bit_xor:
    case Op::bit_not:
      return print_bits(e);
    case Op::neg: {
      if (!wraps_in_cpp(type) && !stays_in_range(e)) return call("wrap_neg", e, type);
      const std::string text = parenthesised(print_exact(e->args[0]), Binding::prefix);
      return {text[0] == '-' ? "-(" + text + ")" : "-" + text, Binding::prefix, arithmetic_type(type)};
    }
    case Op::add:
    case Op::sub:
    case Op::mul: {
      const auto [symbol, binding, wrapping] = operator_of(e->op);
      if (!wraps_in_cpp(type) && !stays_in_range(e)) return call(wrapping, e, type);
      const auto [a, b] = unified(e->args[0], e->args[1], type);
      return infix(a, symbol, b, binding, arithmetic_type(type));
    }
    default:
      return print_spelling(row(e->op).cuda, e, &ExprPrinter::print_exact, type);
  }
}

// C++ rounds towards zero, which is down where nothing is negative.
Text ExprPrinter::print_division(const Expr& e) {
  const bool of_sizes = is_nonnegative(e->args[0]) && is_nonnegative(e->args[1]);
  const bool is_plain = of_sizes && is_positive(e->args[1]);
  if (of_sizes && !is_plain && byte_size(e->dtype) >= 4) {
    return call(e->op == Op::mod ? "mod_sizes" : "div_sizes", e, e->dtype);
  }
  if (!is_plain) return print_spelling(row(e->op).cuda, e, &ExprPrinter::print_exact, e->dtype);
  // Nothing overflows here: operands that are ints are divided as such, several times faster than long ones.
  Text a = print(e->args[0]);
  Text b = print(e->args[1]);
  DType type = DType::i32;
  if (!promotes_to_int(a.type) || !promotes_to_int(b.type)) {
    std::tie(a, b) = unified(e->args[0], e->args[1], e->dtype);
    type = arithmetic_type(e->dtype);
  }
  return infix(a, e->op == Op::mod ? "%" : "/", b, Binding::multiplicative, type);
}

// C++ leaves shifts by the width and more undefined, and drops bits beyond a signed number's width.
Text ExprPrinter::print_shift(const Expr& e) {
  const auto amount = as_integer(e->args[1]);
  const bool is_left = e->op == Op::shift_left;
  const bool is_in_width = amount && *amount >= 0 && *amount < width_in_bits(e->dtype);
  if (!is_in_width || (is_left && !wraps_in_cpp(e->dtype) && !stays_in_range(e))) {
    return print_spelling(row(e->op).cuda, e, &ExprPrinter::print_exact, e->dtype);
  }
  const Text distance{fmt::format("{}", *amount), Binding::primary, DType::i32};
  return infix(print_exact(e->args[0]), is_left ? "<<" : ">>", distance, Binding::shift, arithmetic_type(e->dtype));
}

Text ExprPrinter::print_bits(const Expr& e) {
  if (e->op == Op::bit_not) return call("q_bit_not", e, e->dtype);
  // On bools they are what the logical operators are, without their order.
  const std::string_view symbol = e->op == Op::bit_and ? "&" : e->op == Op::bit_or ? "|" : "^";
  const Binding binding = e->op == Op::bit_and  ? Binding::bit_and
                          : e->op == Op::bit_or ? Binding::bit_or
                                                : Binding::bit_xor;
  const auto [a, b] = unified(e->args[0], e->args[1], e->dtype);
  return infix(a, symbol, b, binding, arithmetic_type(e->dtype));
}

}  // namespace quern::codegen
