#pragma once
// The device prelude, codegen/cuda/prelude/*.cuh, embedded at build time.

#include <span>
#include <string_view>

namespace quern::codegen {

struct EmbeddedFile {
  std::string_view name;  // without its folder: "mbarrier.cuh"
  std::string_view text;
};

// The prelude's files, sorted by name. They live as long as the program; thread-safe.
std::span<const EmbeddedFile> embedded_prelude();

}  // namespace quern::codegen
