#include "pipeline/host_expr.h"

#include <algorithm>

#include "base/error.h"
#include "ir/printer.h"

namespace quern::pipeline {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// What `e`, whose value fits into a wider integer, is as one of `dtype`.
PlanExpr wrapped(const PlanExpr& e, DType dtype) {
  const int bits = 8 * byte_size(dtype);
  if (is_bool(dtype) || bits == 64) return e;
  const std::int64_t values = std::int64_t{1} << bits;
  return is_unsigned_integer(dtype) ? e % values : (e + values / 2) % values - values / 2;
}

// Whether each value of `from` is one of `to`, or has the same 64 bits.
bool holds(DType to, DType from) {
  if (is_bool(from) || byte_size(to) == 8) return true;
  if (is_signed_integer(from) == is_signed_integer(to)) return byte_size(from) <= byte_size(to);
  return is_unsigned_integer(from) && byte_size(from) < byte_size(to);
}

// Whether the function sees the sign that 64 bits of an unsigned number do not have.
bool sees_sign(Op op) {
  switch (op) {
    case Op::floor_div:
    case Op::mod:
    case Op::lt:
    case Op::le:
    case Op::gt:
    case Op::ge:
    case Op::min:
    case Op::max:
    case Op::shift_right:
      return true;
    default:
      return false;
  }
}

class Converter {
 public:
  explicit Converter(const Program& program) : program_(program) {}

  PlanExpr convert(const Expr& e) const {
    if (const auto value = as_integer(e)) return PlanExpr(*value);
    if (is_constant(e)) refuse(e);
    if (e->kind == ExprKind::variable) return symbol(e->var);
    if (e->kind == ExprKind::cast) return cast(e);
    ensure(e->kind == ExprKind::call, "the host computes with sizes alone");
    return call(e);
  }

 private:
  [[noreturn]] void refuse(const Expr& e) const {
    fail(
        "a size, range or fact of '{}' takes '{}' in {}; a call computes them in integers alone, and only its sums, "
        "products, bits and equality in u64; write it in i64, or give the symbols numbers",
        program_.name, to_string(e), name(e->kind == ExprKind::call ? e->args.back()->dtype : e->dtype));
  }

  PlanExpr symbol(const VarRef& var) const {
    const auto at = std::ranges::find(program_.symbols, var);
    ensure(at != program_.symbols.end(), fmt::format("{} is a symbol of {}", var->name, program_.name));
    return PlanExpr::symbol(static_cast<int>(at - program_.symbols.begin()));
  }

  PlanExpr cast(const Expr& e) const {
    const DType from = e->args[0]->dtype;
    if (is_float(e->dtype)) refuse(e);
    const PlanExpr value = convert(e->args[0]);
    if (is_bool(e->dtype)) return is_bool(from) ? value : not_equal(value, 0);
    return holds(e->dtype, from) ? value : wrapped(value, e->dtype);
  }

  PlanExpr call(const Expr& e) const {
    const DType type = e->args.back()->dtype;
    if (is_float(type) || (type == DType::u64 && sees_sign(e->op))) refuse(e);
    if (row(e->op).expansion) return convert(row(e->op).expansion(e->args));
    std::vector<PlanExpr> operands;
    for (const Expr& arg : e->args) operands.push_back(convert(arg));
    return wrapped(operation(e->op, type, operands), e->dtype);
  }

  static PlanExpr operation(Op op, DType type, std::span<const PlanExpr> x) {
    switch (op) {
      case Op::neg:
        return PlanExpr(0) - x[0];
      case Op::abs:
        return is_signed_integer(type) ? max(x[0], PlanExpr(0) - x[0]) : x[0];
      case Op::gt:
        return less(x[1], x[0]);
      case Op::ge:
        return less_equal(x[1], x[0]);
      case Op::logical_not:
        return equal(x[0], 0);
      case Op::bit_not:
        return is_bool(type) ? equal(x[0], 0) : PlanExpr(-1) - x[0];
      default:
        return PlanExpr::make(plan_op(op), x);
    }
  }

  static PlanOp plan_op(Op op) {
    switch (op) {
      case Op::add:
        return PlanOp::add;
      case Op::sub:
        return PlanOp::sub;
      case Op::mul:
        return PlanOp::mul;
      case Op::floor_div:
        return PlanOp::floor_div;
      case Op::mod:
        return PlanOp::mod;
      case Op::min:
        return PlanOp::min;
      case Op::max:
        return PlanOp::max;
      case Op::eq:
        return PlanOp::eq;
      case Op::ne:
        return PlanOp::ne;
      case Op::lt:
        return PlanOp::lt;
      case Op::le:
        return PlanOp::le;
      case Op::logical_and:
        return PlanOp::logical_and;
      case Op::logical_or:
        return PlanOp::logical_or;
      case Op::bit_and:
        return PlanOp::bit_and;
      case Op::bit_or:
        return PlanOp::bit_or;
      case Op::bit_xor:
        return PlanOp::bit_xor;
      case Op::shift_left:
        return PlanOp::shift_left;
      case Op::shift_right:
        return PlanOp::shift_right;
      case Op::select:
        return PlanOp::select;
      default:
        throw InternalError(fmt::format("integers have no {}", row(op).name));
    }
  }

  const Program& program_;
};

}  // namespace

PlanExpr host_expr(const Expr& e, const Program& program) { return Converter(program).convert(e); }

}  // namespace quern::pipeline
