#pragma once
// Expressions of the two languages that the host computes at every call: sizes, strides, grids, guards.

#include "base/plan_expr.h"
#include "ir/tensor.h"

namespace quern::pipeline {

// `e`, of integers and conditions over the program's symbols, as an expression of launch plans. Integers of fewer bits
// than 64 wrap as they do on the device. Error where `e` computes with floats, or divides, shifts right or orders u64,
// which a launch plan does not.
PlanExpr host_expr(const ir::Expr& e, const ir::Program& program);

}  // namespace quern::pipeline
