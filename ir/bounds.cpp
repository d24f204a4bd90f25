#include "ir/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/numeric.h"
#include "ir/bounded.h"
#include "ir/machine.h"

namespace quern::ir {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kDoubleRoundoff = unit_roundoff(DType::f64);

// (1 + u)^n - 1
double growth(std::int64_t n, double u) { return n > 0 ? std::expm1(static_cast<double>(n) * std::log1p(u)) : 0; }

// The exponent of the lowest set bit of a finite value that is not 0.
int lowest_bit(double x) {
  int exponent;
  const double fraction = std::frexp(x, &exponent);
  const auto bits = static_cast<std::uint64_t>(std::ldexp(std::abs(fraction), 53));
  return exponent - 53 + std::countr_zero(bits);
}

struct Ends {
  double lo, hi;
};

// An element as an accumulator takes it up: rounded to the accumulator's dtype, or as it is, where the reference keeps
// it in double.
struct Lifted {
  double lo, hi;
  double value;  // the reference's
  bool sure;
};

Lifted lifted(const BoundedArithmetic& arithmetic, const ReduceCode& reduce, const Bounded& element) {
  const DType acc = reduce.accumulator;
  const double value = convert(DType::f64, reduce.element, element.value).real;
  if (acc == reduce.element) return {low(acc, element), high(acc, element), value, element.sure != 0};
  const Bounded cast = arithmetic.cast(acc, reduce.element, element);
  const double lo = low(acc, cast), hi = high(acc, cast);
  if (!is_float(acc) || std::isnan(value)) return {lo, hi, value, element.sure != 0};
  return {std::min(lo, value), std::max(hi, value), value, element.sure && lo == value && hi == value};
}

// --- Sums -----------------------------------------------------------------------------------------------------------

const Instruction* product_of(const Code& code, const ReduceCode& reduce) {
  const Instruction* i = &code.instructions[reduce.argument];
  while (i->kind == Instruction::Kind::cast) i = &code.instructions[code.operand(*i, 0)];
  return i->kind == Instruction::Kind::call && i->op == Op::mul && is_float(i->dtype) ? i : nullptr;
}

// How far the grade lets a product of f32 numbers be off, beyond its own rounding.
template <typename M>
double grade_error(M& machine, Grade grade, const Instruction& product, double magnitude) {
  if (grade == Grade::exact || product.dtype != DType::f32) return 0;
  if (grade == Grade::f32) return 2 * spacing(DType::f32, magnitude);
  double sizes[2], errors[2];
  for (std::uint32_t n = 0; n < 2; ++n) {
    const Bounded x = machine.eval(machine.code().operand(product, n));
    sizes[n] = std::max(std::abs(low(DType::f32, x)), std::abs(high(DType::f32, x)));
    const auto narrow = static_cast<float>(x.value.real);
    errors[n] = x.sure ? std::abs(static_cast<double>(narrow) - static_cast<double>(truncate_to_tf32(narrow)))
                       : std::ldexp(sizes[n], -10);
  }
  return sizes[0] * errors[1] + sizes[1] * errors[0] + errors[0] * errors[1];
}

struct Sum {
  double value = 0, lo = 0, hi = 0, magnitude = 0;
  std::int64_t terms = 0;
  int quantum = std::numeric_limits<int>::max();
  bool sure = true;
};

template <typename M>
Bounded integer_sum(M& machine, const ReduceCode& reduce, DType dtype) {
  const DType acc = reduce.accumulator;
  Scalar value{};
  Sum sum;
  machine.for_each(reduce, [&](Point point) {
    const Bounded element = machine.eval(reduce.argument);
    const Scalar term = convert(acc, reduce.element, element.value);
    if (point.holds) value = fit(acc, row(Op::add).reference(acc, std::array{value, term}));
    const Lifted ends = lifted(machine.arithmetic, reduce, element);
    sum.sure = sum.sure && ends.sure && point.certain;
    sum.lo += point.certain ? ends.lo : std::min(ends.lo, 0.0);
    sum.hi += point.certain ? ends.hi : std::max(ends.hi, 0.0);
  });
  const Scalar result = convert(dtype, acc, value);
  if (sum.sure) return machine.arithmetic.exact(dtype, result);
  const Bounded limits = machine.arithmetic.unknown(acc, value);
  const bool fits = sum.lo >= std::max(limits.lo, -0x1p53) && sum.hi <= std::min(limits.hi, 0x1p53);
  const Bounded raw = fits ? within(acc, value, sum.lo, sum.hi) : limits;
  return dtype == acc ? raw : machine.arithmetic.cast(dtype, acc, raw);
}

template <typename M>
Bounded sum_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  const DType acc = reduce.accumulator;
  if (!is_float(acc)) return integer_sum(machine, reduce, dtype);
  const Instruction* product = product_of(machine.code(), reduce);
  Sum sum;
  machine.for_each(reduce, [&](Point point) {
    const Bounded element = machine.eval(reduce.argument);
    Lifted ends = lifted(machine.arithmetic, reduce, element);
    const double term = ends.value;
    if (point.holds) sum.value += term;
    if (product) {
      const double size = std::max(std::abs(ends.lo), std::abs(ends.hi));
      const double error = grade_error(machine, reduce.contract.grade, *product, size);
      ends.lo -= error;
      ends.hi += error;
    }
    const double size = std::max(std::abs(ends.lo), std::abs(ends.hi));
    sum.lo += point.certain ? ends.lo : std::min(ends.lo, 0.0);
    sum.hi += point.certain ? ends.hi : std::max(ends.hi, 0.0);
    sum.magnitude += size;
    ++sum.terms;
    sum.sure = sum.sure && point.certain && ends.lo == ends.hi;
    if (sum.sure && term != 0 && std::isfinite(term)) sum.quantum = std::min(sum.quantum, lowest_bit(term));
    if (std::isnan(term) && !element.sure) sum.sure = false;
  });
  const Scalar value{.real = fit_real(dtype, sum.value)};
  if (std::isnan(sum.magnitude) || std::isinf(sum.magnitude)) {
    // Infinities and NaN that are sure decide whatever the order.
    return sum.sure || (std::isnan(sum.value) && std::isnan(sum.lo) && std::isnan(sum.hi))
               ? machine.arithmetic.exact(dtype, value)
               : machine.arithmetic.unknown(dtype, value);
  }
  const bool few_bits = sum.sure && (sum.quantum == std::numeric_limits<int>::max() ||
                                     sum.magnitude <= std::ldexp(1.0, sum.quantum + info(acc).digits));
  if (few_bits) return machine.arithmetic.exact(dtype, value);
  const double u = unit_roundoff(acc) * (product ? 2 : 1);
  const double error = (growth(sum.terms - 1, u) + 3 * growth(sum.terms, kDoubleRoundoff)) * sum.magnitude;
  if (sum.magnitude + error > largest_finite(acc)) return machine.arithmetic.unknown(dtype, value);
  const double lo = fit_real(acc, sum.lo - error), hi = fit_real(acc, sum.hi + error);
  return machine.arithmetic.settled(dtype, within(dtype, value, lo, hi));
}

