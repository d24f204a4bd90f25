#include "base/numeric.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace quern {
namespace {

constexpr int kDoubleFraction = 52;
constexpr int kDoubleBias = 1023;

// A binary float format narrower than double, with subnormals.
struct Format {
  int fraction;       // explicit significand bits
  int exponent;       // exponent bits
  unsigned overflow;  // pattern that values beyond the largest finite one take
  unsigned largest;   // pattern of the largest finite value
  unsigned nan;

  constexpr int bias() const { return (1 << (exponent - 1)) - 1; }
  constexpr unsigned sign() const { return 1u << (fraction + exponent); }
};

constexpr Format kF16{10, 5, 0x7c00, 0x7bff, 0x7e00};
constexpr Format kBF16{7, 8, 0x7f80, 0x7f7f, 0x7fc0};
constexpr Format kF8E4M3{3, 4, 0x7e, 0x7e, 0x7f};
constexpr Format kF8E5M2{2, 5, 0x7b, 0x7b, 0x7f};

// significand / 2^shift, rounded to nearest even.
std::uint64_t shift_round(std::uint64_t significand, int shift) {
  if (shift > kDoubleFraction + 1) return 0;  // less than half of the last place
  const std::uint64_t kept = significand >> shift;
  const std::uint64_t rest = significand & ((std::uint64_t{1} << shift) - 1);
  const std::uint64_t half = std::uint64_t{1} << (shift - 1);
  return kept + (rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0);
}

unsigned encode(const Format& format, double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const unsigned sign = bits >> 63 != 0 ? format.sign() : 0;
  const int biased = static_cast<int>(bits >> kDoubleFraction) & 0x7ff;
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << kDoubleFraction) - 1);
  if (biased == 0x7ff) return fraction != 0 ? format.nan : sign | format.overflow;
  if (biased == 0) return sign;  // far below the smallest subnormal of every narrower format
  const int exponent = biased - kDoubleBias;
  const int smallest = 1 - format.bias();
  if (exponent > format.bias() + 1) return sign | format.overflow;
  const int denormal = exponent < smallest ? smallest - exponent : 0;
  const std::uint64_t significand = fraction | std::uint64_t{1} << kDoubleFraction;
  const std::uint64_t rounded = shift_round(significand, kDoubleFraction - format.fraction + denormal);
  // Adding instead of joining lets a carry move into the exponent. A normal number's implicit bit is one of it.
  const std::uint64_t base = denormal > 0 ? 0 : static_cast<std::uint64_t>(exponent - smallest) << format.fraction;
  const std::uint64_t magnitude = base + rounded;
  return sign | (magnitude > format.largest ? format.overflow : static_cast<unsigned>(magnitude));
}

double decode(const Format& format, unsigned bits) {
  const unsigned magnitude = bits & (format.sign() - 1);
  const double sign = (bits & format.sign()) != 0 ? -1.0 : 1.0;
  if (magnitude > format.largest) {
    const unsigned infinity = ((1u << format.exponent) - 1) << format.fraction;
    const bool has_infinity = infinity > format.largest;
    return has_infinity && magnitude == infinity ? sign * std::numeric_limits<double>::infinity()
                                                 : std::numeric_limits<double>::quiet_NaN();
  }
  const int field = static_cast<int>(magnitude >> format.fraction);
  const unsigned fraction = magnitude & ((1u << format.fraction) - 1);
  const unsigned significand = field == 0 ? fraction : fraction | 1u << format.fraction;
  const int exponent = (field == 0 ? 1 : field) - format.bias() - format.fraction;
  return sign * std::ldexp(static_cast<double>(significand), exponent);
}

template <typename T>
T load(const void* data, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void store(void* data, std::int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
}

int bit_count(DType dtype) { return 8 * byte_size(dtype); }

// Largest value that an integer dtype of fewer than 64 bits or i64 holds.
std::int64_t largest_integer(DType dtype) {
  const int digits = info(dtype).digits;
  return digits >= 63 ? std::numeric_limits<std::int64_t>::max() : (std::int64_t{1} << digits) - 1;
}

}  // namespace

std::uint16_t f16_from_double(double value) { return static_cast<std::uint16_t>(encode(kF16, value)); }
std::uint16_t bf16_from_double(double value) { return static_cast<std::uint16_t>(encode(kBF16, value)); }
std::uint8_t f8e4m3_from_double(double value) { return static_cast<std::uint8_t>(encode(kF8E4M3, value)); }
std::uint8_t f8e5m2_from_double(double value) { return static_cast<std::uint8_t>(encode(kF8E5M2, value)); }
double double_from_f16(std::uint16_t bits) { return decode(kF16, bits); }
double double_from_bf16(std::uint16_t bits) { return decode(kBF16, bits); }
double double_from_f8e4m3(std::uint8_t bits) { return decode(kF8E4M3, bits); }
double double_from_f8e5m2(std::uint8_t bits) { return decode(kF8E5M2, bits); }

