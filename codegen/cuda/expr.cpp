#include "codegen/cuda/expr.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codegen/cuda/types.h"
#include "ir/kernel.h"
#include "ir/scalar.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// Whether a value of type `from` is converted to i64 without being changed.
bool widens_to_i64(DType from) { return promotes_to_int(from) || from == DType::u32 || from == DType::i64; }

struct Infix {
  Op op;
  std::string_view symbol;
  Binding binding;
};

constexpr Infix kInfix[] = {
    {Op::add, "+", Binding::additive},
    {Op::sub, "-", Binding::additive},
    {Op::mul, "*", Binding::multiplicative},
    {Op::div, "/", Binding::multiplicative},
    {Op::floor_div, "/", Binding::multiplicative},
    {Op::mod, "%", Binding::multiplicative},
    {Op::eq, "==", Binding::equality},
    {Op::ne, "!=", Binding::equality},
    {Op::lt, "<", Binding::relational},
    {Op::le, "<=", Binding::relational},
    {Op::gt, ">", Binding::relational},
    {Op::ge, ">=", Binding::relational},
    {Op::logical_and, "&&", Binding::logical_and},
    {Op::logical_or, "||", Binding::logical_or},
    {Op::bit_and, "&", Binding::bit_and},
    {Op::bit_or, "|", Binding::bit_or},
    {Op::bit_xor, "^", Binding::bit_xor},
    {Op::shift_left, "<<", Binding::shift},
    {Op::shift_right, ">>", Binding::shift},
};

const Infix& infix_of(Op op) {
  const auto* found = std::ranges::find(kInfix, op, &Infix::op);
  ensure(found != std::end(kInfix), "the operation has an infix operator in C++");
  return *found;
}

// Readers know the precedence of arithmetic and comparisons, not that of shifts and bit operations.
bool wants_parentheses(Binding outer, Binding inner) {
  const auto is_bits = [](Binding b) {
    return b == Binding::bit_and || b == Binding::bit_or || b == Binding::bit_xor || b == Binding::shift;
  };
  if (inner >= Binding::prefix) return false;
  if (outer == Binding::logical_or) return inner == Binding::logical_and;
  return (is_bits(outer) && inner != outer) || (is_bits(inner) && outer != inner && outer > Binding::logical_and);
}

}  // namespace

bool promotes_to_int(DType dtype) {
  return is_bool(dtype) || dtype == DType::i32 || (is_integer(dtype) && byte_size(dtype) < 4);
}

std::string parenthesised(const Text& text, Binding least) {
  return text.binding < least ? "(" + text.text + ")" : text.text;
}

bool is_scalar(const Tensor& tensor) {
  const Buffer& buffer = as_buffer(tensor);
  return buffer.space == Space::fragment && span_of(buffer.layout, Place::address) == 1;
}

std::string ExprPrinter::value(const Expr& e) { return print(e).text; }
std::string ExprPrinter::exact(const Expr& e) { return print_exact(e).text; }
std::string ExprPrinter::operand(const Expr& e, Binding least) { return parenthesised(print(e), least); }

std::string ExprPrinter::place(const TensorRef& buffer, const Expr& index) {
  const std::string& name = names_.of(buffer);
  return is_scalar(*buffer) ? name : fmt::format("{}[{}]", name, value(index));
}

std::string ExprPrinter::address(const TensorRef& buffer, const Expr& index) {
  if (is_integer(index, 0) && !is_scalar(*buffer)) return names_.of(buffer);
  return "&" + place(buffer, index);
}

Text ExprPrinter::print(const Expr& e) {
  switch (e->kind) {
    case ExprKind::constant: {
      const bool is_int = promotes_to_int(e->dtype) && !is_bool(e->dtype);
      std::string text = literal(*e, false);
      const bool is_long = e->dtype == DType::i64 && text.find("ll") != text.npos;
      const Binding binding = text[0] == '-' ? Binding::prefix : Binding::primary;
      return {std::move(text), binding, is_int || (e->dtype == DType::i64 && !is_long) ? DType::i32 : e->dtype};
    }
    case ExprKind::variable:
      return {names_.of(e->var), Binding::primary, e->dtype};
    case ExprKind::read: {
      ensure(!e->fill, "reads in thread form have no fill");
      std::string text = place(e->tensor, e->args[0]);
      if (is_bool(e->dtype)) return {text + " != 0", Binding::equality, e->dtype};
      return {std::move(text), Binding::primary, e->dtype};
    }
    case ExprKind::cast:
      return print_cast(e);
    case ExprKind::call:
      return print_call(e);
    case ExprKind::reduce:
      break;
  }
  unreachable("thread form has no reductions");
}

