// Intervals and divisors of integer expressions.
#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "ir/scalar.h"
#include "ir/simplifier.h"

namespace quern::ir {
namespace {

__extension__ typedef __int128 Wide;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr Wide kFar = Wide{1} << 100;  // sums of a few of these stay in range

std::optional<std::int64_t> narrow(Wide value) {
  if (value < kMin || value > kMax) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

Wide far_clamp(Wide value) { return std::clamp(value, -kFar, kFar); }

std::optional<std::int64_t> times(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  // 0 bounds whatever is not known.
  if (a == 0 || b == 0) return 0;
  return a && b ? narrow(Wide{*a} * *b) : std::nullopt;
}

std::optional<std::int64_t> negated(std::optional<std::int64_t> a) { return a ? narrow(-Wide{*a}) : std::nullopt; }

Interval negated(const Interval& a) { return {negated(a.hi), negated(a.lo)}; }

Interval multiply(Interval a, Interval b) {
  const auto nonpositive = [](const Interval& x) { return x.hi && *x.hi <= 0; };
  const bool flip_a = nonpositive(a), flip_b = nonpositive(b);
  if (flip_a) a = negated(a);
  if (flip_b) b = negated(b);
  Interval product;
  if (a.lo && a.lo == a.hi) std::swap(a, b);
  if (b.lo && b.lo == b.hi) {
    product = {times(a.lo, b.lo), times(a.hi, b.lo)};  // by one number, which is not negative here
  } else if (a.lo && b.lo && *a.lo >= 0 && *b.lo >= 0) {
    product = {times(a.lo, b.lo), times(a.hi, b.hi)};
  } else if (a.lo && a.hi && b.lo && b.hi) {
    const Wide corners[] = {Wide{*a.lo} * *b.lo, Wide{*a.lo} * *b.hi, Wide{*a.hi} * *b.lo, Wide{*a.hi} * *b.hi};
    product = {narrow(*std::min_element(corners, corners + 4)), narrow(*std::max_element(corners, corners + 4))};
  }
  return flip_a != flip_b ? negated(product) : product;
}

Interval join(const Interval& a, const Interval& b) {
  Interval both;
  if (a.lo && b.lo) both.lo = std::min(*a.lo, *b.lo);
  if (a.hi && b.hi) both.hi = std::max(*a.hi, *b.hi);
  return both;
}

void meet(Range& range, const Interval& more) {
  if (more.lo && (!range.lo || *more.lo > *range.lo)) range.lo = more.lo;
  if (more.hi && (!range.hi || *more.hi < *range.hi)) range.hi = more.hi;
}

Interval limits(DType dtype) {
  if (dtype == DType::u64) return {};
  return {lowest_integer(dtype), highest_integer(dtype)};
}

Range of(const Interval& interval) { return {interval.lo, interval.hi}; }

Interval quotient(const Interval& a, const Interval& b) {
  if (a.lo && *a.lo >= 0 && b.lo == 0) return {0, a.hi};  // by zero it is 0
  if (!b.lo || *b.lo < 1) {
    // By anything: no further from 0 than the dividend, of either sign (the lowest by -1 wraps to itself).
    if (a.lo && a.hi && *a.lo != kMin) {
      const std::int64_t size = std::max(*a.lo < 0 ? -*a.lo : *a.lo, *a.hi < 0 ? -*a.hi : *a.hi);
      return {-size, size};
    }
    return {};
  }
  Interval result;
  if (a.lo) result.lo = *a.lo >= 0 ? (b.hi ? floor_quotient(*a.lo, *b.hi) : 0) : floor_quotient(*a.lo, *b.lo);
  if (a.hi) {
    if (*a.hi >= 0) {
      result.hi = floor_quotient(*a.hi, *b.lo);
    } else {
      result.hi = b.hi ? floor_quotient(*a.hi, *b.hi) : -1;
    }
  }
  return result;
}

Interval modulus(const Interval& a, const Interval& b) {
  if (!b.lo || *b.lo < 0) return {};
  Interval result{0, b.hi ? std::optional(std::max<std::int64_t>(*b.hi - 1, 0)) : std::nullopt};
  if (a.lo && *a.lo >= 0 && a.hi && (!result.hi || *a.hi < *result.hi)) result.hi = a.hi;
  return result;
}

// The smallest 2^k - 1 that is no less than `value`, which is not negative.
std::int64_t all_ones(std::int64_t value) {
  return static_cast<std::int64_t>((std::uint64_t{1} << std::bit_width(static_cast<std::uint64_t>(value))) - 1);
}

}  // namespace

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
std::int64_t floor_remainder(std::int64_t a, std::int64_t b) { return a % b + (a % b < 0 ? b : 0); }

std::optional<std::int64_t> window(const Interval& interval, std::int64_t c) {
  if (!interval.lo || !interval.hi) return std::nullopt;
  const std::int64_t first = floor_quotient(*interval.lo, c);
  return first == floor_quotient(*interval.hi, c) ? std::optional(first) : std::nullopt;
}

// --- Ranges ---------------------------------------------------------------------------------------------------------

Range Simplifier::range(const Polynomial& p, DType dtype) {
  const Interval limit = limits(dtype);
  if (dtype == DType::u64) return {std::nullopt, std::nullopt, false};
  Range result{.exact = !p.overflow};
  // `nominal` counts what is not known as 1: variables are far from the limits, elements may lie at them.
  Wide lo = p.constant, hi = p.constant, nominal_lo = p.constant, nominal_hi = p.constant;
  bool lo_known = true, hi_known = true;
  for (const Term& term : p.terms) {
    const Pool::Atoms& atoms = pool_.atoms(term.monomial);
    const Range first = range(*atoms[0]);
    Interval product{first.lo, first.hi};
    for (std::size_t i = 1; i < atoms.size(); ++i) {
      const Range r = range(*atoms[i]);
      product = multiply(product, {r.lo, r.hi});
    }
    if (term.coefficient < 0) std::swap(product.lo, product.hi);
    const auto part = [&](const std::optional<std::int64_t>& end, Wide& sum, Wide& nominal, bool& known, int side) {
      const Wide value = end ? far_clamp(Wide{*end} * term.coefficient) : side;
      known = known && end;
      sum = far_clamp(sum + value);
      nominal = far_clamp(nominal + value);
    };
    part(product.lo, lo, nominal_lo, lo_known, -1);
    part(product.hi, hi, nominal_hi, hi_known, 1);
  }
  if (nominal_lo < *limit.lo || nominal_hi > *limit.hi) result.exact = false;
  if (!result.exact) return {limit.lo, limit.hi, false};
  if (lo_known) result.lo = narrow(lo);
  if (hi_known) result.hi = narrow(hi);
  return result;
}

Interval Simplifier::interval(const Polynomial& wide) {
  const Range r = range(wide, DType::i64);
  return r.exact ? Interval{r.lo, r.hi} : Interval{};
}

Range Simplifier::range(const Node& atom) {
  if (const auto it = scope_->ranges.find(&atom); it != scope_->ranges.end()) return it->second;
  return range(pool_.expr(&atom));
}

Range Simplifier::range(const Expr& e) {
  if (const auto it = scope_->ranges.find(e.get()); it != scope_->ranges.end()) return it->second;
  Range result;
  if (is_float(e->dtype) || e->dtype == DType::u64) {
    result.exact = false;
    if (const auto value = as_integer(e); value && *value >= 0) result = {value, value};
    return result;
  }
  switch (e->kind) {
    case ExprKind::constant:
      result = {e->integer, e->integer};
      break;
    case ExprKind::variable:
      if (is_bool(e->dtype)) result = of(limits(e->dtype));
      break;
    case ExprKind::call:
      result = range_of_call(e);
      break;
    case ExprKind::cast: {
      result = of(limits(e->dtype));
      const Range inner = range(e->args[0]);
      const bool fits = inner.lo && inner.hi && *inner.lo >= *result.lo && *inner.hi <= *result.hi;
      // A variable without a range is far from the limits of its own dtype, and so of a wider one.
      const bool widens = is_integer(e->args[0]->dtype) && e->args[0]->dtype != DType::u64 &&
                          lowest_integer(e->args[0]->dtype) >= *result.lo &&
                          highest_integer(e->args[0]->dtype) <= *result.hi;
      if (fits || widens) result = {inner.lo, inner.hi};
      break;
    }
    case ExprKind::read:
      result = of(limits(e->dtype));
      for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
        for (const auto& [tensor, interval] : s->elements) {
          if (tensor == e->tensor.get() && !e->fill) meet(result, interval);
        }
      }
      break;
    case ExprKind::reduce:
      result = of(limits(e->dtype));
      if (row(e->reduce->reducer).ordered) meet(result, {-1, std::nullopt});
      break;
  }
  for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
    for (const Scope::Known& known : s->known) {
      if (known.node == e.get()) meet(result, known.interval);
    }
  }
  // Conditions that exclude each other: this is never evaluated, and any range will do that is one.
  if (result.lo && result.hi && *result.lo > *result.hi) result.hi = result.lo;
  scope_->ranges.emplace(e.get(), result);
  return result;
}

