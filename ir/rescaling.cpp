#include "ir/rescaling.h"

#include <algorithm>

#include "ir/rewrite.h"

namespace quern::ir {
namespace {

// The value of the elementwise definition that `e` reads, at the indices of the read; absent where it reads none.
Expr value_read(const Program& program, const Expr& e) {
  if (e->kind != ExprKind::read || e->fill) return {};
  const Definition* definition = definition_of(program, *e->tensor);
  if (!definition || definition->value->kind == ExprKind::reduce) return {};
  Substitution axes;
  for (std::size_t d = 0; d < e->args.size(); ++d) axes[definition->axes[d].var] = e->args[d];
  return substitute(definition->value, axes);
}

// A reduction over one axis, read from its definition or standing where it is used, and what it is of.
struct Folded {
  const Definition* definition;
  Axis axis;
  Expr element;
};

std::optional<Folded> folded(const Program& program, const Expr& e, Reducer reducer) {
  const Expr source = resolve(program, e);
  const Definition* definition = nullptr;
  Substitution axes;
  if (source->kind == ExprKind::read && !source->fill) {
    definition = definition_of(program, *source->tensor);
    if (!definition) return {};
    for (std::size_t d = 0; d < source->args.size(); ++d) axes[definition->axes[d].var] = source->args[d];
  }
  const Expr& value = definition ? definition->value : source;
  if (value->kind != ExprKind::reduce || value->reduce->reducer != reducer || value->reduce->axes.size() != 1 ||
      value->where) {
    return {};
  }
  const Axis& axis = value->reduce->axes[0];
  return Folded{
      definition, {axis.var, substitute(axis.lo, axes), substitute(axis.hi, axes)}, substitute(value->args[0], axes)};
}

bool is_float_cast(const Expr& e) {
  return e->kind == ExprKind::cast && is_float(e->dtype) && is_float(e->args[0]->dtype);
}

bool narrows(const Expr& cast) { return byte_size(cast->dtype) < byte_size(cast->args[0]->dtype); }

}  // namespace

Expr resolve(const Program& program, const Expr& e) {
  Expr found = e;
  while (Expr value = value_read(program, found)) found = value;
  return found;
}

Expr inline_definitions(const Program& program, const Expr& e) {
  return transform(e, [&](const Expr& node) {
    const Expr value = value_read(program, node);
    return value ? inline_definitions(program, value) : node;
  });
}

std::optional<Numerator> match_numerator(const Program& program, const Expr& e) {
  const Expr exponential = resolve(program, e);
  if (!is_call(exponential, Op::exp)) return {};
  const Expr difference = resolve(program, exponential->args[0]);
  if (!is_call(difference, Op::sub)) return {};
  const std::optional<Folded> maximum = folded(program, difference->args[1], Reducer::max);
  if (!maximum) return {};
  const Expr logit = inline_definitions(program, difference->args[0]);
  const Expr element = inline_definitions(program, maximum->element);
  for (const VarRef& axis : free_variables(logit)) {
    if (uses(difference->args[1], axis)) continue;
    if (equal(substitute(element, {{maximum->axis.var, Expr(axis)}}), logit)) {
      return Numerator{logit, axis, maximum->axis.lo, maximum->axis.hi, maximum->definition};
    }
  }
  return {};
}

std::optional<Probability> match_probability(const Program& program, const Expr& e) {
  const Expr quotient = resolve(program, e);
  if (!is_call(quotient, Op::div)) return {};
  const Expr &numerator = quotient->args[0], &divisor = quotient->args[1];
  const auto matched = match_numerator(program, numerator);
  if (!matched || uses(divisor, matched->axis)) return {};
  const std::optional<Folded> total = folded(program, divisor, Reducer::sum);
  if (!total || !equal(total->axis.lo, matched->lo) || !equal(total->axis.hi, matched->hi)) return {};
  const Expr term = substitute(total->element, {{total->axis.var, Expr(matched->axis)}});
  if (!equal(inline_definitions(program, term), inline_definitions(program, numerator))) return {};
  return Probability{matched->axis, numerator, divisor};
}

std::optional<RoundedWeight> match_rounded_weight(const Program& program, const Node& sum, const Expr& factor) {
  const ReduceInfo& info = *sum.reduce;
  if (info.reducer != Reducer::sum || info.axes.size() != 1 || info.contract.order != Order::any) return {};
  const Expr widened = resolve(program, factor);
  if (!is_float_cast(widened) || narrows(widened) || byte_size(widened->dtype) < byte_size(DType::f32)) return {};
  const Expr rounded = resolve(program, widened->args[0]);
  if (!is_float_cast(rounded) || !narrows(rounded)) return {};
  const Expr& weight = rounded->args[0];
  const auto probability = match_probability(program, weight);
  const auto numerator = match_numerator(program, probability ? probability->numerator : weight);
  const Axis& axis = info.axes[0];
  if (!numerator || numerator->axis != axis.var) return {};
  if (!equal(numerator->lo, axis.lo) || !equal(numerator->hi, axis.hi)) return {};
  return RoundedWeight{weight, rounded->dtype};
}

}  // namespace quern::ir
