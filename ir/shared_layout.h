#pragma once
// Where a kernel's shared buffers and mbarriers lie in its shared memory. Code generators, the launch plan and legality
// agree through this one function. Pure; thread-safe.

#include <cstdint>
#include <vector>

#include "ir/kernel.h"

namespace quern::ir {

struct SharedLayout {
  std::vector<std::int64_t> offsets;  // bytes, of kernel.shared in order
  std::int64_t bytes = 0;             // together
  std::int64_t alignment = 16;        // of the first byte
};

// Packs kernel.shared in order, each buffer at a multiple of its alignment (and of its element's size).
SharedLayout shared_layout(const Kernel& kernel);

// Bytes of one shared buffer or array of mbarriers, in tile form (its layout with its holes) and in thread form alike.
std::int64_t shared_bytes(const Buffer& buffer);

}  // namespace quern::ir
