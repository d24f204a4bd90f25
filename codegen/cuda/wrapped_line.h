#pragma once
// Lines of generated code as long as people write them.

#include <string>
#include <string_view>

namespace quern::codegen {

// `line`, of one statement without line breaks, broken where it is longer than 120 characters: after commas, before
// operators, at as few parentheses as possible. Continuations stand four columns to the right of its first character.
// What cannot be broken stays long. Pure; thread-safe.
std::string wrapped_line(std::string_view line);

}  // namespace quern::codegen
