#include "ir/bounded.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace quern::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kExactInteger = 0x1p53;  // up to here doubles hold integers

double as_double(DType dtype, Scalar value) {
  if (is_float(dtype)) return value.real;
  if (dtype == DType::u64) return static_cast<double>(static_cast<std::uint64_t>(value.integer));
  return static_cast<double>(value.integer);
}

struct Ends {
  double lo, hi;
};

Ends ends(DType dtype, const Bounded& x) { return {low(dtype, x), high(dtype, x)}; }

double below(double x) { return std::nextafter(x, -kInfinity); }
double above(double x) { return std::nextafter(x, kInfinity); }

// The dtype that a function of `dtype` is computed in.
DType working(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// f at operands, in double and not rounded.
double at(const ScalarFunction& f, DType dtype, std::span<const double> operands) {
  std::array<Scalar, 3> x;
  for (std::size_t i = 0; i < operands.size(); ++i) x[i].real = operands[i];
  return f.reference(dtype, std::span(x.data(), operands.size())).real;
}

// The exact range of a function of floats over intervals, before any rounding; NaN ends where it is not known.
Ends range_of(const ScalarFunction& f, DType dtype, std::span<const Bounded> x) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  std::array<Ends, 3> e{};
  for (std::size_t i = 0; i < x.size(); ++i) e[i] = ends(dtype, x[i]);
  const auto corners = [&] {
    Ends result{kInfinity, -kInfinity};
    for (int corner = 0; corner < 4; ++corner) {
      const double operands[] = {corner & 1 ? e[0].hi : e[0].lo, corner & 2 ? e[1].hi : e[1].lo};
      const double value = at(f, dtype, operands);
      if (std::isnan(value)) return Ends{kNan, kNan};
      result = {std::min(result.lo, value), std::max(result.hi, value)};
    }
    return result;
  };
  switch (f.op) {
    case Op::add:
    case Op::sub:
    case Op::mul:
      return corners();
    case Op::div:
      return e[1].lo <= 0 && e[1].hi >= 0 ? Ends{kNan, kNan} : corners();
    case Op::rcp_flush:
      return e[0].lo <= 0 && e[0].hi >= 0 ? Ends{kNan, kNan} : corners();
    case Op::pow:
      return e[0].lo >= 0 ? corners() : Ends{kNan, kNan};
    case Op::abs:
      if (e[0].lo >= 0) return e[0];
      return e[0].hi <= 0 ? Ends{-e[0].hi, -e[0].lo} : Ends{0, std::max(-e[0].lo, e[0].hi)};
    default:
      break;
  }
  if (f.slope > 0) {
    const double center = x[0].value.real;
    const double reach = f.slope * std::max(e[0].hi - center, center - e[0].lo);
    const double value = at(f, dtype, std::span(&center, 1));
    return {value - reach, value + reach};
  }
  if (f.trend == Trend::none) return {kNan, kNan};
  std::array<double, 3> lows{}, highs{};
  for (std::size_t i = 0; i < x.size(); ++i) {
    lows[i] = f.trend == Trend::increasing ? e[i].lo : e[i].hi;
    highs[i] = f.trend == Trend::increasing ? e[i].hi : e[i].lo;
  }
  return {at(f, dtype, std::span(lows.data(), x.size())), at(f, dtype, std::span(highs.data(), x.size()))};
}

bool is_sure_nan(const Bounded& x) { return x.sure && std::isnan(x.value.real); }

// A comparison of values of which one is not sure, as far as their intervals decide.
std::optional<bool> compare(Op op, Ends a, Ends b) {
  switch (op) {
    case Op::gt:
      return compare(Op::lt, b, a);
    case Op::ge:
      return compare(Op::le, b, a);
    case Op::lt:
      if (a.hi < b.lo) return true;
      if (a.lo >= b.hi) return false;
      return std::nullopt;
    case Op::le:
      if (a.hi <= b.lo) return true;
      if (a.lo > b.hi) return false;
      return std::nullopt;
    default:
      if (a.hi < b.lo || b.hi < a.lo) return op == Op::ne;
      return std::nullopt;
  }
}

// Whether the product of two values of the dtype is one itself, so that it does not matter whether it is rounded.
bool is_exact_product(DType dtype, std::span<const Scalar> x, double product) {
  if (!std::isfinite(product)) return true;
  if (dtype == DType::f64) return std::fma(x[0].real, x[1].real, -product) == 0;
  return fit_real(dtype, product) == product;
}

