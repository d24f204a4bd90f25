#pragma once
// What the elements of a result have in common, which the evaluator computes once and keeps.

#include <cstdint>

#include "ir/tensor.h"

namespace quern::ir {

// How many elements of each row (along the last dimension) a check that chooses some of a result's had better look at:
// many where they take reductions of reductions, as those of a softmax or an attention do, since neighbours share the
// inner ones, which cost the most; else one. Thread-safe.
std::int64_t elements_in_row(const Program& program);

}  // namespace quern::ir
