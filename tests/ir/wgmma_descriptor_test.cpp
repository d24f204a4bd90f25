#include "ir/wgmma_descriptor.h"

#include <gtest/gtest.h>

namespace quern::ir {
namespace {

using Starts = std::vector<std::int64_t>;

WgmmaDescriptor described(const Layout& layout, int bytes, int row_mode, int k_mode, std::int64_t rows, std::int64_t k,
                          std::int64_t instruction_rows) {
  const auto result = describe_wgmma_operand(layout, bytes, row_mode, k_mode, rows, k, instruction_rows);
  if (const auto* reason = std::get_if<std::string>(&result)) ADD_FAILURE() << *reason;
  return std::holds_alternative<WgmmaDescriptor>(result) ? std::get<WgmmaDescriptor>(result) : WgmmaDescriptor{};
}

std::string reason(const Layout& layout, int bytes, std::int64_t rows, std::int64_t k) {
  const auto result = describe_wgmma_operand(layout, bytes, 0, 1, rows, k, rows);
  return std::holds_alternative<std::string>(result) ? std::get<std::string>(result) : "";
}

TEST(WgmmaDescriptor, KMajor128) {
  for (const int bytes : {1, 2, 4}) {
    const WgmmaDescriptor d = described(tma_layout(128, 128 / bytes, bytes, 128), bytes, 0, 1, 128, 128 / bytes, 64);
    EXPECT_EQ(d.swizzle, 128);
    EXPECT_EQ(d.stride, 1024);
    EXPECT_FALSE(d.transposed);
    EXPECT_EQ(d.row_starts, (Starts{0, 8192}));
    EXPECT_EQ(d.k_starts, (Starts{0, 32, 64, 96}));
  }
}

TEST(WgmmaDescriptor, KMajorInSeveralBlocks) {
  const WgmmaDescriptor d = described(tma_layout(64, 128, 2, 128), 2, 0, 1, 64, 128, 64);
  EXPECT_EQ(d.k_starts, (Starts{0, 32, 64, 96, 8192, 8224, 8256, 8288}));
}

TEST(WgmmaDescriptor, NarrowSwizzles) {
  const WgmmaDescriptor d64 = described(tma_layout(64, 32, 2, 64), 2, 0, 1, 64, 32, 64);
  EXPECT_EQ(d64.swizzle, 64);
  EXPECT_EQ(d64.stride, 512);
  EXPECT_EQ(d64.k_starts, (Starts{0, 32}));
  const WgmmaDescriptor d32 = described(tma_layout(64, 64, 1, 32), 1, 0, 1, 64, 64, 64);
  EXPECT_EQ(d32.swizzle, 32);
  EXPECT_EQ(d32.stride, 256);
  EXPECT_EQ(d32.k_starts, (Starts{0, 64 * 32}));
}

TEST(WgmmaDescriptor, KMajorWithoutSwizzle) {
  const WgmmaDescriptor d = described(tma_layout(64, 32, 2, 0), 2, 0, 1, 64, 32, 64);
  EXPECT_EQ(d.swizzle, 0);
  EXPECT_EQ(d.stride, 128);       // eight rows of 16 bytes
  EXPECT_EQ(d.leading, 64 * 16);  // all rows of a 16-byte column
  EXPECT_EQ(d.k_starts, (Starts{0, 2048}));
}

TEST(WgmmaDescriptor, MnMajor128) {
  // Rows of k, 256 columns of n in blocks of 64: a tile of a row-major B.
  const WgmmaDescriptor d = described(tma_layout(64, 256, 2, 128), 2, 1, 0, 256, 64, 256);
  EXPECT_TRUE(d.transposed);
  EXPECT_EQ(d.swizzle, 128);
  EXPECT_EQ(d.stride, 1024);       // eight rows of k
  EXPECT_EQ(d.leading, 64 * 128);  // one block of 64 columns
  EXPECT_EQ(d.k_starts, (Starts{0, 2048, 4096, 6144}));
  EXPECT_EQ(d.row_starts, (Starts{0}));
}

TEST(WgmmaDescriptor, MnMajorWithoutSwizzle) {
  const WgmmaDescriptor d = described(tma_layout(64, 32, 2, 0), 2, 1, 0, 32, 64, 32);
  EXPECT_TRUE(d.transposed);
  EXPECT_EQ(d.leading, 128);     // eight rows of k
  EXPECT_EQ(d.stride, 64 * 16);  // eight columns
  EXPECT_EQ(d.k_starts, (Starts{0, 256, 512, 768}));
}

TEST(WgmmaDescriptor, StagesOnlyMoveTheStart) {
  const Layout ring = tile(Layout{{{}, tma_layout(128, 64, 2, 128).modes[0], tma_layout(128, 64, 2, 128).modes[1]},
                                  tma_layout(128, 64, 2, 128).swizzle},
                           Layout{{{{4, Place::address, 1}}, {}, {}}, {}});
  EXPECT_EQ(to_string(ring), "[4:addr*8192, 128:addr*64, 64:addr*1] ^ swizzle(3, 3, 3)");
  EXPECT_EQ(described(ring, 2, 1, 2, 128, 64, 64).row_starts, (Starts{0, 8192}));
}

TEST(WgmmaDescriptor, GivesReasons) {
  const Layout plain = row_major(std::vector<std::int64_t>{64, 64});
  EXPECT_NE(reason(plain, 2, 64, 64).find("is not a canonical layout contiguous along k with rows of 16 bytes"),
            std::string::npos);
  Layout foreign = plain;
  foreign.swizzle = {3, 2, 4};
  EXPECT_NE(reason(foreign, 2, 64, 64).find("is none of the hardware's"), std::string::npos);
  const auto mn_major = describe_wgmma_operand(tma_layout(32, 32, 4, 128), 4, 1, 0, 32, 32, 32);
  EXPECT_NE(std::get<std::string>(mn_major).find("elements of 4 bytes must be contiguous along k"), std::string::npos);
  EXPECT_NE(reason(tma_layout(64, 64, 2, 128), 2, 64, 40).find("40 of k are not a multiple of 16"), std::string::npos);
  EXPECT_NE(reason(tma_layout(64, 64, 2, 128), 2, 128, 64).find("128 rows are not a multiple of 128 within"),
            std::string::npos);
  // Rows 8 apart by 1040 bytes: the swizzle would be out of phase.
  Layout padded_groups = parse_layout("[(8:addr*64, 8:addr*520), 64:addr*1] ^ swizzle(3, 3, 3)");
  EXPECT_NE(reason(padded_groups, 2, 64, 64).find("is not a canonical layout"), std::string::npos);
}

}  // namespace
}  // namespace quern::ir
