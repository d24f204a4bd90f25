#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/numeric.h"
#include "ir/meanings.h"
#include "ir/wgmma_descriptor.h"

namespace quern::ir::meanings {
namespace {

constexpr std::int64_t kChunk = 16;  // bytes: what swizzles move

// to[lane] = the value of the lane that `source` names.
template <typename Source>
bool shuffle(Execution& x, const Source& source) {
  const auto bytes = static_cast<std::size_t>(x.element_bytes(1));
  each(x, [&](int lane) {
    const int from = static_cast<int>(source(lane)) & 31;
    if (!x.active(from)) return x.refuse(lane, "it reads a lane that does not take part");
    const std::uint64_t value = x.bits(1, from);
    x.store(lane, x.place(0, lane), std::as_bytes(std::span(&value, 1)).first(bytes));
  });
  return true;
}

// --- Boxes of tensor maps -------------------------------------------------------------------------------------------

using Point = std::array<std::int64_t, 5>;

bool inside(const BoundTensorMap& map, const Point& at, std::size_t from_axis) {
  for (std::size_t d = from_axis; d < map.dims.size(); ++d) {
    if (at[d] < 0 || at[d] >= map.dims[d]) return false;
  }
  return true;
}

Location place_of(const BoundTensorMap& map, const Point& at) {
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < map.dims.size(); ++d) offset += at[d] * map.byte_strides[d];
  return map.base + offset;
}

// Calls body(number, point) for the first element of each row (along axis 0) that the box holds, in the order in which
// the rows lie in shared memory.
template <typename Body>
void each_row(const BoundTensorMap& map, const Point& corner, const Body& body) {
  std::int64_t rows = 1;
  for (std::size_t d = 1; d < map.box.size(); ++d) rows *= map.box[d];
  for (std::int64_t number = 0; number < rows; ++number) {
    Point at = corner;
    std::int64_t rest = number;
    for (std::size_t d = 1; d < map.box.size(); ++d) {
      at[d] += rest % map.box[d] * map.element_strides[d];
      rest /= map.box[d];
    }
    body(number, at);
  }
}

// The same for the pixels of an im2col map: the window's base pixel walks along the rows of the image, then on to the
// next row and image.
template <typename Body>
void each_pixel(const BoundTensorMap& map, const Point& corner, const Point& offsets, const Body& body) {
  const std::size_t spatial = map.dims.size() - 2;
  Point base = corner;
  for (std::int64_t number = 0; number < map.pixels; ++number) {
    Point at = base;
    for (std::size_t s = 0; s < spatial; ++s) at[s + 1] += offsets[s];
    body(number, at);
    for (std::size_t s = 0; s <= spatial; ++s) {
      if (s == spatial) {
        ++base[spatial + 1];
        break;
      }
      base[s + 1] += map.element_strides[s + 1];
      if (base[s + 1] <= map.dims[s + 1] - 1 + map.upper[s]) break;
      base[s + 1] = map.lower[s];
    }
  }
}

void fill(const BoundTensorMap& map, std::span<std::byte> bytes) {
  std::ranges::fill(bytes, std::byte{0});
  if (map.fill == TensorMapParameter::Fill::zero) return;
  const auto size = static_cast<std::size_t>(byte_size(map.dtype));
  for (std::size_t at = 0; at < bytes.size(); at += size) store_element(map.dtype, bytes.data() + at, 0, NAN);
}

// One row of a load: elements outside of the tensor are filled.
void load_row(Execution& x, int lane, const BoundTensorMap& map, const Point& at, std::span<std::byte> row) {
  fill(map, row);
  if (!inside(map, at, 1)) return;
  const std::int64_t size = byte_size(map.dtype), length = static_cast<std::int64_t>(row.size()) / size;
  const std::int64_t lo = std::clamp<std::int64_t>(-at[0], 0, length);
  const std::int64_t hi = std::clamp<std::int64_t>(map.dims[0] - at[0], lo, length);
  if (lo == hi) return;
  Point first = at;
  first[0] += lo;
  x.load(lane, place_of(map, first),
         row.subspan(static_cast<std::size_t>(lo * size), static_cast<std::size_t>((hi - lo) * size)));
}

// Calls move(place, bytes) for the pieces of a row that lies `offset` bytes into the box at `place`, as swizzled.
template <typename Move>
void each_piece(const BoundTensorMap& map, Location place, std::int64_t offset, std::span<std::byte> row,
                const Move& move) {
  const auto size = static_cast<std::int64_t>(row.size());
  for (std::int64_t at = 0; at < size;) {
    const std::int64_t address = place.offset + offset + at;
    const std::int64_t length = std::min(kChunk - address % kChunk, size - at);
    Location piece = place;
    piece.offset = swizzled(address, map.swizzle_bytes);
    move(piece, row.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(length)));
    at += length;
  }
}

// The ranks of the blocks that a load writes to.
std::vector<int> destinations(const Execution& x, std::int64_t multicast) {
  if (multicast == 0) return {x.rank()};
  std::vector<int> ranks;
  for (int rank = 0; rank < 16; ++rank) {
    if (multicast >> rank & 1) ranks.push_back(rank);
  }
  return ranks;
}

// Where a box begins in shared memory; maps of all swizzles demand the same of it.
Location box_at(Execution& x, std::size_t operand, int lane) {
  constexpr std::int64_t kAlignment = 128;
  const Location box = x.place(operand, lane);
  if (box.offset % kAlignment != 0) {
    x.refuse(lane, fmt::format("its box begins at byte {} of shared memory, which is no multiple of {}", box.offset,
                               kAlignment));
  }
  return box;
}

