#pragma once
// Between the public expressions and those of ir/.

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

ir::Axis unwrap(const Axis& axis);

// A dimension or stride. Error where it is no integer; `what` names it.
ir::Expr unwrap_size(const Expr& e, std::string_view what);
std::vector<ir::Expr> unwrap_sizes(const std::vector<Dim>& sizes, std::string_view what);

}  // namespace quern::api
