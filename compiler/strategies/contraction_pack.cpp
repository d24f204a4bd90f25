// pack=once: a second operand that depends on const inputs alone is repacked ahead, by a kernel of its own that runs
// once (pipeline/plan_of.cpp), into panels as wide as a register tile:
//
//   b_panels[batch..., q, p, j] = q * width + j < n ? b[batch..., k = p, n = q * width + j] : 0
//
// The contraction then reads b_panels[batch..., n // width, k, n % width]: an inner loop walks a panel without a gap
// (the layout of Goto and van de Geijn's packed B), and no task copies it again.

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "compiler/strategies/contraction.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The flat index of a point of the axes, the last one fastest: what unravel takes apart.
Expr ravel(const std::vector<Axis>& axes) {
  Expr flat = 0;
  for (const Axis& axis : axes) flat = flat * axis.hi + axis.var;
  return simplify(flat, Assumptions());
}

// The panels, as the one definition of their kernel.
Definition panels_of(const Contraction& c, std::int64_t width) {
  const Expr n = extent_product(c.n), k = extent_product(c.k);
  Definition panels;
  std::vector<Expr> shape;
  Substitution batch;
  for (const Axis& axis : c.batch) {
    const VarRef own = make_var(axis.var->name);
    batch[axis.var] = Expr(own);
    panels.axes.push_back({own, 0, axis.hi});
  }
  const VarRef panel = make_var("panel"), p = make_var("p"), within = make_var("j");
  panels.axes.insert(panels.axes.end(),
                     {{panel, 0, simplify(ceil_div(n, width), Assumptions())}, {p, 0, k}, {within, 0, width}});
  for (const Axis& axis : panels.axes) shape.push_back(axis.hi);
  const Expr column = Expr(panel) * width + within;
  Substitution axes = place_axes(c, {}, {}, column, Expr(p));
  axes.insert(batch.begin(), batch.end());
  const Expr value = substitute(c.b, axes);
  panels.value = select(less(column, n), value, constant(value->dtype, std::int64_t{0}));
  panels.tensor = make_tensor(tensors_read(c.b)[0]->name + "_panels", value->dtype, shape);
  return panels;
}

// The contraction on the panels instead of its second operand.
Program on_panels(const Program& program, const Contraction& c, const Definition& panels, std::int64_t width) {
  const Expr n = ravel(c.n);
  std::vector<Expr> index;
  for (const Axis& axis : c.batch) index.push_back(Expr(axis.var));
  index.insert(index.end(), {div(n, width), ravel(c.k), mod(n, width)});
  Program result = program;
  for (Definition& definition : result.definitions) {
    if (definition.tensor != c.product->tensor) continue;
    const ReduceInfo& info = *definition.value->reduce;
    definition.value = reduce(info.reducer, info.axes, {c.a * read(panels.tensor, index)}, {}, info.contract);
  }
  replace_inputs(result, {panels.tensor});
  return result;
}

}  // namespace

void replace_inputs(Program& program, const std::vector<TensorRef>& added) {
  std::erase_if(program.inputs, [&](const TensorRef& input) {
    return std::ranges::none_of(program.definitions, [&](const Definition& d) { return reads(d.value, *input); });
  });
  program.inputs.insert(program.inputs.end(), added.begin(), added.end());
}

bool can_pack_once(const Program& program, const Contraction& c) {
  const std::vector<TensorRef> sources = tensors_read(c.b);
  return !sources.empty() && std::ranges::all_of(sources, [&](const TensorRef& source) {
    return source->constant && is_input(program, *source);
  });
}

Partition pack_once(const Program& program, std::int64_t width) {
  const Contraction c = *analyze_contraction(program);
  ensure(can_pack_once(program, c), "what is packed once is const");
  const Definition panels = panels_of(c, width);
  Program pack;
  pack.name = program.name;
  // Of what it depends on alone: its results serve every size of the others.
  std::copy_if(program.symbols.begin(), program.symbols.end(), std::back_inserter(pack.symbols),
               [&](const VarRef& symbol) {
                 const auto sizes = [&](const Tensor& t) {
                   return std::ranges::any_of(t.shape, [&](const Expr& e) { return uses(e, symbol); }) ||
                          std::ranges::any_of(t.strides, [&](const Expr& e) { return uses(e, symbol); });
                 };
                 return uses(panels.value, symbol) || sizes(*panels.tensor) ||
                        std::ranges::any_of(tensors_read(c.b), [&](const TensorRef& t) { return sizes(*t); });
               });
  pack.facts = program.facts;
  pack.inputs = tensors_read(c.b);
  pack.outputs = {{panels.tensor, nullptr}};
  pack.definitions = {panels};
  return {{pack, on_panels(program, c, panels, width)}, {panels.tensor}};
}

}  // namespace quern::compiler