Range Simplifier::range_of_call(const Expr& e) {
  if (is_bool(e->dtype)) return of(limits(e->dtype));
  const auto arg = [&](std::size_t i) {
    const Range r = range(e->args[i]);
    return Interval{r.lo, r.hi};
  };
  switch (e->op) {
    case Op::add:
    case Op::sub:
    case Op::neg:
    case Op::mul: {
      const Polynomial& p = pool_.polynomial(e);
      const bool is_atom = p.terms.size() == 1 && pool_.atoms(p.terms[0].monomial)[0] == e.get();
      if (!is_atom) return range(p, e->dtype);
      const Interval product = multiply(arg(0), arg(1));
      const Interval limit = limits(e->dtype);
      if (product.lo && product.hi && *product.lo >= *limit.lo && *product.hi <= *limit.hi) return of(product);
      return {limit.lo, limit.hi, false};
    }
    case Op::floor_div: {
      Range result = of(limits(e->dtype));
      const Interval a = arg(0);
      const Interval q = quotient(a, arg(1));
      if (!a.lo || !a.hi) return of(q);  // of a variable that is not known
      meet(result, q);
      return result;
    }
    case Op::mod: {
      const Interval a = arg(0);
      Interval r = modulus(a, arg(1));
      // What divides both divides the remainder.
      const std::int64_t by = std::gcd(divisor(e->args[0]), divisor(e->args[1]));
      if (r.lo && *r.lo >= 0 && r.hi && by > 1) r.hi = *r.hi - *r.hi % by;
      return of(!r.lo && a.lo && a.hi ? limits(e->dtype) : r);
    }
    case Op::select:
      return of(join(arg(1), arg(2)));
    case Op::min:
    case Op::max: {
      const Interval a = arg(0), b = arg(1);
      Interval result = join(a, b);
      // One known bound is enough where the operator keeps the closer one.
      if (e->op == Op::min) {
        result.hi = a.hi && b.hi ? std::min(*a.hi, *b.hi) : a.hi ? a.hi : b.hi;
      } else {
        result.lo = a.lo && b.lo ? std::max(*a.lo, *b.lo) : a.lo ? a.lo : b.lo;
      }
      return of(result);
    }
    case Op::abs: {
      const Interval a = arg(0);
      if (a.lo && *a.lo >= 0) return of(a);
      if (a.lo && a.hi && *a.lo > kMin && is_signed_integer(e->dtype) && *a.lo > lowest_integer(e->dtype)) {
        return {0, std::max(-*a.lo, *a.hi)};
      }
      return of(limits(e->dtype));
    }
    case Op::sign:
      return {-1, 1};
    default:
      return range_of_bits(e);
  }
}