// --- Products, extremes, logic --------------------------------------------------------------------------------------

template <typename M>
Bounded product_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  const DType acc = reduce.accumulator, wide = wide_accumulator(reduce);
  Scalar value = reduce.identity;
  Ends total{1, 1};
  double largest = 1, smallest = 1;  // of the products of some factors
  std::int64_t terms = 0;
  bool sure = true;
  machine.for_each(reduce, [&](Point point) {
    const Bounded element = machine.eval(reduce.argument);
    const Scalar factor = convert(wide, reduce.element, element.value);
    if (point.holds) value = fit(wide, row(Op::mul).reference(wide, std::array{value, factor}));
    const Bounded settled = machine.arithmetic.settled(reduce.element, element);
    Lifted ends = lifted(machine.arithmetic, reduce, settled);
    sure = sure && ends.sure && point.certain;
    if (!point.certain) {
      ends.lo = std::min(ends.lo, 1.0);
      ends.hi = std::max(ends.hi, 1.0);
    }
    const double corners[] = {total.lo * ends.lo, total.lo * ends.hi, total.hi * ends.lo, total.hi * ends.hi};
    total = {*std::min_element(corners, corners + 4), *std::max_element(corners, corners + 4)};
    for (const double corner : corners) {
      if (std::isnan(corner)) total = {corner, corner};
    }
    const double most = std::max(std::abs(ends.lo), std::abs(ends.hi));
    const double least = ends.lo <= 0 && ends.hi >= 0 ? 0 : std::min(std::abs(ends.lo), std::abs(ends.hi));
    largest *= std::max(most, 1.0);
    if (!(ends.lo == 0 && ends.hi == 0)) smallest *= std::min(least, 1.0);
    ++terms;
  });
  const Scalar result = convert(dtype, wide, value);
  if (sure && (!is_float(acc) || terms <= 1)) return machine.arithmetic.exact(dtype, result);
  if (!is_float(acc) || std::isnan(total.lo)) return machine.arithmetic.unknown(dtype, result);
  const double error = (growth(terms - 1, unit_roundoff(acc)) + 3 * growth(terms, kDoubleRoundoff)) *
                       std::max(std::abs(total.lo), std::abs(total.hi));
  const double smallest_normal = std::ldexp(spacing(acc, 0), info(acc).digits - 1);
  if (!(largest <= largest_finite(acc) / 2) || smallest < smallest_normal * 2) {
    return machine.arithmetic.unknown(dtype, result);
  }
  return machine.arithmetic.settled(dtype, within(dtype, result, total.lo - error, total.hi + error));
}

