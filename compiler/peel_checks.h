#pragma once
// Unrolled loops whose check holds for all but the last iterations, in two: the first part without the check, which
// then costs neither a comparison nor the order in which loads are issued. Runs on thread form after expand_tiles
// (which makes the checks) and before narrow_indices (proofs are in 64 bits).

#include "ir/kernel.h"

namespace quern::compiler {

ir::Kernel peel_checks(const ir::Kernel& kernel);

}  // namespace quern::compiler
