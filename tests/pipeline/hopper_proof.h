#pragma once
// The proof that the kernel language carries Hopper: tests/ir/data/persistent_gemm.tile, a persistent warp-specialised
// matmul with TMA, wgmma, a fused epilogue, a row sum and matrix stores, as a compiled program.

#include "pipeline/compile.h"

namespace quern::pipeline {

// The tensor program that it computes: y = gelu(x * transpose(w) + bias), rows = the sums of gelu's rows, added to what
// `rows` holds.
ir::Program proof_program();

// Parsed, verified, expanded, printed and compiled for sm_90a, with its plan.
Artifact proof_artifact();

}  // namespace quern::pipeline