template <typename M>
Bounded extreme_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  const DType acc = reduce.accumulator, wide = wide_accumulator(reduce);
  const ScalarFunction& combine = row(reduce.combine);
  const bool largest = reduce.combine == Op::max;
  Scalar value = reduce.identity;
  const double start = is_float(acc) ? value.real : low(acc, machine.arithmetic.exact(acc, value));
  Ends total{start, start};
  bool sure = true, sure_nan = false, unknown = false;
  machine.for_each(reduce, [&](Point point) {
    const Bounded element = machine.arithmetic.settled(reduce.element, machine.eval(reduce.argument));
    const Scalar term = convert(wide, reduce.element, element.value);
    if (point.holds) value = fit(wide, combine.reference(wide, std::array{value, term}));
    const Lifted ends = lifted(machine.arithmetic, reduce, element);
    sure = sure && ends.sure && point.certain;
    if (is_float(reduce.element) && element.sure && std::isnan(element.value.real)) {
      (point.certain ? sure_nan : unknown) = true;
      return;
    }
    unknown = unknown || is_unknown(element);
    if (largest) {
      total.hi = std::max(total.hi, ends.hi);
      if (point.certain) total.lo = std::max(total.lo, ends.lo);
    } else {
      total.lo = std::min(total.lo, ends.lo);
      if (point.certain) total.hi = std::min(total.hi, ends.hi);
    }
  });
  const Scalar result = convert(dtype, wide, value);
  if (sure || sure_nan) return machine.arithmetic.exact(dtype, result);
  if (unknown) return machine.arithmetic.unknown(dtype, result);
  return machine.arithmetic.settled(dtype, within(dtype, result, total.lo, total.hi));
}

template <typename M>
Bounded logic_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  const bool any = reduce.combine == Op::logical_or;
  bool value = !any, decided = false, sure = true;
  machine.for_each(reduce, [&](Point point) {
    const Bounded element = machine.eval(reduce.argument);
    const bool holds = element.value.integer != 0;
    if (point.holds) value = any ? value || holds : value && holds;
    const bool certain = element.sure && point.certain;
    decided = decided || (certain && holds == any);
    sure = sure && certain;
  });
  const Scalar result{.integer = value};
  return decided || sure ? machine.arithmetic.exact(dtype, result) : machine.arithmetic.unknown(dtype, result);
}

// --- Reducers of several values -------------------------------------------------------------------------------------

// argmax and argmin: whatever may reach the best end that is sure.
template <typename M>
Bounded position_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  const bool largest = reduce.reducer == Reducer::argmax;
  struct Candidate {
    double best, worst;
    std::int64_t position;
  };
  std::vector<Candidate> candidates;
  double reached = -kInfinity;
  bool sure = true, unknown = false;
  const Bounded result = fold(machine, reduce, [&](const Bounded& element, Point point) {
    const Bounded settled = machine.arithmetic.settled(reduce.element, element);
    const Lifted ends = lifted(machine.arithmetic, reduce, settled);
    sure = sure && ends.sure && point.certain;
    unknown = unknown || is_unknown(settled) || (is_float(reduce.element) && std::isnan(settled.value.real));
    const double best = largest ? ends.hi : -ends.lo, worst = largest ? ends.lo : -ends.hi;
    candidates.push_back({best, worst, machine.position(reduce)});
    if (point.certain) reached = std::max(reached, worst);
  });
  if (sure) return machine.arithmetic.exact(dtype, result.value);
  if (unknown) return machine.arithmetic.unknown(dtype, result.value);
  auto lo = static_cast<double>(result.value.integer), hi = lo;
  for (const Candidate& candidate : candidates) {
    if (candidate.best < reached) continue;
    lo = std::min(lo, static_cast<double>(candidate.position));
    hi = std::max(hi, static_cast<double>(candidate.position));
  }
  return within(dtype, result.value, lo, hi);
}

