#pragma once
// wgmma: the contraction on Hopper's tensor cores (hopper.md 2 to 4). A persistent kernel: one warpgroup brings the
// operands' tiles into a ring of shared stages, by bulk copies where rows begin at multiples of 16 bytes, else by its
// own loads; one to three warpgroups multiply them; the epilogue leaves through shared memory and bulk stores.
// Convolutions are the same kernel, whose first operand comes by im2col copies. What is here is shared by the analysis
// (wgmma_analysis.cpp), the schedule's rules (wgmma.cpp) and the writer (wgmma_emit.cpp).

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "compiler/strategies/contraction.h"
#include "compiler/strategies/hopper_tiles.h"

namespace quern::compiler {

// block: elements of m, n and k that a block holds at a time; consumers: warpgroups that multiply, which share a tile
// or take turns, one storing its tile while another multiplies; stages of the ring; cluster: blocks side by side along
// m or n that share the other operand's tile; raster: rows of tiles that are walked together, and in which order; a:
// where wgmma reads the first operand; pad: whether matrices are copied to aligned rows first.
extern const FieldList kWgmmaFields;

struct WgmmaSchedule {
  std::int64_t bm, bn, bk, consumers, stages, cluster_m, cluster_n, raster;
  bool pingpong, hilbert, a_in_registers;

  explicit WgmmaSchedule(const Schedule& schedule);
  std::int64_t cluster() const { return cluster_m * cluster_n; }
  std::int64_t own_rows() const { return pingpong ? bm : bm / consumers; }  // of the tile, that one consumer multiplies
  ir::Expr own_row(const ir::Expr& group, const ir::Expr& i) const {        // of the tile: row i of a consumer's
    return consumers > 1 && !pingpong ? group * own_rows() + i : i;
  }
  std::int64_t turns() const { return pingpong ? consumers : 1; }  // that consumers take to store a tile each
  std::int64_t chunk() const;                                      // columns of a tile that are stored at a time
  // Registers of a consumer's thread.
  std::int64_t accumulator_registers() const { return own_rows() / kWgmmaRows * bn / 2; }
  std::int64_t operand_registers() const { return a_in_registers ? own_rows() / kWgmmaRows * bk / 4 : 0; }
};

// An operand as the kernel reads it: every index is one axis of the contraction, or, for the pixels of a convolution,
// position * stride + tap.
struct WgmmaOperand {
  ir::Expr source;            // the read
  bool k_contiguous = false;  // its last axis is the innermost one of k
  bool im2col = false;
  std::string beyond_im2col;  // why no tensor map says where a convolution's pixels lie; empty: one does
  bool is_rows = false;       // several axes of m, dense and in their order: rows of a matrix
};

struct WgmmaProblem {
  Contraction contraction;
  WgmmaOperand a, b;
  std::vector<ir::Axis> outer_k;  // walked step by step; the innermost axis is cut into blocks
  ir::Axis inner_k;
  ir::Expr m, n, batch;
};

// Or why tensor cores do not compute it: dtypes, contract, or an access that no tensor map says.
std::variant<WgmmaProblem, std::string> analyze_wgmma(const ir::Program& program);
// Of a program that they do compute.
WgmmaProblem wgmma_problem(const ir::Program& program);

// The kernel's parameter for a tensor whose axes but the last are dense, as the matrix that it is.
ir::BufferRef as_matrix(ir::Kernel& kernel, const ir::TensorRef& param, const ir::Expr& rows, const ir::Expr& columns);

// An output that leaves by bulk stores: rows of one axis of n, below axes of m and batch.
bool is_row_major(const WgmmaProblem& problem, const ir::Definition& definition, const AxisMap& to_space);

// Whether an instruction forms products of so many columns.
constexpr bool is_wgmma_width(std::int64_t columns) { return columns >= 16 && columns <= 256 && columns % 16 == 0; }

// The columns that sums of tiles of rows are of, which are a tile's; 0: there are none.
std::int64_t summed_width(const WgmmaProblem& problem);

// Elements of a row of the operand's shared tile, which is one span of its swizzle: along k, or along its own axis, of
// which a block loads `own` elements at a time.
std::int64_t wgmma_row(const WgmmaOperand& operand, std::int64_t own, std::int64_t bk);

// Sums of rows (wgmma_sums.cpp): whether there are any of whole rows, and the kernels instead of them: the first is the
// product's, with sums of tiles of `width` columns, the others join these.
bool sums_whole_rows(const WgmmaProblem& problem);
Partition sum_tiles_of_rows(const ir::Program& program, const WgmmaProblem& problem, std::int64_t width);

// Outputs of 2-byte elements, each of which has a staging buffer.
int wgmma_staged_outputs(const ir::Program& program, const WgmmaProblem& problem);

ir::Kernel emit_wgmma(const ir::Program& program, const Schedule& schedule, const Target& target,
                      std::span<const ir::Fact> facts);

}  // namespace quern::compiler
