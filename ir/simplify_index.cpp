// Quotients, remainders, minima and bits of integers, and the sums in which they meet again.
#include <algorithm>
#include <bit>
#include <numeric>

#include "ir/scalar.h"
#include "ir/simplifier.h"

namespace quern::ir {
namespace {

// The one atom that `p` is, if it is one.
const Node* only_atom(Pool& pool, const Polynomial& p) {
  if (p.terms.size() != 1 || p.constant != 0 || p.terms[0].coefficient != 1) return nullptr;
  const Pool::Atoms& atoms = pool.atoms(p.terms[0].monomial);
  return atoms.size() == 1 ? atoms[0] : nullptr;
}

std::optional<std::int64_t> positive_constant(const Expr& e) {
  const auto value = as_integer(e);
  return value && *value > 0 ? value : std::nullopt;
}

// p = high + low, where every term of high is a multiple of `factor`, which divides c, and low's values lie in one
// window of it, shifted to begin at 0: low tells nothing of p // c, and stays as it is in p % c.
template <typename IntervalOf, typename DivisorOf>
std::optional<std::pair<Polynomial, Polynomial>> split_aligned(const Polynomial& p, std::int64_t c,
                                                               const IntervalOf& interval_of,
                                                               const DivisorOf& divisor_of) {
  std::int64_t factor = 1;
  std::optional<std::pair<Polynomial, Polynomial>> best;
  for (const Term& candidate : p.terms) {
    const std::int64_t by = std::gcd(divisor_of(candidate), c);
    if (by <= factor) continue;
    Polynomial high, low;
    for (const Term& term : p.terms) (divisor_of(term) % by == 0 ? high : low).terms.push_back(term);
    if (low.terms.empty()) continue;
    low.constant = p.constant;
    const auto place = window(interval_of(low), by);
    if (!place) continue;
    high.constant = by * *place;
    low.constant -= by * *place;
    best = std::pair(std::move(high), std::move(low));
    factor = by;
  }
  return best;
}

// All terms of `part` stand in `p` with the same coefficients.
bool contains(const Polynomial& p, const Polynomial& part) {
  return !part.terms.empty() && std::all_of(part.terms.begin(), part.terms.end(), [&](const Term& term) {
    return coefficient(p, term.monomial) == term.coefficient;
  });
}

// p = factor * high + low, where low's values lie in one window of `factor`, shifted to begin at 0.
struct Digits {
  std::int64_t factor = 1;
  Polynomial high;
  Polynomial low;
};

// The largest factor below c that divides c and some terms of `p`, while the others stay below it.
template <typename IntervalOf>
std::optional<Digits> split_digits(const Polynomial& p, std::int64_t c, const IntervalOf& interval_of) {
  std::optional<Digits> best;
  for (const Term& candidate : p.terms) {
    const std::int64_t factor = std::gcd(candidate.coefficient, c);
    if (factor <= 1 || (best && factor <= best->factor)) continue;
    Digits digits{factor, {}, {}};
    for (const Term& term : p.terms) {
      if (term.coefficient % factor == 0) {
        digits.high.terms.push_back({term.monomial, term.coefficient / factor});
      } else {
        digits.low.terms.push_back(term);
      }
    }
    digits.high.constant = floor_quotient(p.constant, factor);
    digits.low.constant = floor_remainder(p.constant, factor);
    const auto place = window(interval_of(digits.low), factor);
    if (!place) continue;
    digits.high.constant += *place;
    digits.low.constant -= factor * *place;
    best = std::move(digits);
  }
  return best;
}

}  // namespace

Polynomial Simplifier::exact_polynomial(const Expr& e) { return range(e).exact ? pool_.polynomial(e) : pool_.atom(e); }

// --- Quotients ------------------------------------------------------------------------------------------------------

Expr Simplifier::divide(const Expr& a, const Expr& b) {
  const Expr node = make(Op::floor_div, {a, b});
  if (const auto it = scope_->simplified.find(node.get()); it != scope_->simplified.end()) return it->second.second;
  Expr result = node;
  if (is_integer(a, 0) || is_integer(b, 0)) {
    result = number(a->dtype, 0);
  } else if (is_integer(b, 1)) {
    result = a;
  } else if (a->dtype == DType::u64) {
    result = node;
  } else if (const auto c = positive_constant(b)) {
    result = divide_by_constant(a, *c);
  } else if (const auto parts = divide_polynomial(a, b)) {
    const auto& [quotient, rest] = *parts;
    const Expr rest_of = pool_.expression(rest, a->dtype);
    Polynomial last = add(wide(b), wide(rest_of), -1);
    last.constant -= 1;
    const bool alone = quotient.is_constant() && quotient.constant == 0;
    const auto nested_divisor = [&]() -> Expr {
      if (!alone || !is_call(a, Op::floor_div)) return {};
      Polynomial positive = wide(a->args[1]);
      positive.constant -= 1;
      return nonnegative(positive) ? simplify(a->args[1] * b) : Expr();
    };
    if (nonnegative(wide(rest_of)) && nonnegative(last)) {
      result = pool_.expression(quotient, a->dtype);
    } else if (const Expr product = nested_divisor()) {
      result = divide(a->args[0], product);
    } else if (!alone) {
      const Polynomial open = pool_.polynomial(divide(rest_of, b));
      result = pool_.expression(recombine(add(quotient, open), a->dtype), a->dtype);
    }
  }
  scope_->simplified.emplace(node.get(), std::pair(node, result));
  return result;
}

std::optional<std::pair<Polynomial, Polynomial>> Simplifier::aligned_parts(const Polynomial& p, std::int64_t c) {
  return split_aligned(
      p, c, [this](const Polynomial& q) { return interval(q); }, [this](const Term& term) { return divisor(term); });
}

Expr Simplifier::divide_by_constant(const Expr& a, std::int64_t c) {
  const DType dtype = a->dtype;
  const Polynomial p = exact_polynomial(a);
  // What c divides comes out, as coefficients or (whole) by what is known of the atoms.
  Polynomial quotient, whole, rest;
  quotient.constant = floor_quotient(p.constant, c);
  rest.constant = floor_remainder(p.constant, c);
  for (const Term& term : p.terms) {
    if (term.coefficient % c == 0) {
      quotient.terms.push_back({term.monomial, term.coefficient / c});
    } else {
      (divisor(term) % c == 0 ? whole : rest).terms.push_back(term);
    }
  }
  if (const auto place = window(interval(rest), c)) {
    quotient.constant += *place;
    rest = {};
  }
  const Polynomial open = add(whole, rest);
  if (open.terms.empty()) return pool_.expression(recombine(quotient, dtype), dtype);

  Expr part;
  const Node* atom = only_atom(pool_, open);
  const auto inner =
      atom && atom->kind == ExprKind::call && atom->args.size() == 2 ? positive_constant(atom->args[1]) : std::nullopt;
  std::int64_t product = 0;
  if (const auto digits = split_digits(open, c, [this](const Polynomial& q) { return interval(q); })) {
    part = divide(pool_.expression(digits->high, dtype), number(dtype, c / digits->factor));
  } else if (const auto parts = aligned_parts(open, c)) {
    part = divide(pool_.expression(parts->first, dtype), number(dtype, c));
  } else if (inner && atom->op == Op::floor_div && !__builtin_mul_overflow(*inner, c, &product) &&
             product <= highest_integer(dtype)) {
    part = divide(atom->args[0], number(dtype, product));
  } else if (inner && atom->op == Op::mod && *inner % c == 0) {
    part = remainder(divide(atom->args[0], number(dtype, c)), number(dtype, *inner / c));
  } else {
    part = make(Op::floor_div, {pool_.expression(open, dtype), number(dtype, c)});
  }
  if (quotient.terms.empty() && quotient.constant == 0) return part;
  return pool_.expression(recombine(add(quotient, pool_.polynomial(part)), dtype), dtype);
}

// a = quotient * b + rest, by long division along the term of b of the highest degree. Nothing where b may be 0 or
// less.
std::optional<std::pair<Polynomial, Polynomial>> Simplifier::divide_polynomial(const Expr& a, const Expr& b) {
  const Polynomial by = exact_polynomial(b);
  if (by.terms.empty()) return std::nullopt;
  Polynomial positive = wide(b);
  positive.constant -= 1;
  if (!nonnegative(positive)) return std::nullopt;
  const auto degree = [this](const Term& term) { return pool_.atoms(term.monomial).size(); };
  const Term lead = *std::max_element(by.terms.begin(), by.terms.end(),
                                      [&](const Term& s, const Term& t) { return degree(s) < degree(t); });
  const Pool::Atoms lead_atoms = pool_.atoms(lead.monomial);
  const auto over_lead = [&](const Term& term) -> std::optional<Polynomial> {
    if (term.coefficient % lead.coefficient != 0) return std::nullopt;
    Pool::Atoms atoms = pool_.atoms(term.monomial);
    for (const Node* atom : lead_atoms) {
      const auto it = std::find(atoms.begin(), atoms.end(), atom);
      if (it == atoms.end()) return std::nullopt;
      atoms.erase(it);
    }
    Polynomial q;
    if (atoms.empty()) {
      q.constant = term.coefficient / lead.coefficient;
    } else {
      q.terms.push_back({pool_.monomial(std::move(atoms)), term.coefficient / lead.coefficient});
    }
    return q;
  };
  Polynomial quotient, rest = exact_polynomial(a);
  for (std::size_t i = 0; i < Pool::kMaxTerms; ++i) {
    std::optional<Polynomial> step;
    for (const Term& term : rest.terms) {
      if ((step = over_lead(term))) break;
    }
    if (!step) break;
    quotient = add(quotient, *step);
    rest = add(rest, pool_.multiply(*step, by), -1);
  }
  if (quotient.overflow || rest.overflow || rest.terms.size() > Pool::kMaxTerms) return std::nullopt;
  return std::pair(std::move(quotient), std::move(rest));
}

// --- Remainders -----------------------------------------------------------------------------------------------------

Expr Simplifier::remainder(const Expr& a, const Expr& b) {
  const Expr node = make(Op::mod, {a, b});
  if (const auto it = scope_->simplified.find(node.get()); it != scope_->simplified.end()) return it->second.second;
  Expr result = node;
  if (is_integer(a, 0) || is_integer(b, 0) || is_integer(b, 1)) {
    result = number(a->dtype, 0);
  } else if (a->dtype == DType::u64) {
    result = node;
  } else if (const auto c = positive_constant(b)) {
    result = remainder_by_constant(a, *c);
  } else if (const auto parts = divide_polynomial(a, b)) {
    const auto& [quotient, rest] = *parts;
    const Expr rest_of = pool_.expression(rest, a->dtype);
    Polynomial last = add(wide(b), wide(rest_of), -1);
    last.constant -= 1;
    const bool small = nonnegative(wide(rest_of)) && nonnegative(last);
    const bool is_remainder = is_call(rest_of, Op::mod) && rest_of->args[1].same(b);
    result = small || is_remainder ? rest_of : make(Op::mod, {rest_of, b});
  }
  scope_->simplified.emplace(node.get(), std::pair(node, result));
  return result;
}

Expr Simplifier::remainder_by_constant(const Expr& a, std::int64_t c) {
  const DType dtype = a->dtype;
  const Polynomial p = exact_polynomial(a);
  Polynomial rest;
  rest.constant = floor_remainder(p.constant, c);
  for (Term term : p.terms) {
    if (divisor(term) % c == 0) continue;
    if (term.coefficient >= c || term.coefficient <= -c) term.coefficient %= c;
    rest.terms.push_back(term);
  }
  if (const auto place = window(interval(rest), c)) {
    rest.constant -= *place * c;
    return pool_.expression(recombine(rest, dtype), dtype);
  }
  if (const auto digits = split_digits(rest, c, [this](const Polynomial& q) { return interval(q); })) {
    const Expr high = remainder(pool_.expression(digits->high, dtype), number(dtype, c / digits->factor));
    const Polynomial sum = add(digits->low, pool_.polynomial(high), digits->factor);
    return pool_.expression(recombine(sum, dtype), dtype);
  }
  if (const auto parts = aligned_parts(rest, c)) {
    const Expr high = remainder(pool_.expression(parts->first, dtype), number(dtype, c));
    return pool_.expression(recombine(add(parts->second, pool_.polynomial(high)), dtype), dtype);
  }
  if (const Node* atom = only_atom(pool_, rest); atom && atom->kind == ExprKind::call && atom->op == Op::mod) {
    const auto inner = positive_constant(atom->args[1]);
    if (inner && *inner % c == 0) return remainder(atom->args[0], number(dtype, c));
  }
  return make(Op::mod, {pool_.expression(rest, dtype), number(dtype, c)});
}

// --- Sums in which quotients and remainders meet --------------------------------------------------------------------

Polynomial Simplifier::recombine(Polynomial p, DType dtype) {
  if (dtype == DType::u64) return p;
  const auto positive = [this](const Expr& e) {
    Polynomial least = wide(e);
    least.constant -= 1;
    return nonnegative(least);
  };
  // Each step takes away an atom or joins two; the bound only guards against a mistake in that argument.
  for (int step = 0; step < 32; ++step) {
    std::optional<Polynomial> joined;
    for (const Term& term : p.terms) {
      const Pool::Atoms& atoms = pool_.atoms(term.monomial);
      if (atoms.size() != 1 || atoms[0]->kind != ExprKind::call) continue;
      const Expr atom = pool_.expr(atoms[0]);
      if (atom->op != Op::mod && atom->op != Op::floor_div) continue;
      const Expr x = atom->args[0], c = atom->args[1];
      const std::int64_t times = term.coefficient;
      Polynomial single;
      single.terms.push_back(term);
      if (atom->op == Op::mod) {
        // m * (x % c) + m * c * (x // c) is m * x
        const Expr quotient = divide(x, c);
        if (is_constant(quotient)) continue;
        const Polynomial whole = scaled(pool_.multiply(pool_.polynomial(quotient), pool_.polynomial(c)), times);
        if (!contains(p, whole) || !positive(c)) continue;
        joined = add(add(add(p, whole, -1), single, -1), pool_.polynomial(x), times);
      } else if (const auto by = positive_constant(c); by && times % *by == 0) {
        const Polynomial whole = scaled(pool_.polynomial(x), -times / *by);
        if (divisor(x) % *by == 0) {
          // c * (x // c) is x where c divides x
          joined = add(add(p, single, -1), whole, -1);
        } else if (contains(p, whole)) {
          // m * x - m * c * (x // c) is m * (x % c)
          const Polynomial rest = pool_.polynomial(remainder(x, c));
          joined = add(add(add(p, whole, -1), single, -1), rest, -times / *by);
        }
      }
      if (joined) break;
    }
    if (!joined) return p;
    p = wrapped(std::move(*joined), dtype);
  }
  return p;
}

// --- Minima and bits ------------------------------------------------------------------------------------------------

Expr Simplifier::extreme(Op op, const Expr& a, const Expr& b) {
  if (a.same(b)) return a;
  if (is_constant(a) && is_constant(b)) return pool_.intern(fold(make(op, {a, b})));
  if (a->dtype != DType::u64) {
    const Polynomial difference = add(wide(b), wide(a), -1);
    if (nonnegative(difference)) return op == Op::min ? a : b;
    if (nonnegative(scaled(difference, -1))) return op == Op::min ? b : a;
  }
  const bool keep = is_constant(b) || (!is_constant(a) && pool_.before(a.get(), b.get()));
  const Expr& first = keep ? a : b;
  const Expr& second = keep ? b : a;
  if (is_constant(second) && is_call(first, op) && is_constant(first->args[1])) {
    return extreme(op, first->args[0], extreme(op, first->args[1], second));
  }
  return make(op, {first, second});
}

Expr Simplifier::bits(Op op, const Expr& left, const Expr& right) {
  const bool commutes = op == Op::bit_and || op == Op::bit_or || op == Op::bit_xor;
  const bool swap = commutes && is_constant(left);
  const Expr& a = swap ? right : left;
  const Expr& b = swap ? left : right;
  if (is_bool(a->dtype)) return make(op, {a, b});
  if (is_integer(b, 0)) return op == Op::bit_and ? b : a;
  if (a.same(b) && (op == Op::bit_and || op == Op::bit_or)) return a;
  if (a.same(b) && op == Op::bit_xor) return number(a->dtype, 0);
  if (a->dtype == DType::u64) return make(op, {a, b});

  const auto below = [&](const Expr& e, std::int64_t limit) {
    const Range r = range(e);
    return r.lo && r.hi && *r.lo >= 0 && *r.hi < limit;
  };
  // The power of two that divides e: its low bits are clear.
  const auto clear = [&](const Expr& e) {
    const std::int64_t d = divisor(e);
    return d == 0 ? std::int64_t{1} << 62 : d & -d;
  };
  const auto mask = as_integer(b);
  if (op == Op::bit_and && mask && *mask > 0 && std::has_single_bit(static_cast<std::uint64_t>(*mask) + 1)) {
    if (below(a, *mask + 1)) return a;
    if (clear(a) > *mask) return number(a->dtype, 0);
  }
  if ((op == Op::bit_or || op == Op::bit_xor) && (below(b, clear(a)) || below(a, clear(b)))) {
    return pool_.expression(recombine(add(pool_.polynomial(a), pool_.polynomial(b)), a->dtype), a->dtype);
  }
  const bool shifts = mask && *mask > 0 && *mask < 8 * byte_size(a->dtype) - 1 && *mask < 62;
  if (op == Op::shift_left && shifts && is_signed_integer(a->dtype)) {
    const Polynomial shifted = scaled(pool_.polynomial(a), std::int64_t{1} << *mask);
    return pool_.expression(recombine(shifted, a->dtype), a->dtype);
  }
  if (op == Op::shift_right && shifts) {
    const std::int64_t by = std::int64_t{1} << *mask;
    const Range r = range(a);
    if (const auto place = window({r.lo, r.hi}, by)) return number(a->dtype, *place);
    if (divisor(a) % by == 0) return divide(a, number(a->dtype, by));
  }
  return make(op, {a, b});
}

}  // namespace quern::ir
