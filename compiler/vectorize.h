#pragma once
// Joins the accesses of an unrolled loop over neighbouring elements into wide ones (Move): for each buffer that the
// body reads or writes at unit stride in the loop's variable, at a place known to be a multiple of the width, the
// elements pass through registers that one access fills or empties. Called by expand_tiles on the innermost digit of a
// map; what cannot be joined (a condition that differs between the elements, an unknown alignment) stays as it is.

#include "ir/kernel.h"
#include "ir/simplify.h"

namespace quern::compiler {

// `loop` runs from 0 to a constant power of two of at most 16, by 1.
ir::Stmt vectorize(const ir::For& loop, const ir::Assumptions& assumptions);

}  // namespace quern::compiler
