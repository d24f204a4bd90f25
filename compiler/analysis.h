#pragma once
// What a group of definitions is: which of its axes are kept, reduced, batch, M, N or K. Structure is recovered here,
// from the definitions alone; there are no operator nodes. Thread-safe: pure functions of their arguments.
//
// All take a canonical program (lift_reductions.h) of the definitions of one kernel: elementwise ones that feed or
// consume its reductions, in order. The axes of all definitions are matched to the axes of one common space.

#include <optional>
#include <vector>

#include "ir/rewrite.h"
#include "ir/tensor.h"

namespace quern::compiler {

bool is_reduction(const ir::Definition& definition);  // its whole value is a reduction

// The factors of a product of any number of them.
std::vector<ir::Expr> factors_of(const ir::Expr& product);

// The element of a tensor of bf16 or f16 that a factor widens to f32, itself or by reading an elementwise definition;
// absent where it is something else.
ir::Expr widened_half(const ir::Program& program, const ir::Expr& factor);

bool same_extent(const ir::Axis& a, const ir::Axis& b);

// Whether the axis ends where the dimension of the tensor does that it walks by one: copies of what lies beyond leave
// the tensor and bring zeros.
bool spans(const ir::Expr& read, const ir::Axis& axis);

// An elementwise kernel: every definition is elementwise, and all outputs run over one space.
struct Pointwise {
  std::vector<ir::Axis> axes;  // of the first output, from 0
};
std::optional<Pointwise> analyze_pointwise(const ir::Program& group);

// Where the axes of a definition lie in a kernel's common space.
using AxisMap = ir::Substitution;

// Reductions of one space kept x reduced, with the elementwise definitions between and after them. A definition is
// over the kept axes, or over all of them.
struct Reduction {
  std::vector<ir::Axis> kept, reduced;  // of the first reduction, from 0
  struct Member {
    const ir::Definition* definition;
    bool full;         // over kept and reduced axes
    AxisMap to_space;  // its axes (and its reduction's) in the space
  };
  std::vector<Member> members;  // in order: what depends on a reduction, and the reductions
};
std::optional<Reduction> analyze_reduction(const ir::Program& group);

// One sum of products of two operands, with elementwise definitions before (in the operands) and after (on the result).
// out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n].
struct Contraction {
  const ir::Definition* product;  // the reduction
  std::vector<ir::Axis> batch, m, n, k;
  ir::Expr a, b;  // the factors, as expressions of the axes
  struct Member {
    const ir::Definition* definition;
    AxisMap to_space;  // its axes as axes of the product
  };
  std::vector<Member> epilogue;  // in order
  // A sum over n, in f32, of what product and epilogue leave.
  struct RowSum {
    const ir::Definition* definition;
    ir::Expr value;    // what is summed, of the product's axes
    AxisMap to_space;  // its axes as axes of the product, but for the tiles'
    // Of the tiles of n, numbered by its last axis, that are summed each by itself; 0: it is of whole rows.
    std::int64_t width;
  };
  std::vector<RowSum> row_sums;
};
// With sums of rows only where the caller takes them.
std::optional<Contraction> analyze_contraction(const ir::Program& group, bool with_row_sums = false);

}  // namespace quern::compiler
