#include <vector>

#include "base/error.h"
#include "codegen/llvm/arithmetic.h"
#include "codegen/llvm/based.h"
#include "codegen/llvm/convert.h"
#include "codegen/llvm/emitter.h"

namespace quern::codegen {

using ir::Expr;
using ir::ExprKind;
using ir::Op;

Value KernelEmitter::expression(const Expr& e) {
  if (e->kind == ExprKind::constant) return literal(*e);
  if (e->kind == ExprKind::variable) {
    const auto found = variables_.find(e->var.get());
    ensure(found != variables_.end(), "a variable is defined before it is used");
    return found->second;
  }
  for (const Memo& layer : memo_) {
    if (const auto found = layer.find(e.get()); found != layer.end()) return found->second;
  }
  const Value value = evaluate(e);
  memo_.back().emplace(e.get(), value);
  return value;
}

Value KernelEmitter::literal(const ir::Node& node) {
  if (!is_float(node.dtype)) return lanes_.integer(node.dtype, node.integer);
  return lanes_.uniform(node.dtype, llvm::ConstantFP::get(lanes_.register_type(node.dtype), node.real));
}

Value KernelEmitter::evaluate(const Expr& e) {
  switch (e->kind) {
    case ExprKind::call:
      return call(e);
    case ExprKind::cast:
      return convert(lanes_, e->dtype, expression(e->args[0]));
    case ExprKind::read:
      ensure(!e->fill && e->args.size() == 1, "a read of thread form has one index and no fill");
      return load(place(*e->tensor, e->args[0]));
    default:
      throw InternalError("kernel '" + kernel_.name + "': an expression of thread form does not reduce");
  }
}

Value KernelEmitter::call(const Expr& e) {
  if (e->op == Op::select) return select(e);
  if (e->op == Op::logical_and || e->op == Op::logical_or) return logical(e);
  if (ir::row(e->op).expansion) return call_expanded(e);
  std::vector<Value> operands;
  for (const Expr& arg : e->args) operands.push_back(expression(arg));
  if (const auto value = apply_based(lanes_, e->op, operands)) return *value;
  return apply(lanes_, e->op, operands);
}

// The steps of an expansion of narrow floats are computed in f32: only the result is rounded.
Value KernelEmitter::call_expanded(const Expr& e) {
  const DType operand = e->args.back()->dtype;
  const bool narrow = is_float(operand) && byte_size(operand) < 4;
  Expr& expansion = expansions_[e.get()];
  if (!expansion) {
    std::vector<Expr> args;
    for (const Expr& arg : e->args) args.push_back(narrow && arg->dtype == operand ? ir::cast(DType::f32, arg) : arg);
    expansion = ir::row(e->op).expansion(args);
  }
  const Value value = expression(expansion);
  return narrow && is_float(value.dtype) ? convert(lanes_, e->dtype, value) : value;
}

bool KernelEmitter::reads_memory(const Expr& e) {
  if (e->kind == ExprKind::constant || e->kind == ExprKind::variable) return false;
  if (const auto found = reads_memory_.find(e.get()); found != reads_memory_.end()) return found->second;
  bool result = e->kind == ExprKind::read;
  for (const Expr& arg : e->args) result = result || reads_memory(arg);
  reads_memory_.emplace(e.get(), result);
  return result;
}

llvm::Value* KernelEmitter::lanes_where(const Value& condition) { return lanes_.vector(condition); }

// e, with its reads happening only where the condition holds; its value elsewhere means nothing.
Value KernelEmitter::guarded(const Expr& e, const Value& condition) {
  if (!reads_memory(e)) return expression(e);
  const Guard outer = guard_;
  if (condition.is_uniform()) {
    guard_.when = outer.when ? ir_.CreateAnd(outer.when, condition.base) : condition.base;
  } else {
    llvm::Value* mask = lanes_where(condition);
    guard_.mask = outer.mask ? ir_.CreateAnd(outer.mask, mask) : mask;
    guard_.certain = false;
  }
  memo_.emplace_back();
  const Value value = expression(e);
  memo_.pop_back();
  guard_ = outer;
  return value;
}

Value KernelEmitter::select(const Expr& e) {
  const Value condition = expression(e->args[0]);
  if (condition.is_uniform()) {
    if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition.base)) {
      return expression(e->args[known->isOne() ? 1 : 2]);
    }
  }
  const Value otherwise = apply(lanes_, Op::logical_not, std::span(&condition, 1));
  const Value a = guarded(e->args[1], condition);
  const Value b = guarded(e->args[2], otherwise);
  llvm::Value* chooser = condition.base;
  const bool has_bits = a.bits != nullptr && b.bits != nullptr;
  // Both scalar with the same constants of the lanes: so is the result.
  if (condition.is_uniform() && !a.varying && !b.varying && a.offset == b.offset) {
    Value result = a;
    result.base = ir_.CreateSelect(chooser, a.base, b.base);
    result.bits = has_bits ? ir_.CreateSelect(chooser, a.bits, b.bits) : nullptr;
    return result;
  }
  Value result = lanes_.varying(e->dtype, ir_.CreateSelect(chooser, lanes_.vector(a), lanes_.vector(b)));
  if (has_bits) result.bits = ir_.CreateSelect(chooser, to_storage(lanes_, a, true), to_storage(lanes_, b, true));
  return result;
}

// The second operand is read only where the first leaves the result open.
Value KernelEmitter::logical(const Expr& e) {
  const Value a = expression(e->args[0]);
  const bool conjunction = e->op == Op::logical_and;
  if (a.is_uniform()) {
    if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(a.base)) {
      return known->isOne() == conjunction ? expression(e->args[1]) : a;
    }
  }
  const Value open = conjunction ? a : apply(lanes_, Op::logical_not, std::span(&a, 1));
  const Value operands[] = {a, guarded(e->args[1], open)};
  return apply(lanes_, e->op, operands);
}

}  // namespace quern::codegen
