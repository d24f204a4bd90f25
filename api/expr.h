#pragma once
// Between the public expressions and those of ir/.

#include <string_view>
#include <vector>

#include "ir/expr.h"
#include "quern/expr.h"

namespace quern::api {

Expr wrap(ir::Expr e);
std::vector<Expr> wrap(const std::vector<ir::Expr>& list);

// The expression; a number without a dtype is an i64 or f32.
ir::Expr unwrap(const Expr& e);

// The expression where a dtype is expected, which a number without one takes. Error for a number that does not fit, and
// an expression of another dtype is returned as it is.
ir::Expr unwrap(const Expr& e, DType expected);

// What a launch knows before it runs: sizes and facts. Error where it reads a tensor or reduces; `what` names it.
ir::Expr unwrap_known(const Expr& e, std::string_view what);

// A dimension, a stride or the end of a range. Error as of unwrap_known, and where it is no i64.
ir::Expr unwrap_size(const Expr& e, std::string_view what);
std::vector<ir::Expr> unwrap_sizes(const std::vector<Dim>& sizes, std::string_view what);

// An axis of `owner`, a definition or a reducer. Error as of unwrap_size.
ir::Axis unwrap(const Axis& axis, std::string_view owner);

}  // namespace quern::api
