#pragma once
// Several kernels as one CUDA source: what one binary is compiled from.

#include <span>
#include <string>
#include <vector>

#include "base/target.h"
#include "ir/kernel.h"

namespace quern::codegen {

struct CudaModule {
  std::string source;                // the prelude's functions in use, then the kernels
  std::vector<std::string> entries;  // their names in `source`, extern "C"
  std::vector<std::string> options;  // further NVRTC options that the kernels' meaning needs
  // Of each kernel the line of `source` (from 1) at which each statement begins; 0 where it prints nothing. In the
  // order of ir::visit.
  std::vector<std::vector<int>> lines;
};

// As print_cuda for each of `kernels`, whose names differ. Pure; thread-safe.
CudaModule print_module(std::span<const ir::Kernel> kernels, const Target& target);

}  // namespace quern::codegen
