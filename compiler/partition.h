#pragma once
// Fusion: a canonical tensor program as a list of kernels, each a tensor program of its own. A reduction or a
// contraction takes along the elementwise definitions that read its result, as far as one analysis (analysis.h) covers
// them; elementwise definitions that feed several kernels are computed in each. What one kernel leaves for another
// lives in workspace.

#include <functional>
#include <string>
#include <vector>

#include "compiler/schedule.h"
#include "ir/tensor.h"

namespace quern::compiler {

// What a softmax weighs, in kernels of its own instead of attention's, and why.
struct Apart {
  ir::TensorRef mixture;
  std::string reason;
};

struct Partition {
  std::vector<ir::Program> kernels;      // in an order in which each reads only what earlier ones wrote
  std::vector<ir::TensorRef> workspace;  // tensors that pass between kernels and are no outputs
  std::vector<Apart> apart;
};

// Whether one kernel computes a group around several reductions (attention.h), or why not.
using Fuses = std::function<Verdict(const ir::Program& group)>;

Partition partition(const ir::Program& canonical, const Fuses& fuses = {});

// Makes a kernel that was cut out of a program stand for itself: it updates inputs of its own alone, and its facts are
// of its own arguments.
void keep_own(ir::Program& kernel);

}  // namespace quern::compiler
