// Sizes from arrays, and random arrays.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/api/arrays.h"

namespace quern::test {
namespace {

TEST(Sizes, FollowFromTheArrays) {
  const Program program = Program::parse("matmul(m=m, n=n, k=k)");
  const std::vector<HostArray> inputs = {HostArray(DType::f32, {3, 4}), HostArray(DType::f32, {4, 5})};
  EXPECT_EQ(infer_sizes(program, inputs), (Sizes{{"m", 3}, {"n", 5}, {"k", 4}}));
}

TEST(Sizes, Errors) {
  const Program program = Program::parse("matmul(m=m, n=n, k=k)");
  const auto infer = [&](const Shape& a, const Shape& b, DType dtype, const Sizes& given) {
    return error_of(
        [&] { infer_sizes(program, std::vector<HostArray>{HostArray(DType::f32, a), HostArray(dtype, b)}, given); });
  };
  EXPECT_EQ(infer({3, 4}, {5, 6}, DType::f32, {}),
            "input b of matmul is f32[k, n], which is [4, 6] for the other sizes, here is [5, 6]");
  EXPECT_EQ(infer({3, 4}, {4, 6}, DType::f32, {{"m", 7}}),
            "input a of matmul is f32[m, k], which is [7, 4] for the other sizes, here is [3, 4]");
  EXPECT_EQ(infer({3, 4}, {4, 6}, DType::f64, {}), "input b of matmul is f32[k, n], here is f64[4, 6]");
  EXPECT_EQ(infer({3, 4}, {4}, DType::f32, {}), "input b of matmul is f32[k, n], here is f32[4]");
  EXPECT_EQ(infer({3, 4}, {4, 6}, DType::f32, {{"q", 7}}), "kernel matmul has no symbol q; its symbols: m, k, n");
  EXPECT_EQ(error_of([&] { infer_sizes(program, {}); }), "matmul takes 2 inputs, here are 0");
  EXPECT_EQ(error_of([&] { random_inputs(program, {{"m", 2}, {"k", 3}}); }),
            "symbol n of matmul has no size; give it one, as in -D n=1024 or Sizes{{\"n\", 1024}}");
  EXPECT_EQ(error_of([&] { random_inputs(program, {{"m", 2}, {"n", -1}, {"k", 3}}); }),
            "symbol n of matmul is -1; a size is at least 0");
}

TEST(RandomInputs, DependOnTheSeedAlone) {
  const Program program = Program::parse("matmul(m=7, n=5, k=9, dtype=bf16)");
  const auto a = random_inputs(program, {}, 7), b = random_inputs(program, {}, 7), c = random_inputs(program, {}, 8);
  EXPECT_EQ(a[0].data, b[0].data);
  EXPECT_NE(a[0].data, c[0].data);
  EXPECT_NE(a[0].data, a[1].data);
  const Grid grid = to_grid(a[0]);
  EXPECT_TRUE(std::all_of(grid.data.begin(), grid.data.end(), [](double x) { return std::abs(x) <= 2; }));
  EXPECT_NE(*std::min_element(grid.data.begin(), grid.data.end()),
            *std::max_element(grid.data.begin(), grid.data.end()));
}

TEST(RandomInputs, IndicesFitAndAreSortedWhereThatIsPromised) {
  const Program program = Program::parse(R"(
    kernel ragged(x: f32[t, 4], g: i32[t], w: f32[e, 4]) -> (y: f32[t, 4]) with nondecreasing(g) {
      y[i, j] = x[i, j] * w[i64(g[i]), j]
    })");
  const auto inputs = random_inputs(program, {{"t", 100}, {"e", 3}});
  const Grid g = to_grid(inputs[1]);
  EXPECT_TRUE(std::is_sorted(g.data.begin(), g.data.end()));
  EXPECT_EQ(g.data.front(), 0);
  EXPECT_EQ(g.data.back(), 2);
  EXPECT_NO_THROW(evaluate(program, inputs));
}

TEST(HostArrays, AreOfTheirShape) {
  EXPECT_EQ(error_of([] { HostArray(DType::f32, {2, -3}); }), "f32[2, -3] has a dimension of -3; a size is at least 0");
  const Program program = Program::parse("add(n=3)");
  const Executable executable = compile(program, {.device = "sim", .use_store = false});
  for (const std::size_t bytes : {4, 16}) {
    std::vector<HostArray> inputs(2, HostArray(DType::f32, {3}));
    inputs[1].data.resize(bytes);
    const std::string why =
        " is f32[3], of 12 bytes, but its data has " + std::to_string(bytes) + "; make it by HostArray(dtype, shape)";
    EXPECT_EQ(error_of([&] { run_host(executable, inputs); }), "input b" + why);
    EXPECT_EQ(error_of([&] { check_outputs(program, {}, inputs, std::vector{inputs[0]}); }), "an array for add" + why);
  }
}

TEST(HostArrays, HoldEveryDtype) {
  for (int d = 0; d < kDTypeCount; ++d) {
    HostArray array(static_cast<DType>(d), {2, 2});
    array.set_value(3, 1);
    EXPECT_EQ(array.value(3), 1) << array.type();
    EXPECT_EQ(array.value(0), 0) << array.type();
  }
}

}  // namespace
}  // namespace quern::test
