#pragma once
// The checks of a call that every device shares: what the user may get wrong about pointers and sizes.

#include <cstdint>
#include <span>

#include "base/plan.h"

namespace quern::runtime {

// Throws Error, naming the argument and its numbers, when there are more or fewer symbols than the plan has, one is
// negative where it is a dimension, a dimension leaves 64 bits, or a tensor has 2^63 bytes or more.
void check_sizes(const Plan& plan, const PlanContext& context);

// Throws Error as of check_sizes, and, naming the argument and its numbers, when
//  - there are more or fewer pointers than the plan has tensors,
//  - two elements of an output share an address by its strides,
//  - a pointer is null though its tensor has elements, or is not a multiple of its element's size,
//  - an output shares bytes with another argument (the input that it updates in place may be the very same tensor).
// Allocates nothing when the call is good.
void check_call(const Plan& plan, const PlanContext& context, std::span<void* const> arguments);

}  // namespace quern::runtime
