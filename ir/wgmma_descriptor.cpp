#include "ir/wgmma_descriptor.h"

#include <bit>
#include <optional>

#include "base/error.h"

namespace quern::ir {
namespace {

constexpr std::int64_t kSliceBytes = 32;  // of k, per instruction
constexpr std::int64_t kChunkBytes = 16;  // the unit of swizzles and of core matrices

// The swizzle that the hardware applies to rows of `width` bytes: address bits 4.. ^= bits 7.., in units of elements.
Swizzle hardware_swizzle(std::int64_t width, int element_bytes) {
  const int bits = std::countr_zero(static_cast<std::uint64_t>(width / kChunkBytes));
  if (bits == 0) return {};
  return {bits, 4 - std::countr_zero(static_cast<unsigned>(element_bytes)), 3};
}

// Byte offsets, without the swizzle, of the elements of a tile from its first element.
class Addresses {
 public:
  Addresses(Layout layout, int element_bytes, int row_mode, int k_mode)
      : layout_(std::move(layout)),
        bytes_(element_bytes),
        row_mode_(row_mode),
        k_mode_(k_mode),
        at_(layout_.modes.size(), 0) {
    layout_.swizzle = {};
  }

  std::int64_t operator()(std::int64_t row, std::int64_t k) {
    at_[row_mode_] = row;
    at_[k_mode_] = k;
    return apply(layout_, Place::address, at_) * bytes_;
  }

