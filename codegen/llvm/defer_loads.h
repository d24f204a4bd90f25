#pragma once
// Register pressure in unrolled bodies.

#include <llvm/IR/Function.h>

namespace quern::codegen {

// Moves loads, and what only reshapes them, down to their first use in the block, unless a write lies between. Kernels
// load all of a tile's operands before they use the first one; LLVM's scheduler keeps that order, and where
// accumulators fill the registers it would spill them. Processors look far enough ahead to start the loads in time.
void defer_loads(llvm::Function& function);

}  // namespace quern::codegen