struct LogSumExp {
  double largest = -kInfinity, sum = 0;
  void add(double x) {
    if (x == -kInfinity) return;
    const double m = std::max(largest, x);
    sum = sum * std::exp(largest - m) + std::exp(x - m);
    largest = m;
  }
  double value() const { return largest + std::log(sum); }
};

template <typename M>
Bounded logsumexp_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  const DType acc = reduce.accumulator;
  LogSumExp lo, hi;
  std::int64_t terms = 0;
  bool sure = true;
  const Bounded result = fold(machine, reduce, [&](const Bounded& element, Point point) {
    const Bounded settled = machine.arithmetic.settled(reduce.element, element);
    const Lifted ends = lifted(machine.arithmetic, reduce, settled);
    sure = sure && ends.sure && point.certain;
    if (point.certain) lo.add(ends.lo);
    hi.add(ends.hi);
    ++terms;
  });
  if (sure && terms == 0) return machine.arithmetic.exact(dtype, result.value);
  if (!std::isfinite(hi.largest) || !std::isfinite(lo.largest) || std::isnan(result.value.real)) {
    return sure ? machine.arithmetic.exact(dtype, result.value) : machine.arithmetic.unknown(dtype, result.value);
  }
  // Each of at most n rescalings is off by its exp, its argument's rounding (which in sum weighs x * exp(-x) < 1), a
  // product and an addition.
  const DType in = acc == DType::f64 ? DType::f64 : DType::f32;
  // Terms may underflow; the sum is 1 at least.
  const double step = 2 * row(Op::exp).ulp * unit_roundoff(in) + 3 * unit_roundoff(acc) + 2 * spacing(acc, 0);
  const double relative = growth(terms, step + 8 * kDoubleRoundoff);
  if (relative >= 1 || static_cast<double>(terms) > largest_finite(acc) / 2)
    return machine.arithmetic.unknown(dtype, result.value);
  const double log_size = std::max(std::abs(std::log(hi.sum)), std::abs(std::log(lo.sum)));
  const double error =
      -std::log1p(-relative) + row(Op::log).ulp * spacing(in, log_size + 1) + spacing(acc, log_size + 1);
  const double below = fit_real(acc, lo.value() - error), above = fit_real(acc, hi.value() + error);
  return machine.arithmetic.settled(dtype, within(dtype, result.value, below, above));
}

// How far the sum of squared deviations of n numbers of magnitude at most x is off, when it is found by merging in any
// tree. A merge rounds the mean by at most 11 u x, and means mix convexly: each is off by at most e = 11 n u x, and a
// difference of two by d = 2 e + 2 u x. A merge of a and b elements adds w * delta^2 with w = a b / (a + b), and all w
// add up to at most W = n log2(n) / 2. By Cauchy's inequality the differences' errors add up to 2 d sqrt(W s) + d^2 W
// at most, s being the exact sum; the roundings of the squares and of their sums, all positive, to (n + 8) u of it.
double variance_error(double n, double u, double x, double s) {
  const double mean = 11 * n * u * x;
  const double difference = 2 * mean + 2 * u * x;
  const double weights = n * std::max(std::log2(n), 1.0) / 2;
  const double propagated = 2 * difference * std::sqrt(weights * s) + difference * difference * weights;
  return propagated + std::expm1((n + 8) * std::log1p(u)) * (s + propagated);
}

