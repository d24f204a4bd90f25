#include "api/expr.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "ir/scalar.h"
#include "ir/scalar_functions.h"
#include "ir/tensor.h"

namespace quern {
namespace {

using api::unwrap;
using api::wrap;

Expr number(ir::Expr constant) { return {std::make_shared<const ir::Expr>(std::move(constant)), true}; }

std::string_view sign_of(ir::Op op) {
  const ir::ScalarFunction& function = ir::row(op);
  return function.notation.empty() ? function.name : function.notation;
}

// An operation on numbers without dtypes is one, save what gives a bool.
Expr fold(ir::Op op, const std::vector<Expr>& operands) {
  const bool real = ir::row(op).types == ir::TypeRule::floating ||
                    std::any_of(operands.begin(), operands.end(), [](const Expr& e) { return is_float(e.dtype()); });
  const DType dtype = real ? DType::f64 : DType::i64;
  const std::optional<DType> result = ir::result_type(op, std::vector<DType>(operands.size(), dtype));
  if (!result)
    fail("'{}' does not take the numbers {} and the like; give them a dtype", sign_of(op), operands[0].text());
  std::vector<ir::Scalar> values;
  for (const Expr& operand : operands) {
    const ir::Node& node = *operand.ir();
    values.push_back({node.integer, is_float(node.dtype) ? node.real : static_cast<double>(node.integer)});
  }
  const ir::Scalar value = ir::fit(*result, ir::row(op).reference(dtype, values));
  if (is_bool(*result)) return wrap(ir::boolean(value.integer != 0));
  return number(real ? ir::constant(DType::f64, value.real) : ir::constant(DType::i64, value.integer));
}

std::string listed(const std::vector<DType>& types) {
  std::string text;
  for (const DType type : types) text += fmt::format("{}{}", text.empty() ? "" : " and ", name(type));
  return text;
}

std::string_view admitted(ir::TypeRule rule) {
  switch (rule) {
    case ir::TypeRule::floating:
      return "floats";
    case ir::TypeRule::integral:
      return "integers";
    case ir::TypeRule::integral_or_bool:
      return "integers or bool";
    case ir::TypeRule::logical:
      return "bool";
    default:
      return "numbers";
  }
}

// What to write instead where an operation refuses a dtype.
std::string_view way_out(ir::Op op, DType given) {
  if (op == ir::Op::div && is_integer(given))
    return "floor_div divides integers, or convert, as in cast(DType::f32, x)";
  if (op == ir::Op::floor_div && is_float(given)) return "floor(a / b) rounds a float quotient down";
  if (op == ir::Op::mod && is_float(given)) return "a - floor(a / b) * b is the remainder of floats";
  if (ir::row(op).types == ir::TypeRule::logical) return "compare, as in x != 0";
  return ir::row(op).types == ir::TypeRule::floating ? "convert, as in cast(DType::f32, x), or take another dtype"
                                                     : "convert, as in cast(DType::i32, x), or take another dtype";
}

[[noreturn]] void fail_types(ir::Op op, const std::vector<DType>& types) {
  const std::size_t first = ir::row(op).types == ir::TypeRule::select ? 1 : 0;
  if (first == 1 && !is_bool(types[0])) {
    fail("the condition of select is {}, not bool; compare it, as in x != 0", name(types[0]));
  }
  const bool alike = std::all_of(types.begin() + static_cast<std::ptrdiff_t>(first), types.end(),
                                 [&](DType type) { return type == types[first]; });
  if (!alike) {
    fail("the operands of '{}' are {}; convert one, as in cast(DType::{}, x)", sign_of(op), listed(types),
         name(types[first]));
  }
  fail("'{}' takes {}, not {}; {}", sign_of(op), admitted(ir::row(op).types), name(types[first]),
       way_out(op, types[first]));
}

Expr call_op(ir::Op op, const std::vector<Expr>& operands) {
  const ir::TypeRule rule = ir::row(op).types;
  const std::size_t first = rule == ir::TypeRule::select ? 1 : 0;
  std::optional<DType> dtype;
  for (std::size_t i = first; i < operands.size() && !dtype; ++i) {
    if (!operands[i].untyped()) dtype = operands[i].dtype();
  }
  if (!dtype && first == 0) return fold(op, operands);
  if (!dtype) dtype = is_float(operands[1].dtype()) || is_float(operands[2].dtype()) ? DType::f32 : DType::i64;
  std::vector<ir::Expr> args;
  std::vector<DType> types;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    args.push_back(unwrap(operands[i], i < first ? DType::boolean : *dtype));
    types.push_back(args.back()->dtype);
  }
  if (!ir::result_type(op, types)) fail_types(op, types);
  return wrap(ir::call(op, std::move(args)));
}

}  // namespace

