#pragma once
// The device prelude's pieces, and which of them a kernel's text uses. Pure functions; thread-safe.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quern::codegen {

// From a line "// @name ..." of a file in prelude/ to the next empty line. A text uses it when every one of its names
// occurs in the text.
struct PreludePiece {
  std::vector<std::string_view> names;
  std::string_view text;                   // without the marker
  std::vector<std::string_view> mentions;  // all identifiers in `text`, sorted
};

std::span<const PreludePiece> prelude_pieces();

// The pieces that `text` uses, those that they use before them, each followed by an empty line.
std::string prelude_for(std::string_view text);

// What a kernel's own names must not be: keywords and built-in names of CUDA C++, names that the prelude or the
// generator define.
std::span<const std::string> reserved_names();

// The identifiers in C++ text, each once, sorted, as parts of it. Comments and string literals hold none.
std::vector<std::string_view> identifiers(std::string_view text);

}  // namespace quern::codegen
