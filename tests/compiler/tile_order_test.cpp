// Every tile is walked once, and neighbours in time are neighbours in place.

#include "compiler/strategies/tile_order.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <set>

#include "ir/evaluate.h"
#include "ir/rewrite.h"

namespace quern::compiler {
namespace {

struct Case {
  std::int64_t rows, columns;
  TileOrder order;
};
void PrintTo(const Case& c, std::ostream* stream) {
  *stream << c.rows << "x" << c.columns << " by " << c.order.group << (c.order.hilbert ? " along the curve" : "");
}

std::vector<std::pair<std::int64_t, std::int64_t>> walk(const Case& c) {
  const ir::VarRef tile = ir::make_var("tile");
  std::vector<ir::Stmt> lets;
  const TilePlace place = place_tile(tile, c.rows, c.columns, c.order, lets);
  std::vector<std::pair<std::int64_t, std::int64_t>> places;
  for (std::int64_t t = 0; t < c.rows * c.columns; ++t) {
    std::vector<std::pair<ir::VarRef, ir::Scalar>> values{{tile, {.integer = t}}};
    for (const ir::Stmt& stmt : lets) {
      const auto* let = ir::get_if<ir::Let>(stmt);
      values.emplace_back(let->var, ir::evaluate_scalar(let->value, values));
    }
    places.emplace_back(ir::evaluate_scalar(place.row, values).integer,
                        ir::evaluate_scalar(place.column, values).integer);
  }
  return places;
}

class TileOrders : public testing::TestWithParam<Case> {};

TEST_P(TileOrders, WalkEveryTileOnce) {
  const Case& c = GetParam();
  const auto places = walk(c);
  EXPECT_EQ(std::set(places.begin(), places.end()).size(), static_cast<std::size_t>(c.rows * c.columns));
  for (const auto& [row, column] : places) {
    EXPECT_TRUE(0 <= row && row < c.rows && 0 <= column && column < c.columns) << row << ", " << column;
  }
}

INSTANTIATE_TEST_SUITE_P(Compiler, TileOrders,
                         testing::Values(Case{5, 7, {1}}, Case{5, 7, {8}}, Case{16, 7, {8}}, Case{19, 21, {4}},
                                         Case{8, 8, {8, true}}, Case{19, 21, {4, true}}, Case{3, 40, {16, true}},
                                         Case{33, 18, {16, true}}, Case{1, 1, {8, true}}));

TEST(TileOrders, TheCurveGoesFromNeighbourToNeighbour) {
  const auto places = walk({16, 16, {16, true}});
  for (std::size_t t = 1; t < places.size(); ++t) {
    const auto [row, column] = places[t];
    EXPECT_EQ(std::abs(row - places[t - 1].first) + std::abs(column - places[t - 1].second), 1) << t;
  }
}

// Rows told at run time may be fewer than those that are walked together. Kernels compute in 32 bits.
TEST(TileOrders, NoValueIsOfMoreTilesThanThereAre) {
  const std::int64_t last = (std::int64_t{1} << 24) - 1;
  const ir::VarRef tile = ir::make_var("tile"), rows = ir::make_var("rows"), columns = ir::make_var("columns");
  std::vector<ir::Stmt> lets;
  const TilePlace place = place_tile(tile, rows, columns, {.group = 65536}, lets);
  std::vector<std::pair<ir::VarRef, ir::Scalar>> values{
      {tile, {.integer = last}}, {rows, {.integer = 1}}, {columns, {.integer = last + 1}}};
  for (const ir::Stmt& stmt : lets) {
    const auto* let = ir::get_if<ir::Let>(stmt);
    ir::visit(let->value, [&](const ir::Expr& part) {
      EXPECT_LE(ir::evaluate_scalar(part, values).integer, std::numeric_limits<std::int32_t>::max()) << let->var->name;
      return true;
    });
    values.emplace_back(let->var, ir::evaluate_scalar(let->value, values));
  }
  EXPECT_EQ(ir::evaluate_scalar(place.row, values).integer, 0);
  EXPECT_EQ(ir::evaluate_scalar(place.column, values).integer, last);
}

}  // namespace
}  // namespace quern::compiler
