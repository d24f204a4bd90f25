#pragma once
// Layouts: mixed-radix maps from the coordinates of a tile to a place. A memory layout maps to an address (in
// elements, with an optional XOR swizzle); a distribution maps to (warp, lane, register): who holds what.
//
// Each mode (tile axis) is a list of digits, least significant first. A coordinate c of a mode with digits of
// extents e0, e1, ... has digit values c % e0, (c / e0) % e1, ...; the place is the sum over all digits of
// value * stride, separately for each place. A mode's extent is the product of its digits' extents.
// Text: modes in brackets, digits from least significant: `extent:place*stride`, for example
//   [16:addr*128, 128:addr*1]                       a 16 x 128 row-major buffer
//   [(2:reg*4, 8:lane*4, 8:warp*1), (4:reg*1, 4:lane*1)]   a distribution over 8 warps
// and ` ^ swizzle(bits, base, shift)` behind a memory layout: address ^= ((address >> shift) & mask) for the mask
// of `bits` bits at `base` (in units of elements), as in hopper.md: 128 B of bf16 is swizzle(3, 3, 3).
// A mode of extent 1 may have no digits; its text is `1`.
// A distribution may leave places unused: a lane or warp digit that no mode maps to means replication.
// Wrong arguments are InternalErrors, except in parse_layout. Thread-safe: pure functions.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/expr.h"

namespace quern::ir {

class TokenStream;

enum class Place : std::uint8_t { address, warp, lane, reg };

struct Digit {
  std::int64_t extent = 1;
  Place place = Place::address;
  std::int64_t stride = 0;
  bool operator==(const Digit&) const = default;
};

// address ^= (address >> shift) & (((1 << bits) - 1) << base). bits 0: none.
struct Swizzle {
  int bits = 0;
  int base = 0;
  int shift = 0;
  bool operator==(const Swizzle&) const = default;
};

using Mode = std::vector<Digit>;

struct Layout {
  std::vector<Mode> modes;
  Swizzle swizzle;
  bool operator==(const Layout&) const = default;
};

// Builders
Layout row_major(std::span<const std::int64_t> extents);                 // addresses, last mode fastest
Layout padded(std::span<const std::int64_t> extents, std::int64_t pad);  // rows (last mode) pitch + pad

// Facts
std::int64_t extent(const Mode& mode);
std::vector<std::int64_t> extents(const Layout& layout);
std::int64_t size(const Layout& layout);  // coordinates: the product of the extents
// 1 + the largest place value reached; with a swizzle, rounded up to the period of its bits.
std::int64_t span_of(const Layout& layout, Place place);
bool is_distribution(const Layout& layout);  // no address digits
// No two coordinates share all their places. For distributions also: registers per thread are dense 0..n.
bool is_injective(const Layout& layout);
// Each place's digits are a mixed radix: sorted by stride, each stride is a multiple of stride * extent before it. So
// digits can be read back from a place by division and remainder.
bool is_radix(const Layout& layout);
// InternalError where an extent is below 1, a stride negative or a swizzle not its own inverse (shift < bits).
void check(const Layout& layout);

// The place of one coordinate tuple.
std::int64_t apply(const Layout& layout, Place place, std::span<const std::int64_t> coordinate);
// The same symbolically: address (swizzled) or register index as an expression of the coordinates.
Expr apply(const Layout& layout, Place place, std::span<const Expr> coordinate);

// The coordinates found at given places, symbolically: of a radix layout, by division and remainder. Places that the
// layout does not map to may be absent. So threads that replicate a coordinate all get it; places beyond the span wrap.
std::vector<Expr> coordinates(const Layout& layout, std::span<const Expr, 4> places);  // indexed by Place

// The inverse of an injective layout at one place tuple, or nothing when no coordinate maps there.
std::optional<std::vector<std::int64_t>> invert(const Layout& layout, std::span<const std::int64_t, 4> places);

// Algebra
// The coordinates of `inner` -> its address -> the place in `outer` (one mode). The strides of inner must align with
// the digits of outer.
Layout compose(const Layout& outer, const Layout& inner);
// The listed modes, in that order. Registers become dense again; other places stay.
Layout project(const Layout& layout, std::span<const int> kept_modes);
// Copies of `tile`: per mode, the digits of `block` (more significant) over those of `tile`. The strides of `block`
// count copies: each is scaled by the step from one copy to the next in that place.
Layout tile(const Layout& tile, const Layout& block);
// The block whose copies of `tile` make up `layout`, strides as they stand in `layout`; nothing where it is not made
// so.
std::optional<Layout> untile(const Layout& layout, const Layout& tile);
// Splits a mode in two: at `mode` the coordinate / extent, behind it the coordinate % extent. Nothing where the digits
// do not split there.
std::optional<Layout> divide(const Layout& layout, int mode, std::int64_t extent);

// Text. Parsing throws Error pointing into the text.
std::string to_string(const Layout& layout);
Layout parse_layout(std::string_view text);
Layout parse_layout(TokenStream& tokens);  // of a longer text, leaving the tokens behind the layout

}  // namespace quern::ir
