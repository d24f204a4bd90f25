#pragma once

#include <string_view>

namespace quern {

// A digest (64 hexadecimal digits) of the sources that decide what a program is compiled to; the same on every machine
// that builds the same sources, whatever its compiler and options. Part of the key of a stored binary. Thread-safe.
std::string_view build_digest();

}  // namespace quern
