#pragma once
// Conversions between dtypes by the rules at the top of ir/expr.h, on scalars and vectors alike.

#include "codegen/llvm/lanes.h"

namespace quern::codegen {

// The value of dtype `to`; `from` is its dtype. Floats narrower than f32 round once, from the original value.
Value convert(Lanes& lanes, DType to, const Value& value);

// A float dtype narrower than f32, rounded to from f32 (which is how arithmetic in it works); other dtypes as they are.
Value round_result(Lanes& lanes, DType dtype, llvm::Value* value);

// Between memory patterns (scalar or vector of Lanes::storage_type) and values.
Value from_storage(Lanes& lanes, DType dtype, llvm::Value* bits);
llvm::Value* to_storage(Lanes& lanes, const Value& value, bool vector_shape);

}  // namespace quern::codegen
