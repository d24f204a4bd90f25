#pragma once
// Integer arithmetic that keeps values based (a scalar plus a constant of each lane), so that addresses stay scalar.

#include <optional>
#include <span>

#include "codegen/llvm/lanes.h"
#include "ir/scalar_functions.h"

namespace quern::codegen {

// op of integer operands, none of them varying, without work on each lane: sums, products with constants, and quotients
// by a shared divisor, of which only small numbers are divided in vectors. Nothing where that is not possible.
std::optional<Value> apply_based(Lanes& lanes, ir::Op op, std::span<const Value> operands);

}  // namespace quern::codegen
