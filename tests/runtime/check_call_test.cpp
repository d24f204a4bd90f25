#include "runtime/check_call.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "base/error.h"

namespace quern::runtime {
namespace {

const PlanExpr m = PlanExpr::symbol(0);
const PlanExpr n = PlanExpr::symbol(1);

// y = f(x), both [m, n] of f32 with row strides given by the test.
Plan plan(PlanExpr x_stride, PlanExpr y_stride, int updates = -1) {
  return {.name = "f",
          .target = "cpu:generic",
          .symbols = {{"m", PlanSymbol::Source::dimension, 0, 0}, {"n", PlanSymbol::Source::dimension, 0, 1}},
          .arguments = {{"x", DType::f32, {m, n}, {x_stride, 1}},
                        {"y", DType::f32, {m, n}, {y_stride, 1}, true, false, updates}},
          .variants = {{.name = "only"}}};
}

// The message of a call with these addresses; empty: the call is good.
std::string complaint(const Plan& p, std::uintptr_t x, std::uintptr_t y, std::int64_t rows = 4,
                      std::int64_t columns = 8) {
  const std::array symbols = {rows, columns};
  const std::array pointers = {reinterpret_cast<void*>(x), reinterpret_cast<void*>(y)};
  try {
    check_call(p, {symbols, {}}, pointers);
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

TEST(CheckCall, GoodCallsPass) {
  EXPECT_EQ(complaint(plan(n, n), 0x1000, 0x2000), "");
  EXPECT_EQ(complaint(plan(n, n), 0x1000, 0x1080), "") << "one right behind the other";
  EXPECT_EQ(complaint(plan(0, n), 0x1000, 0x1020), "") << "a broadcast row is short";
}

TEST(CheckCall, CountsAndSizes) {
  const Plan p = plan(n, n);
  const std::array<std::int64_t, 2> symbols = {1, 1};
  EXPECT_THROW(check_call(p, {symbols, {}}, {}), Error);
  EXPECT_EQ(complaint(p, 0x1000, 0x2000, -1), "size 'm' of 'f' is -1; sizes are not negative");
}

TEST(CheckCall, BytesThatOffsetsCannotCountAreRefused) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(complaint(plan(n, n), 0x1000, 0x2000, kMost, 64),
            "argument 'x' of 'f' is f32[9223372036854775807, 64], 2^63 bytes or more, which no memory has; use smaller "
            "sizes");
  for (const std::int64_t rows : {kMost / 4 + 1, kMost / 2 + 1, kMost - 1}) {
    EXPECT_NE(complaint(plan(n, n), 0x1000, 0x2000, rows, 1), "") << rows;
  }
  EXPECT_NE(complaint(plan(n, kMost), 0x1000, 0x2000, 3, 1), "") << "far apart by a stride";
  EXPECT_NE(complaint(plan(n * -1, n), 0x1000, 0x2000, kMost, 64), "") << "below the pointer";
  EXPECT_EQ(complaint(plan(n, n), 0x1000, 0x2000, kMost, 0), "") << "nothing, however often";
}

TEST(CheckCall, ElementsOfOutputsLieApart) {
  EXPECT_EQ(complaint(plan(n, 4), 0x1000, 0x2000),
            "output 'y' of 'f' is f32[4, 8] with the strides (4, 1), by which elements share an address; only inputs "
            "may repeat");
  EXPECT_NE(complaint(plan(n, 0), 0x1000, 0x2000), "");
  EXPECT_EQ(complaint(plan(n, 0), 0x1000, 0x2000, 1), "") << "one row";
  EXPECT_EQ(complaint(plan(n, 4), 0x1000, 0x2000, 4, 0), "") << "no element";
}

TEST(CheckCall, NullIsRefusedUnlessThereIsNothing) {
  EXPECT_EQ(complaint(plan(n, n), 0, 0x2000), "argument 'x' is null but has 128 bytes");
  EXPECT_EQ(complaint(plan(n, n), 0, 0, 0), "");
}

TEST(CheckCall, PointersAreElementAligned) {
  EXPECT_EQ(complaint(plan(n, n), 0x1002, 0x2000),
            "argument 'x' at 0x1002 is not aligned to its f32 elements of 4 bytes");
  EXPECT_EQ(complaint(plan(n, n), 0x1004, 0x2000), "");
}

TEST(CheckCall, OutputsOverlapNothing) {
  EXPECT_EQ(
      complaint(plan(n, n), 0x1000, 0x1040),
      "output 'y' (bytes 0x1040 to 0x10c0) overlaps argument 'x' (bytes 0x1000 to 0x1080); outputs need memory of "
      "their own");
  EXPECT_NE(complaint(plan(n, n), 0x1000, 0x1000), "");
  EXPECT_NE(complaint(plan(n * -1, n), 0x1060, 0x1000), "") << "negative strides reach below the pointer";
}

TEST(CheckCall, AnUpdateMayLieOnTheInputThatItUpdates) {
  EXPECT_EQ(complaint(plan(n, n, 0), 0x1000, 0x1000), "");
  EXPECT_NE(complaint(plan(n, n, 0), 0x1000, 0x1004), "") << "but not beside it";
}

TEST(CheckCall, ColumnSlicesOfOneMatrixDoNotOverlap) {
  const Plan p = plan(16, 16);  // rows of 64 bytes, of which each tensor has 8 elements: 32 bytes
  EXPECT_EQ(complaint(p, 0x1000, 0x1020), "");
  EXPECT_EQ(complaint(p, 0x1020, 0x1000), "");
  EXPECT_NE(complaint(p, 0x1000, 0x101c), "") << "one element too near";
  EXPECT_NE(complaint(p, 0x1000, 0x1024), "") << "the last element meets the next row";
  EXPECT_NE(complaint(plan(16, 12), 0x1000, 0x1020), "") << "different rows";
}

}  // namespace
}  // namespace quern::runtime
