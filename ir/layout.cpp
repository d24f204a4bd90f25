#include "ir/layout.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/error.h"

namespace quern::ir {
namespace {

constexpr std::array kPlaces{Place::address, Place::warp, Place::lane, Place::reg};

// A digit with its weight: the coordinate step that raises it by one.
struct Weighted {
  std::int64_t extent;
  std::int64_t stride;
  std::int64_t weight;
  int mode;
};

// The digits that move `place`, those of extent 1 left out.
std::vector<Weighted> digits_of(const Layout& layout, Place place) {
  std::vector<Weighted> result;
  for (int m = 0; m < static_cast<int>(layout.modes.size()); ++m) {
    std::int64_t weight = 1;
    for (const Digit& digit : layout.modes[m]) {
      if (digit.place == place && digit.extent > 1) result.push_back({digit.extent, digit.stride, weight, m});
      weight *= digit.extent;
    }
  }
  return result;
}

std::int64_t reach(const std::vector<Weighted>& digits) {
  std::int64_t last = 0;
  for (const Weighted& digit : digits) last += (digit.extent - 1) * digit.stride;
  return last;
}

void sort_by_stride(std::vector<Weighted>& digits) { std::ranges::sort(digits, {}, &Weighted::stride); }

// Whether distinct digit values give distinct sums.
bool sums_are_distinct(std::vector<Weighted> digits) {
  sort_by_stride(digits);
  std::int64_t below = 0;  // the largest sum of the digits so far
  bool superincreasing = true;
  for (const Weighted& digit : digits) {
    superincreasing = superincreasing && digit.stride > below;
    below += (digit.extent - 1) * digit.stride;
  }
  if (superincreasing) return true;
  constexpr std::int64_t kMaxEnumerated = std::int64_t{1} << 24;
  if (below >= kMaxEnumerated) return false;
  std::vector<bool> seen(static_cast<std::size_t>(below) + 1);
  std::vector<std::int64_t> sums{0};
  for (const Weighted& digit : digits) {
    seen.assign(seen.size(), false);
    std::vector<std::int64_t> next;
    for (std::int64_t value = 0; value < digit.extent; ++value) {
      for (std::int64_t sum : sums) {
        std::int64_t total = sum + value * digit.stride;
        if (seen[total]) return false;
        seen[total] = true;
        next.push_back(total);
      }
    }
    sums = std::move(next);
  }
  return true;
}

std::int64_t swizzle_mask(const Swizzle& swizzle) { return ((std::int64_t{1} << swizzle.bits) - 1) << swizzle.base; }

// An involution: check_swizzle keeps the bits read apart from the bits written.
std::int64_t swizzled(const Swizzle& swizzle, std::int64_t address) {
  return address ^ ((address >> swizzle.shift) & swizzle_mask(swizzle));
}

// Finds digit values (added to `coordinate`, largest stride first) whose sum is `rest`.
bool solve(const std::vector<Weighted>& digits, std::size_t count, std::int64_t rest,
           std::vector<std::int64_t>& coordinate) {
  if (count == 0) return rest == 0;
  const Weighted& digit = digits[count - 1];
  std::int64_t below = 0;
  for (std::size_t i = 0; i + 1 < count; ++i) below += (digits[i].extent - 1) * digits[i].stride;
  std::int64_t first = digit.stride == 0 ? 0 : std::min(digit.extent - 1, rest / digit.stride);
  for (std::int64_t value = first; value >= 0 && rest - value * digit.stride <= below; --value) {
    coordinate[digit.mode] += value * digit.weight;
    if (solve(digits, count - 1, rest - value * digit.stride, coordinate)) return true;
    coordinate[digit.mode] -= value * digit.weight;
  }
  return false;
}

// Neighbouring digits of one place whose strides continue each other, as one digit.
Mode merged(const Mode& mode) {
  Mode result;
  for (const Digit& digit : mode) {
    if (digit.extent == 1) continue;
    if (!result.empty() && result.back().place == digit.place &&
        result.back().stride * result.back().extent == digit.stride) {
      result.back().extent *= digit.extent;
    } else {
      result.push_back(digit);
    }
  }
  return result;
}

// Arithmetic with a constant of the value's own dtype.
Expr scaled(const Expr& value, std::int64_t factor) {
  return factor == 1 ? value : value * constant(value->dtype, factor);
}
Expr divided(const Expr& value, std::int64_t divisor) {
  return divisor == 1 ? value : div(value, constant(value->dtype, divisor));
}
Expr remainder(const Expr& value, std::int64_t divisor) { return mod(value, constant(value->dtype, divisor)); }

Expr sum(const Expr& a, const Expr& b) { return a ? a + b : b; }

}  // namespace

void check(const Layout& layout) {
  for (const Mode& mode : layout.modes) {
    for (const Digit& digit : mode) ensure(digit.extent >= 1 && digit.stride >= 0, "a digit's extent is positive");
  }
  const Swizzle& swizzle = layout.swizzle;
  ensure(swizzle.bits >= 0 && swizzle.base >= 0 && swizzle.base + swizzle.bits + swizzle.shift < 63,
         "a swizzle's bits lie within an address");
  ensure(swizzle.bits == 0 || swizzle.shift >= swizzle.bits, "a swizzle's shift is at least its bits");
}

Layout row_major(std::span<const std::int64_t> extents) { return padded(extents, 0); }

Layout padded(std::span<const std::int64_t> extents, std::int64_t pad) {
  Layout layout;
  layout.modes.resize(extents.size());
  std::int64_t stride = 1;
  for (std::size_t i = extents.size(); i-- > 0;) {
    layout.modes[i] = {Digit{extents[i], Place::address, stride}};
    stride *= extents[i];
    if (i + 1 == extents.size()) stride += pad;
  }
  return layout;
}

std::int64_t extent(const Mode& mode) {
  std::int64_t result = 1;
  for (const Digit& digit : mode) result *= digit.extent;
  return result;
}

std::vector<std::int64_t> extents(const Layout& layout) {
  std::vector<std::int64_t> result;
  for (const Mode& mode : layout.modes) result.push_back(extent(mode));
  return result;
}

std::int64_t size(const Layout& layout) {
  std::int64_t result = 1;
  for (const Mode& mode : layout.modes) result *= extent(mode);
  return result;
}

std::int64_t span_of(const Layout& layout, Place place) {
  std::int64_t span = 1 + reach(digits_of(layout, place));
  if (place != Place::address || layout.swizzle.bits == 0) return span;
  std::int64_t period = std::int64_t{1} << (layout.swizzle.base + layout.swizzle.bits);
  return (span + period - 1) / period * period;
}

bool is_distribution(const Layout& layout) {
  for (const Mode& mode : layout.modes) {
    for (const Digit& digit : mode) {
      if (digit.place == Place::address && digit.extent > 1) return false;
    }
  }
  return layout.swizzle.bits == 0;
}

bool is_injective(const Layout& layout) {
  for (Place place : kPlaces) {
    if (!sums_are_distinct(digits_of(layout, place))) return false;
  }
  if (!is_distribution(layout)) return true;
  std::int64_t registers = 1;
  for (const Weighted& digit : digits_of(layout, Place::reg)) registers *= digit.extent;
  return registers == span_of(layout, Place::reg);
}

std::int64_t apply(const Layout& layout, Place place, std::span<const std::int64_t> coordinate) {
  ensure(coordinate.size() == layout.modes.size(), "a layout is applied to as many coordinates as it has modes");
  std::int64_t result = 0;
  for (std::size_t m = 0; m < coordinate.size(); ++m) {
    std::int64_t rest = coordinate[m];
    for (const Digit& digit : layout.modes[m]) {
      if (digit.place == place) result += rest % digit.extent * digit.stride;
      rest /= digit.extent;
    }
    ensure(coordinate[m] >= 0 && rest == 0, "a coordinate lies within its mode's extent");
  }
  return place == Place::address ? swizzled(layout.swizzle, result) : result;
}

Expr apply(const Layout& layout, Place place, std::span<const Expr> coordinate) {
  ensure(coordinate.size() == layout.modes.size(), "a layout is applied to as many coordinates as it has modes");
  Expr result;
  for (std::size_t m = 0; m < coordinate.size(); ++m) {
    Mode mode = merged(layout.modes[m]);
    std::int64_t weight = 1;
    for (std::size_t d = 0; d < mode.size(); ++d) {
      const Digit& digit = mode[d];
      if (digit.place == place && digit.stride != 0) {
        Expr value = divided(coordinate[m], weight);
        if (d + 1 < mode.size()) value = remainder(value, digit.extent);
        result = sum(result, scaled(value, digit.stride));
      }
      weight *= digit.extent;
    }
  }
  if (!result) return Expr(0);
  const Swizzle& swizzle = layout.swizzle;
  if (place != Place::address || swizzle.bits == 0) return result;
  const Expr moved = call(Op::shift_right, {result, constant(result->dtype, std::int64_t{swizzle.shift})});
  return call(Op::bit_xor, {result, call(Op::bit_and, {moved, constant(result->dtype, swizzle_mask(swizzle))})});
}

std::optional<std::vector<std::int64_t>> invert(const Layout& layout, std::span<const std::int64_t, 4> places) {
  std::vector<std::int64_t> coordinate(layout.modes.size());
  for (Place place : kPlaces) {
    std::int64_t value = places[static_cast<int>(place)];
    if (value < 0) return std::nullopt;
    if (place == Place::address) value = swizzled(layout.swizzle, value);
    std::vector<Weighted> digits = digits_of(layout, place);
    sort_by_stride(digits);
    if (!solve(digits, digits.size(), value, coordinate)) return std::nullopt;
  }
  return coordinate;
}

bool is_radix(const Layout& layout) {
  for (Place place : kPlaces) {
    std::vector<Weighted> digits = digits_of(layout, place);
    sort_by_stride(digits);
    std::int64_t unit = 1;  // the least stride that the next digit may have
    for (const Weighted& digit : digits) {
      if (digit.stride < unit || digit.stride % unit != 0) return false;
      unit = digit.stride * digit.extent;
    }
  }
  return layout.swizzle.bits == 0;
}

std::vector<Expr> coordinates(const Layout& layout, std::span<const Expr, 4> places) {
  ensure(is_radix(layout), "coordinates are recovered from places that divide into digits");
  std::vector<Expr> result;
  for (const Mode& mode : layout.modes) {
    Expr coordinate;
    std::int64_t weight = 1;
    for (const Digit& digit : merged(mode)) {
      const Expr& place = places[static_cast<int>(digit.place)];
      ensure(static_cast<bool>(place), "every place that a layout maps to is given");
      Expr value = remainder(divided(place, digit.stride), digit.extent);
      coordinate = sum(coordinate, scaled(value, weight));
      weight *= digit.extent;
    }
    result.push_back(coordinate ? coordinate : Expr(0));
  }
  return result;
}

Layout compose(const Layout& outer, const Layout& inner) {
  ensure(outer.modes.size() == 1 && inner.swizzle.bits == 0, "the outer layout has one mode, the inner no swizzle");
  const Mode& through = outer.modes[0];
  std::vector<std::int64_t> used(through.size());  // the largest value that the inner digits give an outer digit
  Layout result{.modes = {}, .swizzle = outer.swizzle};
  for (const Mode& mode : inner.modes) {
    Mode& composed = result.modes.emplace_back();
    for (Digit digit : mode) {
      ensure(digit.place == Place::address || digit.extent == 1, "the inner layout maps to addresses");
      if (digit.extent == 1 || digit.stride == 0) {
        composed.push_back({digit.extent, Place::address, 0});
        continue;
      }
      std::int64_t weight = 1;
      for (std::size_t d = 0; d < through.size() && digit.extent > 1; weight *= through[d++].extent) {
        if (digit.stride >= weight * through[d].extent) continue;
        ensure(digit.stride % weight == 0, "the strides of the inner layout align with the outer digits");
        std::int64_t step = digit.stride / weight;
        std::int64_t part = std::min(digit.extent, (through[d].extent + step - 1) / step);
        ensure(part == digit.extent || (part * step == through[d].extent && digit.extent % part == 0),
               "the extents of the inner layout align with the outer digits");
        composed.push_back({part, through[d].place, through[d].stride * step});
        used[d] += (part - 1) * step;
        digit.extent /= part;
        digit.stride = weight * through[d].extent;
      }
      ensure(digit.extent == 1, "the inner layout stays within the outer one");
    }
  }
  for (std::size_t d = 0; d < through.size(); ++d) {
    ensure(used[d] < through[d].extent, "the digits of the inner layout do not carry");
  }
  return result;
}

Layout project(const Layout& layout, std::span<const int> kept_modes) {
  Layout result{.modes = {}, .swizzle = layout.swizzle};
  for (int mode : kept_modes) result.modes.push_back(layout.modes.at(mode));
  std::vector<Digit*> registers;
  for (Mode& mode : result.modes) {
    for (Digit& digit : mode) {
      if (digit.place == Place::reg) registers.push_back(&digit);
    }
  }
  std::ranges::stable_sort(registers, {}, [](const Digit* digit) { return digit->stride; });
  std::int64_t stride = 1;
  for (Digit* digit : registers) {
    digit->stride = stride;
    stride *= digit->extent;
  }
  return result;
}

// The step between copies of the layout: its span, rounded up so that its largest digit is complete.
static std::int64_t period(const Layout& layout, Place place) {
  std::int64_t result = span_of(layout, place);
  for (const Weighted& digit : digits_of(layout, place)) result = std::max(result, digit.extent * digit.stride);
  return result;
}

Layout tile(const Layout& tile, const Layout& block) {
  ensure(tile.modes.size() == block.modes.size() && block.swizzle.bits == 0,
         "a tile and the block of its copies have as many modes, and the tile holds the swizzle");
  Layout result = tile;
  for (std::size_t m = 0; m < block.modes.size(); ++m) {
    for (Digit digit : block.modes[m]) {
      if (digit.extent == 1) continue;
      digit.stride *= period(tile, digit.place);
      result.modes[m].push_back(digit);
    }
  }
  return result;
}

std::optional<Layout> untile(const Layout& layout, const Layout& tile) {
  if (layout.modes.size() != tile.modes.size() || !(layout.swizzle == tile.swizzle)) return std::nullopt;
  Layout block;
  for (std::size_t m = 0; m < tile.modes.size(); ++m) {
    const std::optional<Layout> split = divide(Layout{{layout.modes[m]}, {}}, 0, extent(tile.modes[m]));
    if (!split || merged(split->modes[1]) != merged(tile.modes[m])) return std::nullopt;
    block.modes.push_back(split->modes[0]);
  }
  return block;
}

std::optional<Layout> divide(const Layout& layout, int mode, std::int64_t extent) {
  ensure(mode >= 0 && mode < static_cast<int>(layout.modes.size()) && extent >= 1, "the mode to divide exists");
  Mode inner, outer;
  std::int64_t rest = extent;  // what the inner mode still lacks
  for (const Digit& digit : layout.modes[mode]) {
    if (rest % digit.extent == 0) {
      inner.push_back(digit);
      rest /= digit.extent;
    } else if (digit.extent % rest == 0) {
      if (rest > 1) inner.push_back({rest, digit.place, digit.stride});
      outer.push_back({digit.extent / rest, digit.place, digit.stride * rest});
      rest = 1;
    } else {
      return std::nullopt;
    }
  }
  if (rest != 1) return std::nullopt;
  Layout result = layout;
  result.modes[mode] = outer;
  result.modes.insert(result.modes.begin() + mode + 1, inner);
  return result;
}

}  // namespace quern::ir
