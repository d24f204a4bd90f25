#include "compiler/analysis.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "ir/rescaling.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

Expr extent_of(const Axis& axis) {
  return is_integer(axis.lo, 0) ? axis.hi : simplify(axis.hi - axis.lo, Assumptions());
}

// A fresh axis of the space for `axis`, from 0.
Axis space_axis(const Axis& axis) { return {make_var(axis.var->name), 0, extent_of(axis)}; }

Expr in_space(const Axis& axis, const Axis& space) {
  return is_integer(axis.lo, 0) ? Expr(space.var) : axis.lo + Expr(space.var);
}

std::vector<Axis> all_axes(const Definition& definition) {
  std::vector<Axis> axes = definition.axes;
  if (is_reduction(definition)) {
    const std::vector<Axis>& reduced = definition.value->reduce->axes;
    axes.insert(axes.end(), reduced.begin(), reduced.end());
  }
  return axes;
}

void collect_reads(const Expr& e, std::vector<Expr>& found) {
  visit(e, [&](const Expr& node) {
    if (node->kind == ExprKind::read) found.push_back(node);
    return true;
  });
}

// The tensors that depend on a reduction of the group, and the group's outputs.
std::set<const Tensor*> members_of(const Program& group) {
  std::set<const Tensor*> members;
  for (const Definition& definition : group.definitions) {
    bool member = is_reduction(definition) || is_output(group, *definition.tensor);
    for (const TensorRef& read : tensors_read(definition.value)) member = member || members.contains(read.get());
    if (member) members.insert(definition.tensor.get());
  }
  return members;
}

// Matches the axes of one definition to those of the space, through its reads of members that are placed already:
// a member is read at plain axes. False where two reads disagree or an index is not a plain axis.
class Matching {
 public:
  Matching(const Definition& definition, const std::map<const Tensor*, std::vector<VarRef>>& placed)
      : axes_(all_axes(definition)) {
    std::vector<Expr> found;
    collect_reads(definition.value, found);
    for (const Expr& read : found) {
      const auto it = placed.find(read->tensor.get());
      if (it == placed.end()) continue;
      for (std::size_t d = 0; d < read->args.size() && consistent_; ++d) match(read->args[d], it->second[d]);
    }
  }

  bool consistent() const { return consistent_; }

  // Gives the axes without a place those of `space` that are still free, in order; false where an extent differs from
  // its place's.
  bool complete(const std::vector<Axis>& space) {
    for (const Axis& axis : axes_) {
      for (const Axis& target : space) {
        const auto it = place_.find(axis.var);
        if (it != place_.end() && it->second == target.var && !same_extent(axis, target)) return false;
      }
    }
    std::vector<Axis> free;
    for (const Axis& axis : space) {
      const bool taken = std::any_of(place_.begin(), place_.end(), [&](const auto& p) { return p.second == axis.var; });
      if (!taken) free.push_back(axis);
    }
    std::size_t next = 0;
    for (const Axis& axis : axes_) {
      if (place_.contains(axis.var)) continue;
      if (next == free.size() || !same_extent(axis, free[next])) return false;
      place_[axis.var] = free[next++].var;
    }
    return true;
  }

  bool covers(const std::vector<Axis>& space) const {
    return std::all_of(space.begin(), space.end(), [&](const Axis& axis) {
      return std::any_of(place_.begin(), place_.end(), [&](const auto& p) { return p.second == axis.var; });
    });
  }

  VarRef place(const VarRef& axis) const { return place_.at(axis); }

  AxisMap to_space(const std::vector<Axis>& space) const {
    AxisMap map;
    for (const Axis& axis : axes_) {
      for (const Axis& target : space) {
        if (target.var == place_.at(axis.var)) map[axis.var] = in_space(axis, target);
      }
    }
    return map;
  }

