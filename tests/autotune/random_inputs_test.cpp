// Data that a program is tuned on.

#include "autotune/random_inputs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "autotune/measure.h"
#include "base/numeric.h"
#include "ir/parser.h"
#include "tests/ir/message.h"

namespace quern::autotune {
namespace {

using quern::test::contains;
using quern::test::error_of;

std::vector<double> elements(const char* text, std::size_t input, DType dtype) {
  const std::vector<std::byte> data = random_inputs(ir::parse_program(text), 1).at(input);
  std::vector<double> values(data.size() / static_cast<std::size_t>(byte_size(dtype)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = load_element(dtype, data.data(), static_cast<std::int64_t>(i));
  }
  return values;
}

TEST(RandomInputs, IndicesFitWhatTheyIndex) {
  const auto g = elements("kernel t(x: f32[5], g: i32[1000]) -> (y: f32[1000]) { y[i] = x[i64(g[i])] }", 1, DType::i32);
  EXPECT_EQ(std::set<double>(g.begin(), g.end()), (std::set<double>{0, 1, 2, 3, 4}));
}

TEST(RandomInputs, StatedRangesAndOrdersHold) {
  const auto g = elements("kernel t(g: i32[100]) -> (y: i32[100]) with g in 7..9, nondecreasing(g) { y[i] = g[i] }", 0,
                          DType::i32);
  EXPECT_EQ(std::set<double>(g.begin(), g.end()), (std::set<double>{7, 8}));
  EXPECT_TRUE(std::is_sorted(g.begin(), g.end()));
}

TEST(RandomInputs, StatedRangesAreMetWithThoseOfTheDtype) {
  const auto g = elements("kernel t(g: i8[1000]) -> (y: i8[1000]) with g in 100..1000 { y[i] = g[i] }", 0, DType::i8);
  EXPECT_TRUE(std::ranges::all_of(g, [](double value) { return value >= 100; }));
  const auto h = elements("kernel t(h: u64[1000]) -> (y: u64[1000]) with h in -9..2 { y[i] = h[i] }", 0, DType::u64);
  EXPECT_EQ(std::set<double>(h.begin(), h.end()), (std::set<double>{0, 1}));
}

TEST(RandomInputs, ElementsAtOneAddressAreEqual) {
  const auto x =
      elements("kernel t(x: f32[3, 4] strides(0, -1)) -> (y: f32[3, 4]) { y[i, j] = x[i, j] }", 0, DType::f32);
  EXPECT_EQ(std::set<double>(x.begin(), x.end()).size(), 4U);
  EXPECT_TRUE(std::equal(x.begin(), x.begin() + 4, x.begin() + 8));
}

TEST(RandomInputs, MoreThanTheMemoryIsAnError) {
  const auto error = [](const char* text) { return error_of([&] { random_inputs(ir::parse_program(text), 1); }); };
  EXPECT_TRUE(contains(error("kernel t(x: f32[100000000000000]) -> (y: f32[]) { y[] = sum[i](x[i]) }"),
                       "out of memory on cpu: 400000000000000 bytes wanted for input x, "));
  EXPECT_TRUE(contains(error("kernel t(x: f32[9000000000000000000]) -> (y: f32[]) { y[] = x[0] }"),
                       "out of memory on cpu: 9223372036854775807 bytes wanted"));
}

TEST(StridedLayout, HoldsAllElementsAndNoMore) {
  const StridedLayout layout({3, 4}, {-4, 1});
  EXPECT_EQ(layout.size(), 12);
  EXPECT_EQ(layout.origin(), 8);
  std::vector<std::int64_t> places;
  layout.each([&](std::int64_t, std::int64_t place) { places.push_back(place); });
  EXPECT_EQ(places, (std::vector<std::int64_t>{8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3}));
  EXPECT_EQ(StridedLayout({5}, {0}).size(), 1);
  EXPECT_EQ(StridedLayout({}, {}).size(), 1);
  EXPECT_EQ(StridedLayout({0, 9}, {9, 1}).size(), 0);
  EXPECT_EQ(StridedLayout({2, 3}, {10, 2}).size(), 15);
}

#if QUERN_WITH_CPU
TEST(ProblemData, PointsAtTheFirstElementOfAnyStride) {
  const ir::Program program = ir::parse_program(
      "kernel t(x: f32[8] strides(-2), z: f32[8] strides(0)) -> (y: f32[8] strides(-1)) { y[i] = x[i] + z[i] }");
  runtime::Device& cpu = runtime::open_device("cpu");
  ProblemData data(program, cpu, 1);
  const auto at = [&](std::size_t argument, std::int64_t place) {
    return load_element(DType::f32, data.pointers(0)[argument], place);
  };
  const std::vector<ir::HostTensor> inputs = data.inputs();
  for (const std::int64_t i : {0, 7}) EXPECT_EQ(at(0, -2 * i), load_element(DType::f32, inputs[0].data, -2 * i));
  data.poison();
  EXPECT_EQ(data.download(0).size(), 8U * 4);
  EXPECT_EQ(data.output_layout(0).origin(), 7);
}
#endif

}  // namespace
}  // namespace quern::autotune