Range Simplifier::range_of_bits(const Expr& e) {
  Range result = of(limits(e->dtype));
  if (e->args.size() != 2) return result;
  const Range a = range(e->args[0]), b = range(e->args[1]);
  const bool a_natural = a.lo && *a.lo >= 0, b_natural = b.lo && *b.lo >= 0;
  switch (e->op) {
    case Op::bit_and:
      if (a_natural) meet(result, {0, a.hi});
      if (b_natural) meet(result, {0, b.hi});
      break;
    case Op::bit_or:
    case Op::bit_xor:
      if (a_natural && b_natural && a.hi && b.hi) meet(result, {0, all_ones(std::max(*a.hi, *b.hi))});
      break;
    case Op::shift_right:
      if (a_natural && b_natural && a.hi) meet(result, {0, *a.hi >> std::min<std::int64_t>(*b.lo, 63)});
      break;
    default:
      break;
  }
  return result;
}

// --- Divisors -------------------------------------------------------------------------------------------------------

std::int64_t Simplifier::divisor(const Term& term) {
  Wide product = term.coefficient < 0 ? -Wide{term.coefficient} : Wide{term.coefficient};
  for (const Node* atom : pool_.atoms(term.monomial)) {
    const Wide more = product * divisor(pool_.expr(atom));
    if (more <= kMax) product = more;
  }
  return narrow(product).value_or(1);
}

