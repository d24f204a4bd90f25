#pragma once
// Index arithmetic in 32 bits. Runs on thread form, last before code generation, for kernels whose facts bound every
// offset below 2^31 (the plan's guard); others keep 64-bit indices. Values of dtype i64 that come from or go to tensors
// keep their dtype: an index used as a value is widened again. A let of i64 is an index where its value reads nothing.

#include "ir/kernel.h"

namespace quern::compiler {

ir::Kernel narrow_indices(const ir::Kernel& kernel);

}  // namespace quern::compiler
