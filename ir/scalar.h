#pragma once
// Scalars of every dtype on the host, above base/numeric.h: what the evaluator, constant folding and the checks share.
// Pure functions; thread-safe.
//
// A scalar is held exactly: floats of every dtype as a double, integers sign- or zero-extended to 64 bits (u64 as its
// bit pattern), bools as 0 and 1.

#include <cstdint>

#include "ir/scalar_functions.h"
#include "quern/dtype.h"

namespace quern::ir {

// `value`, computed in double or in wrapping 64 bits, brought into `dtype`.
Scalar fit(DType dtype, Scalar value);
double fit_real(DType dtype, double value);

// The value of a cast, as the language defines it; rounded once from 64-bit integers too.
Scalar convert(DType to, DType from, Scalar value);

// One element in memory, unaligned or not.
Scalar load(DType dtype, const void* from);
void store(DType dtype, void* to, Scalar value);

// Equal as values of `dtype`, bit for bit; every NaN equals every other.
bool identical(DType dtype, Scalar a, Scalar b);

// Limits
double largest_finite(DType dtype);         // of a float dtype
std::int64_t lowest_integer(DType dtype);   // of an integer dtype or bool
std::int64_t highest_integer(DType dtype);  // as a bit pattern for u64
double unit_roundoff(DType dtype);          // 2^-digits: the relative error of rounding to a float dtype
// The distance between neighbours of the float dtype around `magnitude`; its denormals' distance near zero.
double spacing(DType dtype, double magnitude);

}  // namespace quern::ir
