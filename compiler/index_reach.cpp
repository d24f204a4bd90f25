#include "compiler/index_reach.h"

#include <algorithm>

#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;

std::optional<std::int64_t> within(std::optional<std::int64_t> distance) {
  return distance && *distance <= kMost ? distance : std::nullopt;
}

// The symbols of a product of symbols and positive constants, with the constants' product; false for anything else.
bool factors_of(const Expr& e, std::vector<VarRef>& symbols, std::int64_t& constant) {
  if (e->kind == ExprKind::variable) {
    symbols.push_back(e->var);
    return true;
  }
  if (const auto value = as_integer(e)) {
    if (*value < 1 || *value > kMost) return false;
    return !__builtin_mul_overflow(constant, *value, &constant);
  }
  return is_call(e, Op::mul) && factors_of(e->args[0], symbols, constant) && factors_of(e->args[1], symbols, constant);
}

}  // namespace

IndexReach::IndexReach(const Kernel& kernel) {
  for (const VarRef& symbol : kernel.symbols) {
    const bool empty = std::ranges::any_of(kernel.grid, [&](const Expr& extent) {
      return is_integer(simplify(substitute(extent, {{symbol, Expr(0)}})), 0);
    });
    if (empty) positive_.insert(symbol);
  }
  for (const BufferRef& param : kernel.params) {
    Size size;
    if (param->strides.empty() && factors_of(param->shape[0], size.symbols, size.constant)) {
      sizes_.push_back(std::move(size));
    }
  }
}

void IndexReach::enter(const For& loop, const Assumptions& assumptions) {
  const auto lo = reach(loop.lo, assumptions), hi = reach(loop.hi, assumptions);
  if (lo && hi) counters_[loop.var] = std::min(kNarrowLimit, std::max(*lo, *hi));
}

// A tensor's size bounds a part of its factors where the others are not 0.
bool IndexReach::is_part_of_size(const Expr& product) const {
  Size part;
  if (!factors_of(product, part.symbols, part.constant)) return false;
  return std::ranges::any_of(sizes_, [&](const Size& size) {
    if (part.constant > size.constant) return false;
    std::vector<VarRef> rest = size.symbols;
    for (const VarRef& factor : part.symbols) {
      const auto found = std::ranges::find(rest, factor);
      if (found == rest.end()) return false;
      rest.erase(found);
    }
    return std::ranges::all_of(rest, [&](const VarRef& other) { return positive_.contains(other); });
  });
}

bool IndexReach::fits(const Expr& e, const Assumptions& assumptions) const {
  if (e->kind == ExprKind::read || e->kind == ExprKind::reduce) return false;
  if (e->dtype == DType::i64) return reach(e, assumptions).has_value();
  return std::ranges::all_of(e->args, [&](const Expr& arg) { return fits(arg, assumptions); });
}

std::optional<std::int64_t> IndexReach::reach(const Expr& e, const Assumptions& assumptions) const {
  if (e->dtype != DType::i64) {
    if (!fits(e, assumptions)) return std::nullopt;
    const Interval interval = range(e, assumptions);
    if (!interval.lo || !interval.hi) return std::nullopt;
    return within(std::max(std::abs(*interval.lo), std::abs(*interval.hi)));
  }
  std::optional<std::int64_t> structural;
  switch (e->kind) {
    case ExprKind::constant:
      return e->integer < -kMost || e->integer > kMost ? std::nullopt : std::optional(std::abs(e->integer));
    case ExprKind::variable: {
      const auto counter = counters_.find(e->var);
      structural = counter == counters_.end() ? kNarrowLimit : counter->second;
      break;
    }
    case ExprKind::cast:
      structural = reach(e->args[0], assumptions);
      break;
    case ExprKind::call:
      structural = within(reach_of_call(e, assumptions));
      break;
    case ExprKind::read:
    case ExprKind::reduce:
      return std::nullopt;
  }
  if (!structural) return std::nullopt;
  const Interval interval = range(e, assumptions);
  if (!interval.lo || !interval.hi || *interval.lo < -kMost) return structural;
  return std::min(*structural, std::max(std::abs(*interval.lo), std::abs(*interval.hi)));
}

std::optional<std::int64_t> IndexReach::reach_of_call(const Expr& e, const Assumptions& assumptions) const {
  const std::size_t first = e->op == Op::select ? 1 : 0;
  if (first == 1 && !fits(e->args[0], assumptions)) return std::nullopt;
  std::vector<std::int64_t> reaches;
  for (std::size_t i = first; i < e->args.size(); ++i) {
    const auto own = reach(e->args[i], assumptions);
    if (!own) return std::nullopt;
    reaches.push_back(*own);
  }
  switch (e->op) {
    case Op::add:
    case Op::sub:
      return reaches[0] + reaches[1];
    case Op::mul:
      return is_part_of_size(e) ? kNarrowLimit : reaches[0] * reaches[1];
    case Op::floor_div: {
      const auto divisor = as_integer(e->args[1]);
      return divisor && *divisor > 0 ? reaches[0] / *divisor + 1 : reaches[0];
    }
    case Op::neg:
      return reaches[0];
    case Op::mod:
      return reaches[1];
    case Op::min:
    case Op::max:
    case Op::select:
      return std::ranges::max(reaches);
    default:
      return std::nullopt;
  }
}

}  // namespace quern::compiler
