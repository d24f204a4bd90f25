// Sums of a product's rows: no block holds a whole row, so the product's kernel leaves sums of tiles of `width`
// columns, which kernels of their own join:
//
//   r_tiles[m..., t] = sum over w in width where t * width + w < n of f(m..., t * width + w)
//   r[m...]          = sum over t of r_tiles[m..., t]

#include <algorithm>

#include "base/error.h"
#include "compiler/strategies/wgmma.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The sums of tiles whose sums are the row's.
Definition tiles_of(const Definition& sum, std::int64_t width) {
  const Node& value = *sum.value;
  const Axis& column = value.reduce->axes[0];
  const Expr tiles = simplify(ceil_div(column.hi, width));
  const Axis tile{make_var("t"), 0, tiles}, within{make_var("w"), 0, width};
  const Expr place = Expr(tile.var) * width + within.var;
  const bool is_whole = is_integer(simplify(mod(column.hi, width)), 0);
  std::vector<Axis> axes = sum.axes;
  axes.push_back(tile);
  std::vector<Expr> shape = sum.tensor->shape;
  shape.push_back(tiles);
  return {make_tensor(sum.tensor->name + "_tiles", DType::f32, std::move(shape)), std::move(axes),
          reduce(Reducer::sum, {within}, {substitute(value.args[0], {{column.var, place}})},
                 is_whole ? Expr() : less(place, column.hi), value.reduce->contract)};
}

Program join(const Program& program, const Definition& sum, const Definition& tiles) {
  std::vector<Expr> index;
  std::vector<Axis> axes;
  for (const Axis& axis : sum.axes) {
    axes.push_back({make_var(axis.var->name), axis.lo, axis.hi});
    index.emplace_back(axes.back().var);
  }
  const Axis tile{make_var("t"), 0, tiles.axes.back().hi};
  index.emplace_back(tile.var);
  Program kernel;
  kernel.name = program.name;
  kernel.symbols = program.symbols;
  kernel.facts = program.facts;
  kernel.inputs = {tiles.tensor};
  kernel.outputs = {{sum.tensor, nullptr}};
  kernel.definitions = {
      {sum.tensor, std::move(axes),
       reduce(Reducer::sum, {tile}, {read(tiles.tensor, std::move(index))}, {}, sum.value->reduce->contract)}};
  return kernel;
}

}  // namespace

bool sums_whole_rows(const WgmmaProblem& problem) {
  return std::ranges::any_of(problem.contraction.row_sums, [](const auto& sum) { return sum.width == 0; });
}

std::int64_t summed_width(const WgmmaProblem& problem) {
  std::int64_t width = 0;
  for (const Contraction::RowSum& sum : problem.contraction.row_sums) width = std::max(width, sum.width);
  return width;
}

Partition sum_tiles_of_rows(const Program& program, const WgmmaProblem& problem, std::int64_t width) {
  Partition result{{program}, {}};
  for (const Contraction::RowSum& sum : problem.contraction.row_sums) {
    if (sum.width != 0) continue;
    const Definition whole = *sum.definition, tiles = tiles_of(whole, width);
    Program& product = result.kernels[0];
    for (Definition& definition : product.definitions) {
      if (definition.tensor == whole.tensor) definition = tiles;
    }
    for (Output& output : product.outputs) {
      if (output.tensor == whole.tensor) output = {tiles.tensor, nullptr};
    }
    result.kernels.push_back(join(program, whole, tiles));
    result.workspace.push_back(tiles.tensor);
  }
  return result;
}

}  // namespace quern::compiler
