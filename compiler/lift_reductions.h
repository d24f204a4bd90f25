#pragma once
// Tensor program -> tensor program in canonical form: every reduction is the whole value of a definition of its own.
// Runs first, so that analysis and fusion see each reduction with its axes.

#include "ir/tensor.h"

namespace quern::compiler {

ir::Program lift_reductions(const ir::Program& program);

}  // namespace quern::compiler
