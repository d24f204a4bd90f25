#pragma once
// QUERN_DUMP=<pass>, or all: the program after that pass goes to the log. See docs/debugging.md.

#include <functional>
#include <string>
#include <string_view>

namespace quern::pipeline {

// Whether QUERN_DUMP asks for anything. Thread-safe.
bool dumps();

// Logs `text()` where QUERN_DUMP asks for this pass. Thread-safe.
void dump(std::string_view pass, const std::function<std::string()>& text);

}  // namespace quern::pipeline
