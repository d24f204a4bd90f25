#pragma once
// Giving symbols their sizes.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ir/tensor.h"

namespace quern::ir {

// Whether the symbol stands in a shape: it is at least 0 then. One that only strides use may be negative.
bool is_dimension(const Program& program, const VarRef& symbol);

// Throws Error, naming the symbols that there are, where `name` is none of the program's.
void require_symbol(const Program& program, std::string_view name);

// The program with the named symbols replaced by values, its shapes folded, its facts checked and those
// that became true dropped; the other symbols stay. New tensors and axes throughout. Throws Error where a name is no
// symbol of the program, a dimension is negative, a fact does not hold, or the program at these sizes breaks a rule.
// Thread-safe.
Program bind(const Program& program, const std::map<std::string, std::int64_t>& sizes);

// The value of a size made of numbers alone; nothing where a symbol stands in it. Sets `wraps` where it or a part of it
// leaves 64 bits.
std::optional<std::int64_t> exact_size(const Expr& size, bool& wraps);

}  // namespace quern::ir
