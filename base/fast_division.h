#pragma once
// Division of unsigned numbers below 2^31 by an invariant divisor with one high multiplication, one addition and one
// shift (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994, figure 4.1). Because
// the dividend has 31 bits the addition can't overflow, and no divisor is special: 1 works, 0 gives quotient 0.
//
//   quotient = (high32(n * multiplier) + n) >> shift

#include <bit>
#include <cstdint>

#include "base/error.h"

namespace quern {

// As passed to kernels: two 32-bit words in this order.
struct FastDivision {
  std::uint32_t multiplier = 0;
  std::uint32_t shift = 0;
  bool operator==(const FastDivision&) const = default;
};

// The constants for `divisor` in 0 .. 2^31. Throws Error outside that range.
inline FastDivision fast_division(std::int64_t divisor) {
  if (divisor < 0 || divisor > (std::int64_t{1} << 31)) {
    fail("fast division needs a divisor in 0 .. 2147483648, got {}", divisor);
  }
  if (divisor == 0) return {0, 31};
  const auto d = static_cast<std::uint64_t>(divisor);
  const auto shift = static_cast<std::uint32_t>(std::bit_width(d - 1));  // ceil(log2(d))
  const std::uint64_t excess = (std::uint64_t{1} << shift) - d;
  return {static_cast<std::uint32_t>((excess << 32) / d + 1), shift};
}

// n // divisor for n below 2^31, as kernels compute it.
inline std::uint32_t divide(std::uint32_t n, FastDivision by) {
  const auto high = static_cast<std::uint32_t>((std::uint64_t{n} * by.multiplier) >> 32);
  return (high + n) >> by.shift;
}

}  // namespace quern
