#pragma once
// exp(a - m) where m is the largest a along an axis: the numerator of a softmax. A sum over that axis of terms with
// such a factor may be computed in one pass, with a running maximum and all that was summed so far rescaled whenever it
// grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), and divided by what all its terms
// are divided by at the end. A factor that is rounded to a narrower float is then rounded at another scale: ir/bounds.h
// admits that. Thread-safe.

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

// The expression with its reads of elementwise definitions replaced by what they read.
Expr inline_definitions(const Program& program, const Expr& e);

// What a read of an elementwise definition stands for, again and again: the first node that is none.
Expr resolve(const Program& program, const Expr& e);

}  // namespace quern::ir