std::vector<std::byte> row_of(const BoundTensorMap& map) {
  const std::int64_t elements = map.mode == TensorMapParameter::Mode::tiled ? map.box[0] : map.channels;
  return std::vector<std::byte>(static_cast<std::size_t>(elements * byte_size(map.dtype)));
}

Point numbers(const Execution& x, int lane, std::size_t from, std::size_t count) {
  Point point{};
  for (std::size_t d = 0; d < count; ++d) point[d] = x.number(from + d, lane);
  return point;
}

// A load of rows into shared memory: `rows(body)` walks them. Completes bytes at the barrier of each destination.
template <typename Rows>
void load_box(Execution& x, int lane, const BoundTensorMap& map, std::int64_t row_count, const Rows& rows) {
  const std::vector<int> ranks = destinations(x, x.number(3, lane));
  std::vector<std::byte> row = row_of(map);
  const auto bytes = static_cast<std::int64_t>(row.size());
  const Location box = box_at(x, 0, lane);
  rows([&](std::int64_t number, const Point& at) {
    load_row(x, lane, map, at, row);
    for (const int rank : ranks) {
      Location to = box;
      to.owner = rank;
      each_piece(map, to, number * bytes, row,
                 [&](Location piece, std::span<const std::byte> part) { x.store(lane, piece, part); });
    }
  });
  for (const int rank : ranks) {
    Location barrier = x.place(2, lane);
    barrier.owner = rank;
    x.complete(barrier, bytes * row_count);
  }
}

// From shared memory to the part of the box that lies inside of the tensor.
template <typename Move>
bool store_box(Execution& x, const Move& move) {
  each(x, [&](int lane) {
    const BoundTensorMap& map = x.map(0, lane);
    const Location from = box_at(x, 1, lane);
    const Point corner = numbers(x, lane, 2, map.dims.size());
    // Unlike a load's, as seen on an H200: an illegal instruction.
    if (std::ranges::any_of(corner, [](std::int64_t c) { return c < 0; })) {
      return x.refuse(lane, "a store's box does not begin before the tensor");
    }
    std::vector<std::byte> row = row_of(map);
    const auto bytes = static_cast<std::int64_t>(row.size());
    const std::int64_t size = byte_size(map.dtype);
    each_row(map, corner, [&](std::int64_t number, const Point& at) {
      each_piece(map, from, number * bytes, row,
                 [&](Location piece, std::span<std::byte> part) { x.load(lane, piece, part); });
      if (!inside(map, at, 1)) return;
      const std::int64_t lo = std::clamp<std::int64_t>(-at[0], 0, bytes / size);
      const std::int64_t hi = std::clamp<std::int64_t>(map.dims[0] - at[0], lo, bytes / size);
      if (lo == hi) return;
      Point first = at;
      first[0] += lo;
      move(lane, map, place_of(map, first),
           std::span<const std::byte>(row).subspan(static_cast<std::size_t>(lo * size),
                                                   static_cast<std::size_t>((hi - lo) * size)));
    });
  });
  return true;
}

}  // namespace

bool shuffle_xor(Execution& x) {
  return shuffle(x, [&](int lane) { return lane ^ x.number(2, lane); });
}
bool shuffle_index(Execution& x) {
  return shuffle(x, [&](int lane) { return x.number(2, lane); });
}

bool cp_async(Execution& x) {
  each(x, [&](int lane) {
    const std::int64_t bytes = x.number(2, lane), source = x.number(3, lane);
    if (source < 0 || source > bytes) return x.refuse(lane, "it takes 0 to all of its bytes from its source");
    std::array<std::byte, kChunk> data{};
    if (source > 0) x.load(lane, x.place(1, lane), std::span(data).first(static_cast<std::size_t>(source)));
    x.store(lane, x.place(0, lane), std::span(data).first(static_cast<std::size_t>(bytes)));
  });
  return true;
}

bool tma_load(Execution& x) {
  each(x, [&](int lane) {
    const BoundTensorMap& map = x.map(1, lane);
    const Point corner = numbers(x, lane, 4, map.dims.size());
    std::int64_t rows = 1;
    for (std::size_t d = 1; d < map.box.size(); ++d) rows *= map.box[d];
    load_box(x, lane, map, rows, [&](const auto& body) { each_row(map, corner, body); });
  });
  return true;
}

bool tma_im2col(Execution& x) {
  each(x, [&](int lane) {
    const BoundTensorMap& map = x.map(1, lane);
    const Point corner = numbers(x, lane, 4, map.dims.size());
    const Point offsets = numbers(x, lane, 4 + map.dims.size(), map.dims.size() - 2);
    load_box(x, lane, map, map.pixels, [&](const auto& body) { each_pixel(map, corner, offsets, body); });
  });
  return true;
}

bool tma_store(Execution& x) {
  return store_box(
      x, [&](int lane, const BoundTensorMap&, Location to, std::span<const std::byte> row) { x.store(lane, to, row); });
}

bool tma_reduce_add(Execution& x) {
  return store_box(x, [&](int lane, const BoundTensorMap& map, Location to, std::span<const std::byte> row) {
    x.add(lane, to, map.dtype, row);
  });
}

}  // namespace quern::ir::meanings
