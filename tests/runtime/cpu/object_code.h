#pragma once
// Objects for tests of the CPU runtime, from LLVM's text.

#include <cstddef>
#include <string_view>
#include <vector>

namespace quern::runtime::cpu {

// The relocatable object of a module written in LLVM's language, for any x86-64 or whatever else runs this.
std::vector<std::byte> object_code(std::string_view text);

}  // namespace quern::runtime::cpu
