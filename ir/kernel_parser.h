#pragma once
// The text form of kernel programs (docs/kernel_language.md); the printer is ir/kernel_printer.h.

#include <string_view>

#include "ir/kernel.h"

namespace quern::ir {

// The one kernel of `text`. Throws Error with line, column, the source line and a caret. Names, types and ranks are
// checked, the rules of ir/kernel_verify.h are not. Thread-safe.
Kernel parse_kernel(std::string_view text);

}  // namespace quern::ir