std::int64_t Simplifier::divisor(const Polynomial& p) {
  std::int64_t result = p.constant == kMin ? std::int64_t{1} << 62 : p.constant;
  for (const Term& term : p.terms) result = std::gcd(result, divisor(term));
  return result < 0 ? -result : result;
}

std::int64_t Simplifier::divisor(const Expr& e) {
  if (!is_integer(e->dtype)) return 1;
  if (const auto it = scope_->divisors.find(e.get()); it != scope_->divisors.end()) return it->second;
  std::int64_t result = 1;
  const Polynomial& p = pool_.polynomial(e);
  if (p.terms.size() == 1 && pool_.atoms(p.terms[0].monomial) == Pool::Atoms{e.get()}) {
    result = divisor_of_atom(e);
    for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
      for (const Scope::Known& known : s->known) {
        std::int64_t both;
        if (known.node != e.get() || known.divisor <= 1 || result == 0) continue;
        if (!__builtin_mul_overflow(result / std::gcd(result, known.divisor), known.divisor, &both)) result = both;
      }
    }
  } else {
    result = divisor(p);
    // Modulo 2^bits only powers of two keep dividing.
    if (!range(e).exact) result = result & -result;
  }
  scope_->divisors.emplace(e.get(), result);
  return result;
}

std::int64_t Simplifier::divisor_of_atom(const Expr& e) {
  if (e->kind == ExprKind::cast && is_integer(e->args[0]->dtype)) {
    const Range r = range(e->args[0]);
    const std::int64_t inner = divisor(e->args[0]);
    const bool widens = byte_size(e->args[0]->dtype) < byte_size(e->dtype) && is_signed_integer(e->dtype);
    const bool fits = r.lo && r.hi && e->dtype != DType::u64 && *r.lo >= lowest_integer(e->dtype) &&
                      *r.hi <= highest_integer(e->dtype);
    return widens || fits ? inner : inner & -inner;
  }
  if (e->kind != ExprKind::call) return 1;
  switch (e->op) {
    case Op::mul: {
      const Range r = range(e);
      Wide product = Wide{divisor(e->args[0])} * divisor(e->args[1]);
      const std::int64_t known = narrow(product).value_or(1);
      return r.exact ? known : known & -known;
    }
    case Op::floor_div: {
      const auto by = as_integer(e->args[1]);
      const std::int64_t whole = divisor(e->args[0]);
      return by && *by > 0 && whole % *by == 0 ? whole / *by : 1;
    }
    case Op::mod:
      return std::gcd(divisor(e->args[0]), divisor(e->args[1]));
    case Op::min:
    case Op::max:
      return std::gcd(divisor(e->args[0]), divisor(e->args[1]));
    case Op::select:
      return std::gcd(divisor(e->args[1]), divisor(e->args[2]));
    default:
      return 1;
  }
}

}  // namespace quern::ir