Text ExprPrinter::print_exact(const Expr& e) {
  Text text = print(e);
  if (text.type == e->dtype) return text;
  if (is_constant(e) && e->dtype == DType::i64) {
    return {literal(*e, true), e->integer < 0 ? Binding::prefix : Binding::primary, e->dtype};
  }
  return {fmt::format("({}){}", value_type(e->dtype), parenthesised(text, Binding::prefix)), Binding::prefix, e->dtype};
}

Text ExprPrinter::function(std::string_view name, const std::string& argument, DType type) {
  return {fmt::format("{}({})", name, argument), Binding::primary, type};
}

// --- Conversions ----------------------------------------------------------------------------------------------------

Text ExprPrinter::print_cast(const Expr& e) {
  const Expr& from = e->args[0];
  const DType to = e->dtype;
  if (is_narrow_float(from->dtype)) {
    const Text wide = widened(from);
    if (to == DType::f32) return wide;
    if (is_narrow_float(to)) return function(fmt::format("to_{}", name(to)), wide.text, to);
    if (is_integer(to)) return function(fmt::format("to_{}", name(to)), wide.text, to);
    if (is_bool(to)) return {parenthesised(wide, Binding::equality) + " != 0.0f", Binding::equality, to};
    return {fmt::format("({}){}", value_type(to), parenthesised(wide, Binding::prefix)), Binding::prefix, to};
  }
  if (is_narrow_float(to)) {
    std::string argument = exact(from);
    if (from->dtype != DType::f32) {
      // What a float does not hold exactly must not be rounded twice.
      const bool is_exact = is_bool(from->dtype) || (is_integer(from->dtype) && byte_size(from->dtype) < 4);
      argument = is_exact ? "(float)" + operand(from, Binding::prefix) : fmt::format("round_to_odd({})", argument);
    }
    return function(fmt::format("to_{}", name(to)), argument, to);
  }
  if (is_integer(to) && is_float(from->dtype)) return function(fmt::format("to_{}", name(to)), exact(from), to);
  if (is_bool(to)) {
    const std::string zero = from->dtype == DType::f64 ? "0.0" : is_float(from->dtype) ? "0.0f" : "0";
    return {fmt::format("{} != {}", operand(from, Binding::relational), zero), Binding::equality, to};
  }
  Text inner = print(from);
  // The context converts where it needs 64 bits.
  if (to == DType::i64 && is_integer(from->dtype) && widens_to_i64(from->dtype) && widens_to_i64(inner.type))
    return inner;
  return {fmt::format("({}){}", value_type(to), parenthesised(inner, Binding::prefix)), Binding::prefix, to};
}

Text ExprPrinter::widened(const Expr& e) {
  if (!is_narrow_float(e->dtype)) return print_exact(e);
  if (is_constant(e)) {
    std::string text = float_literal(e->real, false);
    return {text, text[0] == '-' ? Binding::prefix : Binding::primary, DType::f32};
  }
  if (is_call(e, Op::select)) return print_select(e, &ExprPrinter::widened, DType::f32);
  return function("to_float", print(e).text, DType::f32);
}

// --- Operations -----------------------------------------------------------------------------------------------------

Text ExprPrinter::infix(const Text& a, std::string_view symbol, const Text& b, Binding binding, DType type) {
  const auto side = [&](const Text& text, Binding least) {
    return text.binding < least || wants_parentheses(binding, text.binding) ? "(" + text.text + ")" : text.text;
  };
  const Binding tighter = static_cast<Binding>(static_cast<int>(binding) + 1);
  // Comparisons do not chain.
  const bool is_comparison = binding == Binding::equality || binding == Binding::relational;
  const std::string left = side(a, is_comparison ? Binding::shift : binding);
  // Sums of integers may be grouped otherwise: they wrap, or are of places.
  const bool is_sum = symbol == "+" && is_integer(type) && a.type == b.type;
  std::string right = side(b, is_comparison ? Binding::shift : is_sum ? binding : tighter);
  if ((symbol == "+" || symbol == "-") && right[0] == '-') {
    // a + -b
    right.erase(0, 1);
    symbol = symbol == "+" ? "-" : "+";
    return {fmt::format("{} {} {}", left, symbol, right), binding, type};
  }
  return {fmt::format("{} {} {}", left, symbol, right), binding, type};
}

std::pair<Text, Text> ExprPrinter::unified(const Expr& a, const Expr& b, DType least) {
  Text x = print(a);
  Text y = print(b);
  const bool are_ints = promotes_to_int(x.type) && promotes_to_int(y.type);
  if (x.type == least || y.type == least || (are_ints && promotes_to_int(least))) {
    return {std::move(x), std::move(y)};
  }
  // A literal becomes a long one last.
  if (is_constant(a) && !is_constant(b)) return {std::move(x), print_exact(b)};
  return {print_exact(a), std::move(y)};
}

