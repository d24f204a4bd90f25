#pragma once
// exp(a - m) where m is the largest a along an axis: the numerator of a softmax. A sum over that axis of terms with
// such a factor may be computed in one pass, with a running maximum and all that was summed so far rescaled whenever it
// grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), and divided by what all its terms
// are divided by at the end. A factor that is rounded to a narrower float is then rounded at another scale, which the
// bound of a check admits (ir/bounds.h), of such sums alone. Thread-safe.
//
// Let w = exp(a - m) / t be the factor before it is rounded; t is 1 or the sum of the numerators, and so at least
// exp(m - m) = 1. One pass rounds exp(a - m') = w / s, where m' is the largest a so far, and scales what it summed by
// s = exp(m' - m) / t later on. Where the sum lies within the maximum's range, m' <= m and s <= 1. With u the unit
// roundoff of the narrower dtype and q the least distance of its numbers, the sum takes up, instead of round(w),
//
//   s * round(w / s),  which differs from w by at most  s * (u * w / s + q / 2)  <=  u * w + q / 2.
//
// To that come two roundings of f32, for the division by t before and for the one after, and the smallest normal number
// of f32, since what is below may count as 0. An elementwise definition or an output has no scale that could be undone:
// whatever but such a sum reads a rounded weight reads round(w). And a term whose weight is 0, as that of a logit of
// -inf is, may be left out, whatever it is 0 times of.

#include <optional>

#include "ir/tensor.h"

namespace quern::ir {

struct Numerator {
  Expr logit;             // a: elementwise definitions inlined
  VarRef axis;            // of `logit`, along which m is the maximum,
  Expr lo, hi;            // from lo to below hi
  const Definition* max;  // m, where it is a definition of its own; else null
};

// Whether `e`, an expression of some definition of the program, is such an exponential, itself or by reading an
// elementwise definition. Nothing where it is something else.
std::optional<Numerator> match_numerator(const Program& program, const Expr& e);

// A softmax: a numerator divided by the sum of its row's.
struct Probability {
  VarRef axis;              // of the row
  Expr numerator, divisor;  // the operands of the division
};

std::optional<Probability> match_probability(const Program& program, const Expr& e);

// A factor of a sum's term: the numerator or probability `weight`, rounded to `dtype` and widened to f32 or f64.
struct RoundedWeight {
  Expr weight;
  DType dtype;
};

// Whether the sum may take up this factor of its term rounded at another scale: it is over the weight's axis alone, in
// the maximum's range and in any order, and the factor is a rounded weight itself or by reading elementwise
// definitions.
std::optional<RoundedWeight> match_rounded_weight(const Program& program, const Node& sum, const Expr& factor);

// The expression with its reads of elementwise definitions replaced by what they read.
Expr inline_definitions(const Program& program, const Expr& e);

// What a read of an elementwise definition stands for, again and again: the first node that is none.
Expr resolve(const Program& program, const Expr& e);

}  // namespace quern::ir
