#pragma once
// Tensor program -> tensor program: what a softmax weighs is divided by its total at the end,
//
//   y[i, c] = sum over j of bf16(e[i, j] / t[i]) * v[j, c]
//
// becomes
//
//   y_mix[i, c] = sum over j of bf16(e[i, j]) * v[j, c]
//   y[i, c]     = y_mix[i, c] / t[i]
//
// so that attention (attention.h) is found in both. The weights are rounded at another scale, as ir/rescaling.h admits.

#include <optional>

#include "ir/tensor.h"

namespace quern::compiler {

// Of a canonical program; nothing where there is no such sum.
std::optional<ir::Program> divide_last(const ir::Program& canonical);

}  // namespace quern::compiler
