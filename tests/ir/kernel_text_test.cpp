#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ir/kernel_parser.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "quern/error.h"

namespace quern::ir {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(QUERN_SOURCE_DIR "/tests/ir/data/") + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The text without comments, which the printer does not keep.
std::string without_comments(const std::string& text) {
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#")) result += line + "\n";
  }
  return result;
}

void expect_round_trip(const std::string& text) {
  const Kernel kernel = parse_kernel(text);
  const std::string printed = to_string(kernel);
  EXPECT_EQ(printed, without_comments(text));
  EXPECT_TRUE(equal(parse_kernel(printed), kernel));
}

TEST(KernelText, PersistentGemmRoundTrips) { expect_round_trip(read_file("persistent_gemm.tile")); }

}  // namespace
}  // namespace quern::ir