namespace api {

Expr wrap(ir::Expr e) {
  // Before it grows beyond what recursion takes.
  if (e->depth > ir::kMaxDepth) {
    fail("an expression is nested {} deep, at most {} are allowed; give parts of it definitions of their own", e->depth,
         ir::kMaxDepth);
  }
  return {std::make_shared<const ir::Expr>(std::move(e)), false};
}

std::vector<Expr> wrap(const std::vector<ir::Expr>& list) {
  std::vector<Expr> result;
  result.reserve(list.size());
  for (const ir::Expr& e : list) result.push_back(wrap(e));
  return result;
}

ir::Expr unwrap(const Expr& e) { return e.untyped() ? unwrap(e, e.dtype()) : e.ir(); }

ir::Expr unwrap(const Expr& e, DType expected) {
  if (!e.untyped()) return e.ir();
  const ir::Node& node = *e.ir();
  if (is_bool(expected)) fail("the number {} stands where a bool is needed; write true or false", e.text());
  if (is_float(expected)) {
    return ir::constant(expected, is_float(node.dtype) ? node.real : static_cast<double>(node.integer));
  }
  if (is_float(node.dtype)) {
    fail("the float {} stands where the dtype is {}; convert one side, as in cast(DType::f32, x)", e.text(),
         name(expected));
  }
  const ir::Expr value = ir::constant(expected, node.integer);
  if (value->integer != node.integer || (is_unsigned_integer(expected) && node.integer < 0)) {
    fail("{} does not fit {}", e.text(), name(expected));
  }
  return value;
}

ir::Expr unwrap_known(const Expr& e, std::string_view what) {
  if (!ir::is_of_variables(e.ir())) {
    fail(
        "{} is {}, which reads a tensor or reduces; sizes and facts are of numbers and symbols: give the value a "
        "symbol of its own",
        what, e.text());
  }
  return unwrap(e);
}

ir::Expr unwrap_size(const Expr& e, std::string_view what) {
  ir::Expr size = unwrap_known(e, what);
  if (size->dtype != DType::i64) fail("{} is {} of {}; a size is an i64", what, e.text(), name(size->dtype));
  return size;
}

std::vector<ir::Expr> unwrap_sizes(const std::vector<Dim>& sizes, std::string_view what) {
  std::vector<ir::Expr> result;
  result.reserve(sizes.size());
  for (const Dim& size : sizes) result.push_back(unwrap_size(size, what));
  return result;
}

ir::Axis unwrap(const Axis& axis, std::string_view owner) {
  const std::string what = fmt::format("an end of axis {} of {}", axis.name(), owner);
  return {axis.variable(), unwrap_size(axis.lo(), what), unwrap_size(axis.hi(), what)};
}

}  // namespace api

Expr Expr::boolean(bool value) { return wrap(ir::boolean(value)); }
Expr Expr::integer(std::int64_t value) { return number(ir::constant(DType::i64, value)); }
Expr Expr::natural(std::uint64_t value) { return wrap(ir::constant(DType::u64, static_cast<std::int64_t>(value))); }
Expr Expr::real(double value) { return number(ir::constant(DType::f64, value)); }

DType Expr::dtype() const {
  const DType dtype = (*expr_)->dtype;
  return untyped_ && is_float(dtype) ? DType::f32 : dtype;
}

std::optional<std::int64_t> Expr::as_integer() const { return ir::as_integer(*expr_); }

std::string Expr::text() const {
  ir::Names names;
  return ir::to_string(*expr_, names, (*expr_)->dtype);
}

Read::Read(Expr read) : Expr(std::move(read)) {}

Read Read::or_else(const Expr& fill) const {
  const ir::Node& node = *ir();
  ir::Expr value = unwrap(fill, node.dtype);
  if (value->dtype != node.dtype) {
    fail("{} is {}, the value outside is {}; write cast(DType::{}, x)", node.tensor->name, name(node.dtype),
         name(value->dtype), name(node.dtype));
  }
  return Read(wrap(ir::read(node.tensor, node.args, std::move(value))));
}