 private:
  void match(const Expr& index, const VarRef& space) {
    const bool own = index->kind == ExprKind::variable &&
                     std::any_of(axes_.begin(), axes_.end(), [&](const Axis& a) { return a.var == index->var; });
    if (!own) {
      consistent_ = false;
      return;
    }
    const auto [it, fresh] = place_.emplace(index->var, space);
    if (!fresh && it->second != space) consistent_ = false;
    for (const auto& [axis, taken] : place_) {
      if (taken == space && axis != index->var) consistent_ = false;
    }
  }

  std::vector<Axis> axes_;
  std::map<VarRef, VarRef> place_;
  bool consistent_ = true;
};

std::vector<Axis> joined(std::vector<Axis> a, const std::vector<Axis>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Which of `axes` an expression depends on, through the definitions that it reads.
std::set<VarRef> axes_used(const Expr& e, const std::vector<Axis>& axes) {
  std::set<VarRef> used;
  for (const Axis& axis : axes) {
    if (uses(e, axis.var)) used.insert(axis.var);
  }
  return used;
}

bool includes(const std::set<VarRef>& all, const std::set<VarRef>& part) {
  return std::includes(all.begin(), all.end(), part.begin(), part.end());
}

// The two operands of a product of factors: every further factor joins one whose axes cover its own.
bool split_operands(const std::vector<Expr>& factors, const std::vector<Axis>& axes, Expr& a, Expr& b) {
  if (factors.size() < 2) return false;
  std::set<VarRef> a_axes, b_axes;
  for (const Expr& factor : factors) {
    const std::set<VarRef> own = axes_used(factor, axes);
    if (!a) {
      a = factor, a_axes = own;
    } else if (includes(a_axes, own)) {
      a = a * factor;
    } else if (!b) {
      b = factor, b_axes = own;
    } else if (includes(b_axes, own)) {
      b = b * factor;
    } else {
      return false;
    }
  }
  return static_cast<bool>(b);
}

// A sum over the last axis of the space, by the places of what it reads.
std::optional<Contraction::RowSum> match_row_sum(const Definition& sum, std::int64_t width,
                                                 const std::map<const Tensor*, std::vector<VarRef>>& placed,
                                                 const std::vector<Axis>& space, const VarRef& n) {
  const std::vector<Axis>& summed = sum.value->reduce->axes;
  Matching matching(sum, placed);
  if (sum.axes.size() + 1 != space.size() || summed.size() != 1 || !matching.consistent() ||
      !matching.complete(space) || !matching.covers(space) || matching.place(summed[0].var) != n) {
    return std::nullopt;
  }
  const AxisMap to_space = matching.to_space(space);
  return Contraction::RowSum{&sum, substitute(sum.value->args[0], to_space), to_space, width};
}

// sum over w in W where t * W + w < n of f(t * W + w), t the last axis, as the sum of whole rows that it is part of.
std::optional<Definition> joined_tiles(const Definition& part, const Axis& n) {
  const Node& value = *part.value;
  const std::vector<Axis>& summed = value.reduce->axes;
  const auto width = summed.size() == 1 ? as_integer(summed[0].hi) : std::nullopt;
  if (!width || *width < 1 || !is_integer(summed[0].lo, 0) || part.axes.empty()) return std::nullopt;
  const Axis& tile = part.axes.back();
  if (!is_integer(tile.lo, 0) || !equal(simplify(tile.hi), simplify(ceil_div(n.hi, *width)))) return std::nullopt;
  const VarRef column = make_var(n.var->name);
  const Substitution joining{{summed[0].var, Expr(column) - Expr(tile.var) * *width}};
  const auto join = [&](const Expr& e) { return simplify(substitute(e, joining)); };
  const Expr whole = join(value.args[0]);
  if (uses(whole, tile.var) || (value.where && !equal(join(value.where), simplify(less(Expr(column), n.hi))))) {
    return std::nullopt;
  }
  std::vector<Axis> axes(part.axes.begin(), part.axes.end() - 1);
  return Definition{part.tensor, std::move(axes),
                    reduce(Reducer::sum, {{column, 0, n.hi}}, {whole}, {}, value.reduce->contract)};
}

std::optional<Contraction::RowSum> row_sum_of(const Definition& definition, const Contraction& contraction,
                                              const std::map<const Tensor*, std::vector<VarRef>>& placed) {
  const Node& value = *definition.value;
  const Contract& contract = value.reduce->contract;
  if (value.reduce->reducer != Reducer::sum || value.dtype != DType::f32 || contract.order != Order::any ||
      contract.accumulator.value_or(DType::f32) != DType::f32 || contraction.n.size() != 1) {
    return std::nullopt;
  }
  const std::vector<Axis>& space = contraction.product->axes;
  const Axis& n = contraction.n[0];
  if (!value.where) {
    if (auto whole = match_row_sum(definition, 0, placed, space, n.var)) return whole;
  }
  const std::optional<Definition> joined = joined_tiles(definition, n);
  if (!joined) return std::nullopt;
  auto result = match_row_sum(*joined, *as_integer(value.reduce->axes[0].hi), placed, space, n.var);
  if (result) result->definition = &definition;
  return result;
}

// The product, which comes before all other reductions; null where there are others but sums that nothing reads.
const Definition* product_of(const Program& group, bool with_row_sums) {
  const Definition* product = nullptr;
  for (const Definition& definition : group.definitions) {
    if (!is_reduction(definition)) continue;
    if (!product) {
      product = &definition;
      continue;
    }
    const bool is_read = std::ranges::any_of(
        group.definitions, [&](const Definition& reader) { return reads(reader.value, *definition.tensor); });
    if (!with_row_sums || is_read) return nullptr;
  }
  return product;
}

}  // namespace

