#include "ir/fragment_layouts.h"

#include <algorithm>

#include "base/error.h"

namespace quern::ir {
namespace {

// Elements of one 32-bit register.
std::int64_t packed(int element_bytes) {
  ensure(element_bytes == 1 || element_bytes == 2 || element_bytes == 4,
         "a matrix operand has 1, 2 or 4 byte elements");
  return 4 / element_bytes;
}

// Along k, a register's elements, then the four lanes of a group, then the register 16 bytes further.
Mode along_k(std::int64_t elements, std::int64_t far_stride) {
  Mode mode;
  if (elements > 1) mode.push_back({elements, Place::reg, 1});
  mode.push_back({4, Place::lane, 1});
  mode.push_back({2, Place::reg, far_stride});
  return mode;
}

Mode accumulator_rows() { return {{8, Place::lane, 4}, {2, Place::reg, 2}}; }

}  // namespace

Layout matrix_8x8(int element_bytes) {
  const std::int64_t elements = packed(element_bytes);
  return {{{{8, Place::lane, 4}}, {{elements, Place::reg, 1}, {4, Place::lane, 1}}}, {}};
}

Layout mma_sync_a(int element_bytes) {
  const std::int64_t elements = packed(element_bytes);
  return {{{{8, Place::lane, 4}, {2, Place::reg, elements}}, along_k(elements, 2 * elements)}, {}};
}

Layout mma_sync_b(int element_bytes) {
  const std::int64_t elements = packed(element_bytes);
  return {{{{8, Place::lane, 4}}, along_k(elements, elements)}, {}};
}

Layout mma_sync_c() { return {{accumulator_rows(), {{2, Place::reg, 1}, {4, Place::lane, 1}}}, {}}; }

Layout wgmma_a(int element_bytes) {
  Layout layout = mma_sync_a(element_bytes);
  layout.modes[0].push_back({4, Place::warp, 1});
  return layout;
}

Layout wgmma_accumulator(std::int64_t columns) {
  ensure(columns >= 8 && columns % 8 == 0, "a wgmma accumulator has a multiple of 8 columns");
  Layout layout = mma_sync_c();
  layout.modes[0].push_back({4, Place::warp, 1});
  if (columns > 8) layout.modes[1].push_back({columns / 8, Place::reg, 4});
  return layout;
}

bool is_made_of(const Layout& fragment, const Layout& atom) {
  const std::optional<Layout> block = untile(fragment, atom);
  if (!block) return false;
  const std::int64_t warps = span_of(atom, Place::warp), registers = span_of(atom, Place::reg);
  for (const Mode& mode : block->modes) {
    for (const Digit& digit : mode) {
      if (digit.extent == 1) continue;
      const bool fits = (digit.place == Place::warp && digit.stride % warps == 0) ||
                        (digit.place == Place::reg && digit.stride % registers == 0);
      if (!fits) return false;
    }
  }
  return is_injective(fragment);
}

bool is_stored_as_matrices(const Layout& distribution) {
  if (distribution.modes.size() != 2) return false;
  const Mode& rows = distribution.modes[0];
  const Mode& columns = distribution.modes[1];
  return rows.size() >= 2 && rows[0] == Digit{8, Place::lane, 4} && rows[1] == Digit{2, Place::reg, 2} &&
         std::all_of(rows.begin() + 2, rows.end(), [](const Digit& d) { return d.place != Place::lane; }) &&
         columns.size() == 3 && columns[0] == Digit{2, Place::reg, 1} && columns[1] == Digit{4, Place::lane, 1} &&
         columns[2].place == Place::reg && columns[2].stride == 4 && columns[2].extent % 2 == 0;
}

std::optional<std::int64_t> wgmma_columns(const Layout& accumulator, bool integer) {
  if (accumulator.modes.size() != 2) return std::nullopt;
  for (std::int64_t columns = 256; columns >= 8; columns -= 8) {
    if (integer && columns > 32 && columns % 16 != 0) continue;
    if (extent(accumulator.modes[1]) % columns == 0 && is_made_of(accumulator, wgmma_accumulator(columns))) {
      return columns;
    }
  }
  return std::nullopt;
}

}  // namespace quern::ir