Axis::Axis(std::string name, Dim lo, Dim hi)
    : variable_(ir::make_var(std::move(name))), lo_(std::move(lo)), hi_(std::move(hi)) {}

Axis::operator Expr() const { return wrap(ir::Expr(variable_)); }

const std::string& Axis::name() const { return variable_->name; }

Expr reduce(std::string_view reducer, const std::vector<Axis>& axes, const Expr& e, const ReduceOptions& options) {
  const std::optional<ir::Reducer> found = ir::parse_reducer(reducer);
  if (!found) {
    std::string known;
    for (const ir::ReducerRow& row : ir::reducers()) known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
    fail("unknown reducer '{}'; known: {}, and mean of a tensor", reducer, known);
  }
  if (axes.empty()) fail("{} reduces over no axis; name at least one", reducer);
  ir::Expr element = unwrap(e);
  if (!ir::row(*found).accepts(element->dtype)) {
    const std::string_view taken = ir::row(*found).accepts(DType::boolean) ? "boolean" : "f32";
    fail("{} does not reduce {}; convert it, as in cast(DType::{}, x), or take another dtype", reducer,
         name(element->dtype), taken);
  }
  std::vector<ir::Axis> ranges;
  ranges.reserve(axes.size());
  for (const Axis& axis : axes) ranges.push_back(unwrap(axis, reducer));
  ir::Expr where;
  if (options.where) {
    where = unwrap(*options.where, DType::boolean);
    if (!is_bool(where->dtype)) fail("the condition of {} is {}, not bool", reducer, name(where->dtype));
  }
  static_assert(static_cast<int>(Grade::tf32) == static_cast<int>(ir::Grade::tf32) &&
                static_cast<int>(Order::fixed) == static_cast<int>(ir::Order::fixed));
  const ir::Contract contract{options.accumulator, static_cast<ir::Grade>(options.grade),
                              static_cast<ir::Order>(options.order)};
  return wrap(ir::reduce(*found, std::move(ranges), {std::move(element)}, std::move(where), contract));
}

Expr sum(const std::vector<Axis>& axes, const Expr& e, const ReduceOptions& options) {
  return reduce("sum", axes, e, options);
}

Expr call(std::string_view function, const std::vector<Expr>& operands) {
  // Operators have names too here, where they have no notation.
  const auto rows = ir::scalar_functions();
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.name == function; });
  if (found == rows.end()) {
    std::string known;
    for (const ir::ScalarFunction& row : rows) known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
    fail("unknown function '{}'; known: {}", function, known);
  }
  const auto arity = static_cast<std::size_t>(found->arity);
  if (operands.size() != arity) {
    fail("{} takes {} operand{}, here {} {}", function, arity, arity == 1 ? "" : "s",
         operands.size() == 1 ? "is" : "are", operands.size());
  }
  return call_op(found->op, operands);
}

Expr cast(DType dtype, const Expr& e) {
  // A number takes the dtype unless that would lose what it is.
  const bool takes = e.untyped() && (is_float(dtype) || (is_integer(dtype) && !is_float(e.dtype())));
  return wrap(ir::cast(dtype, takes ? unwrap(e, dtype) : unwrap(e)));
}

Expr select(const Expr& condition, const Expr& yes, const Expr& no) {
  return call_op(ir::Op::select, {condition, yes, no});
}

Expr operator+(const Expr& a, const Expr& b) { return call_op(ir::Op::add, {a, b}); }
Expr operator-(const Expr& a, const Expr& b) { return call_op(ir::Op::sub, {a, b}); }
Expr operator*(const Expr& a, const Expr& b) { return call_op(ir::Op::mul, {a, b}); }
Expr operator/(const Expr& a, const Expr& b) { return call_op(ir::Op::div, {a, b}); }
Expr operator%(const Expr& a, const Expr& b) { return call_op(ir::Op::mod, {a, b}); }
Expr operator-(const Expr& a) { return call_op(ir::Op::neg, {a}); }
Expr floor_div(const Expr& a, const Expr& b) { return call_op(ir::Op::floor_div, {a, b}); }

