#pragma once
// The part of verify() that looks into a definition's expression. Internal to verify().

#include "ir/printer.h"
#include "ir/simplify.h"
#include "ir/tensor.h"

namespace quern::ir {

// Throws Error where the value uses an unknown axis, reduces what its reducer refuses, reads provably outside of a
// tensor, or takes the argmax of nothing. `facts` hold for the program; `names` names its arguments in messages.
void check_reads(const Program& program, const Definition& definition, const Assumptions& facts, Names& names);

}  // namespace quern::ir
