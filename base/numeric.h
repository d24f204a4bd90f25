#pragma once
// Exact conversions between dtypes and double, with the rules of the language: float to narrower float rounds to
// nearest even, straight from the double (never twice); to an 8-bit float saturates to the largest finite number and
// keeps NaN; float to integer truncates, saturates, and takes NaN to 0; integer to integer wraps; any number to bool is
// `!= 0`. Thread-safe: pure functions. NaN patterns are canonical, payloads and signs of NaN are not kept.

#include <cstdint>

#include "quern/dtype.h"

namespace quern {

// Bit patterns. f16 and bf16 overflow to infinity; the 8-bit formats saturate, infinities included.
std::uint16_t f16_from_double(double value);
std::uint16_t bf16_from_double(double value);
std::uint8_t f8e4m3_from_double(double value);  // largest 448, no infinity, one NaN per sign
std::uint8_t f8e5m2_from_double(double value);  // largest 57344
double double_from_f16(std::uint16_t bits);
double double_from_bf16(std::uint16_t bits);
double double_from_f8e4m3(std::uint8_t bits);
double double_from_f8e5m2(std::uint8_t bits);

// What tensor cores read of an f32: the low 13 bits of the significand dropped, 10 explicit ones kept.
float truncate_to_tf32(float value);

// The double nearest to what `value` becomes as `dtype` (exact but for 64-bit integers beyond 2^53).
double round_to(DType dtype, double value);

// `value` as an integer dtype or bool by the rules above; u64 as its two's complement bits. InternalError for floats.
std::int64_t integer_from_double(DType dtype, double value);

// The integer of `dtype` that is equal to `value` modulo 2^bits; bool: value != 0. u64 as its two's complement bits.
std::int64_t wrap_integer(DType dtype, std::int64_t value);

// The nearest integer that `dtype` holds. u64 as its two's complement bits, so negative numbers become 0.
std::int64_t saturate_integer(DType dtype, std::int64_t value);

// Element `index` of an array of `dtype`, unaligned arrays included. Integers of 64 bits round to double.
double load_element(DType dtype, const void* data, std::int64_t index);

// Converts `value` by the rules above and stores it.
void store_element(DType dtype, void* data, std::int64_t index, double value);

// The same for integers and bool, exactly; u64 as its two's complement bits. A store wraps.
std::int64_t load_integer(DType dtype, const void* data, std::int64_t index);
void store_integer(DType dtype, void* data, std::int64_t index, std::int64_t value);

}  // namespace quern
