#pragma once
// How compiled CPU kernels are called: the agreement between code generation and the runtime.

#include <cstdint>

namespace quern {

// The argument of one call, which runs the blocks begin .. end of a launch. Block b of the grid has the coordinates
// b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1]).
struct CpuKernelArguments {
  void* const* buffers;         // the launch's pointers in the kernel's order
  const std::int64_t* scalars;  // its other parameters, 64 bits each: integers extended, f32 as its bits in the low
                                // half, a fast division as multiplier | shift << 32
  std::int64_t begin;
  std::int64_t end;
  std::int64_t grid[3];
  void* scratch;  // the task's shared memory, aligned to kCpuScratchAlignment
};

using CpuKernelFunction = void (*)(const CpuKernelArguments*);

inline constexpr std::int64_t kCpuScratchAlignment = 4096;

}  // namespace quern
