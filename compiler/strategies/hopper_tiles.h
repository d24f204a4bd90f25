#pragma once
// What the strategies on Hopper's tensor cores share: how tiles lie in shared memory and in a warpgroup's registers,
// and how a producer brings them there. Thread-safe: pure functions.

#include <cstdint>
#include <functional>
#include <string>

#include "compiler/strategies/emitter.h"
#include "ir/kernel.h"
#include "ir/simplify.h"

namespace quern::compiler {

inline constexpr int kGroupWarps = 4;  // of a warpgroup
inline constexpr std::int64_t kGroupThreads = 128;
inline constexpr std::int64_t kWgmmaRows = 64;    // of one instruction
inline constexpr std::int64_t kSwizzled = 1024;   // alignment of a swizzled tile
inline constexpr std::int64_t kBulkBytes = 16;    // of which a tensor map's rows and their begins are multiples
inline constexpr std::size_t kMapRank = 5;        // most dimensions of a tensor map
inline constexpr std::int64_t kHalfBytes = 2;     // of an operand's element
inline constexpr std::int64_t kSwizzleSpan = 64;  // elements of 2 bytes: 128 bytes

// The most elements up to 128 bytes that divide `extent`, a multiple of 16: a row of a tile, one span of its swizzle.
std::int64_t swizzle_row(std::int64_t extent);
ir::Swizzle swizzle_of(std::int64_t row);

// [stages, own, k]: tiles of an operand that memory walks along k or along its own axis, in rows of `row` elements.
ir::Layout operand_tiles(std::int64_t stages, std::int64_t own, std::int64_t k, bool k_contiguous, std::int64_t row);

// [rows, columns] of f32 over a warpgroup, as wgmma's accumulators lie; [rows] is what belongs to a row of them.
ir::Layout accumulators(std::int64_t rows, std::int64_t columns);
ir::Layout accumulator_rows(std::int64_t rows);

// Why no tensor map says where a parameter lies in all calls that the facts let through; empty: one does.
std::string why_not_in_bulk(const ir::Buffer& buffer, const ir::Assumptions& known);

// A tile [own, k] as a warpgroup loads it by itself, step by step: `step` maps extents[0] x extents[1] elements from
// the place given, over the threads by the distribution.
struct LoadStep {
  ir::Expr own, k;  // where it begins; absent: at 0
  std::int64_t extents[2];
  ir::Layout distribution;

  ir::Expr own_at(const ir::VarRef& i) const { return own ? own + i : ir::Expr(i); }
  ir::Expr k_at(const ir::VarRef& p) const { return k ? k + p : ir::Expr(p); }
};
ir::Stmt load_in_steps(std::int64_t own, std::int64_t k, bool k_contiguous,
                       const std::function<ir::Stmt(const LoadStep& step)>& load);

// What comes by one map: element [i, p] of the step at hand.
struct TileLoad {
  ir::VarRef i, p;
  ir::Expr source;                  // a read of an input, of the definitions' axes
  ir::Substitution axes;            // these at the element
  ir::BufferRef shared;             // where it goes,
  std::vector<ir::Expr> place;      // and to which element
  ir::Expr full;                    // the mbarrier that counts a bulk copy's bytes; absent: ordinary loads,
  ir::Expr matrix;                  // what a bulk copy reads where the source's axes are not the tile's
  ir::Expr inside;                  // of zeros where this does not hold
  ir::Via via = ir::Via::tma_load;  // of a bulk copy
  std::uint16_t multicast = 0;
};
ir::Stmt load_tile(const Emitter& emitter, const LoadStep& step, const TileLoad& load);

// An mbarrier for each of `stages`.
ir::BufferRef barriers(std::string name, std::int64_t stages);

// Short forms of statements.
ir::Stmt let(const ir::VarRef& var, const ir::Expr& value);
ir::Stmt intrinsic(ir::IntrinsicId id, std::vector<ir::Expr> args = {});
// One thread of the first warps of the scope at hand.
ir::Stmt elected(const char* name, int warps, std::vector<ir::Stmt> body);

}  // namespace quern::compiler
