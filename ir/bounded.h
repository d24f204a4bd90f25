#pragma once
// Scalars with an interval of what other right computations of them give: the arithmetic of ir/bounds.h. Inside ir/.

#include <cstdint>
#include <optional>
#include <span>

#include "ir/evaluate_code.h"
#include "ir/scalar.h"

namespace quern::ir {

struct Bounded {
  Scalar value;   // of the reference
  double lo = 0;  // unless `sure`: ends of the interval; unknown values have infinite ends and may be NaN
  double hi = 0;
  // Nothing but `value`. A word, not a byte: a copy of the whole would wait for a byte that was just written.
  std::uint64_t sure = false;
};

struct BoundedArithmetic {
  using Value = Bounded;
  bool may_fuse = true;

  Bounded exact(DType, Scalar value) const { return {.value = value, .sure = true}; }
  std::optional<Scalar> certain(const Bounded& x) const { return x.sure ? std::optional(x.value) : std::nullopt; }
  Scalar value(const Bounded& x) const { return x.value; }
  Bounded unknown(DType dtype, Scalar value) const;
  Bounded either_of(DType dtype, const Bounded& taken, const Bounded& other) const;
  Bounded settled(DType dtype, const Bounded& x) const;
  Bounded call(const Instruction& i, std::span<const Bounded> x) const;
  Bounded cast(DType to, DType from, const Bounded& x) const;
  Bounded rescaled(DType to, const Bounded& weight, const Bounded& x) const;
  Bounded weighted(DType dtype, const Bounded& weight, const Bounded& x) const;
  Bounded expanded(const Instruction& i, std::span<const Bounded> operands, const Bounded& through) const;

  // ir/bounds.cpp
  template <typename M>
  Bounded reduce(M& machine, const ReduceCode& reduce, DType dtype) const;
};

// The ends of a value: equal where it is sure.
double low(DType dtype, const Bounded& x);
double high(DType dtype, const Bounded& x);
// Within lo .. hi, and the value of the reference; unknown where an end is NaN.
Bounded within(DType dtype, Scalar value, double lo, double hi);
bool is_unknown(const Bounded& x);

}  // namespace quern::ir
