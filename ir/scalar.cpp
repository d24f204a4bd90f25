#include "ir/scalar.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"

namespace quern::ir {
namespace {

struct Limits {
  int smallest_exponent;  // of normal numbers
  double largest;
};

constexpr Limits kLimits[] = {
    {-1022, 0x1.fffffffffffffp1023},  // f64
    {-126, 0x1.fffffep127},           // f32
    {-14, 65504},                     // f16
    {-126, 0x1.fep127},               // bf16
    {-6, 448},                        // f8e4m3
    {-14, 57344},                     // f8e5m2
};

const Limits& limits_of(DType dtype) {
  ensure(is_float(dtype), "only floats have an exponent");
  return kLimits[static_cast<std::size_t>(dtype)];
}

// A 64-bit magnitude as a float dtype, rounded once: what a double does not hold becomes its last bit.
double from_magnitude(DType to, std::uint64_t magnitude) {
  if (to == DType::f64 || magnitude < (std::uint64_t{1} << 53)) return fit_real(to, static_cast<double>(magnitude));
  const std::uint64_t kept = (magnitude >> 11) | ((magnitude & 0x7ff) != 0 ? 1 : 0);
  return fit_real(to, std::ldexp(static_cast<double>(kept), 11));
}

template <typename T>
T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

double fit_real(DType dtype, double value) {
  if (dtype == DType::f64) return value;
  if (dtype == DType::f32) return static_cast<double>(static_cast<float>(value));
  // The bits of a normal number are rounded in place; the rest goes the long way.
  const Limits& limits = limits_of(dtype);
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff) - 1023;
  if (exponent < limits.smallest_exponent || exponent >= 1023) return round_to(dtype, value);
  const int dropped = 53 - info(dtype).digits;
  const std::uint64_t odd = (bits >> dropped) & 1;
  const std::uint64_t below_half = (std::uint64_t{1} << (dropped - 1)) - 1;
  const auto rounded = std::bit_cast<double>((bits + below_half + odd) & ~((std::uint64_t{1} << dropped) - 1));
  return std::abs(rounded) <= limits.largest ? rounded : round_to(dtype, value);
}

Scalar fit(DType dtype, Scalar value) {
  if (is_float(dtype)) return {.real = fit_real(dtype, value.real)};
  return {.integer = wrap_integer(dtype, value.integer)};
}

Scalar convert(DType to, DType from, Scalar value) {
  if (is_float(from)) {
    if (is_float(to)) return {.real = fit_real(to, value.real)};
    return {.integer = integer_from_double(to, value.real)};
  }
  if (!is_float(to)) return {.integer = wrap_integer(to, value.integer)};
  const bool negative = from != DType::u64 && value.integer < 0;
  const auto bits = static_cast<std::uint64_t>(value.integer);
  const double magnitude = from_magnitude(to, negative ? 0 - bits : bits);
  return {.real = negative ? -magnitude : magnitude};
}

Scalar load(DType dtype, const void* from) {
  if (!is_float(dtype)) return {.integer = load_integer(dtype, from, 0)};
  if (dtype == DType::bf16) {
    return {.real = std::bit_cast<float>(std::uint32_t{load_as<std::uint16_t>(from)} << 16)};
  }
  return {.real = load_element(dtype, from, 0)};
}

void store(DType dtype, void* to, Scalar value) {
  // A value of the dtype is stored as it is, where store_element would saturate as a cast does.
  if (dtype == DType::f8e5m2 && std::isinf(value.real))
    return store_integer(DType::u8, to, 0, value.real < 0 ? 0xfc : 0x7c);
  if (is_float(dtype)) return store_element(dtype, to, 0, value.real);
  store_integer(dtype, to, 0, value.integer);
}

bool identical(DType dtype, Scalar a, Scalar b) {
  if (!is_float(dtype)) return a.integer == b.integer;
  if (std::isnan(a.real) || std::isnan(b.real)) return std::isnan(a.real) && std::isnan(b.real);
  return std::bit_cast<std::uint64_t>(a.real) == std::bit_cast<std::uint64_t>(b.real);
}

double largest_finite(DType dtype) { return limits_of(dtype).largest; }

std::int64_t lowest_integer(DType dtype) {
  if (!is_signed_integer(dtype)) return 0;
  return std::numeric_limits<std::int64_t>::min() >> (63 - info(dtype).digits);
}

std::int64_t highest_integer(DType dtype) {
  if (dtype == DType::u64) return -1;
  return std::numeric_limits<std::int64_t>::max() >> (63 - info(dtype).digits);
}

double unit_roundoff(DType dtype) { return std::ldexp(1.0, -info(dtype).digits); }

double spacing(DType dtype, double magnitude) {
  const Limits& limits = limits_of(dtype);
  magnitude = std::min(std::abs(magnitude), limits.largest);
  const int exponent =
      magnitude == 0 ? limits.smallest_exponent : std::max(std::ilogb(magnitude), limits.smallest_exponent);
  return std::ldexp(1.0, exponent - info(dtype).digits + 1);
}

}  // namespace quern::ir
