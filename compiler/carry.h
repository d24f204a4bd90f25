#pragma once
// Remainders of a loop's counter, counted on instead of divided anew. Runs on thread form of GPU kernels after
// narrow_indices and before hoist: in a rolled loop that counts by one, the remainder of counter + c by a constant that
// is no power of two, and how often it has wrapped (by a constant), are registers that a comparison and an addition
// move to the next iteration. These are the stage of a ring and its parity: whoever fills the ring is as late as the
// chain of multiplications that a division is. Loops of wgmma stay: there the whole warp computes the stage once,
// beside products.

#include "ir/kernel.h"

namespace quern::compiler {

ir::Kernel carry(const ir::Kernel& kernel);

}  // namespace quern::compiler
