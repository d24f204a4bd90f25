#pragma once
// Small kernels in thread form, built by hand, for the tests of code generation and of what compiles it.

#include <string>
#include <vector>

#include "ir/kernel.h"

namespace quern::codegen::test {

struct Sample {
  std::string name;  // of its golden text
  ir::Kernel kernel;
  std::vector<std::string> targets;  // that have what it uses: "cuda:sm_80"
  std::vector<std::string> ptx;      // what the PTX of each target contains
};

// Every target of CUDA.
const std::vector<std::string>& cuda_targets();

// A vector addition with wide accesses, a row sum with shuffles, a transposition through shared memory, a tile of
// mma.sync, a step of TMA and wgmma, a grouped update with atomics.
std::vector<Sample> sample_kernels();

// A global buffer of n elements and a register array.
ir::BufferRef global(const std::string& name, DType dtype, const ir::Expr& size);
ir::BufferRef registers(const std::string& name, DType dtype, std::int64_t count);

}  // namespace quern::codegen::test
