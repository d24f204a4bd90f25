#pragma once
// Matrix products on tensor cores as device functions, each printed from its shape and dtypes: a kernel's text holds
// one function for every different product that it uses. Pure functions; thread-safe.

#include <string>

#include "ir/kernel.h"

namespace quern::codegen {

// A device function.
struct MatrixFunction {
  std::string name;       // "wgmma_m64n256k64_f32_bf16_bf16"
  std::string constants;  // a call's template arguments: "<2, 2>"
  std::string text;
};

// The function of a mma_sync, wgmma or wgmma_registers intrinsic. Its parameters are the intrinsic's run-time operands:
// register arrays (accumulator, a, b), descriptors, and whether to accumulate.
// Throws InternalError for a shape or dtypes that the hardware does not have.
MatrixFunction matrix_function(const ir::Intrinsic& intrinsic);

// Source: PTX ISA, mma and wgmma.mma_async.

}  // namespace quern::codegen
