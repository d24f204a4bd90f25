#include "compiler/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "compiler/analysis.h"
#include "compiler/schedule.h"
#include "ir/printer.h"
#include "ir/rescaling.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

const Expr* only_sum(const Definition& definition) {
  const Expr& value = definition.value;
  const bool is_sum = is_reduction(definition) && value->reduce->reducer == Reducer::sum && !value->where &&
                      value->reduce->axes.size() == 1 && value->reduce->contract.order == Order::any &&
                      value->dtype == DType::f32 &&
                      value->reduce->contract.accumulator.value_or(DType::f32) == DType::f32;
  return is_sum ? &value->args[0] : nullptr;
}

// The numerator that a factor rounds to a 2-byte float and widens again.
struct Rounded {
  Numerator numerator;
  DType dtype;
};

std::optional<Rounded> rounded_numerator(const Program& program, const Expr& factor) {
  const Expr widened = resolve(program, factor);
  if (widened->kind != ExprKind::cast || widened->dtype != DType::f32) return {};
  const Expr narrow = resolve(program, widened->args[0]);
  if (narrow->kind != ExprKind::cast || byte_size(narrow->dtype) != 2 || !is_float(narrow->dtype)) return {};
  const auto numerator = match_numerator(program, narrow->args[0]);
  return numerator ? std::optional<Rounded>({*numerator, narrow->dtype}) : std::nullopt;
}

// A product of numerators and values.
struct Mixture {
  Rounded rounded;
  Expr values;
};

// Whether the factor holds a numerator of a softmax along the axis.
bool holds_numerator(const Program& program, const Expr& factor, const VarRef& axis) {
  bool found = false;
  visit(inline_definitions(program, factor), [&](const Expr& e) {
    const auto numerator = is_call(e, Op::exp) ? match_numerator(program, e) : std::nullopt;
    found = found || (numerator && numerator->axis == axis);
    return !found;
  });
  return found;
}

// Whether a softmax weighs the sum's terms.
bool is_weighted(const Program& program, const Definition& product) {
  const bool has_maximum = std::ranges::any_of(program.definitions, [](const Definition& definition) {
    return is_reduction(definition) && definition.value->reduce->reducer == Reducer::max;
  });
  if (!has_maximum || !is_reduction(product) || product.value->reduce->reducer != Reducer::sum) return false;
  const std::vector<Expr> factors = factors_of(product.value->args[0]);
  return factors.size() > 1 && std::ranges::any_of(factors, [&](const Expr& factor) {
           return holds_numerator(program, factor, product.value->reduce->axes[0].var);
         });
}

// A reason is empty where no softmax weighs the product's terms.
std::variant<Mixture, std::string> mixture_of(const Program& program, const Definition& product) {
  const Expr* term = only_sum(product);
  const std::vector<Expr> factors = term ? factors_of(*term) : std::vector<Expr>{};
  bool has_weights = false;
  for (std::size_t first = 0; factors.size() == 2 && first < 2; ++first) {
    const auto rounded = rounded_numerator(program, factors[first]);
    if (!rounded || !rounded->numerator.max || rounded->numerator.axis != product.value->reduce->axes[0].var) continue;
    has_weights = true;
    if (const Expr values = widened_half(program, factors[1 - first])) return Mixture{*rounded, values};
  }
  if (!is_weighted(program, product)) return "";
  if (!term) return "it is no sum over one axis, in any order, in f32";
  if (factors.size() != 2) return fmt::format("it sums products of {} factors, not of two", factors.size());
  if (has_weights) return "its values are not of bf16 or f16, widened to f32";
  return "its weights are not exp(a - max(a)), or that divided by its sum, rounded to bf16 or f16 and widened to f32";
}

// The one reduction that the logit reads, never outside it, and that read.
std::pair<const Definition*, Expr> scores_in(const Program& program, const Expr& logit) {
  std::pair<const Definition*, Expr> found{};
  bool is_one = true;
  visit(logit, [&](const Expr& e) {
    const Definition* definition = e->kind == ExprKind::read ? definition_of(program, *e->tensor) : nullptr;
    if (definition) {
      is_one = is_one && !e->fill && (!found.first || equal(found.second, e));
      found = {definition, e};
    }
    return true;
  });
  return is_one ? found : std::pair<const Definition*, Expr>{};
}

// Every index of the read, which never leaves its tensor, is a variable of its own of `own`, or depends on the batch
// alone.
bool is_tile(const Expr& read, const std::vector<VarRef>& own, const std::vector<Axis>& batch) {
  if (read->fill) return false;
  std::vector<bool> seen(own.size());
  for (const Expr& index : read->args) {
    const auto at = std::ranges::find_if(own, [&](const VarRef& var) { return is_variable(index, var); });
    if (at != own.end()) {
      if (seen[static_cast<std::size_t>(at - own.begin())]) return false;
      seen[static_cast<std::size_t>(at - own.begin())] = true;
      continue;
    }
    for (const VarRef& var : free_variables(index)) {
      if (std::ranges::none_of(batch, [&](const Axis& axis) { return axis.var == var; })) return false;
    }
    if (!tensors_read(index).empty()) return false;
  }
  return std::ranges::all_of(seen, [](bool s) { return s; }) && is_variable(read->args.back(), own.back());
}

