#pragma once
// Random data that a program can run on.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/strided_layout.h"
#include "ir/tensor.h"

namespace quern::autotune {

// Of a tensor whose sizes and strides are numbers.
StridedLayout layout_of(const ir::Tensor& tensor);

// Dense row-major elements of each input of a program without symbols, the same for the same seed on every machine:
// floats around 0 with magnitudes near 1, integers small, within the ranges that the program's facts state; indices fit
// the tensors that they index, and elements that share an address are equal. Error where memory does not suffice.
std::vector<std::vector<std::byte>> random_inputs(const ir::Program& program, std::uint64_t seed);

}  // namespace quern::autotune
