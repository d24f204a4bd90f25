#pragma once
// Thread form -> CUDA C: a walk that prints one statement for one statement. The text includes no header and compiles
// with NVRTC for every architecture that has its intrinsics; it holds the functions of the prelude that it uses, then
// the matrix products that it uses, then the kernel. Loop kinds print as pragmas, nothing is unrolled in text.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/target.h"
#include "ir/kernel.h"
#include "ir/shared_layout.h"

namespace quern::codegen {

struct CudaText {
  std::string source;
  std::string entry;                 // the kernel's name in `source`, extern "C"
  std::vector<std::string> maps;     // names of the tensor-map parameters, described by kernel.maps
  std::vector<std::string> options;  // further NVRTC options that the kernel's meaning needs: "--fmad=false"
  ir::SharedLayout shared;           // of the dynamic shared memory to launch with
  // The line of `source` (from 1) at which each statement begins, in the order of the lines. Empty blocks have none.
  std::vector<std::pair<const ir::StmtNode*, int>> lines;
};

// Prints `kernel`, which is in thread form. Its parameters are kernel.params (pointers), symbols (by value), maps (128
// bytes by value), in this order. Throws InternalError for tile form and for intrinsics that `target` does not have.
// Pure; thread-safe.
CudaText print_cuda(const ir::Kernel& kernel, const Target& target);

// Its parts, shared with module.h: the refusal of what cannot be printed for `target`, the lines above the kernel, the
// NVRTC options that its meaning needs.
void check_printable(const ir::Kernel& kernel, const Target& target);
std::string header_comment(std::string_view comment);
std::vector<std::string> options_of(const ir::Kernel& kernel);

}  // namespace quern::codegen