float truncate_to_tf32(float value) {
  if (std::isnan(value)) return value;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffffe000u);
}

double round_to(DType dtype, double value) {
  switch (dtype) {
    case DType::f64:
      return value;
    case DType::f32:
      return static_cast<double>(static_cast<float>(value));
    case DType::f16:
      return decode(kF16, encode(kF16, value));
    case DType::bf16:
      return decode(kBF16, encode(kBF16, value));
    case DType::f8e4m3:
      return decode(kF8E4M3, encode(kF8E4M3, value));
    case DType::f8e5m2:
      return decode(kF8E5M2, encode(kF8E5M2, value));
    default:
      const std::int64_t integer = integer_from_double(dtype, value);
      return dtype == DType::u64 ? static_cast<double>(static_cast<std::uint64_t>(integer))
                                 : static_cast<double>(integer);
  }
}

std::int64_t integer_from_double(DType dtype, double value) {
  ensure(!is_float(dtype), "integer_from_double converts to integers and bool");
  if (is_bool(dtype)) return value != 0;
  if (std::isnan(value)) return 0;
  if (dtype == DType::u64) {
    if (value <= 0) return 0;
    if (value >= 0x1p64) return -1;
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(value));
  }
  if (value >= 0x1p63) return largest_integer(dtype);
  if (value < -0x1p63) return saturate_integer(dtype, std::numeric_limits<std::int64_t>::min());
  return saturate_integer(dtype, static_cast<std::int64_t>(value));
}

std::int64_t wrap_integer(DType dtype, std::int64_t value) {
  ensure(!is_float(dtype), "wrap_integer converts to integers and bool");
  if (is_bool(dtype)) return value != 0;
  const int unused = 64 - bit_count(dtype);
  const std::uint64_t high = static_cast<std::uint64_t>(value) << unused;
  return is_signed_integer(dtype) ? static_cast<std::int64_t>(high) >> unused
                                  : static_cast<std::int64_t>(high >> unused);
}

std::int64_t saturate_integer(DType dtype, std::int64_t value) {
  ensure(!is_float(dtype), "saturate_integer converts to integers and bool");
  if (is_bool(dtype)) return value != 0;
  if (value < 0 && is_unsigned_integer(dtype)) return 0;
  const std::int64_t largest = largest_integer(dtype);
  if (value > largest) return largest;
  return value < -largest - 1 ? -largest - 1 : value;
}

double load_element(DType dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case DType::f64:
      return load<double>(data, index);
    case DType::f32:
      return static_cast<double>(load<float>(data, index));
    case DType::f16:
      return double_from_f16(load<std::uint16_t>(data, index));
    case DType::bf16:
      return double_from_bf16(load<std::uint16_t>(data, index));
    case DType::f8e4m3:
      return double_from_f8e4m3(load<std::uint8_t>(data, index));
    case DType::f8e5m2:
      return double_from_f8e5m2(load<std::uint8_t>(data, index));
    case DType::u64:
      return static_cast<double>(load<std::uint64_t>(data, index));
    default:
      return static_cast<double>(load_integer(dtype, data, index));
  }
}

void store_element(DType dtype, void* data, std::int64_t index, double value) {
  switch (dtype) {
    case DType::f64:
      return store(data, index, value);
    case DType::f32:
      return store(data, index, static_cast<float>(value));
    case DType::f16:
      return store(data, index, f16_from_double(value));
    case DType::bf16:
      return store(data, index, bf16_from_double(value));
    case DType::f8e4m3:
      return store(data, index, f8e4m3_from_double(value));
    case DType::f8e5m2:
      return store(data, index, f8e5m2_from_double(value));
    default:
      store_integer(dtype, data, index, integer_from_double(dtype, value));
  }
}

std::int64_t load_integer(DType dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case DType::i64:
    case DType::u64:
      return load<std::int64_t>(data, index);
    case DType::i32:
      return load<std::int32_t>(data, index);
    case DType::u32:
      return load<std::uint32_t>(data, index);
    case DType::i16:
      return load<std::int16_t>(data, index);
    case DType::u16:
      return load<std::uint16_t>(data, index);
    case DType::i8:
      return load<std::int8_t>(data, index);
    case DType::u8:
      return load<std::uint8_t>(data, index);
    case DType::boolean:
      return load<std::uint8_t>(data, index) != 0;
    default:
      unreachable("load_integer reads integers and bool");
  }
}

void store_integer(DType dtype, void* data, std::int64_t index, std::int64_t value) {
  const std::int64_t wrapped = wrap_integer(dtype, value);
  switch (byte_size(dtype)) {
    case 8:
      return store(data, index, wrapped);
    case 4:
      return store(data, index, static_cast<std::uint32_t>(wrapped));
    case 2:
      return store(data, index, static_cast<std::uint16_t>(wrapped));
    default:
      store(data, index, static_cast<std::uint8_t>(wrapped));
  }
}

}  // namespace quern