Expr operator==(const Expr& a, const Expr& b) { return call_op(ir::Op::eq, {a, b}); }
Expr operator!=(const Expr& a, const Expr& b) { return call_op(ir::Op::ne, {a, b}); }
Expr operator<(const Expr& a, const Expr& b) { return call_op(ir::Op::lt, {a, b}); }
Expr operator<=(const Expr& a, const Expr& b) { return call_op(ir::Op::le, {a, b}); }
Expr operator>(const Expr& a, const Expr& b) { return call_op(ir::Op::gt, {a, b}); }
Expr operator>=(const Expr& a, const Expr& b) { return call_op(ir::Op::ge, {a, b}); }
Expr operator&&(const Expr& a, const Expr& b) { return call_op(ir::Op::logical_and, {a, b}); }
Expr operator||(const Expr& a, const Expr& b) { return call_op(ir::Op::logical_or, {a, b}); }
Expr operator!(const Expr& a) { return call_op(ir::Op::logical_not, {a}); }

Expr operator&(const Expr& a, const Expr& b) { return call_op(ir::Op::bit_and, {a, b}); }
Expr operator|(const Expr& a, const Expr& b) { return call_op(ir::Op::bit_or, {a, b}); }
Expr operator^(const Expr& a, const Expr& b) { return call_op(ir::Op::bit_xor, {a, b}); }
Expr operator~(const Expr& a) { return call_op(ir::Op::bit_not, {a}); }
Expr operator<<(const Expr& a, const Expr& b) { return call_op(ir::Op::shift_left, {a, b}); }
Expr operator>>(const Expr& a, const Expr& b) { return call_op(ir::Op::shift_right, {a, b}); }

Expr min(const Expr& a, const Expr& b) { return call_op(ir::Op::min, {a, b}); }
Expr max(const Expr& a, const Expr& b) { return call_op(ir::Op::max, {a, b}); }
Expr clamp(const Expr& x, const Expr& low, const Expr& high) { return call_op(ir::Op::clamp, {x, low, high}); }
Expr abs(const Expr& x) { return call_op(ir::Op::abs, {x}); }
Expr sign(const Expr& x) { return call_op(ir::Op::sign, {x}); }
Expr relu(const Expr& x) { return call_op(ir::Op::relu, {x}); }

Expr floor(const Expr& x) { return call_op(ir::Op::floor, {x}); }
Expr ceil(const Expr& x) { return call_op(ir::Op::ceil, {x}); }
Expr round(const Expr& x) { return call_op(ir::Op::round, {x}); }
Expr exp(const Expr& x) { return call_op(ir::Op::exp, {x}); }
Expr exp2(const Expr& x) { return call_op(ir::Op::exp2, {x}); }
Expr exp2_flush(const Expr& x) { return call_op(ir::Op::exp2_flush, {x}); }
Expr log(const Expr& x) { return call_op(ir::Op::log, {x}); }
Expr log1p(const Expr& x) { return call_op(ir::Op::log1p, {x}); }
Expr expm1(const Expr& x) { return call_op(ir::Op::expm1, {x}); }
Expr sqrt(const Expr& x) { return call_op(ir::Op::sqrt, {x}); }
Expr rcp_flush(const Expr& x) { return call_op(ir::Op::rcp_flush, {x}); }
Expr rsqrt(const Expr& x) { return call_op(ir::Op::rsqrt, {x}); }
Expr pow(const Expr& x, const Expr& y) { return call_op(ir::Op::pow, {x, y}); }
Expr sin(const Expr& x) { return call_op(ir::Op::sin, {x}); }
Expr cos(const Expr& x) { return call_op(ir::Op::cos, {x}); }
Expr tanh(const Expr& x) { return call_op(ir::Op::tanh, {x}); }
Expr erf(const Expr& x) { return call_op(ir::Op::erf, {x}); }
Expr sigmoid(const Expr& x) { return call_op(ir::Op::sigmoid, {x}); }
Expr gelu(const Expr& x) { return call_op(ir::Op::gelu, {x}); }
Expr gelu_tanh(const Expr& x) { return call_op(ir::Op::gelu_tanh, {x}); }
Expr silu(const Expr& x) { return call_op(ir::Op::silu, {x}); }
Expr softplus(const Expr& x) { return call_op(ir::Op::softplus, {x}); }

}  // namespace quern
