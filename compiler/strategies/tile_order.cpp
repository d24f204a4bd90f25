#include "compiler/strategies/tile_order.h"

#include <string>
#include <utility>

#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

Expr let(std::string name, const Expr& value, std::vector<Stmt>& body) {
  const VarRef var = make_var(std::move(name), value->dtype);
  body.push_back(make_stmt(Let{var, value}));
  return var;
}

// Point `distance` of Hilbert's curve through a square of `side` tiles, digit by digit from the least (Hamilton and
// Rau-Chaplin's survey, "Compact Hilbert indices", 2006, section 2).
TilePlace on_curve(const Expr& distance, std::int64_t side, std::vector<Stmt>& body) {
  Expr row = 0, column = 0, rest = distance;
  for (std::int64_t s = 1; s < side; s *= 2) {
    const Expr right = let("right", mod(div(rest, 2), 2), body);
    const Expr down = let("down", mod(rest + right, 2), body);
    // The lower quadrants are as the smaller curve, the upper ones are it mirrored.
    const Expr mirrored = both(equals(down, 0), equals(right, 1)), turned = equals(down, 0);
    const Expr x = let("x", select(mirrored, Expr(s - 1) - column, column), body);
    const Expr y = let("y", select(mirrored, Expr(s - 1) - row, row), body);
    column = let("column", select(turned, y, x) + right * s, body);
    row = let("row", select(turned, x, y) + down * s, body);
    rest = div(rest, 4);
  }
  return {row, column};
}

}  // namespace

TilePlace place_tile(const Expr& tile, const Expr& rows, const Expr& columns, const TileOrder& order,
                     std::vector<Stmt>& body) {
  const auto count = as_integer(rows);
  const bool is_few = count && !order.hilbert && *count < order.group;
  const std::int64_t group = is_few ? *count : order.group;
  if (group <= 1) return {div(tile, columns), mod(tile, columns)};
  // No more than there are tiles, whose number fits 32 bits.
  const Expr per_group = simplify(columns * min(rows, group));
  const Expr first = let("group_m", div(tile, per_group) * group, body);
  const Expr within = let("within", mod(tile, per_group), body);
  const bool is_whole = count && *count % group == 0;
  // At least one, as is plain to the rows of the grid alone: what divides by it, and by its rows, rounds no negatives.
  const Expr height = let("group_rows", is_whole ? Expr(group) : max(min(rows - first, group), 1), body);
  const Expr by = is_whole ? Expr(group) : height;
  const TilePlace plain{mod(within, by), div(within, by)};
  if (!order.hilbert) return {first + plain.row, plain.column};
  const std::int64_t square = group * group;
  const TilePlace curved = on_curve(let("place", mod(within, square), body), group, body);
  const Expr number = div(within, square);
  const Expr is_curved = let("is_curved", both(equals(height, group), less_equal((number + 1) * group, columns)), body);
  return {first + select(is_curved, curved.row, plain.row),
          select(is_curved, number * group + curved.column, plain.column)};
}

}  // namespace quern::compiler
