#pragma once
// Runs y[i] = f(x0[i], x1[i], ...) as a CPU kernel over arrays of values of any dtype.

#include <functional>
#include <span>
#include <vector>

#include "base/target.h"
#include "ir/expr.h"
#include "tests/codegen/function_values.h"

namespace quern::codegen {

using Formula = std::function<ir::Expr(std::span<const ir::Expr>)>;

// f of as many elements as each operand has. `uniform`: each element is computed as a scalar that all lanes share.
Elements run_elementwise(const Target& target, const Formula& f, std::span<const Elements> operands,
                         bool uniform = false);

}  // namespace quern::codegen
