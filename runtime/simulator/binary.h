#pragma once
// What a program for the simulator is stored as: its kernels in thread form, as text, with the lines of their
// statements in the CUDA text.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "ir/kernel.h"

namespace quern::runtime::simulator {

struct StoredKernel {
  ir::Kernel kernel;
  std::vector<int> lines;  // of each statement, in the order of ir::visit; 0: unknown
};

std::vector<std::byte> to_bytes(std::span<const StoredKernel> kernels);
// Throws Error for anything else.
std::vector<StoredKernel> from_bytes(std::span<const std::byte> bytes);

}  // namespace quern::runtime::simulator