template <typename M>
Bounded variance_bounds(M& machine, const ReduceCode& reduce, DType dtype) {
  double count = 0, mean = 0, squares = 0, magnitude = 0, widths = 0;
  bool certain = true, sure = true, has_nan = false;
  const Bounded result = fold(machine, reduce, [&](const Bounded& element, Point point) {
    const Bounded settled = machine.arithmetic.settled(reduce.element, element);
    const Lifted ends = lifted(machine.arithmetic, reduce, settled);
    certain = certain && point.certain;
    sure = sure && ends.sure;
    const double x = settled.value.real, width = std::max(ends.hi - x, x - ends.lo);
    has_nan = has_nan || std::isnan(x);
    magnitude = std::max({magnitude, std::abs(ends.lo), std::abs(ends.hi)});
    widths += width * width;
    ++count;
    const double delta = x - mean;
    mean += delta / count;
    squares += delta * (x - mean);
  });
  // Whether an infinity makes it infinite or a NaN is a matter of the order.
  if (certain && sure && (count == 0 || has_nan)) return machine.arithmetic.exact(dtype, result.value);
  if (!certain || !std::isfinite(magnitude) || !std::isfinite(widths)) {
    return machine.arithmetic.unknown(dtype, result.value);
  }
  const double u = unit_roundoff(reduce.accumulator);
  // The root of the sum is a seminorm of the elements: it follows their widths.
  const double root = std::sqrt(squares), reach = std::sqrt(widths);
  const double most = (root + reach) * (root + reach);
  const double least = std::max(root - reach, 0.0) * std::max(root - reach, 0.0);
  // Squares are formed before they are weighted, and may overflow or underflow.
  if (5 * magnitude * magnitude * std::max(count, 1.0) > largest_finite(reduce.accumulator)) {
    return machine.arithmetic.unknown(dtype, result.value);
  }
  const double underflow = 4 * count * count * spacing(reduce.accumulator, 0) * (1 + magnitude);
  const double error = variance_error(count, u + kDoubleRoundoff, magnitude, most) + underflow;
  const double lo = std::max(least - error, 0.0) / count * (1 - 4 * u), hi = (most + error) / count * (1 + 4 * u);
  return machine.arithmetic.settled(dtype, within(dtype, result.value, lo, hi));
}

}  // namespace

template <typename M>
Bounded BoundedArithmetic::reduce(M& machine, const ReduceCode& reduce, DType dtype) const {
  switch (reduce.reducer) {
    case Reducer::sum:
      return sum_bounds(machine, reduce, dtype);
    case Reducer::prod:
      return product_bounds(machine, reduce, dtype);
    case Reducer::max:
    case Reducer::min:
      return extreme_bounds(machine, reduce, dtype);
    case Reducer::any:
    case Reducer::all:
      return logic_bounds(machine, reduce, dtype);
    case Reducer::argmax:
    case Reducer::argmin:
      return position_bounds(machine, reduce, dtype);
    case Reducer::logsumexp:
      return logsumexp_bounds(machine, reduce, dtype);
    case Reducer::welford:
      return variance_bounds(machine, reduce, dtype);
  }
  unreachable("a reducer");
}

std::vector<Checked> evaluate_with_bounds(const Program& program, std::span<const std::int64_t> symbols,
                                          std::span<const HostTensor> inputs, std::size_t output,
                                          std::span<const Coordinate> coordinates) {
  check_tensors(program, symbols, inputs);
  const Code code = compile(program, symbols, true);
  Machine<BoundedArithmetic> machine(code, inputs, {code.may_fuse});
  const Tensor& tensor = *program.outputs[output].tensor;
  const std::uint32_t number = definition_number(code, tensor);
  std::vector<Checked> results;
  results.reserve(coordinates.size());
  for (const Coordinate& coordinate : coordinates) {
    const Bounded x = machine.arithmetic.settled(tensor.dtype, machine.element(number, coordinate));
    const double value = low(tensor.dtype, {.value = x.value, .sure = true});
    const bool is_decided = std::isfinite(value) && std::isfinite(x.lo) && std::isfinite(x.hi);
    if (x.sure) {
      results.push_back({value, value, value});
    } else if (is_decided) {
      results.push_back({value, x.lo, x.hi});
    } else {
      results.push_back({value, -kInfinity, kInfinity});
    }
  }
  return results;
}

bool is_undecided(const Checked& checked) { return checked.lo == -kInfinity && checked.hi == kInfinity; }

bool admits(const Checked& checked, double computed) {
  if (is_undecided(checked)) return true;
  if (std::isnan(checked.value)) return std::isnan(computed);
  return checked.lo <= computed && computed <= checked.hi;
}

double bound_beside(const Checked& checked, double computed) {
  if (is_undecided(checked)) return kInfinity;
  if (!std::isfinite(checked.value)) return 0;
  const double below = checked.value - checked.lo, above = checked.hi - checked.value;
  if (computed < checked.value) return below;
  return computed > checked.value ? above : std::max(below, above);
}

double error_ratio(const Checked& checked, double computed) {
  const double error = std::abs(computed - checked.value), bound = bound_beside(checked, computed);
  if (bound > 0 && std::isfinite(error)) return error / bound;
  return admits(checked, computed) ? 0 : kInfinity;
}

}  // namespace quern::ir
