// Kernels for what follows a peer's sums, on the CPU.

#include "bench/eager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace quern::bench {
namespace {

// Runs it over f32 sums and a bias on the CPU.
std::vector<float> finished(const BiasAct& after, const std::vector<std::int64_t>& shape, std::size_t channel,
                            const std::vector<float>& sums, std::vector<float> bias) {
  const Eager eager(Device::open("cpu"), after, {.shape = shape, .channel = channel});
  std::ranges::copy(sums, static_cast<float*>(eager.sums()));
  std::vector<float> result(sums.size());
  std::vector<void*> arguments = {nullptr, nullptr};  // the operands
  if (after.bias) arguments.push_back(bias.data());
  arguments.push_back(result.data());
  eager.finish(arguments, nullptr);
  return result;
}

class EagerTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::vector<DeviceInfo> list = devices().devices;
    if (list.empty() || list.back().id != "cpu") GTEST_SKIP() << "this build cannot run on the CPU";
  }
};

TEST_F(EagerTest, AddsABiasPerChannel) {
  const std::vector<float> sums = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(finished({.bias = true}, {2, 3}, 1, sums, {10, 20, 30}), (std::vector<float>{11, 22, 33, 14, 25, 36}));
  EXPECT_EQ(finished({.bias = true}, {1, 3, 1, 2}, 1, sums, {10, 20, 30}),
            (std::vector<float>{11, 12, 23, 24, 35, 36}));
}

TEST_F(EagerTest, ActivatesAfterTheBias) {
  EXPECT_EQ(finished({.bias = true, .act = "relu"}, {2, 2}, 1, {-3, -3, 1, -1}, {2, 4}),
            (std::vector<float>{0, 1, 3, 3}));
  EXPECT_EQ(finished({.act = "relu"}, {2, 2}, 1, {-3, -3, 1, -1}, {}), (std::vector<float>{0, 0, 1, 0}));
}

TEST_F(EagerTest, RoundsToTheResultsDType) {
  const Eager eager(Device::open("cpu"), {.act = "relu"}, {.shape = {1, 1}, .channel = 1, .out = DType::bf16});
  *static_cast<float*>(eager.sums()) = 1.0F + 1.0F / 1024;
  std::uint16_t y = 0;
  eager.finish(std::array<void*, 1>{&y}, nullptr);
  EXPECT_EQ(y, 0x3f80);  // 1
}

TEST(EagerProgram, RoundsTheSumsInBetween) {
  const Product product{.m = 4,
                        .n = 3,
                        .k = 2,
                        .b_transposed = true,
                        .dtype = DType::bf16,
                        .out = DType::bf16,
                        .after = {.bias = true, .act = "relu"}};
  EXPECT_EQ(eager_program(product), Program::parse(R"(
    kernel product(a: bf16[4, 2], b: bf16[3, 2], bias: bf16[3]) -> (y: bf16[4, 3]) {
      sums[i, j] = bf16(sum[p](f32(a[i, p]) * f32(b[j, p])))
      y[i, j] = bf16(relu(f32(sums[i, j]) + f32(bias[j])))
    })"));
  const Convolution convolution{.n = 1,
                                .c = 2,
                                .h = 5,
                                .w = 5,
                                .k = 4,
                                .r = 3,
                                .s = 3,
                                .padding = {1, 1, 1, 1},
                                .nhwc = true,
                                .dtype = DType::bf16,
                                .out = DType::bf16,
                                .after = {.act = "relu"}};
  EXPECT_EQ(eager_program(convolution), Program::parse(R"(
    kernel convolution(x: bf16[1, 5, 5, 2], f: bf16[4, 3, 3, 2]) -> (y: bf16[1, 5, 5, 4]) {
      sums[b, p, q, o] = bf16(sum[u in 3, v in 3, i](f32(x[b, p + u - 1, q + v - 1, i] else 0) * f32(f[o, u, v, i])))
      y[b, p, q, o] = bf16(relu(f32(sums[b, p, q, o])))
    })"));
}

}  // namespace
}  // namespace quern::bench