bool same_extent(const Axis& a, const Axis& b) {
  return equal(simplify(extent_of(a), Assumptions()), simplify(extent_of(b), Assumptions()));
}

Expr widened_half(const Program& program, const Expr& factor) {
  const Expr widened = resolve(program, factor);
  if (widened->kind != ExprKind::cast || widened->dtype != DType::f32) return {};
  const Expr& source = widened->args[0];
  const bool is_half = source->dtype == DType::bf16 || source->dtype == DType::f16;
  return source->kind == ExprKind::read && is_half ? source : Expr();
}

bool spans(const Expr& read, const Axis& axis) {
  for (std::size_t d = 0; d < read->args.size(); ++d) {
    if (is_variable(read->args[d], axis.var)) return equal(simplify(axis.hi), simplify(read->tensor->shape[d]));
  }
  return false;
}

std::vector<Expr> factors_of(const Expr& product) {
  if (!is_call(product, Op::mul)) return {product};
  std::vector<Expr> factors;
  for (const Expr& arg : product->args) {
    const std::vector<Expr> own = factors_of(arg);
    factors.insert(factors.end(), own.begin(), own.end());
  }
  return factors;
}

bool is_reduction(const Definition& definition) { return definition.value->kind == ExprKind::reduce; }

std::optional<Pointwise> analyze_pointwise(const Program& group) {
  if (std::any_of(group.definitions.begin(), group.definitions.end(), is_reduction) || group.outputs.empty()) {
    return std::nullopt;
  }
  const Definition& first = *definition_of(group, *group.outputs[0].tensor);
  for (const Output& output : group.outputs) {
    const std::vector<Axis>& axes = definition_of(group, *output.tensor)->axes;
    if (axes.size() != first.axes.size()) return std::nullopt;
    for (std::size_t d = 0; d < axes.size(); ++d) {
      if (!same_extent(axes[d], first.axes[d])) return std::nullopt;
    }
  }
  return Pointwise{first.axes};
}

