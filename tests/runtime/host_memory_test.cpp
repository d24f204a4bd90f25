#include "runtime/host_memory.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/ir/message.h"

namespace quern::runtime {
namespace {

using Shape = std::vector<std::int64_t>;

TEST(HostMemory, WhatIsAvailableSuffices) {
  const std::int64_t available = available_host_memory();
  EXPECT_GT(available, 0);
  EXPECT_NO_THROW(require_host_memory(static_cast<std::size_t>(available / 2), "a test"));
  const std::string message = test::error_of([] { require_host_memory(std::size_t{1} << 60, "a test"); });
  EXPECT_TRUE(test::contains(message, "out of memory on cpu: 1152921504606846976 bytes wanted for a test, "));
  EXPECT_TRUE(test::contains(message, " available; use smaller sizes, or release other memory"));
}

TEST(HostMemory, BytesOfArraysSaturate) {
  EXPECT_EQ(array_bytes(DType::f32, Shape{3, 4}), 48U);
  EXPECT_EQ(array_bytes(DType::f64, Shape{}), 8U);
  EXPECT_EQ(array_bytes(DType::i8, Shape{std::int64_t{1} << 62, 4, 0}), 0U);
  EXPECT_EQ(array_bytes(DType::i8, Shape{std::int64_t{1} << 62}), std::size_t{1} << 62);
  EXPECT_EQ(array_bytes(DType::f32, Shape{std::int64_t{1} << 61}), std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace quern::runtime
