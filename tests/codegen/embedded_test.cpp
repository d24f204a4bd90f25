#include "codegen/cuda/embedded.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace quern::codegen {
namespace {

TEST(EmbeddedPrelude, HoldsTheFilesOfItsFolder) {
  std::map<std::string, std::string> expected;
  for (const auto& entry : std::filesystem::directory_iterator(QUERN_SOURCE_DIR "/codegen/cuda/prelude")) {
    if (entry.path().extension() != ".cuh") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    expected[entry.path().filename()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::map<std::string, std::string> embedded;
  for (const EmbeddedFile& file : embedded_prelude()) embedded[std::string(file.name)] = std::string(file.text);
  EXPECT_EQ(embedded, expected);
}

}  // namespace
}  // namespace quern::codegen
