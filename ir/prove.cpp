// Proofs that a polynomial of integers is not negative.
//
// One step replaces an atom by a bound of it, by the side that its coefficient's sign asks for: a variable by its
// range, x // c by (x - c + 1) / c or x / c (after scaling by c), min, max and select by their operands. When
// intervals decide, the proof is done. Where an atom has a constant range too, both ways are tried; a budget bounds
// the tree. Facts that hold in the scope are subtracted once, at the root.
#include <algorithm>
#include <limits>

#include "base/error.h"
#include "ir/scalar.h"
#include "ir/simplifier.h"

namespace quern::ir {
namespace {

// How often a fact can be taken from `p` to take away a term: they share one with the same sign.
std::optional<std::int64_t> multiple_of(const Polynomial& fact, const Polynomial& p) {
  for (const Term& term : fact.terms) {
    const std::int64_t own = coefficient(p, term.monomial);
    if (own == 0 || own == std::numeric_limits<std::int64_t>::min()) continue;
    if ((own < 0) != (term.coefficient < 0)) continue;
    return std::max<std::int64_t>(own / term.coefficient, 1);
  }
  return std::nullopt;
}

}  // namespace

struct Simplifier::Budget {
  int steps = 24;
};

const Polynomial& Simplifier::wide(const Expr& e) {
  if (const auto it = scope_->wide.find(e.get()); it != scope_->wide.end()) return it->second;
  Polynomial p;
  const Range r = range(e);
  if (const auto value = as_integer(e); value && (e->dtype != DType::u64 || *value >= 0)) {
    p.constant = *value;
    p.overflow = *value == std::numeric_limits<std::int64_t>::min();
  } else if (e->kind == ExprKind::call && r.exact &&
             (e->op == Op::add || e->op == Op::sub || e->op == Op::neg || e->op == Op::mul)) {
    const Polynomial& a = wide(e->args[0]);
    if (e->op == Op::neg) {
      p = scaled(a, -1);
    } else {
      const Polynomial& b = wide(e->args[1]);
      if (e->op == Op::add) p = add(a, b);
      if (e->op == Op::sub) p = add(a, b, -1);
      if (e->op == Op::mul) {
        p = (a.terms.size() + 1) * (b.terms.size() + 1) <= Pool::kMaxTerms ? pool_.multiply(a, b) : pool_.atom(e);
      }
    }
    if (p.overflow) p = pool_.atom(e);
  } else if (e->kind == ExprKind::cast && is_integer(e->args[0]->dtype) && e->args[0]->dtype != DType::u64) {
    const Expr& inner = e->args[0];
    const Range from = range(inner);
    const bool unsigned_wide = e->dtype == DType::u64;
    const std::int64_t lowest = lowest_integer(e->dtype);
    const std::int64_t highest = unsigned_wide ? std::numeric_limits<std::int64_t>::max() : highest_integer(e->dtype);
    const bool fits = from.lo && from.hi && *from.lo >= lowest && *from.hi <= highest;
    const bool widens = lowest_integer(inner->dtype) >= lowest && highest_integer(inner->dtype) <= highest;
    p = fits || widens ? wide(inner) : pool_.atom(e);
  } else {
    p = pool_.atom(e);
  }
  return scope_->wide.emplace(e.get(), std::move(p)).first->second;
}

const Assumptions::Scope::Bound* Simplifier::bound_of(const Node* node) const {
  for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
    for (const Scope::Bound& bound : s->bounds) {
      if (bound.node == node) return &bound;
    }
  }
  return nullptr;
}

bool Simplifier::nonnegative(const Polynomial& wide) {
  if (wide.overflow) return false;
  if (wide.is_constant()) return wide.constant >= 0;
  Budget budget;
  if (nonnegative(wide, budget)) return true;
  return try_facts(wide, budget);
}

bool Simplifier::nonnegative(const Polynomial& p, Budget& budget) {
  if (p.overflow) return false;
  const auto lo = interval(p).lo;
  if (lo && *lo >= 0) return true;
  if (p.is_constant() || budget.steps-- <= 0) return false;
  const Node* atom = next_to_eliminate(p, true);
  return atom && eliminate(p, atom, budget);
}

bool Simplifier::try_facts(const Polynomial& p, Budget& budget) {
  for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
    for (const Polynomial& fact : s->facts) {
      const auto times = multiple_of(fact, p);
      if (!times) continue;
      budget.steps = 12;
      if (nonnegative(add(p, fact, -*times), budget)) return true;
    }
  }
  return false;
}

