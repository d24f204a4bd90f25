#pragma once
// Values of every dtype on the host: rounding, wrapping, conversion and the bits in memory. The evaluator, constant
// folding and the checks share it. Pure functions; thread-safe.
//
// A scalar is held exactly: floats of every dtype as a double, integers sign- or zero-extended to 64 bits (u64 as its
// bit pattern), bools as 0 and 1.

#include <cstdint>

#include "ir/scalar_functions.h"
#include "quern/dtype.h"

namespace quern::ir {

// `value` rounded to the float dtype, nearest even, denormals kept. Beyond the largest finite value: infinity, or the
// largest finite value where the dtype is an f8.
double round_to(DType dtype, double value);

// The low bits of `value`, extended as the integer dtype is; of a bool, value != 0.
std::int64_t wrap_to(DType dtype, std::int64_t value);

// `value`, computed in double or in 64 bits, brought into `dtype`: round_to or wrap_to.
Scalar fit(DType dtype, Scalar value);

// The value of a cast, as the language defines it.
Scalar convert(DType to, DType from, Scalar value);

// One element in memory.
Scalar load(DType dtype, const void* from);
void store(DType dtype, void* to, Scalar value);

// Equal as values of `dtype`, bit for bit; every NaN equals every other.
bool identical(DType dtype, Scalar a, Scalar b);

// Limits
double largest_finite(DType dtype);         // of a float dtype
int smallest_exponent(DType dtype);         // of a float dtype's normal numbers: -126 for f32
std::int64_t lowest_integer(DType dtype);   // of an integer dtype or bool
std::int64_t highest_integer(DType dtype);  // as a bit pattern for u64
double unit_roundoff(DType dtype);          // 2^-digits, the relative error of rounding to a float dtype
// The distance between neighbours of the float dtype around `magnitude` (its denormals' spacing near zero).
double spacing(DType dtype, double magnitude);

}  // namespace quern::ir
