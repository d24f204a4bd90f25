#include "ir/scalar.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace quern::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What rounding needs to know of a float dtype.
struct Format {
  int digits;             // of the significand, the implicit one included
  int smallest_exponent;  // of normal numbers
  double largest;
  bool has_infinity;
  bool saturates;
};

constexpr Format kFormats[] = {
    {53, -1022, 0x1.fffffffffffffp1023, true, false},  // f64
    {24, -126, 0x1.fffffep127, true, false},           // f32
    {11, -14, 65504, true, false},                     // f16
    {8, -126, 0x1.fep127, true, false},                // bf16
    {4, -6, 448, false, true},                         // f8e4m3
    {3, -14, 57344, true, true},                       // f8e5m2
};

const Format& format_of(DType dtype) {
  ensure(is_float(dtype), "only floats have a format");
  return kFormats[static_cast<std::size_t>(dtype)];
}

// Rounds zeros, denormals, infinities and NaN, and whatever the quick way leaves.
double round_slowly(const Format& format, double value) {
  if (std::isnan(value) || value == 0) return value;
  if (std::isinf(value)) return format.saturates ? std::copysign(format.largest, value) : value;
  const int exponent = std::max(std::ilogb(value), format.smallest_exponent);
  const int quantum = exponent - format.digits + 1;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -quantum)), quantum);
  if (std::abs(rounded) <= format.largest) return rounded;
  return std::copysign(format.saturates ? format.largest : kInfinity, value);
}

// Of a float dtype narrower than f32.
std::uint32_t encode(DType dtype, double value) {
  const Format& format = format_of(dtype);
  const int bits = 8 * byte_size(dtype);
  const int mantissa_bits = format.digits - 1;
  const std::uint32_t sign = std::signbit(value) ? 1u << (bits - 1) : 0u;
  const std::uint32_t all_ones = (1u << (bits - 1 - mantissa_bits)) - 1;
  if (std::isnan(value)) return format.has_infinity ? (all_ones << mantissa_bits) | (1u << (mantissa_bits - 1)) : 0x7f;
  if (std::isinf(value)) {
    ensure(format.has_infinity, "an infinity is rounded before it is stored");
    return sign | (all_ones << mantissa_bits);
  }
  if (value == 0) return sign;
  const int exponent = std::max(std::ilogb(value), format.smallest_exponent);
  const auto mantissa = static_cast<std::uint32_t>(std::ldexp(std::abs(value), mantissa_bits - exponent));
  const std::uint32_t hidden = 1u << mantissa_bits;
  if (mantissa < hidden) return sign | mantissa;
  const auto biased = static_cast<std::uint32_t>(exponent - format.smallest_exponent + 1);
  return sign | (biased << mantissa_bits) | (mantissa - hidden);
}

double decode(DType dtype, std::uint32_t bits) {
  const Format& format = format_of(dtype);
  const int width = 8 * byte_size(dtype);
  const int mantissa_bits = format.digits - 1;
  const bool negative = (bits >> (width - 1)) & 1;
  const std::uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const std::uint32_t all_ones = (1u << (width - 1 - mantissa_bits)) - 1;
  const std::uint32_t biased = (bits >> mantissa_bits) & all_ones;
  double magnitude;
  if (biased == all_ones && format.has_infinity) {
    magnitude = mantissa == 0 ? kInfinity : std::numeric_limits<double>::quiet_NaN();
  } else if (!format.has_infinity && (bits & 0x7f) == 0x7f) {
    magnitude = std::numeric_limits<double>::quiet_NaN();
  } else {
    const int exponent = format.smallest_exponent + (biased == 0 ? 0 : static_cast<int>(biased) - 1);
    const std::uint32_t significand = mantissa + (biased == 0 ? 0u : 1u << mantissa_bits);
    magnitude = std::ldexp(static_cast<double>(significand), exponent - mantissa_bits);
  }
  return negative ? -magnitude : magnitude;
}

std::int64_t truncate(DType to, double value) {
  if (std::isnan(value)) return 0;
  value = std::trunc(value);
  if (to == DType::u64) {
    if (value <= 0) return 0;
    if (value >= 0x1p64) return -1;
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(value));
  }
  // Both limits compare exactly: the lowest is a power of two, and 2^63 is the first double above the highest i64.
  if (value <= static_cast<double>(lowest_integer(to))) return lowest_integer(to);
  if (value >= static_cast<double>(highest_integer(to))) return highest_integer(to);
  return static_cast<std::int64_t>(value);
}

// A 64-bit magnitude as a float dtype, rounded once: what a double does not hold becomes its last bit.
double from_magnitude(DType to, std::uint64_t magnitude) {
  if (to == DType::f64 || magnitude < (std::uint64_t{1} << 53)) return round_to(to, static_cast<double>(magnitude));
  const std::uint64_t kept = (magnitude >> 11) | ((magnitude & 0x7ff) != 0 ? 1 : 0);
  return round_to(to, std::ldexp(static_cast<double>(kept), 11));
}

template <typename T>
T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T, typename V>
void store_as(void* to, V value) {
  const T narrow = static_cast<T>(value);
  std::memcpy(to, &narrow, sizeof narrow);
}

}  // namespace

