#pragma once
// The compiler behind a target, as it stands in keys and evidence.

#include <string>

#include "base/target.h"

namespace quern::autotune {

// "NVRTC 13.0", "LLVM 19"; empty where the compiler is not to be had (a binary out of the store needs none).
std::string compiler_version(const Target& target, const std::string& nvrtc_path);

}  // namespace quern::autotune