// A function of integers of which one is not sure: only what a double follows exactly.
Bounded integer_call(const BoundedArithmetic& arithmetic, const Instruction& i, std::span<const Bounded> x,
                     Scalar value) {
  const Bounded limits = arithmetic.unknown(i.dtype, value);
  if (i.op == Op::add || i.op == Op::sub || i.op == Op::mul) {
    const Bounded reals[] = {within(i.dtype, x[0].value, low(i.from, x[0]), high(i.from, x[0])),
                             within(i.dtype, x[1].value, low(i.from, x[1]), high(i.from, x[1]))};
    const Ends e = range_of(row(i.op), DType::f64, reals);
    const double least = std::max(limits.lo, -kExactInteger), most = std::min(limits.hi, kExactInteger);
    return e.lo >= least && e.hi <= most ? within(i.dtype, value, e.lo, e.hi) : limits;
  }
  if (i.op == Op::min || i.op == Op::max) {
    const Ends a = ends(i.from, x[0]), b = ends(i.from, x[1]);
    return i.op == Op::min ? within(i.dtype, value, std::min(a.lo, b.lo), std::min(a.hi, b.hi))
                           : within(i.dtype, value, std::max(a.lo, b.lo), std::max(a.hi, b.hi));
  }
  return limits;
}

}  // namespace

double low(DType dtype, const Bounded& x) { return x.sure ? as_double(dtype, x.value) : x.lo; }
double high(DType dtype, const Bounded& x) { return x.sure ? as_double(dtype, x.value) : x.hi; }
bool is_unknown(const Bounded& x) { return !x.sure && x.lo == -kInfinity && x.hi == kInfinity; }

Bounded within(DType dtype, Scalar value, double lo, double hi) {
  const double own = as_double(dtype, value);
  if (std::isnan(lo) || std::isnan(hi) || std::isnan(own)) return {.value = value, .lo = -kInfinity, .hi = kInfinity};
  return {.value = value, .lo = std::min(lo, own), .hi = std::max(hi, own)};
}

Bounded BoundedArithmetic::unknown(DType dtype, Scalar value) const {
  if (is_float(dtype)) return {.value = value, .lo = -kInfinity, .hi = kInfinity};
  return {.value = value,
          .lo = as_double(dtype, {.integer = lowest_integer(dtype)}),
          .hi = as_double(dtype, {.integer = highest_integer(dtype)})};
}

Bounded BoundedArithmetic::either_of(DType dtype, const Bounded& taken, const Bounded& other) const {
  if (taken.sure && other.sure && identical(dtype, taken.value, other.value)) return taken;
  return within(dtype, taken.value, std::min(low(dtype, taken), low(dtype, other)),
                std::max(high(dtype, taken), high(dtype, other)));
}

Bounded BoundedArithmetic::settled(DType dtype, const Bounded& x) const {
  if (x.sure || !is_float(dtype) || is_unknown(x)) return x;
  Bounded result = within(dtype, x.value, fit_real(dtype, x.lo), fit_real(dtype, x.hi));
  // A zero's sign is not known.
  result.sure = result.lo == result.hi && result.lo != 0;
  return result;
}

Bounded BoundedArithmetic::call(const Instruction& i, std::span<const Bounded> x) const {
  const ScalarFunction& f = row(i.op);
  std::array<Scalar, 3> values;
  bool sure = true;
  for (std::size_t n = 0; n < x.size(); ++n) {
    values[n] = x[n].value;
    sure = sure && x[n].sure;
  }
  const Scalar raw = f.reference(i.from, std::span(values.data(), x.size()));
  const Scalar value = fit(i.dtype, raw);
  const bool fusable = i.op == Op::mul && may_fuse && is_float(i.dtype);
  if (sure && (!is_float(i.dtype) || f.ulp <= 0.5)) {
    if (!fusable || is_exact_product(i.dtype, values, raw.real)) return exact(i.dtype, value);
    return within(i.dtype, value, below(raw.real), above(raw.real));
  }
  if (is_bool(i.dtype) && f.types == TypeRule::comparison) {
    for (const Bounded& operand : x) {
      if (is_float(i.from) && is_sure_nan(operand)) return exact(i.dtype, value);
    }
    const Bounded a = settled(i.from, x[0]), b = settled(i.from, x[1]);
    const auto known = compare(i.op, ends(i.from, a), ends(i.from, b));
    return known ? exact(i.dtype, {.integer = *known}) : unknown(i.dtype, value);
  }
  if (!is_float(i.dtype)) return integer_call(*this, i, x, value);
  if (std::isnan(value.real)) {
    // A NaN that surely goes in comes out, save of pow(NaN, 0) and pow(1, NaN).
    const bool given = i.op != Op::pow && std::any_of(x.begin(), x.end(), is_sure_nan);
    if (sure || given) return exact(i.dtype, value);
    return unknown(i.dtype, value);
  }
  // A product that is subtracted, or that a choice of extremes comes to, meets the addition all the same.
  const bool passes = (i.op == Op::neg || i.op == Op::min || i.op == Op::max) && may_fuse;
  const bool sums = i.op == Op::add || i.op == Op::sub || passes;
  std::array<Bounded, 3> settled_operands;
  for (std::size_t n = 0; n < x.size(); ++n) settled_operands[n] = sums ? x[n] : settled(i.from, x[n]);
  Ends e = range_of(f, i.from, std::span(settled_operands.data(), x.size()));
  if (std::isnan(e.lo) || std::isnan(e.hi)) {
    if (!sure) return unknown(i.dtype, value);
    e = {raw.real, raw.real};
  }
  if (f.ulp > 0) e = {below(e.lo), above(e.hi)};
  if (f.ulp > 0.5) {
    const DType in = working(i.dtype);
    const double error = f.ulp * spacing(in, std::max(std::abs(e.lo), std::abs(e.hi))) +
                         2 * spacing(DType::f64, std::max(std::abs(e.lo), std::abs(e.hi)));
    if (!std::isinf(e.lo)) e.lo -= error;
    if (!std::isinf(e.hi)) e.hi += error;
    if (e.hi > largest_finite(in)) e.hi = kInfinity;
    if (e.lo < -largest_finite(in)) e.lo = -kInfinity;
  }
  // As it is or rounded, at either end.
  if (fusable) e = {std::min(e.lo, fit_real(i.dtype, e.lo)), std::max(e.hi, fit_real(i.dtype, e.hi))};
  const Bounded open = within(i.dtype, value, e.lo, e.hi);
  return fusable || passes ? open : settled(i.dtype, open);
}

