#include "ir/simplify.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "ir/scalar.h"
#include "ir/simplifier.h"

namespace quern::ir {
namespace {

// Every value of `from` is a value of `to`.
bool holds(DType to, DType from) {
  if (is_bool(to) || is_bool(from)) return is_bool(from);
  if (is_float(from)) {
    if (!is_float(to)) return false;
    if (to == from || byte_size(to) > byte_size(from)) return info(to).digits >= info(from).digits;
    return false;
  }
  if (is_float(to)) return info(from).digits <= info(to).digits && (to != DType::f16 || byte_size(from) == 1);
  if (is_signed_integer(from) && is_unsigned_integer(to)) return false;
  return info(to).digits >= info(from).digits;
}

bool is_f8(DType dtype) { return is_float(dtype) && byte_size(dtype) == 1; }

bool is_linear(const Expr& e) {
  return e->kind == ExprKind::call && is_integer(e->dtype) &&
         (e->op == Op::add || e->op == Op::sub || e->op == Op::neg || e->op == Op::mul);
}

bool is_real(const Expr& e, double value) {
  const Scalar own{.real = e->real}, other{.real = value};
  return is_constant(e) && is_float(e->dtype) && identical(e->dtype, own, other);
}

// Identities of floats that hold for every operand, zeros of both signs, infinities and NaN included.
Expr real_identity(const Expr& e) {
  const Expr& a = e->args[0];
  const auto is = [&](std::size_t i, double value) { return is_real(e->args[i], value); };
  switch (e->op) {
    case Op::add:
      if (is(1, -0.0)) return a;
      if (is(0, -0.0)) return e->args[1];
      if (is_call(e->args[1], Op::neg)) return a - e->args[1]->args[0];
      return e;
    case Op::sub:
      if (is(1, 0.0)) return a;
      if (is_call(e->args[1], Op::neg)) return a + e->args[1]->args[0];
      return e;
    case Op::mul:
      if (is(0, 1)) return e->args[1];
      if (is(0, -1)) return -e->args[1];
      [[fallthrough]];
    case Op::div:
      if (is(1, 1)) return a;
      return is(1, -1) ? -a : e;
    case Op::neg:
      return is_call(a, Op::neg) ? a->args[0] : e;
    case Op::abs:
      if (is_call(a, Op::abs)) return a;
      return is_call(a, Op::neg) ? call(Op::abs, {a->args[0]}) : e;
    case Op::min:
    case Op::max:
      return a.same(e->args[1]) ? a : e;
    default:
      return e;
  }
}

}  // namespace

Expr fold(const Expr& e) {
  std::vector<Scalar> operands;
  for (const Expr& arg : e->args) operands.push_back({arg->integer, arg->real});
  const Scalar value = fit(e->dtype, row(e->op).reference(e->args.back()->dtype, operands));
  return is_float(e->dtype) ? constant(e->dtype, value.real) : constant(e->dtype, value.integer);
}

// --- The walk -------------------------------------------------------------------------------------------------------

Expr Simplifier::simplify(const Expr& e) {
  if (!e) return e;
  if (const auto it = scope_->simplified.find(e.get()); it != scope_->simplified.end()) return it->second.second;
  Expr result = compute(e);
  if (!is_constant(result) && is_integer(result->dtype)) {
    const Range r = range(result);
    if (r.lo && r.lo == r.hi) result = number(result->dtype, *r.lo);
  } else if (!is_constant(result) && is_bool(result->dtype)) {
    if (const auto known = truth(result)) result = pool_.intern(boolean(*known));
  }
  scope_->simplified.emplace(e.get(), std::pair(e, result));
  scope_->simplified.emplace(result.get(), std::pair(result, result));
  return result;
}

Expr Simplifier::compute(const Expr& e) {
  switch (e->kind) {
    case ExprKind::constant: {
      const Scalar value = is_float(e->dtype) ? Scalar{.real = e->real} : fit(e->dtype, {.integer = e->integer});
      return pool_.intern(is_float(e->dtype) ? e : constant(e->dtype, value.integer));
    }
    case ExprKind::variable: {
      const Expr own = pool_.intern(e);
      const Scope::Bound* bound = bound_of(own.get());
      return bound && bound->point ? bound->point : own;
    }
    case ExprKind::call:
      return compute_call(e);
    case ExprKind::cast:
      return compute_cast(e);
    case ExprKind::read:
      return compute_read(e);
    case ExprKind::reduce:
      return compute_reduce(e);
  }
  unreachable("a kind of expression");
}

// Sums and products are gathered before anything is built from them.
Polynomial Simplifier::linear_form(const Expr& e) {
  if (!is_linear(e)) return pool_.polynomial(simplify(e));
  if (const auto it = scope_->linear.find(e.get()); it != scope_->linear.end()) return it->second.second;
  Polynomial p = linear_form(e->args[0]);
  if (e->op == Op::neg) {
    p = scaled(p, -1);
  } else {
    const Polynomial q = linear_form(e->args[1]);
    if (e->op == Op::mul) {
      const bool open = (p.terms.size() + 1) * (q.terms.size() + 1) <= Pool::kMaxTerms;
      p = open ? pool_.multiply(p, q)
               : pool_.atom(make(Op::mul, {pool_.expression(p, e->dtype), pool_.expression(q, e->dtype)}));
    } else {
      p = add(p, q, e->op == Op::add ? 1 : -1);
    }
  }
  p = wrapped(std::move(p), e->dtype);
  scope_->linear.emplace(e.get(), std::pair(e, p));
  return p;
}

Expr Simplifier::compute_call(const Expr& e) {
  if (is_linear(e)) return pool_.expression(recombine(linear_form(e), e->dtype), e->dtype);
  if (e->op == Op::logical_and || e->op == Op::logical_or) return connect(e->op, e);
  if (e->op == Op::select) return choose(e);
  std::vector<Expr> args;
  args.reserve(e->args.size());
  for (const Expr& arg : e->args) args.push_back(simplify(arg));
  const Expr node = pool_.intern(with_children(e, std::move(args), {}, {}));
  if (std::all_of(node->args.begin(), node->args.end(), is_constant)) return pool_.intern(fold(node));
  if (row(e->op).types == TypeRule::comparison) return compare(e->op, node->args[0], node->args[1]);
  if (e->op == Op::logical_not) return inverse(node->args[0]);
  if (is_integer(e->dtype) || is_bool(e->dtype)) return integer_call(e->op, node);
  // An f8 infinity does not survive arithmetic, so that even x * 1 is not x.
  return is_f8(e->dtype) ? node : pool_.import(real_identity(node));
}

Expr Simplifier::integer_call(Op op, const Expr& node) {
  const Expr& a = node->args[0];
  switch (op) {
    case Op::floor_div:
      return divide(a, node->args[1]);
    case Op::mod:
      return remainder(a, node->args[1]);
    case Op::min:
    case Op::max:
      return extreme(op, a, node->args[1]);
    case Op::clamp:
      return extreme(Op::min, extreme(Op::max, a, node->args[1]), node->args[2]);
    case Op::relu:
      return extreme(Op::max, a, number(a->dtype, 0));
    case Op::abs: {
      const Range r = range(a);
      return is_unsigned_integer(a->dtype) || (r.lo && *r.lo >= 0) ? a : node;
    }
    case Op::bit_and:
    case Op::bit_or:
    case Op::bit_xor:
    case Op::shift_left:
    case Op::shift_right:
      return bits(op, a, node->args[1]);
    default:
      return node;
  }
}

Expr Simplifier::compute_cast(const Expr& e) {
  const DType to = e->dtype;
  Expr value = simplify(e->args[0]);
  while (value->kind == ExprKind::cast) {
    const DType middle = value->dtype, from = value->args[0]->dtype;
    const bool integers = is_integer(to) && is_integer(middle) && is_integer(from);
    const bool through = integers
                             ? byte_size(to) <= byte_size(middle) || holds(middle, from)
                             : holds(middle, from) && (is_float(from) || is_float(to)) && !(is_f8(from) && to == from);
    if (!through) break;
    value = value->args[0];
  }
  if (is_constant(value)) {
    const Scalar result = convert(to, value->dtype, {value->integer, value->real});
    return pool_.intern(is_float(to) ? constant(to, result.real) : constant(to, result.integer));
  }
  return pool_.intern(cast(to, value));
}

Expr Simplifier::compute_read(const Expr& e) {
  std::vector<Expr> index;
  index.reserve(e->args.size());
  for (const Expr& i : e->args) index.push_back(simplify(i));
  Expr fill = e->fill ? simplify(e->fill) : Expr();
  if (fill) {
    // A fill that is never needed goes, and a read that always leaves the tensor is its fill.
    bool inside = true;
    for (std::size_t d = 0; d < index.size(); ++d) {
      const Expr place = pool_.intern(cast(DType::i64, index[d]));
      const Expr above = compare(Op::le, number(DType::i64, 0), place);
      const Expr below = compare(Op::lt, place, simplify(cast(DType::i64, e->tensor->shape[d])));
      if (is_integer(above, 0) || is_integer(below, 0)) return fill;
      inside = inside && is_integer(above, 1) && is_integer(below, 1);
    }
    if (inside) fill = Expr();
  }
  return pool_.intern(with_children(e, std::move(index), std::move(fill), {}));
}

Expr Simplifier::compute_reduce(const Expr& e) {
  const ReduceInfo& info = *e->reduce;
  std::vector<Axis> axes;
  bool changed = false, empty = false;
  for (const Axis& axis : info.axes) {
    axes.push_back({axis.var, simplify(axis.lo), simplify(axis.hi)});
    changed = changed || !axes.back().lo.same(axis.lo) || !axes.back().hi.same(axis.hi);
    empty = empty || is_integer(compare(Op::le, axes.back().hi, axes.back().lo), 1);
  }
  // A range that is not known to hold anything may be entered all the same: then its condition is not evaluated.
  Assumptions inside(scope_);
  for (const Axis& axis : axes) inside = inside.with(axis);
  Expr where = e->where ? Simplifier(inside.scope()).simplify(e->where) : Expr();
  if (where && is_integer(where, 1)) where = Expr();
  if (empty || (where && is_integer(where, 0))) {
    const ReducerRow& reducer = row(info.reducer);
    const DType contracted = info.contract.accumulator.value_or(e->args[0]->dtype);
    const DType acc = is_float(contracted) ? DType::f64 : contracted;  // as the evaluator's
    return simplify(cast(e->dtype, reducer.finish(reducer.identity(acc))));
  }
  Simplifier body(where ? Simplifier(inside.scope()).where(where, true) : inside.scope());
  std::vector<Expr> args;
  for (const Expr& arg : e->args) args.push_back(body.simplify(arg));
  if (changed) return pool_.intern(reduce(info.reducer, std::move(axes), std::move(args), where, info.contract));
  return pool_.intern(with_children(e, std::move(args), {}, std::move(where)));
}

// --- The interface --------------------------------------------------------------------------------------------------

Expr simplify(const Expr& e, const Assumptions& assumptions) { return Simplifier(assumptions.scope()).simplify(e); }

Interval range(const Expr& e, const Assumptions& assumptions) {
  Simplifier simplifier(assumptions.scope());
  const Expr simple = simplifier.simplify(e);
  const Range r = simplifier.range(simple);
  Interval result{r.lo, r.hi};
  if (is_constant(simple) || !is_integer(simple->dtype) || simple->dtype == DType::u64) return result;
  auto& proven = assumptions.scope()->proven;
  if (const auto it = proven.find(simple.get()); it != proven.end()) return it->second;
  const Polynomial& p = simplifier.wide(simple);
  if (const auto lo = simplifier.lower_bound(p); lo && (!r.lo || *lo > *r.lo)) result.lo = lo;
  if (const auto below = simplifier.lower_bound(scaled(p, -1)); below && (!r.hi || -*below < *r.hi))
    result.hi = -*below;
  return proven[simple.get()] = result;
}

std::int64_t divisor(const Expr& e, const Assumptions& assumptions) {
  Simplifier simplifier(assumptions.scope());
  return simplifier.divisor(simplifier.simplify(e));
}

std::optional<bool> prove(const Expr& condition, const Assumptions& assumptions) {
  const auto value = as_integer(simplify(condition, assumptions));
  return value ? std::optional(*value != 0) : std::nullopt;
}

std::optional<Linear> linear(const Expr& e, std::span<const VarRef> vars, const Assumptions& assumptions) {
  Simplifier simplifier(assumptions.scope());
  Pool& pool = *assumptions.scope()->pool;
  const Polynomial p = simplifier.wide(simplifier.simplify(e));
  std::vector<Polynomial> coefficients(vars.size());
  Polynomial rest;
  rest.constant = p.constant;
  for (const Term& term : p.terms) {
    std::optional<std::size_t> which;
    Pool::Atoms others;
    for (const Node* atom : pool.atoms(term.monomial)) {
      const auto var = std::find(vars.begin(), vars.end(), atom->var);
      if (atom->kind == ExprKind::variable && var != vars.end()) {
        if (which) return std::nullopt;
        which = static_cast<std::size_t>(var - vars.begin());
        continue;
      }
      const Expr other = pool.expr(atom);
      if (std::any_of(vars.begin(), vars.end(), [&](const VarRef& v) { return uses(other, v); })) return std::nullopt;
      others.push_back(atom);
    }
    Polynomial part;
    if (others.empty()) {
      part.constant = term.coefficient;
    } else {
      part.terms.push_back({pool.monomial(std::move(others)), term.coefficient});
    }
    Polynomial& to = which ? coefficients[*which] : rest;
    to = add(to, part);
  }
  Linear result;
  for (const Polynomial& c : coefficients) result.coefficients.push_back(pool.expression(c, DType::i64));
  result.rest = pool.expression(rest, DType::i64);
  return result;
}

std::optional<Expr> coefficient(const Expr& e, const VarRef& var, const Assumptions& assumptions) {
  const auto parts = linear(e, std::span(&var, 1), assumptions);
  return parts ? std::optional(parts->coefficients[0]) : std::nullopt;
}

}  // namespace quern::ir