Text ExprPrinter::call(std::string_view function, const Expr& e, DType type) {
  std::string arguments;
  for (const Expr& arg : e->args) arguments += (arguments.empty() ? "" : ", ") + exact(arg);
  return {fmt::format("{}({})", function, arguments), Binding::primary, type};
}

Text ExprPrinter::print_call(const Expr& e) {
  const ScalarFunction& row = ir::row(e->op);
  const DType type = e->args.back()->dtype;
  switch (row.types) {
    case TypeRule::select:
      return print_select(e, &ExprPrinter::print, type);
    case TypeRule::comparison:
      return print_comparison(e);
    case TypeRule::logical: {
      if (e->op == Op::logical_not)
        return {"!" + operand(e->args[0], Binding::prefix), Binding::prefix, DType::boolean};
      const Infix& infix_row = infix_of(e->op);
      return infix(print(e->args[0]), infix_row.symbol, print(e->args[1]), infix_row.binding, DType::boolean);
    }
    default:
      break;
  }
  if (row.notation.empty() && row.cuda.empty()) {
    ensure(row.expansion != nullptr, fmt::format("{} has a spelling or an expansion", row.name));
    if (!is_narrow_float(type)) return print(row.expansion(e->args));
    // All steps in float, rounded once.
    std::vector<Expr> wide;
    for (const Expr& arg : e->args) wide.push_back(cast(DType::f32, arg));
    return function(fmt::format("to_{}", name(type)), print_exact(row.expansion(wide)).text, type);
  }
  if (is_narrow_float(type)) {
    return function(fmt::format("to_{}", name(type)), print_float(e, &ExprPrinter::widened, DType::f32).text, type);
  }
  return is_float(type) ? print_float(e, &ExprPrinter::print_exact, type) : print_integer(e);
}

Text ExprPrinter::print_select(const Expr& e, Text (ExprPrinter::*side)(const Expr&), DType type) {
  Text a = (this->*side)(e->args[1]);
  Text b = (this->*side)(e->args[2]);
  if (a.type != b.type && !(promotes_to_int(a.type) && promotes_to_int(b.type)) && a.type != type && b.type != type) {
    a = print_exact(e->args[1]);
  }
  const DType common = a.type == b.type                                     ? a.type
                       : promotes_to_int(a.type) && promotes_to_int(b.type) ? DType::i32
                                                                            : type;
  const Binding inside = Binding::logical_or;
  return {fmt::format("{} ? {} : {}", operand(e->args[0], inside), parenthesised(a, inside),
                      parenthesised(b, Binding::conditional)),
          Binding::conditional, common};
}

Text ExprPrinter::print_comparison(const Expr& e) {
  const Infix& row = infix_of(e->op);
  const DType type = e->args[0]->dtype;
  if (is_float(type)) return infix(widened(e->args[0]), row.symbol, widened(e->args[1]), row.binding, DType::boolean);
  Text a = print(e->args[0]);
  Text b = print(e->args[1]);
  if (a.type != b.type && !(promotes_to_int(a.type) && promotes_to_int(b.type))) {
    std::tie(a, b) = unified(e->args[0], e->args[1], type);
  }
  return infix(a, row.symbol, b, row.binding, DType::boolean);
}

Text ExprPrinter::print_float(const Expr& e, Text (ExprPrinter::*side)(const Expr&), DType type) {
  const ScalarFunction& row = ir::row(e->op);
  if (e->op == Op::neg) {
    const std::string text = parenthesised((this->*side)(e->args[0]), Binding::prefix);
    return {text[0] == '-' ? "-(" + text + ")" : "-" + text, Binding::prefix, type};
  }
  if (row.cuda.empty()) {
    const Infix& infix_row = infix_of(e->op);
    return infix((this->*side)(e->args[0]), infix_row.symbol, (this->*side)(e->args[1]), infix_row.binding, type);
  }
  const bool is_f64 = type == DType::f64 && !row.cuda_f64.empty();
  return print_spelling(is_f64 ? row.cuda_f64 : row.cuda, e, side, type);
}

// "{0}" stands for the first operand, and so on.
Text ExprPrinter::print_spelling(std::string_view spelling, const Expr& e, Text (ExprPrinter::*side)(const Expr&),
                                 DType type) {
  std::string text;
  while (!spelling.empty()) {
    if (spelling[0] != '{') {
      text += spelling[0];
      spelling.remove_prefix(1);
      continue;
    }
    const std::size_t index = static_cast<std::size_t>(spelling[1] - '0');
    // Where it is not a whole argument it may meet an operator.
    const bool is_argument = text.ends_with('(') || text.ends_with(", ");
    text += parenthesised((this->*side)(e->args[index]), is_argument ? Binding::conditional : Binding::primary);
    spelling.remove_prefix(3);
  }
  return {std::move(text), Binding::primary, type};
}

}  // namespace quern::codegen
