#include "compiler/divide_last.h"

#include <utility>
#include <vector>

#include "compiler/analysis.h"
#include "ir/rescaling.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// A factor of a sum along `axis` that is a probability, rounded and widened again.
struct Weight {
  Expr numerator;  // the factor without the division
  Expr divisor;
};

std::optional<Weight> weight_of(const Program& program, const Expr& factor, const VarRef& axis) {
  const Expr widened = resolve(program, factor);
  if (widened->kind != ExprKind::cast) return {};
  const Expr rounded = resolve(program, widened->args[0]);
  if (rounded->kind != ExprKind::cast || !is_float(rounded->dtype)) return {};
  const auto found = match_probability(program, rounded->args[0]);
  if (!found || found->axis != axis) return {};
  return Weight{cast(widened->dtype, cast(rounded->dtype, found->numerator)), found->divisor};
}

// The mixture and the definition that divides it, in the place of `definition`; nothing where it is no such sum.
std::optional<std::pair<Definition, Definition>> divided(const Program& program, const Definition& definition) {
  if (!is_reduction(definition)) return {};
  const Node& sum = *definition.value;
  if (sum.reduce->reducer != Reducer::sum || sum.reduce->axes.size() != 1 || !is_float(sum.dtype)) return {};
  std::vector<Expr> factors = factors_of(sum.args[0]);
  if (factors.size() != 2) return {};
  for (Expr& factor : factors) {
    const auto weight = weight_of(program, factor, sum.reduce->axes[0].var);
    if (!weight) continue;
    factor = weight->numerator;
    const Expr value =
        reduce(Reducer::sum, sum.reduce->axes, {factors[0] * factors[1]}, sum.where, sum.reduce->contract);
    Definition mix{make_tensor(definition.tensor->name + "_mix", sum.dtype, definition.tensor->shape), {}, {}};
    Substitution own;
    std::vector<Expr> place;
    for (const Axis& axis : definition.axes) {
      mix.axes.push_back({make_var(axis.var->name), axis.lo, axis.hi});
      own[axis.var] = Expr(mix.axes.back().var);
      place.emplace_back(axis.var);
    }
    mix.value = freshen(substitute(value, own));
    Expr quotient = call(Op::div, {read(mix.tensor, std::move(place)), weight->divisor});
    // A sum of nothing is 0, and so is the divisor then.
    const Axis& axis = sum.reduce->axes[0];
    const Expr is_any = less(axis.lo, axis.hi);
    const bool has_terms = prove(is_any, assumptions_of(program)) == true;
    if (!has_terms) quotient = select(is_any, quotient, constant(sum.dtype, 0.0));
    return std::pair{std::move(mix), Definition{definition.tensor, definition.axes, quotient}};
  }
  return {};
}

}  // namespace

std::optional<Program> divide_last(const Program& canonical) {
  Program result = canonical;
  result.definitions.clear();
  bool is_changed = false;
  for (const Definition& definition : canonical.definitions) {
    auto parts = divided(canonical, definition);
    is_changed = is_changed || parts;
    if (parts) result.definitions.push_back(std::move(parts->first));
    result.definitions.push_back(parts ? std::move(parts->second) : definition);
  }
  return is_changed ? std::optional(std::move(result)) : std::nullopt;
}

}  // namespace quern::compiler
