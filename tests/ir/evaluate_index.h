#pragma once
// The value of an integer expression without reads, by the reference of each function's row.

#include <cstdint>
#include <map>
#include <vector>

#include "ir/expr.h"

namespace quern::ir {

inline std::int64_t evaluate_index(const Expr& e, const std::map<VarRef, std::int64_t>& values) {
  if (e->kind == ExprKind::constant) return e->integer;
  if (e->kind == ExprKind::variable) return values.at(e->var);
  std::vector<Scalar> operands;
  for (const Expr& arg : e->args) operands.push_back({.integer = evaluate_index(arg, values)});
  if (e->kind == ExprKind::cast) return operands[0].integer;
  return row(e->op).reference(e->args.back()->dtype, operands).integer;
}

}  // namespace quern::ir