// The axes of `definition` in the place of which a read of it has these of the reader's, each as long as its own;
// nothing where an index is something else.
std::optional<Substitution> axes_of(const Definition& definition, const Expr& read, const std::vector<Axis>& reader) {
  Substitution map;
  for (std::size_t d = 0; d < read->args.size(); ++d) {
    const auto axis =
        std::ranges::find_if(reader, [&](const Axis& own) { return is_variable(read->args[d], own.var); });
    if (read->fill || axis == reader.end() || !same_extent(*axis, definition.axes[d])) return {};
    map[definition.axes[d].var] = read->args[d];
  }
  return map;
}

bool has_range(const Axis& axis, const Expr& lo, const Expr& hi) { return equal(axis.lo, lo) && equal(axis.hi, hi); }

// Fills in axes and operands, or says why they are not attention's.
Verdict find_operands(const Program& program, const Mixture& mixture, Attention& a) {
  a.key = a.product->value->reduce->axes[0];
  a.logit = mixture.rounded.numerator.logit;
  a.numerator = mixture.rounded.dtype;
  a.v = mixture.values;
  const auto [scores, read] = scores_in(program, a.logit);
  const Expr* term = scores ? only_sum(*scores) : nullptr;
  if (!term || factors_of(*term).size() != 2)
    return {"its logits read no one product of queries and keys, summed in f32"};
  a.scores = scores;
  std::vector<Axis> axes = a.product->axes;
  axes.push_back(a.key);
  const auto to_space = axes_of(*scores, read, axes);
  if (!to_space) return {fmt::format("its logits read {}, not each element of it once", to_string(read))};
  a.depth = scores->value->reduce->axes[0];
  for (const Axis& axis : a.product->axes) {
    const bool in_scores = uses(read, axis.var), in_values = uses(a.v, axis.var);
    if (!in_scores && !in_values) return {fmt::format("{} stands in neither scores nor values", axis.var->name)};
    if (in_scores && in_values) a.batch.push_back(axis);
    if (in_scores && !in_values) {
      // Of several the last is the rows': the others, such as heads that share keys, are a batch to these.
      if (a.row.var) a.batch.push_back(a.row);
      a.row = axis;
    }
    if (!in_scores && in_values) a.column = axis;
  }
  if (a.product->axes.size() != a.batch.size() + 2 || !a.row.var || !a.column.var || !uses(read, a.key.var)) {
    return {"scores and values have not an axis each of their own"};
  }
  if (uses(a.logit, a.column.var)) return {fmt::format("its logits depend on {}", a.column.var->name)};
  for (const Expr& factor : factors_of(*term)) {
    const Expr widened = widened_half(program, factor);
    if (!widened) return {fmt::format("{} is no element of bf16 or f16 widened to f32", to_string(factor))};
    const Expr operand = substitute(widened, *to_space);
    (uses(operand, a.row.var) ? a.q : a.k) = operand;
  }
  if (!a.q || !a.k) return {"its scores are no product of queries and keys"};
  for (const auto& [operand, own, last] :
       {std::tuple{a.q, a.row, a.depth}, {a.k, a.key, a.depth}, {a.v, a.key, a.column}}) {
    if (is_tile(operand, {own.var, last.var}, a.batch)) continue;
    return {fmt::format("no bulk copy brings tiles of {}", to_string(operand))};
  }
  const Numerator& numerator = mixture.rounded.numerator;
  if (!has_range(a.key, numerator.lo, numerator.hi)) return {"its maximum is of other keys"};
  // What lies behind the values may be a NaN, which no weight of 0 hides.
  if (!spans(a.v, a.key))
    return {fmt::format("the sum over {} does not end where {} does", a.key.var->name, a.v->tensor->name)};
  return {};
}

