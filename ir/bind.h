#pragma once
// Giving symbols their sizes.

#include <cstdint>
#include <map>
#include <string>

#include "ir/tensor.h"

namespace quern::ir {

// The program with the named symbols replaced by sizes (at least 0), its shapes folded, its facts checked and those
// that became true dropped; the other symbols stay. New tensors and axes throughout. Throws Error where a name is no
// symbol of the program, a size is negative, a fact does not hold, or the program at these sizes breaks a rule.
// Thread-safe.
Program bind(const Program& program, const std::map<std::string, std::int64_t>& sizes);

}  // namespace quern::ir
