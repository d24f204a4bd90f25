#pragma once
// The order in which blocks walk the tiles of a matrix, so that those at work at one time share operands in L2.

#include <cstdint>
#include <vector>

#include "ir/kernel.h"

namespace quern::compiler {

struct TileOrder {
  std::int64_t group = 1;  // rows of tiles that are walked together, column by column
  // Within squares of `group` x `group` tiles along Hilbert's curve (a power of two); what is left beside them in
  // columns.
  bool hilbert = false;
};

struct TilePlace {
  ir::Expr row, column;  // in tiles
};

// Where tile number `tile` of `rows` x `columns` lies. Adds to `body` the lets that it takes.
TilePlace place_tile(const ir::Expr& tile, const ir::Expr& rows, const ir::Expr& columns, const TileOrder& order,
                     std::vector<ir::Stmt>& body);

}  // namespace quern::compiler
