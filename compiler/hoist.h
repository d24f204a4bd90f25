#pragma once
// Divisions of indices, computed once. Runs on thread form, last before code generation of GPU kernels (after
// narrow_indices, which decides their width): a quotient or remainder that is used several times, or inside a loop that
// it does not depend on, gets a Let where its variables are known. What indices cost in registers stays as it was;
// kernels of unknown sizes, whose coordinates are chains of divisions, become short to read and quick to compile.
// LLVM does as much by itself on the CPU.

#include "ir/kernel.h"

namespace quern::compiler {

ir::Kernel hoist(const ir::Kernel& kernel);

}  // namespace quern::compiler
