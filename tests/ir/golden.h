#pragma once
// Texts against files of the repository. QUERN_UPDATE_GOLDEN=1 writes the files anew.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace quern::test {

// `path` is relative to the repository's root.
inline testing::AssertionResult is_golden(const std::string& text, const std::string& path) {
  const std::string file = std::string(QUERN_SOURCE_DIR) + "/" + path;
  if (std::getenv("QUERN_UPDATE_GOLDEN") != nullptr) std::ofstream(file) << text;
  std::ifstream in(file);
  const std::string golden{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (golden == text) return testing::AssertionSuccess();
  return testing::AssertionFailure() << path << " differs (QUERN_UPDATE_GOLDEN=1 writes it anew) from\n" << text;
}

}  // namespace quern::test
