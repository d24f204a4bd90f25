#pragma once
// Updated inputs: an output that updates an input is its memory, while every read of the input sees its contents before
// the call. Runs last in partition, when it is known which kernel reads what; strategies then write outputs as ever.
//
// A kernel may write such an output where the input is read in time: by kernels ahead of it, and by itself each element
// alone on the way to the value that takes its place. Another output of the same kernel may read the element where all
// of its outputs are over one space (its values are computed ahead of its stores: pointwise.cpp) and the value that
// takes its place needs the element too, so that no compiler moves the load behind the store.

#include <span>

#include "compiler/partition.h"
#include "ir/tensor.h"

namespace quern::compiler {

// Whether kernels that run in this order read the input that `output` updates in time.
bool is_read_in_time(std::span<const ir::Program> kernels, const ir::Output& output);

// Where an updated input is not read in time the value goes to workspace, and a copy, after all other kernels, moves
// it. Throws Error where an extern would write a workspace by strides.
void keep_updated_inputs(std::span<const ir::Output> outputs, Partition& parts);

}  // namespace quern::compiler
