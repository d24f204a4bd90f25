#pragma once
// The rules of tensor programs (docs/language.md), for programs of every origin: text, builders, rewrites.

#include <cstddef>

#include "ir/tensor.h"

namespace quern::ir {

// Throws quern::Error naming the object, the reason with its numbers, and the way out. Thread-safe.
void verify(const Program& program);

// Expressions are trees on paper: the most nodes that one may have when shared nodes are counted where they stand.
inline constexpr std::size_t kMaxNodes = 1 << 17;

}  // namespace quern::ir
