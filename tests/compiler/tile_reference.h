#pragma once
// Kernel programs in tile form by what their statements mean: block after block, every map as a loop over its
// coordinates, every fold and product over whole tiles. It knows of no lanes, registers or asynchrony, so that it
// checks expand_tiles and what comes behind it.

#include <cstdint>
#include <span>
#include <vector>

#include "ir/evaluate.h"
#include "ir/kernel.h"

namespace quern::compiler {

// Runs `kernel` on dense memory of its parameters, in order, at the values of its symbols. Barriers and groups of
// asynchronous copies say nothing here; tensor maps are not needed. InternalError for what it does not know.
void run_tiles(const ir::Kernel& kernel, std::span<const std::int64_t> symbols,
               std::span<const ir::HostTensor> arguments);

}  // namespace quern::compiler
