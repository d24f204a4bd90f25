#pragma once
// The one place where the tolerance of a check comes from: how far a right result may lie from the reference
// evaluator's, for the data at hand.
//
// Every value v of the reference carries an interval that holds whatever any schedule within the contract computes. It
// need not lie around v evenly: where rounding admits v and the next number above, the one below is wrong. Inputs are
// points. Below, u is the unit roundoff 2^-digits of a dtype, ulp(x) the distance of its neighbours at x.
//
//   rounding     is monotone: of [lo, hi] to a dtype it is [round(lo), round(hi)], a point where both agree.
//   operations   that are correctly rounded: the exact operation on the interval's ends, rounded. The product of a
//                multiplication may stay unrounded where it meets an addition (a fused multiply-add), under a name
//                of its own too, unless the program says `exact`.
//   functions    of the table: their trend on the ends (or slope * width), widened by their row's ulp bound at the
//                larger end, of f32 or f64; then rounded to narrower dtypes. Rows that are spelled by their expansion
//                are bounded by their expansion.
//   rescaling    of a numerator or probability that is rounded to a narrower float, where a sum takes it up and there
//                alone (ir/rescaling.h): off by u and twice f32's u times itself, half the least distance of that
//                dtype's numbers, and the smallest normal f32.
//   select       of a condition that is not certain: the hull of both sides. An index that is not certain, a NaN or a
//                division by zero that is not certain: anything (an infinite bound).
//   sum          of n terms t_i in any order, in an accumulator of roundoff u (Higham, "Accuracy and Stability of
//                Numerical Algorithms", 2002, section 4.2):  |error| <= ((1 + u)^(n-1) - 1) * sum |t_i|,
//                no statistics, since any tree is allowed. Of products, u is doubled: matrix units truncate where they
//                align. No error where all terms are multiples of a q with sum |t_i| <= 2^digits * q: then every
//                partial sum is exact.
//   grade        f32: a product is 2 ulp of f32 off; tf32: both operands lose what an f32 has beyond 11 digits.
//   prod         ((1 + u)^(n-1) - 1) * |product|, while no product of some of the factors leaves the normal numbers.
//   max, min     of the ends. any, all: certain where a certain element decides.
//   argmax       every index whose element may reach the largest lower end.
//   logsumexp    of the ends, since it grows with every element; each exp and each of at most n rescalings is off by
//                its row's ulps and u * (|x - m| + 2), then log and the last addition.
//   welford      see `variance_error` in bounds.cpp.
//
// The reference's own roundings in double are counted with u = 2^-53 (2^-52 for library functions) alike.

#include <cstdint>
#include <span>
#include <vector>

#include "ir/evaluate.h"

namespace quern::ir {

// The reference value of an element (integers as doubles), and the ends of the interval of right results. A NaN or an
// infinity that is both ends itself must be met exactly. From -inf to inf, it is undecided: anything is right, NaN too.
struct Checked {
  double value = 0;
  double lo = 0, hi = 0;
};

// As evaluate_elements; thread-safe.
std::vector<Checked> evaluate_with_bounds(const Program& program, std::span<const std::int64_t> symbols,
                                          std::span<const HostTensor> inputs, std::size_t output,
                                          std::span<const Coordinate> coordinates);

bool is_undecided(const Checked& checked);

// Whether a computed element is right.
bool admits(const Checked& checked, double computed);

// How far a right result may lie from the value on the side where `computed` lies; on the farther side where it lies on
// neither.
double bound_beside(const Checked& checked, double computed);

// The error of a computed element over that bound: infinite where a wrong one has no such number.
double error_ratio(const Checked& checked, double computed);

}  // namespace quern::ir