std::optional<Reduction> analyze_reduction(const Program& group) {
  const auto first = std::find_if(group.definitions.begin(), group.definitions.end(), is_reduction);
  if (first == group.definitions.end()) return std::nullopt;
  Reduction result;
  for (const Axis& axis : first->axes) result.kept.push_back(space_axis(axis));
  for (const Axis& axis : first->value->reduce->axes) result.reduced.push_back(space_axis(axis));
  const std::vector<Axis> space = joined(result.kept, result.reduced);
  const std::set<const Tensor*> members = members_of(group);
  std::map<const Tensor*, std::vector<VarRef>> placed;
  for (const Definition& definition : group.definitions) {
    if (!members.contains(definition.tensor.get())) continue;
    Matching matching(definition, placed);
    if (!matching.consistent() || !matching.complete(space) || !matching.covers(result.kept)) return std::nullopt;
    const bool reduction = is_reduction(definition);
    const bool full = !reduction && definition.axes.size() == space.size();
    if (!full && definition.axes.size() != result.kept.size()) return std::nullopt;
    if (reduction && definition.value->reduce->axes.size() != result.reduced.size()) return std::nullopt;
    std::vector<VarRef>& places = placed[definition.tensor.get()];
    for (const Axis& axis : definition.axes) places.push_back(matching.place(axis.var));
    // A reduction, or a value per row, is over the kept axes and no other.
    if (!full) {
      for (const VarRef& place : places) {
        const bool kept =
            std::any_of(result.kept.begin(), result.kept.end(), [&](const Axis& axis) { return axis.var == place; });
        if (!kept) return std::nullopt;
      }
    }
    result.members.push_back({&definition, full, matching.to_space(space)});
  }
  return result;
}

std::optional<Contraction> analyze_contraction(const Program& group, bool with_row_sums) {
  Contraction result{};
  result.product = product_of(group, with_row_sums);
  if (!result.product) return std::nullopt;
  const Expr& value = result.product->value;
  if (value->reduce->reducer != Reducer::sum || value->where) return std::nullopt;
  const std::vector<Axis> axes = all_axes(*result.product);
  for (const Axis& axis : axes) {
    if (!is_integer(axis.lo, 0)) return std::nullopt;
  }
  if (!split_operands(factors_of(value->args[0]), axes, result.a, result.b)) return std::nullopt;
  const std::set<VarRef> a_axes = axes_used(result.a, axes), b_axes = axes_used(result.b, axes);
  for (const Axis& axis : result.product->axes) {
    const bool in_a = a_axes.contains(axis.var), in_b = b_axes.contains(axis.var);
    if (!in_a && !in_b) return std::nullopt;
    (in_a && in_b ? result.batch : in_a ? result.m : result.n).push_back(axis);
  }
  result.k = value->reduce->axes;
  if (result.m.empty() || result.n.empty() || result.k.empty()) return std::nullopt;
  // N is the side of the result's contiguous axis.
  const VarRef last = result.product->axes.back().var;
  if (std::any_of(result.batch.begin(), result.batch.end(), [&](const Axis& a) { return a.var == last; })) {
    return std::nullopt;
  }
  if (std::any_of(result.m.begin(), result.m.end(), [&](const Axis& a) { return a.var == last; })) {
    std::swap(result.a, result.b);
    std::swap(result.m, result.n);
  }
  const std::set<const Tensor*> members = members_of(group);
  std::map<const Tensor*, std::vector<VarRef>> placed;
  std::vector<VarRef>& own = placed[result.product->tensor.get()];
  for (const Axis& axis : result.product->axes) own.push_back(axis.var);
  for (const Definition& definition : group.definitions) {
    if (!members.contains(definition.tensor.get()) || &definition == result.product) continue;
    if (is_reduction(definition)) {
      const auto sum = row_sum_of(definition, result, placed);
      if (!sum) return std::nullopt;
      result.row_sums.push_back(*sum);
      continue;
    }
    Matching matching(definition, placed);
    if (!matching.consistent() || !matching.complete(result.product->axes) || !matching.covers(result.product->axes) ||
        definition.axes.size() != result.product->axes.size()) {
      return std::nullopt;
    }
    std::vector<VarRef>& places = placed[definition.tensor.get()];
    for (const Axis& axis : definition.axes) places.push_back(matching.place(axis.var));
    result.epilogue.push_back({&definition, matching.to_space(result.product->axes)});
  }
  return result;
}

}  // namespace quern::compiler
