#pragma once
// The host side of a compiled program: its launch plan. Kernels' grids and sizes become plan expressions over the
// program's symbols; what passes between kernels becomes workspace.

#include <span>
#include <vector>

#include "base/plan.h"
#include "base/target.h"
#include "ir/kernel.h"
#include "ir/tensor.h"

namespace quern::pipeline {

// The plan without variants: name, target, symbols and arguments. Error where a symbol is no whole dimension or stride
// of an argument.
Plan plan_frame(const ir::Program& program, const Target& target);

// One variant: its guards from `facts`, one launch per kernel (thread form) in order.
Variant plan_variant(const ir::Program& program, std::span<const ir::Fact> facts,
                     std::span<const ir::TensorRef> workspace, std::span<const ir::Kernel> kernels,
                     std::span<const ir::Program> programs);

}  // namespace quern::pipeline
