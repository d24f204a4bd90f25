#pragma once
// Extents of axes that are written without a range, found from how the axes index tensors. The parser asks it of the
// text, the printer of a program (to know which ranges need writing).
//
// A use is a place where an axis alone is an index. An intermediate's axis takes the extent of the axes that read that
// dimension of it, the largest, else the dimension that it indexes itself, the smallest; a reduced axis takes the
// dimension that it indexes. Uses under a fill or a condition count only where nothing else decides, and then all of
// them.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/expr.h"

namespace quern::ir {

struct ExtentProblem {
  struct AxisInfo {
    std::string name;
    bool reduced = false;
    bool written = false;  // its range stands in the text: nothing to infer or to check
    Expr extent;           // written, or an output's dimension; else found
    std::string source;    // of the extent, for messages: "dimension 1 of x"
    bool guarded = false;  // found from uses under a fill or a condition
  };
  struct TensorInfo {
    std::string name;
    std::vector<Expr> dims;         // of an argument; empty for intermediates
    std::vector<std::size_t> axes;  // of an intermediate: of its definition
  };
  struct Use {
    std::size_t axis = 0;
    std::size_t tensor = 0;
    std::size_t dim = 0;
    bool guarded = false;  // under a fill or a condition
  };

  std::vector<AxisInfo> axes;
  std::vector<TensorInfo> tensors;
  std::vector<Use> uses;
};

struct ExtentConflict {
  std::size_t axis = 0;
  std::string message;  // without the place in the text
};

// Fills in the extents of all axes, then checks that the uses agree: a reduced axis with every dimension that it
// indexes, another axis with dimensions that provably hold it. Returns what is wrong, if anything.
std::optional<ExtentConflict> infer_extents(ExtentProblem& problem,
                                            const std::function<bool(const Expr& condition)>& proves);

}  // namespace quern::ir