// The sum of the same numerators, where there is one.
void find_total(const Program& program, const Numerator& numerator, Attention& a) {
  const Expr scores = scores_in(program, numerator.logit).second;
  for (const Definition& definition : program.definitions) {
    const Expr* term = only_sum(definition);
    const auto own = term && &definition != a.product ? match_numerator(program, *term) : std::nullopt;
    if (!own || own->max != numerator.max || own->axis != definition.value->reduce->axes[0].var) continue;
    const Expr read = scores_in(program, own->logit).second;
    if (!read) continue;
    Substitution to_space;
    for (std::size_t d = 0; d < read->args.size(); ++d) {
      if (read->args[d]->kind == ExprKind::variable) to_space[read->args[d]->var] = scores->args[d];
    }
    const Axis& axis = definition.value->reduce->axes[0];
    if (!has_range(axis, numerator.lo, numerator.hi) || !has_range(axis, own->lo, own->hi)) continue;
    if (!std::ranges::all_of(definition.axes, [&](const Axis& own_axis) { return to_space.contains(own_axis.var); }))
      continue;
    if (!equal(substitute(own->logit, to_space), numerator.logit)) continue;
    a.total = &definition;
    a.total_to_space = std::move(to_space);
    return;
  }
}

// Where an output stands that reads the product, and the total with it, at its own axes.
std::optional<Attention::Member> member_of(const Program& program, const Attention& a, const Definition& output) {
  if (&output == a.product) return Attention::Member{&output, {}};
  if (is_reduction(output)) return {};
  const Expr value = inline_definitions(program, output.value);
  std::vector<Expr> products, totals;
  bool is_plain = true;
  visit(value, [&](const Expr& e) {
    const Definition* source = e->kind == ExprKind::read ? definition_of(program, *e->tensor) : nullptr;
    if (source == a.product && source) products.push_back(e);
    if (source == a.total && source) totals.push_back(e);
    is_plain = is_plain && (!source || source == a.product || source == a.total);
    return true;
  });
  if (!is_plain || products.empty() || output.axes.size() != a.product->axes.size()) return {};
  const auto place = axes_of(*a.product, products[0], output.axes);
  if (!place) return {};
  for (const Expr& e : products) is_plain = is_plain && equal(e, products[0]);
  for (const Expr& e : totals) {
    is_plain = is_plain && !e->fill;
    for (std::size_t d = 0; d < e->args.size(); ++d) {
      const Expr expected = substitute(a.total_to_space.at(a.total->axes[d].var), *place);
      is_plain = is_plain && equal(e->args[d], expected);
    }
  }
  Attention::Member member{&output, {}};
  for (const auto& [axis, at] : *place) member.to_space[at->var] = Expr(axis);
  for (const Axis& axis : output.axes) is_plain = is_plain && member.to_space.contains(axis.var);
  return is_plain ? std::optional(member) : std::nullopt;
}

// The reductions that one kernel computes on the way.
std::variant<Attention, std::string> attention_of(const Program& program, const Definition& product) {
  const auto found = mixture_of(program, product);
  const auto* mixture = std::get_if<Mixture>(&found);
  if (!mixture) return std::get<std::string>(found);
  Attention a{};
  a.product = &product;
  a.largest = mixture->rounded.numerator.max;
  if (Verdict operands = find_operands(program, *mixture, a); !operands) return std::move(operands.reason);
  find_total(program, mixture->rounded.numerator, a);
  return a;
}

}  // namespace

AttentionCore attention_core(const Program& canonical, const Definition& product) {
  auto found = attention_of(canonical, product);
  const auto* a = std::get_if<Attention>(&found);
  if (!a) return {{}, std::get<std::string>(std::move(found))};
  if (!a->total) return {{a->scores, a->largest, a->product}, {}};
  return {{a->scores, a->largest, a->total, a->product}, {}};
}

std::variant<Attention, std::string> analyze_attention(const Program& group) {
  std::optional<Attention> a;
  std::size_t reductions = 0;
  for (const Definition& definition : group.definitions) {
    if (!is_reduction(definition)) continue;
    ++reductions;
    auto found = attention_of(group, definition);
    if (auto* attention = std::get_if<Attention>(&found)) a = std::move(*attention);
  }
  if (!a) return "it is no sum that a softmax weighs";
  if (reductions != (a->total ? 4 : 3)) return "there are other reductions beside";
  for (const Expr* operand : {&a->q, &a->k, &a->v}) {
    const Tensor& tensor = *(*operand)->tensor;
    if (!is_input(group, tensor)) return fmt::format("{} is computed in the same kernel", tensor.name);
    if (tensor.dtype != a->numerator) {
      return fmt::format("{} is of {}, its weights are rounded to {}", tensor.name, name(tensor.dtype),
                         name(a->numerator));
    }
  }
  std::vector<Axis> axes = a->product->axes;
  axes.insert(axes.end(), {a->key, a->depth});
  for (const Axis& axis : axes) {
    if (!is_integer(axis.lo, 0)) return fmt::format("{} does not begin at 0", axis.var->name);
  }
  for (const Output& output : group.outputs) {
    const auto member = member_of(group, *a, *definition_of(group, *output.tensor));
    if (!member)
      return fmt::format("{} is not computed from the weighted sum and its total alone", output.tensor->name);
    a->outputs.push_back(*member);
  }
  return std::move(*a);
}

}  // namespace quern::compiler
