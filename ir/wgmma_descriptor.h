#pragma once
// Shared-memory operands of wgmma: which layouts a matrix descriptor can express, and the descriptor's fields.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ir/layout.h"

namespace quern::ir {

// The descriptor of one operand tile, all distances in bytes. The descriptor of a slice starts at the address that the
// layout without its swizzle gives to the tile's first element, plus row_starts[r] + k_starts[s]; the hardware swizzles
// addresses itself. That first address must be a multiple of the swizzle's period (8 rows: 1024, 512 or 256 bytes; 16
// without a swizzle). The first three fields are operands of the intrinsic wgmma_descriptor.
struct WgmmaDescriptor {
  std::int64_t leading = 16;  // ignored by the hardware for swizzled operands contiguous along k
  std::int64_t stride = 16;
  int swizzle = 0;                       // 0, 32, 64 or 128
  bool transposed = false;               // contiguous along the rows (of A) or columns (of B): 2-byte elements only
  std::vector<std::int64_t> row_starts;  // of each instruction's rows: A 64 at a time, B all at once
  std::vector<std::int64_t> k_starts;    // of each 32 bytes of k
};

// Describes the tile rows x columns_k of the two modes `row_mode` and `k_mode` (positions in the layout) of a shared
// buffer, for instructions that take `instruction_rows` of its rows (64 for A, n for B). Other modes only move the
// start. Gives the reason where no descriptor can express the layout.
std::variant<WgmmaDescriptor, std::string> describe_wgmma_operand(const Layout& layout, int element_bytes, int row_mode,
                                                                  int k_mode, std::int64_t rows, std::int64_t columns_k,
                                                                  std::int64_t instruction_rows);

// The byte address that the hardware's swizzle of `swizzle_bytes` (0, 32, 64 or 128) makes of one.
std::int64_t swizzled(std::int64_t address, int swizzle_bytes);

// One operand of one instruction as the 64 bits of its matrix descriptor say: address / 16 in bits 0-13, leading / 16
// in 16-29, stride / 16 in 32-45, the swizzle in 62-63 (0 none, 1 128 bytes, 2 64, 3 32).
class WgmmaOperand {
 public:
  WgmmaOperand(std::uint64_t bits, bool transposed, int element_bytes);

  // Where in the block's shared memory element (row, k) lies; rows are columns of B.
  std::int64_t address(std::int64_t row, std::int64_t k) const;

  static std::uint64_t bits(std::int64_t address, std::int64_t leading, std::int64_t stride, int swizzle);

 private:
  std::int64_t start_;
  WgmmaDescriptor descriptor_;
  int element_bytes_;
};

// The layout [rows, columns] of a tile that TMA boxes with a swizzle of `swizzle_bytes` (0, 32, 64 or 128) fill: blocks
// of columns one swizzle width wide, each with all its rows, one after the other. Without a swizzle a block is 16 bytes
// wide, so that a descriptor can express it. columns * element_bytes is at most one block wide or a multiple of it.
Layout tma_layout(std::int64_t rows, std::int64_t columns, int element_bytes, int swizzle_bytes);

}  // namespace quern::ir