 private:
  Layout layout_;
  std::int64_t bytes_;
  int row_mode_;
  int k_mode_;
  std::vector<std::int64_t> at_;
};

struct Tile {
  std::int64_t rows;
  std::int64_t k;
  std::int64_t instruction_rows;
  std::int64_t instruction_k;
  int bytes;
};

// The two shapes of a canonical layout, as the offset of element (row, k) within an instruction.
// Along k: rows of one chunk row, `width` bytes apart, in groups of 8; chunks of k `leading` apart where not swizzled.
std::int64_t offset_along_k(const WgmmaDescriptor& d, std::int64_t width, int element_bytes, std::int64_t row,
                            std::int64_t k) {
  const std::int64_t byte = k * element_bytes;
  const std::int64_t within = d.swizzle == 0 ? byte / kChunkBytes * d.leading + byte % kChunkBytes : byte;
  return row % 8 * width + row / 8 * d.stride + within;
}

// Along rows: k lines `width` bytes apart in groups of 8, blocks of rows one width wide. Swizzled, the groups are
// `stride` apart and the blocks `leading`; without, the other way round.
std::int64_t offset_along_rows(const WgmmaDescriptor& d, std::int64_t width, int element_bytes, std::int64_t row,
                               std::int64_t k) {
  const std::int64_t byte = row * element_bytes;
  const std::int64_t group = d.swizzle == 0 ? d.leading : d.stride;
  const std::int64_t block = d.swizzle == 0 ? d.stride : d.leading;
  return byte % width + byte / width * block + k % 8 * width + k / 8 * group;
}

// Whether a slice starts where the hardware's swizzle, a function of the address, is in phase with the layout's.
bool aligned(const WgmmaDescriptor& d, std::int64_t width, std::int64_t row_start, std::int64_t k_start) {
  if (d.swizzle == 0) return row_start % kChunkBytes == 0 && k_start % kChunkBytes == 0;
  const std::int64_t period = 8 * width;
  const std::int64_t along =
      d.transposed ? k_start % period : k_start % period % kSliceBytes + k_start % period / width;
  return row_start % period == 0 && along == 0 && d.stride % period == 0 && (!d.transposed || d.leading % period == 0);
}

// Fills in the distances that the layout has and compares every instruction with the canonical form. The offsets of
// both are sums of one of the row and one of k, so that equal rows and equal lines of k make equal elements.
bool matches(WgmmaDescriptor& d, std::int64_t width, const Tile& tile, Addresses& address) {
  const bool along_k = !d.transposed;
  const std::int64_t per_block = width / tile.bytes;
  // A distance that no instruction spans is any legal one.
  const std::int64_t unused = d.swizzle == 0 ? kChunkBytes : 8 * width;
  const auto far = [&](std::int64_t row, bool spanned) { return spanned ? address(row, 0) : unused; };
  if (along_k) {
    d.stride = far(8, tile.instruction_rows > 8);
    d.leading = d.swizzle == 0 ? address(0, kChunkBytes / tile.bytes) : kChunkBytes;
  } else {
    const std::int64_t group = address(0, 8);
    const std::int64_t block = far(per_block, tile.instruction_rows > per_block);
    d.stride = d.swizzle == 0 ? block : group;
    d.leading = d.swizzle == 0 ? group : block;
  }
  const auto canonical = along_k ? offset_along_k : offset_along_rows;
  for (std::int64_t row0 = 0; row0 < tile.rows; row0 += tile.instruction_rows) {
    const std::int64_t start = address(row0, 0);
    for (std::int64_t row = 0; row < tile.instruction_rows; ++row) {
      if (address(row0 + row, 0) - start != canonical(d, width, tile.bytes, row, 0)) return false;
    }
    for (std::int64_t k0 = 0; k0 < tile.k; k0 += tile.instruction_k) {
      if (!aligned(d, width, start, address(0, k0))) return false;
    }
  }
  for (std::int64_t k = 0; k < tile.k; ++k) {
    const std::int64_t within = k % tile.instruction_k;
    if (address(0, k) - address(0, k - within) != canonical(d, width, tile.bytes, 0, within)) return false;
  }
  return true;
}

// The width in bytes of the rows that the layout's swizzle spreads, 16 without one; nothing for foreign swizzles.
std::optional<std::int64_t> swizzle_width(const Layout& layout, int element_bytes) {
  for (std::int64_t width = kChunkBytes; width <= 128; width *= 2) {
    if (layout.swizzle == hardware_swizzle(width, element_bytes)) return width;
  }
  return std::nullopt;
}

}  // namespace

std::variant<WgmmaDescriptor, std::string> describe_wgmma_operand(const Layout& layout, int element_bytes, int row_mode,
                                                                  int k_mode, std::int64_t rows, std::int64_t columns_k,
                                                                  std::int64_t instruction_rows) {
  const int modes = static_cast<int>(layout.modes.size());
  ensure(row_mode >= 0 && k_mode >= 0 && row_mode < modes && k_mode < modes && row_mode != k_mode,
         "an operand has a row mode and a k mode");
  const Tile tile{rows, columns_k, instruction_rows, kSliceBytes / element_bytes, element_bytes};
  if (rows % instruction_rows != 0 || rows > extent(layout.modes[row_mode])) {
    return fmt::format("{} rows are not a multiple of {} within the buffer's {}", rows, instruction_rows,
                       extent(layout.modes[row_mode]));
  }
  if (columns_k % tile.instruction_k != 0 || columns_k > extent(layout.modes[k_mode])) {
    return fmt::format("{} of k are not a multiple of {} within the buffer's {}", columns_k, tile.instruction_k,
                       extent(layout.modes[k_mode]));
  }
  const std::optional<std::int64_t> width = swizzle_width(layout, element_bytes);
  if (!width) return fmt::format("the swizzle of {} is none of the hardware's", to_string(layout));

  Addresses address(layout, element_bytes, row_mode, k_mode);
  WgmmaDescriptor descriptor{
      .swizzle = *width == kChunkBytes ? 0 : static_cast<int>(*width), .row_starts = {}, .k_starts = {}};
  if (address(0, 1) != element_bytes) descriptor.transposed = true;
  if (descriptor.transposed && element_bytes != 2) {
    return fmt::format("elements of {} bytes must be contiguous along k, but {} is not", element_bytes,
                       to_string(layout));
  }
  if (!matches(descriptor, *width, tile, address)) {
    return fmt::format("{} is not a canonical layout contiguous along {} with rows of {} bytes", to_string(layout),
                       descriptor.transposed ? "rows" : "k", *width);
  }
  constexpr std::int64_t kMostDistance = std::int64_t{1} << 18;  // 14 bits of 16 bytes
  if (descriptor.leading >= kMostDistance || descriptor.stride >= kMostDistance) {
    return fmt::format("its distances of {} and {} bytes do not fit a descriptor", descriptor.leading,
                       descriptor.stride);
  }
  for (std::int64_t row = 0; row < rows; row += instruction_rows) descriptor.row_starts.push_back(address(row, 0));
  for (std::int64_t k = 0; k < columns_k; k += tile.instruction_k) descriptor.k_starts.push_back(address(0, k));
  return descriptor;
}

std::int64_t swizzled(std::int64_t address, int swizzle_bytes) {
  const std::int64_t chunks = swizzle_bytes / kChunkBytes;  // of 16 bytes in a row: as many bits as 4.. take
  return chunks <= 1 ? address : address ^ ((address >> 3) & ((chunks - 1) * kChunkBytes));
}

WgmmaOperand::WgmmaOperand(std::uint64_t bits, bool transposed, int element_bytes) : element_bytes_(element_bytes) {
  constexpr int kSwizzles[] = {0, 128, 64, 32};
  const auto field = [&](int first) { return static_cast<std::int64_t>(bits >> first & 0x3fff) * kChunkBytes; };
  start_ = field(0);
  descriptor_.leading = field(16);
  descriptor_.stride = field(32);
  descriptor_.swizzle = kSwizzles[bits >> 62];
  descriptor_.transposed = transposed;
}

std::int64_t WgmmaOperand::address(std::int64_t row, std::int64_t k) const {
  const std::int64_t width = descriptor_.swizzle == 0 ? kChunkBytes : descriptor_.swizzle;
  const auto canonical = descriptor_.transposed ? offset_along_rows : offset_along_k;
  return swizzled(start_ + canonical(descriptor_, width, element_bytes_, row, k), descriptor_.swizzle);
}

std::uint64_t WgmmaOperand::bits(std::int64_t address, std::int64_t leading, std::int64_t stride, int swizzle) {
  const auto field = [](std::int64_t bytes) { return static_cast<std::uint64_t>(bytes / kChunkBytes) & 0x3fff; };
  const std::uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  return mode << 62 | field(stride) << 32 | field(leading) << 16 | field(address);
}

Layout tma_layout(std::int64_t rows, std::int64_t columns, int element_bytes, int swizzle_bytes) {
  ensure(swizzle_bytes == 0 || swizzle_bytes == 32 || swizzle_bytes == 64 || swizzle_bytes == 128,
         "a swizzle spreads 32, 64 or 128 bytes");
  const std::int64_t width = (swizzle_bytes == 0 ? kChunkBytes : swizzle_bytes) / element_bytes;
  const std::int64_t inner = std::min(columns, width);
  ensure(columns % inner == 0 && (inner == width || swizzle_bytes == 0), "columns are whole swizzle widths");
  Layout layout;
  layout.modes = {{{rows, Place::address, inner}}, {{inner, Place::address, 1}}};
  if (columns > inner) layout.modes[1].push_back({columns / inner, Place::address, rows * inner});
  if (swizzle_bytes != 0) layout.swizzle = hardware_swizzle(swizzle_bytes, element_bytes);
  return layout;
}

}  // namespace quern::ir
