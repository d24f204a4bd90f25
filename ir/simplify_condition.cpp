// Comparisons, logic, selections, and what a condition teaches.
#include <algorithm>
#include <limits>

#include "ir/kernel.h"
#include "ir/scalar.h"
#include "ir/simplifier.h"

namespace quern::ir {
namespace {

bool reads_anything(const Expr& e) {
  return e->kind == ExprKind::read || e->kind == ExprKind::reduce ||
         std::any_of(e->args.begin(), e->args.end(), reads_anything);
}

// Compares integers whose differences 64 bits hold.
bool compares_integers(const Expr& e) {
  return e->kind == ExprKind::call && row(e->op).types == TypeRule::comparison && is_integer(e->args[0]->dtype) &&
         e->args[0]->dtype != DType::u64;
}

void collect(Op op, const Expr& e, std::vector<Expr>& leaves) {
  if (!is_call(e, op)) return leaves.push_back(e);
  for (const Expr& arg : e->args) collect(op, arg, leaves);
}

Polynomial plus(Polynomial p, std::int64_t value) {
  if (__builtin_add_overflow(p.constant, value, &p.constant)) p.overflow = true;
  return p;
}

}  // namespace

// --- Comparisons ----------------------------------------------------------------------------------------------------

Expr Simplifier::compare(Op op, Expr a, Expr b) {
  if (op == Op::gt || op == Op::ge) {
    std::swap(a, b);
    op = op == Op::gt ? Op::lt : Op::le;
  }
  const bool symmetric = op == Op::eq || op == Op::ne;
  const auto node = [&](const Expr& l, const Expr& r) {
    const bool keep = !symmetric || is_constant(r) || (!is_constant(l) && pool_.before(l.get(), r.get()));
    return make(op, keep ? std::vector{l, r} : std::vector{r, l});
  };
  if (is_float(a->dtype)) return node(a, b);
  if (a.same(b)) return pool_.intern(boolean(op == Op::eq || op == Op::le));
  if (is_bool(a->dtype) && symmetric) {
    if (is_constant(a)) std::swap(a, b);
    if (const auto value = as_integer(b)) return (*value != 0) == (op == Op::eq) ? a : inverse(a);
  }
  if (is_bool(a->dtype) || a->dtype == DType::u64) return node(a, b);
  if (const auto known = order(op, a, b)) return *known;
  const Expr unchanged = node(a, b);
  if (!range(a).exact || !range(b).exact) return unchanged;
  const Polynomial difference = add(pool_.polynomial(b), pool_.polynomial(a), -1);
  if (symmetric) {
    const Expr equality = equal_to_zero(difference, a->dtype, make(Op::eq, unchanged->args));
    if (op == Op::eq) return equality;
    return is_constant(equality) ? inverse(equality) : make(Op::ne, equality->args);
  }
  return ordered(op == Op::lt ? plus(difference, -1) : difference, a->dtype, unchanged);
}

// What is proven of a comparison.
std::optional<Expr> Simplifier::order(Op op, const Expr& a, const Expr& b) {
  const Polynomial forward = add(wide(b), wide(a), -1);
  if (forward.overflow) return std::nullopt;
  const Polynomial backward = scaled(forward, -1);
  const auto answer = [&](bool value) { return pool_.intern(boolean(value)); };
  switch (op) {
    case Op::lt:
      if (nonnegative(plus(forward, -1))) return answer(true);
      if (nonnegative(backward)) return answer(false);
      break;
    case Op::le:
      if (nonnegative(forward)) return answer(true);
      if (nonnegative(plus(backward, -1))) return answer(false);
      break;
    default:
      if (forward.is_constant()) return answer((forward.constant == 0) == (op == Op::eq));
      if (nonnegative(plus(forward, -1)) || nonnegative(plus(backward, -1))) return answer(op == Op::ne);
  }
  return std::nullopt;
}

// The same condition p >= 0 with fewer terms: those that cannot reach the next multiple of what divides the others go.
Polynomial Simplifier::tightened(Polynomial p) {
  for (int round = 0; round < 4; ++round) {
    if (const std::int64_t common = content(p); common > 1) {
      for (Term& term : p.terms) term.coefficient /= common;
      p.constant = floor_quotient(p.constant, common);
    }
    std::optional<Polynomial> better;
    std::int64_t best = 1;
    for (const Term& candidate : p.terms) {
      const std::int64_t g = divisor(candidate);
      if (g <= best) continue;
      Polynomial multiple, rest;
      rest.constant = p.constant;
      for (const Term& term : p.terms) (divisor(term) % g == 0 ? multiple : rest).terms.push_back(term);
      const auto place = window(interval(rest), g);
      if (!place) continue;
      // multiple + g * place >= 0, where the last values below the next multiple do as well: x + 4 < y, not x + 7 < y.
      multiple.constant = g * *place + (*place < 0 ? g - 1 : 0);
      if (multiple == p) continue;
      better = std::move(multiple);
      best = g;
    }
    if (!better) return p;
    p = std::move(*better);
  }
  return p;
}

Expr Simplifier::ordered(Polynomial p, DType dtype, const Expr& unchanged) {
  if (p.overflow) return unchanged;
  p = tightened(std::move(p));
  if (p.is_constant()) return pool_.intern(boolean(p.constant >= 0));
  // lower (+ offset) <= or < upper (+ offset)
  Polynomial lower, upper;
  for (const Term& term : p.terms) {
    if (term.coefficient > 0) {
      upper.terms.push_back(term);
    } else {
      lower.terms.push_back({term.monomial, -term.coefficient});
    }
  }
  Op op = Op::le;
  const std::int64_t c = p.constant;
  if (c == std::numeric_limits<std::int64_t>::min() || c == std::numeric_limits<std::int64_t>::max()) return unchanged;
  if (upper.terms.empty()) {
    op = Op::lt;
    upper.constant = c + 1;
  } else if (lower.terms.empty()) {
    op = c == -1 ? Op::lt : Op::le;
    lower.constant = c == -1 ? 0 : -c;
  } else if (c < 0) {
    op = Op::lt;
    lower.constant = -c - 1;
  } else {
    upper.constant = c;
  }
  if (!range(lower, dtype).exact || !range(upper, dtype).exact) return unchanged;
  return make(op, {pool_.expression(lower, dtype), pool_.expression(upper, dtype)});
}

Expr Simplifier::equal_to_zero(Polynomial p, DType dtype, const Expr& unchanged) {
  if (p.overflow) return unchanged;
  const auto no = [&] { return pool_.intern(boolean(false)); };
  if (const std::int64_t common = content(p); common > 1) {
    if (p.constant % common != 0) return no();
    for (Term& term : p.terms) term.coefficient /= common;
    p.constant /= common;
  }
  if (p.is_constant()) return pool_.intern(boolean(p.constant == 0));
  for (const Term& candidate : p.terms) {
    const std::int64_t g = divisor(candidate);
    if (g <= 1) continue;
    Polynomial rest;
    rest.constant = p.constant;
    for (const Term& term : p.terms) {
      if (divisor(term) % g != 0) rest.terms.push_back(term);
    }
    const Interval values = interval(rest);
    const auto place = window(values, g);
    if (place && *values.lo > g * *place) return no();
  }
  Polynomial left, right;
  for (const Term& term : p.terms) {
    if (term.coefficient > 0) {
      left.terms.push_back(term);
    } else {
      right.terms.push_back({term.monomial, -term.coefficient});
    }
  }
  if (p.constant == std::numeric_limits<std::int64_t>::min()) return unchanged;
  if (right.terms.empty()) {
    right.constant = -p.constant;
  } else if (left.terms.empty() || p.constant < 0) {
    (left.terms.empty() ? left : right).constant = left.terms.empty() ? p.constant : -p.constant;
  } else {
    left.constant = p.constant;
  }
  if (!range(left, dtype).exact || !range(right, dtype).exact) return unchanged;
  const Expr l = pool_.expression(left, dtype), r = pool_.expression(right, dtype);
  const bool keep = is_constant(r) || (!is_constant(l) && pool_.before(l.get(), r.get()));
  return make(Op::eq, keep ? std::vector{l, r} : std::vector{r, l});
}

// --- Logic ----------------------------------------------------------------------------------------------------------

Expr Simplifier::inverse(const Expr& condition) {
  if (const auto value = as_integer(condition)) return pool_.intern(boolean(*value == 0));
  if (is_call(condition, Op::logical_not)) return condition->args[0];
  if (is_call(condition, Op::eq)) return make(Op::ne, condition->args);
  if (is_call(condition, Op::ne)) return make(Op::eq, condition->args);
  if (compares_integers(condition)) {
    const Op op = condition->op == Op::lt ? Op::le : Op::lt;
    return compare(op, condition->args[1], condition->args[0]);
  }
  return make(Op::logical_not, {condition});
}

Expr Simplifier::connect(Op op, const Expr& e) {
  const bool all = op == Op::logical_and;
  std::vector<Expr> raw, kept;
  collect(op, e, raw);
  std::shared_ptr<Scope> inner = scope_;
  for (const Expr& leaf : raw) {
    std::vector<Expr> parts;
    collect(op, Simplifier(inner).simplify(leaf), parts);
    for (const Expr& part : parts) {
      if (const auto value = as_integer(part)) {
        if ((*value != 0) != all) return part;
        continue;
      }
      const auto is = [&](const Expr& other) { return other.same(part); };
      if (std::any_of(kept.begin(), kept.end(), is)) continue;
      const Expr opposite = inverse(part);
      if (std::any_of(kept.begin(), kept.end(), [&](const Expr& other) { return other.same(opposite); })) {
        return pool_.intern(boolean(!all));
      }
      kept.push_back(part);
      inner = Simplifier(inner).where(all ? part : opposite, true);
    }
  }
  // A later side may imply an earlier one, which then says nothing; one that reads may need its guard.
  for (std::size_t i = 0; i < kept.size();) {
    const bool implied =
        std::any_of(kept.begin() + static_cast<std::ptrdiff_t>(i) + 1, kept.end(), [&](const Expr& other) {
          return !reads_anything(other) && (all ? implies(other, kept[i]) : implies(kept[i], other));
        });
    if (implied) {
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  if (kept.empty()) return pool_.intern(boolean(all));
  Expr result = kept[0];
  for (std::size_t i = 1; i < kept.size(); ++i) result = make(op, {result, kept[i]});
  return result;
}

// A comparison as p >= 0.
std::optional<Polynomial> Simplifier::as_inequality(const Expr& condition) {
  if (!compares_integers(condition) || (condition->op != Op::lt && condition->op != Op::le)) return std::nullopt;
  Polynomial p = add(wide(condition->args[1]), wide(condition->args[0]), -1);
  if (condition->op == Op::lt) p = plus(std::move(p), -1);
  return p.overflow ? std::nullopt : std::optional(std::move(p));
}

bool Simplifier::implies(const Expr& a, const Expr& b) {
  const auto p = as_inequality(a), q = as_inequality(b);
  if (!p || !q) return false;
  const Polynomial difference = add(*q, *p, -1);
  const auto lo = interval(difference).lo;
  return !difference.overflow && lo && *lo >= 0;
}

Expr Simplifier::choose(const Expr& e) {
  Expr condition = simplify(e->args[0]);
  if (const auto value = as_integer(condition)) return simplify(e->args[*value != 0 ? 1 : 2]);
  bool swapped = false;
  if (is_call(condition, Op::logical_not)) {
    condition = condition->args[0];
    swapped = true;
  }
  const Expr& if_true = e->args[swapped ? 2 : 1];
  const Expr& if_false = e->args[swapped ? 1 : 2];
  const Expr a = Simplifier(where(condition, true)).simplify(if_true);
  const Expr b = Simplifier(where(inverse(condition), true)).simplify(if_false);
  if (a.same(b)) return a;
  if (is_bool(a->dtype)) {
    if (is_integer(a, 1) && is_integer(b, 0)) return condition;
    if (is_integer(a, 0) && is_integer(b, 1)) return inverse(condition);
  }
  return make(Op::select, {condition, a, b});
}

bool reads_buffer(const Expr& e) {
  if (e->kind == ExprKind::read && try_buffer(*e->tensor)) return true;
  return std::any_of(e->args.begin(), e->args.end(), reads_buffer);
}

// --- What a condition teaches ---------------------------------------------------------------------------------------

std::optional<bool> Simplifier::truth(const Expr& condition) const {
  for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
    for (const auto& [node, value] : s->truths) {
      if (node == condition.get()) return value;
    }
  }
  return std::nullopt;
}

std::shared_ptr<Assumptions::Scope> Simplifier::where(const Expr& condition, bool pure) {
  if (is_constant(condition)) return scope_;
  auto inner = std::make_shared<Scope>();
  inner->pool = scope_->pool;
  inner->parent = scope_;
  inner->level = scope_->level + 1;
  assume(*inner, condition, true, pure);
  const bool taught = !inner->truths.empty() || !inner->known.empty() || !inner->facts.empty();
  return taught ? inner : scope_;
}

void Simplifier::assume(Scope& inner, const Expr& condition, bool value, bool pure) {
  if (is_call(condition, Op::logical_not)) return assume(inner, condition->args[0], !value, pure);
  if (is_call(condition, value ? Op::logical_and : Op::logical_or)) {
    for (const Expr& side : condition->args) assume(inner, side, value, pure);
    return;
  }
  if (is_constant(condition) || (!pure && reads_buffer(condition))) return;
  if (!value && condition->kind == ExprKind::call && row(condition->op).types == TypeRule::comparison) {
    const Expr opposite = inverse(condition);
    if (!is_call(opposite, Op::logical_not)) return assume(inner, opposite, true, pure);
  }
  inner.truths.emplace_back(condition.get(), value);
  for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
    for (const auto& [var, stands_for] : s->values) {
      if (var == condition.get()) assume(inner, stands_for, value, pure);
    }
  }
  if (!value || !compares_integers(condition)) return;
  if (const auto p = as_inequality(condition)) return learn(inner, *p);
  const Expr &left = condition->args[0], &right = condition->args[1];
  inner.truths.emplace_back(make(condition->op == Op::eq ? Op::ne : Op::eq, condition->args).get(), false);
  if (condition->op != Op::eq) return;
  const Polynomial difference = add(wide(right), wide(left), -1);
  learn(inner, difference);
  learn(inner, scaled(difference, -1));
  const auto by = is_call(left, Op::mod) ? as_integer(left->args[1]) : std::nullopt;
  if (by && *by > 1 && is_integer(right, 0)) inner.known.push_back({left->args[0].get(), {}, *by});
}

// p >= 0: of one atom a range, else a fact.
void Simplifier::learn(Scope& inner, const Polynomial& p) {
  if (p.overflow || p.is_constant()) return;
  const Pool::Atoms& atoms = pool_.atoms(p.terms[0].monomial);
  if (p.terms.size() > 1 || atoms.size() > 1) return inner.facts.push_back(p);
  const std::int64_t factor = p.terms[0].coefficient;
  if (factor == std::numeric_limits<std::int64_t>::min() || p.constant == std::numeric_limits<std::int64_t>::min())
    return;
  Interval interval;
  if (factor > 0) {
    interval.lo = -floor_quotient(p.constant, factor);
  } else {
    interval.hi = floor_quotient(p.constant, -factor);
  }
  inner.known.push_back({atoms[0], interval});
}

}  // namespace quern::ir
