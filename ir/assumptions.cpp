#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "ir/kernel.h"
#include "ir/simplifier.h"

namespace quern::ir {
namespace {

std::shared_ptr<Assumptions::Scope> below(const std::shared_ptr<Assumptions::Scope>& parent) {
  auto scope = std::make_shared<Assumptions::Scope>();
  scope->pool = parent->pool;
  scope->parent = parent;
  scope->level = parent->level + 1;
  return scope;
}

void add_factors(const Expr& extent, std::unordered_set<const Variable*>& found) {
  if (extent->kind == ExprKind::variable) found.insert(extent->var.get());
  if (is_call(extent, Op::mul)) {
    for (const Expr& factor : extent->args) add_factors(factor, found);
  }
}

// Symbols that are extents, by themselves or as factors of a flat buffer's: nobody passes a negative one.
std::unordered_set<const Variable*> sizes(std::span<const TensorRef> tensors) {
  std::unordered_set<const Variable*> found;
  for (const TensorRef& tensor : tensors) {
    for (const Expr& extent : tensor->shape) add_factors(extent, found);
  }
  return found;
}

Assumptions with_sizes(std::span<const VarRef> symbols, std::span<const TensorRef> tensors) {
  const auto found = sizes(tensors);
  Assumptions result;
  for (const VarRef& symbol : symbols) {
    if (found.contains(symbol.get())) result = result.with_at_least(symbol, 0);
  }
  return result;
}

Assumptions with_facts(Assumptions result, std::span<const Fact> facts) {
  for (const Fact& fact : facts) result = result.with(fact);
  return result;
}

}  // namespace

Assumptions::Assumptions() : scope_(std::make_shared<Scope>()) { scope_->pool = std::make_shared<Pool>(); }

Assumptions Assumptions::with(const Axis& axis) const { return with(axis, Expr(1)); }

Assumptions Assumptions::with(const Axis& axis, const Expr& step) const {
  Simplifier simplifier(scope_);
  auto inner = below(scope_);
  const Expr var = scope_->pool->intern(Expr(axis.var));
  const Expr lo = simplifier.simplify(axis.lo);
  Scope::Bound bound{var.get(), simplifier.wide(lo), std::nullopt, {}};
  Scope::Known known{var.get(), {simplifier.range(lo).lo, std::nullopt}};
  const std::int64_t stride = std::max<std::int64_t>(as_integer(simplifier.simplify(step)).value_or(1), 1);
  known.divisor = std::gcd(simplifier.divisor(lo), stride);
  if (axis.hi) {
    const Expr hi = simplifier.simplify(axis.hi);
    const Polynomial extent = add(simplifier.wide(hi), bound.lo, -1);
    // The last value lies a whole step below the end where the steps meet it.
    Polynomial last = simplifier.wide(hi);
    const std::int64_t distance = simplifier.divisor(extent) % stride == 0 ? stride : 1;
    last.constant -= distance;
    bound.hi = last;
    if (const auto end = simplifier.range(hi).hi) known.interval.hi = *end - distance;
    if (extent.is_constant() && extent.constant <= stride && extent.constant >= 1) {
      bound.point = simplifier.simplify(cast(axis.var->dtype, lo));
    }
    Polynomial entered = extent;
    entered.constant -= 1;
    simplifier.learn(*inner, entered);
  }
  inner->bounds.push_back(std::move(bound));
  inner->known.push_back(known);
  return Assumptions(std::move(inner));
}

Assumptions Assumptions::with(const Expr& condition) const {
  Simplifier simplifier(scope_);
  return Assumptions(simplifier.where(simplifier.simplify(condition), false));
}

Assumptions Assumptions::with_value(const VarRef& var, const Expr& value) const {
  Simplifier simplifier(scope_);
  auto inner = below(scope_);
  const Expr own = scope_->pool->intern(Expr(var));
  const Expr simple = simplifier.simplify(value);
  // Memory may change under a variable that was read from it.
  const bool lasting = !reads_buffer(simple);
  if (is_bool(var->dtype) && lasting) inner->values.emplace_back(own.get(), simple);
  if (is_integer(var->dtype) && var->dtype != DType::u64) {
    const Range r = simplifier.range(simple);
    // An end at the limit of all integers tells nothing; kept, it would make every sum with the variable one that
    // wraps.
    using Limits = std::numeric_limits<std::int64_t>;
    const auto lo = r.lo != Limits::min() ? r.lo : std::nullopt, hi = r.hi != Limits::max() ? r.hi : std::nullopt;
    inner->known.push_back({own.get(), {lo, hi}, std::max<std::int64_t>(simplifier.divisor(simple), 1)});
    if (lasting) inner->bounds.push_back({own.get(), simplifier.wide(simple), simplifier.wide(simple), {}});
  }
  return Assumptions(std::move(inner));
}

Assumptions Assumptions::with_at_least(const VarRef& var, std::int64_t least) const {
  auto inner = below(scope_);
  inner->known.push_back({scope_->pool->intern(Expr(var)).get(), {least, std::nullopt}});
  return Assumptions(std::move(inner));
}

Assumptions Assumptions::with(const Fact& fact) const {
  switch (fact.kind) {
    case Fact::Kind::condition:
      return with(fact.condition);
    case Fact::Kind::range: {
      if (fact.symbol) return with(less_equal(fact.lo, Expr(fact.symbol))).with(less(Expr(fact.symbol), fact.hi));
      const Interval lo = range(fact.lo, *this), hi = range(fact.hi, *this);
      auto inner = below(scope_);
      inner->elements.emplace_back(fact.tensor.get(),
                                   Interval{lo.lo, hi.hi ? std::optional(*hi.hi - 1) : std::nullopt});
      return Assumptions(std::move(inner));
    }
    case Fact::Kind::aligned:
    case Fact::Kind::nondecreasing:
    case Fact::Kind::exact:
      return *this;
  }
  return *this;
}

Assumptions assumptions_of(std::span<const Fact> facts) { return with_facts(Assumptions(), facts); }

Assumptions assumptions_of(const Program& program) {
  return with_facts(with_sizes(program.symbols, arguments(program)), program.facts);
}

Assumptions assumptions_of(const Kernel& kernel) {
  const std::vector<TensorRef> params(kernel.params.begin(), kernel.params.end());
  Assumptions result = with_facts(with_sizes(kernel.symbols, params), kernel.facts);
  for (std::size_t d = 0; d < kernel.block.size(); ++d) result = result.with({kernel.block[d], 0, kernel.grid[d]});
  if (kernel.warp) result = result.with({kernel.warp, 0, kernel.warps});
  if (kernel.lane) result = result.with({kernel.lane, 0, kernel.lanes});
  return result;
}

}  // namespace quern::ir
