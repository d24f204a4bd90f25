#pragma once
// The rows of ir/scalar_functions.h that code generation spells itself, and calls into the C library for the rest.

#include <span>

#include "codegen/llvm/lanes.h"
#include "ir/scalar_functions.h"

namespace quern::codegen {

// op of operands of one dtype (select: after a bool) where the row has no expansion. The result has the dtype of the
// row's rule. InternalError for a row without a spelling.
Value apply(Lanes& lanes, ir::Op op, std::span<const Value> operands);

// `name` of the C library on f32 or f64 operands of one shape: the vector function of glibc's libmvec where this
// machine has it, else the scalar function of every lane.
llvm::Value* call_libm(Lanes& lanes, std::string_view name, std::span<llvm::Value* const> operands);

}  // namespace quern::codegen
