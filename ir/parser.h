#pragma once
// The text form of tensor programs (docs/language.md). Pure functions, thread-safe.

#include <string_view>
#include <vector>

#include "ir/tensor.h"

namespace quern::ir {

// The one kernel of `text`, verified. Throws Error: with line, column, the source line and a caret where the text is
// at fault; "expected one kernel, ..." where it holds none or several.
Program parse_program(std::string_view text);

// All the kernels of `text`, in order; their names differ.
std::vector<Program> parse_programs(std::string_view text);

}  // namespace quern::ir
