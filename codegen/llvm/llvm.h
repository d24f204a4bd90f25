#pragma once
// Kernel programs in thread form -> code for CPUs, through LLVM. One warp per block, whose lanes are those of the
// vector unit (Kernel::lanes of them, a power of two); the functions are called as base/cpu_kernel.h says.
//
// A kernel's global buffers may overlap one another; its scratch overlaps none of them. An index of a read that does
// not happen (under a select or a condition) may have any value. Integer parameters of every width and f32 ones are
// passed as 64 bits. Thread-safe: each call works on a context of its own. A kernel that is not in thread form, or
// uses what a CPU has not (several warps, asynchronous copies, tensor maps), is an InternalError that names it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/target.h"
#include "ir/kernel.h"

namespace quern::codegen {

// A relocatable object and the functions in it.
struct ObjectCode {
  std::vector<std::byte> bytes;
  std::vector<std::string> kernels;
};

// Optimised machine code of all `kernels` for a CPU target. Kernels of one object have different names.
ObjectCode compile_cpu(std::span<const ir::Kernel> kernels, const Target& target);

// LLVM's text of the same: as generated, statement by statement, or `optimised`, as it is compiled.
std::string emit_llvm(std::span<const ir::Kernel> kernels, const Target& target, bool optimised = false);

// Assembly of the same.
std::string emit_asm(std::span<const ir::Kernel> kernels, const Target& target);

}  // namespace quern::codegen