// Compound atoms first, from the outside in; then variables, the one declared last first.
const Node* Simplifier::next_to_eliminate(const Polynomial& p, bool compound) {
  const Node* best = nullptr;
  int best_rank = -1;
  for (const Term& term : p.terms) {
    for (const Node* atom : pool_.atoms(term.monomial)) {
      int rank = -1;
      if (atom->kind == ExprKind::call && compound) {
        const bool helps = atom->op == Op::floor_div || atom->op == Op::min || atom->op == Op::max ||
                           atom->op == Op::select || (atom->op == Op::mod && !is_constant(atom->args[1]));
        if (helps && is_integer(atom->dtype)) rank = 1 << 20;
        if (helps) rank += static_cast<int>(atom->depth);
      } else if (atom->kind == ExprKind::variable) {
        for (const Scope* s = scope_.get(); s && rank < 0; s = s->parent.get()) {
          for (const Scope::Bound& bound : s->bounds) {
            if (bound.node == atom) rank = s->level;
          }
        }
      }
      if (rank > best_rank) {
        best = atom;
        best_rank = rank;
      }
    }
  }
  return best;
}

// p = factor * atom + rest, where the sign of the factor is known.
std::optional<Simplifier::Split> Simplifier::split_at(const Polynomial& p, const Node* atom) {
  Split split;
  split.rest.constant = p.constant;
  for (const Term& term : p.terms) {
    const Pool::Atoms& all = pool_.atoms(term.monomial);
    const auto times = std::count(all.begin(), all.end(), atom);
    if (times > 1) return std::nullopt;
    if (times == 0) {
      split.rest.terms.push_back(term);
      continue;
    }
    Pool::Atoms atoms = all;
    std::erase(atoms, atom);
    Polynomial one;
    if (atoms.empty()) {
      one.constant = term.coefficient;
    } else {
      one.terms.push_back({pool_.monomial(std::move(atoms)), term.coefficient});
    }
    split.factor = add(split.factor, one);
  }
  const Interval sign = interval(split.factor);
  split.positive = sign.lo && *sign.lo >= 0;
  if (!split.positive && !(sign.hi && *sign.hi <= 0)) return std::nullopt;
  return split;
}

bool Simplifier::eliminate(const Polynomial& p, const Node* atom, Budget& budget) {
  const std::optional<Split> split = split_at(p, atom);
  if (!split) return false;
  const auto& [a, b, positive] = *split;
  const auto with = [&](const Polynomial& bound) { return nonnegative(add(pool_.multiply(a, bound), b), budget); };
  const auto with_operand = [&](std::size_t i) { return with(wide(atom->args[i])); };
  // The constant bound, where there is one that has not been `tried`: other atoms may be worth more as they are.
  const auto with_constant = [&](const Polynomial* tried = nullptr) {
    const Range r = range(pool_.expr(atom));
    const auto& end = positive ? r.lo : r.hi;
    Polynomial constant;
    constant.constant = end.value_or(0);
    return end && !(tried && constant == *tried) && with(constant);
  };
  if (atom->kind == ExprKind::variable) {
    const Scope::Bound* bound = bound_of(atom);
    const Polynomial* own = positive ? &bound->lo : bound->hi ? &*bound->hi : nullptr;
    if (own && with(*own)) return true;
    return with_constant(own);
  }
  switch (atom->op) {
    case Op::min:
    case Op::max: {
      const bool either_serves = (atom->op == Op::max) == positive;
      if (either_serves ? with_operand(0) || with_operand(1) : with_operand(0) && with_operand(1)) return true;
      break;
    }
    case Op::select:
      if (with_operand(1) && with_operand(2)) return true;
      break;
    case Op::floor_div:
    case Op::mod: {
      const Polynomial& x = wide(atom->args[0]);
      const Polynomial& c = wide(atom->args[1]);
      const auto least = interval(c).lo;
      if (!least || *least < 1) break;
      Polynomial last = c;  // c - 1
      last.constant -= 1;
      if (atom->op == Op::mod) {
        if (with(positive ? Polynomial{} : last)) return true;
        break;
      }
      // c * (x // c) lies in x - (c - 1) .. x, and p >= 0 where c * p >= -(c - 1).
      const Polynomial bound = positive ? add(x, last, -1) : x;
      if (nonnegative(add(add(pool_.multiply(a, bound), pool_.multiply(b, c)), last), budget)) return true;
      break;
    }
    default:
      unreachable("an atom that can be eliminated");
  }
  return with_constant();
}

std::optional<std::int64_t> Simplifier::lower_bound(Polynomial p) {
  std::optional<std::int64_t> best;
  const auto improve = [&](const Polynomial& q) {
    const auto lo = interval(q).lo;
    if (lo && (!best || *lo > *best)) best = lo;
  };
  while (!p.overflow) {
    improve(p);
    for (const Scope* s = scope_.get(); s; s = s->parent.get()) {
      for (const Polynomial& fact : s->facts) {
        if (const auto times = multiple_of(fact, p)) improve(add(p, fact, -*times));
      }
    }
    const Node* atom = next_to_eliminate(p, false);
    if (!atom) break;
    const std::optional<Split> split = split_at(p, atom);
    if (!split) break;
    const Scope::Bound& bound = *bound_of(atom);
    if (!split->positive && !bound.hi) break;
    p = add(pool_.multiply(split->factor, split->positive ? bound.lo : *bound.hi), split->rest);
  }
  return best;
}

}  // namespace quern::ir
