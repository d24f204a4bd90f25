#pragma once
// Fusion: a canonical tensor program as a list of kernels, each a tensor program of its own. A reduction or a
// contraction takes along the elementwise definitions that read its result, as far as one analysis (analysis.h) covers
// them; elementwise definitions that feed several kernels are computed in each. What one kernel leaves for another
// lives in workspace.

#include <functional>
#include <vector>

#include "ir/tensor.h"

namespace quern::compiler {

struct Partition {
  std::vector<ir::Program> kernels;      // in an order in which each reads only what earlier ones wrote
  std::vector<ir::TensorRef> workspace;  // tensors that pass between kernels and are no outputs
};

// Whether one kernel computes a group around several reductions (attention.h).
using Fuses = std::function<bool(const ir::Program& group)>;

Partition partition(const ir::Program& canonical, const Fuses& fuses = {});

}  // namespace quern::compiler
