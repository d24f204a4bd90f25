#pragma once
// What stands behind the products of the wgmma strategy: a consumer's sums become the outputs of its rows of a tile.
// Outputs of 2-byte elements leave through shared memory, chunk by chunk of the tile's columns, each warp sending its
// own rows by bulk stores; others straight from registers; sums of rows at the tile's end.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compiler/strategies/emitter.h"
#include "compiler/strategies/wgmma.h"
#include "ir/simplify.h"

namespace quern::compiler {

// Where a tile begins, and its number among those that its consumer stores.
struct WgmmaTile {
  ir::Expr batch, row, column, turn;
};

class WgmmaEpilogue {
 public:
  // Adds its buffers to the kernel; `group` is the number of the consumer. Refers to all that it is given.
  WgmmaEpilogue(const ir::Program& program, const WgmmaProblem& problem, const WgmmaSchedule& schedule,
                ir::Kernel& kernel, const ir::Assumptions& known, Emitter& emitter, const ir::VarRef& group);

  // Behind a tile's products, whose sums are in `acc`.
  std::vector<ir::Stmt> store(const ir::BufferRef& acc, const WgmmaTile& tile);
  // Behind all tiles.
  std::vector<ir::Stmt> end() const;

  // What it does otherwise than by bulk stores, and why; mostly empty.
  const std::string& note() const { return note_; }

 private:
  // An output that leaves through shared memory.
  struct Sent {
    const Contraction::Member* member;
    ir::BufferRef staging;  // [2 of each tile at hand, BM, columns]
    ir::BufferRef rows;     // the output as a matrix
    ir::BufferRef values;   // a chunk in registers
  };
  // Sums of rows, of the tile at hand.
  struct Summed {
    const Contraction::RowSum* sum;
    ir::BufferRef total;
  };

  // How far the elements of a chunk lie that are computed.
  enum class Reach : std::uint8_t { within, beyond };

  void find_outputs();
  ir::BufferRef as_rows(const ir::Tensor& tensor);

  ir::Layout held(std::int64_t columns) const { return accumulators(schedule_.own_rows(), columns); }
  ir::Expr inside(const ir::Expr& row, const ir::Expr& column) const;
  ir::Substitution axes_at(const WgmmaTile& tile, const ir::Expr& row, const ir::Expr& column) const;
  std::vector<ir::Expr> row_index(const Sent& sent, const WgmmaTile& tile, const ir::Expr& row,
                                  const ir::Expr& column) const;
  template <typename F>
  ir::Stmt for_rows(const ir::BufferRef& rows, const F& value) const;

  std::vector<ir::Stmt> store_directly(const WgmmaTile& tile, const ir::Expr& first);
  std::vector<ir::Stmt> chunk(const WgmmaTile& tile, const ir::Expr& number);
  ir::Stmt compute(const WgmmaTile& tile, const ir::Expr& first);
  ir::Stmt compute(const WgmmaTile& tile, const ir::Expr& first, Reach reach);
  std::vector<ir::Stmt> send(const WgmmaTile& tile, const ir::VarRef& buffer, const ir::Expr& first) const;
  ir::Stmt to_staging(const Sent& sent, const ir::VarRef& buffer) const;
  ir::Stmt to_memory(const Sent& sent, const WgmmaTile& tile, const ir::VarRef& buffer, const ir::Expr& from,
                     const ir::Expr& first) const;
  std::vector<ir::Stmt> add_up(const Summed& summed, const WgmmaTile& tile, const ir::Expr& first);
  ir::Stmt store_sums(const Summed& summed, const WgmmaTile& tile) const;

  const ir::Program& program_;
  const WgmmaProblem& problem_;
  const WgmmaSchedule& schedule_;
  ir::Kernel& kernel_;
  const ir::Assumptions& known_;
  Emitter& emitter_;
  ir::VarRef group_;
  std::int64_t width_;  // of a chunk
  std::string note_;
  ir::BufferRef acc_;
  std::vector<Sent> staged_;
  std::vector<Summed> sums_;
};

}  // namespace quern::compiler