// The derivation stands in ir/rescaling.h. A weight that is no number is none at any scale.
Bounded BoundedArithmetic::rescaled(DType to, const Bounded& weight, const Bounded& x) const {
  if (is_unknown(weight) || is_sure_nan(x)) return x;
  const double least = low(DType::f32, weight), most = high(DType::f32, weight);
  constexpr double kSmallestNormal = 0x1p-126;
  const double off = (unit_roundoff(to) + 2 * unit_roundoff(DType::f32)) * most + spacing(to, 0) / 2 + kSmallestNormal;
  return within(to, x.value, std::min(low(to, x), least - off), std::max(high(to, x), most + off));
}

// What a weight of 0 is of counts for nothing, or for a NaN where it is no number: both are right.
Bounded BoundedArithmetic::weighted(DType dtype, const Bounded& weight, const Bounded& x) const {
  return is_sure_nan(x) && weight.value.real == 0 ? unknown(dtype, x.value) : x;
}

Bounded BoundedArithmetic::cast(DType to, DType from, const Bounded& x) const {
  const Scalar value = convert(to, from, x.value);
  const Bounded settled_x = settled(from, x);
  if (settled_x.sure) return exact(to, value);
  if (is_float(to)) {
    if (is_float(from) && is_unknown(x)) return unknown(to, value);
    Bounded result = within(to, value, fit_real(to, settled_x.lo), fit_real(to, settled_x.hi));
    result.sure = result.lo == result.hi && result.lo != 0;
    return result;
  }
  if (is_bool(to)) {
    const bool may_be_zero = settled_x.lo <= 0 && settled_x.hi >= 0;
    return may_be_zero ? unknown(to, value) : exact(to, {.integer = 1});
  }
  const Bounded limits = unknown(to, value);
  if (is_float(from)) {
    if (is_unknown(x)) return limits;
    const double lo = std::clamp(std::trunc(settled_x.lo), limits.lo, limits.hi);
    const double hi = std::clamp(std::trunc(settled_x.hi), limits.lo, limits.hi);
    Bounded result = within(to, value, lo, hi);
    result.sure = result.lo == result.hi && std::abs(result.lo) < kExactInteger;
    return result;
  }
  const bool fits = settled_x.lo >= limits.lo && settled_x.hi <= limits.hi;
  return fits ? within(to, value, settled_x.lo, settled_x.hi) : limits;
}

Bounded BoundedArithmetic::expanded(const Instruction& i, std::span<const Bounded> operands,
                                    const Bounded& through) const {
  std::array<Scalar, 3> values;
  for (std::size_t n = 0; n < operands.size(); ++n) values[n] = operands[n].value;
  const Scalar value = fit(i.dtype, row(i.op).reference(i.from, std::span(values.data(), operands.size())));
  if (through.sure && identical(i.dtype, through.value, value)) return through;
  if (is_unknown(through)) return unknown(i.dtype, value);
  // The expansion and the row agree but for rounding, NaN and infinities included. It may end with a product.
  return within(i.dtype, value, low(i.dtype, through), high(i.dtype, through));
}

}  // namespace quern::ir
