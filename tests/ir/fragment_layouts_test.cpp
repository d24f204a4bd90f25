// Against the formulas of the PTX ISA: l the lane, w the warp of the group, r the 32-bit register.
#include "ir/fragment_layouts.h"

#include <gtest/gtest.h>

#include <array>

namespace quern::ir {
namespace {

struct Place3 {
  std::int64_t warp, lane, reg;
};

// The coordinate that (warp, lane, element register) holds.
std::vector<std::int64_t> held(const Layout& layout, Place3 at) {
  return invert(layout, std::array<std::int64_t, 4>{0, at.warp, at.lane, at.reg}).value();
}

using Coordinate = std::vector<std::int64_t>;

TEST(FragmentLayouts, WgmmaAccumulator) {
  for (const int columns : {8, 24, 64, 256}) {
    const Layout layout = wgmma_accumulator(columns);
    EXPECT_TRUE(is_injective(layout));
    EXPECT_EQ(span_of(layout, Place::reg), columns / 2);
    for (int w = 0; w < 4; ++w) {
      for (int l = 0; l < 32; ++l) {
        for (int i = 0; i < columns / 2; ++i) {
          const int g = i / 4, j = i % 4;
          EXPECT_EQ(held(layout, {w, l, i}), (Coordinate{16 * w + l / 4 + 8 * (j / 2), 8 * g + 2 * (l % 4) + j % 2}));
          // Packed f16: register r holds the pair at columns 8g + 2(l%4), row + 8 (r%2), with g = r / 2.
          const int r = i / 2;
          EXPECT_EQ(held(layout, {w, l, i}),
                    (Coordinate{16 * w + l / 4 + 8 * (r % 2), 8 * (r / 2) + 2 * (l % 4) + i % 2}));
        }
      }
    }
  }
}

// Row and k of element e of register r of operand A: r1 is 8 rows down, r2 16 bytes along k.
Coordinate a_element(int bytes, int l, int r, int e) {
  const int packed = 4 / bytes;
  return {l / 4 + 8 * (r % 2), packed * (l % 4) + e + 4 * packed * (r / 2)};
}

TEST(FragmentLayouts, OperandA) {
  for (const int bytes : {1, 2, 4}) {
    const int packed = 4 / bytes;
    const Layout mma = mma_sync_a(bytes), warpgroup = wgmma_a(bytes);
    EXPECT_EQ(extents(mma), (Coordinate{16, 32 / bytes}));
    EXPECT_EQ(extents(warpgroup), (Coordinate{64, 32 / bytes}));
    EXPECT_TRUE(is_injective(mma) && is_injective(warpgroup));
    for (int l = 0; l < 32; ++l) {
      for (int r = 0; r < 4; ++r) {
        for (int e = 0; e < packed; ++e) {
          Coordinate expected = a_element(bytes, l, r, e);
          EXPECT_EQ(held(mma, {0, l, packed * r + e}), expected);
          expected[0] += 16 * 3;
          EXPECT_EQ(held(warpgroup, {3, l, packed * r + e}), expected);
        }
      }
    }
  }
}

TEST(FragmentLayouts, OperandB) {
  for (const int bytes : {1, 2, 4}) {
    const int packed = 4 / bytes;
    const Layout layout = mma_sync_b(bytes);
    EXPECT_EQ(extents(layout), (Coordinate{8, 32 / bytes}));
    for (int l = 0; l < 32; ++l) {
      for (int r = 0; r < 2; ++r) {
        for (int e = 0; e < packed; ++e) {
          EXPECT_EQ(held(layout, {0, l, packed * r + e}), (Coordinate{l / 4, packed * (l % 4) + e + 4 * packed * r}));
        }
      }
    }
  }
}

TEST(FragmentLayouts, MmaAccumulator) {
  const Layout layout = mma_sync_c();
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(held(layout, {0, l, i}), (Coordinate{l / 4 + 8 * (i / 2), 2 * (l % 4) + i % 2}));
    }
  }
}

TEST(FragmentLayouts, WidestInstructionOfAnAccumulator) {
  const auto columns = [](std::int64_t n, std::string_view block, bool integer = false) {
    return wgmma_columns(tile(wgmma_accumulator(n), parse_layout(block)), integer);
  };
  EXPECT_EQ(columns(256, "[2:warp*1, 1]"), 256);
  EXPECT_EQ(columns(256, "[1, 2:reg*1]"), 256);
  EXPECT_EQ(columns(160, "[1, 2:warp*1]"), 160);
  EXPECT_EQ(columns(160, "[2:reg*1, 1]"), 160);
  EXPECT_EQ(columns(112, "[1, 3:reg*1]"), 112);  // 336 columns, in digits of 112
  EXPECT_EQ(columns(40, "[1, 1]"), 40);
  EXPECT_EQ(columns(40, "[1, 1]", true), 8);
  EXPECT_EQ(wgmma_columns(parse_layout("[(8:lane*4, 2:reg*2, 4:warp*1), (2:reg*1, 4:lane*1, 2:reg*8)]")), std::nullopt);
  EXPECT_EQ(wgmma_columns(tile(mma_sync_c(), parse_layout("[4:reg*1, 8:reg*4]"))), std::nullopt);
  EXPECT_TRUE(is_made_of(tile(mma_sync_c(), parse_layout("[(4:reg*1, 2:warp*1), (8:reg*4, 2:warp*2)]")), mma_sync_c()));
  // Operand A in registers is laid out as an accumulator is, which is why one product's result feeds the next.
  EXPECT_TRUE(is_made_of(wgmma_a(2), mma_sync_c()));
  EXPECT_FALSE(is_made_of(mma_sync_a(4), mma_sync_c()));
}

// The accumulator of one product is operand A of the next, as attention uses it: no element changes its thread.
TEST(FragmentLayouts, AccumulatorColumnsAreOperandA) {
  const Layout repeated = tile(wgmma_a(2), Layout{{{}, {{4, Place::reg, 1}}}, {}});
  const Layout accumulator = wgmma_accumulator(64);
  EXPECT_EQ(size(repeated), size(accumulator));
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 32; ++i) EXPECT_EQ(held(repeated, {1, l, i}), held(accumulator, {1, l, i}));
  }
}

}  // namespace
}  // namespace quern::ir
