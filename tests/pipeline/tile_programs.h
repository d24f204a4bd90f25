#pragma once
// Kernels written by hand in tile form (tests/ir/data/), as compiled programs: the proof that the kernel language
// carries what the hardware has. persistent_gemm is the first of them: a persistent warp-specialised matmul with TMA,
// wgmma, a fused epilogue, a row sum and matrix stores.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "pipeline/compile.h"

namespace quern::pipeline {

struct TileProgram {
  const char* name;                              // of the kernel and its file
  const char* program;                           // the tensor program that it computes
  bool adds;                                     // to its outputs, which the plan fills with zeros first
  std::vector<const char*> targets;              // that have what it uses
  std::vector<const char*> ptx;                  // what each target's PTX holds
  std::vector<std::vector<std::int64_t>> sizes;  // of the kernel's symbols, to run it at
};
void PrintTo(const TileProgram& program, std::ostream* stream);

std::span<const TileProgram> tile_programs();

// The tensor program, its symbols in the kernel's order.
ir::Program program_of(const TileProgram& program);

// Parsed, verified, expanded, printed and compiled, with its plan. `change`: what becomes of its thread form.
using ChangeKernel = std::function<ir::Kernel(const ir::Kernel& kernel)>;
Artifact artifact_of(const TileProgram& program, const Target& target, const ChangeKernel& change = {});

}  // namespace quern::pipeline