double round_to(DType dtype, double value) {
  if (dtype == DType::f64) return value;
  if (dtype == DType::f32) return static_cast<double>(static_cast<float>(value));
  const Format& format = format_of(dtype);
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff) - 1023;
  if (exponent < format.smallest_exponent || exponent >= 1023) return round_slowly(format, value);
  const int dropped = 53 - format.digits;
  const std::uint64_t odd = (bits >> dropped) & 1;
  const std::uint64_t half_way = (std::uint64_t{1} << (dropped - 1)) - 1 + odd;
  const auto rounded = std::bit_cast<double>((bits + half_way) & ~((std::uint64_t{1} << dropped) - 1));
  return std::abs(rounded) <= format.largest ? rounded : round_slowly(format, value);
}

std::int64_t wrap_to(DType dtype, std::int64_t value) {
  switch (dtype) {
    case DType::i32:
      return static_cast<std::int32_t>(value);
    case DType::i16:
      return static_cast<std::int16_t>(value);
    case DType::i8:
      return static_cast<std::int8_t>(value);
    case DType::u32:
      return static_cast<std::uint32_t>(value);
    case DType::u16:
      return static_cast<std::uint16_t>(value);
    case DType::u8:
      return static_cast<std::uint8_t>(value);
    case DType::boolean:
      return value != 0;
    default:
      return value;
  }
}

Scalar fit(DType dtype, Scalar value) {
  if (is_float(dtype)) return {.real = round_to(dtype, value.real)};
  return {.integer = wrap_to(dtype, value.integer)};
}

Scalar convert(DType to, DType from, Scalar value) {
  if (is_float(to)) {
    if (is_float(from)) return {.real = round_to(to, value.real)};
    const bool negative = from != DType::u64 && value.integer < 0;
    const auto bits = static_cast<std::uint64_t>(value.integer);
    const double magnitude = from_magnitude(to, negative ? 0 - bits : bits);
    return {.real = negative ? -magnitude : magnitude};
  }
  if (is_float(from)) {
    if (is_bool(to)) return {.integer = value.real != 0};
    return {.integer = truncate(to, value.real)};
  }
  return {.integer = wrap_to(to, value.integer)};
}

Scalar load(DType dtype, const void* from) {
  switch (dtype) {
    case DType::f64:
      return {.real = load_as<double>(from)};
    case DType::f32:
      return {.real = load_as<float>(from)};
    case DType::f16:
    case DType::bf16:
      return {.real = decode(dtype, load_as<std::uint16_t>(from))};
    case DType::f8e4m3:
    case DType::f8e5m2:
      return {.real = decode(dtype, load_as<std::uint8_t>(from))};
    case DType::i64:
    case DType::u64:
      return {.integer = load_as<std::int64_t>(from)};
    case DType::i32:
      return {.integer = load_as<std::int32_t>(from)};
    case DType::i16:
      return {.integer = load_as<std::int16_t>(from)};
    case DType::i8:
      return {.integer = load_as<std::int8_t>(from)};
    case DType::u32:
      return {.integer = load_as<std::uint32_t>(from)};
    case DType::u16:
      return {.integer = load_as<std::uint16_t>(from)};
    case DType::u8:
      return {.integer = load_as<std::uint8_t>(from)};
    case DType::boolean:
      return {.integer = load_as<std::uint8_t>(from) != 0};
  }
  unreachable("a dtype");
}

void store(DType dtype, void* to, Scalar value) {
  switch (dtype) {
    case DType::f64:
      return store_as<double>(to, value.real);
    case DType::f32:
      return store_as<float>(to, value.real);
    case DType::f16:
    case DType::bf16:
      return store_as<std::uint16_t>(to, encode(dtype, value.real));
    case DType::f8e4m3:
    case DType::f8e5m2:
      return store_as<std::uint8_t>(to, encode(dtype, value.real));
    default:
      break;
  }
  switch (byte_size(dtype)) {
    case 8:
      return store_as<std::int64_t>(to, value.integer);
    case 4:
      return store_as<std::int32_t>(to, value.integer);
    case 2:
      return store_as<std::int16_t>(to, value.integer);
    default:
      return store_as<std::int8_t>(to, value.integer);
  }
}

bool identical(DType dtype, Scalar a, Scalar b) {
  if (!is_float(dtype)) return a.integer == b.integer;
  if (std::isnan(a.real) || std::isnan(b.real)) return std::isnan(a.real) && std::isnan(b.real);
  return std::bit_cast<std::uint64_t>(a.real) == std::bit_cast<std::uint64_t>(b.real);
}

double largest_finite(DType dtype) { return format_of(dtype).largest; }
int smallest_exponent(DType dtype) { return format_of(dtype).smallest_exponent; }

std::int64_t lowest_integer(DType dtype) {
  if (!is_signed_integer(dtype)) return 0;
  return std::numeric_limits<std::int64_t>::min() >> (63 - info(dtype).digits);
}

std::int64_t highest_integer(DType dtype) {
  if (dtype == DType::u64) return -1;
  return std::numeric_limits<std::int64_t>::max() >> (63 - info(dtype).digits);
}

double unit_roundoff(DType dtype) { return std::ldexp(1.0, -format_of(dtype).digits); }

double spacing(DType dtype, double magnitude) {
  const Format& format = format_of(dtype);
  magnitude = std::min(std::abs(magnitude), format.largest);
  const int exponent =
      magnitude == 0 ? format.smallest_exponent : std::max(std::ilogb(magnitude), format.smallest_exponent);
  return std::ldexp(1.0, exponent - format.digits + 1);
}

}  // namespace quern::ir
