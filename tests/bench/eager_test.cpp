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

}  // namespace
}  // namespace quern::bench
