// Device memory and timing on a real GPU.

#include "tests/runtime/gpu/gpu_fixture.h"

namespace quern::runtime {
namespace {

using GpuDevice = Gpu;

TEST_F(GpuDevice, DescribesItself) {
  const DeviceInfo& info = device().info();
  EXPECT_EQ(info.id, "cuda:0");
  EXPECT_EQ(info.uuid.size(), 40u);
  const Target row = parse_target(to_text(info.target));
  EXPECT_EQ(info.target.gpu.shared_per_block, row.gpu.shared_per_block);
  EXPECT_EQ(info.target.gpu.shared_per_sm, row.gpu.shared_per_sm);
  EXPECT_EQ(info.target.gpu.shared_reserved, row.gpu.shared_reserved);
  EXPECT_GT(info.target.peak.bandwidth, 1e11);
  std::printf("%s: %d SMs, %.2f TB/s, L2 %ld bytes\n", info.name.c_str(), info.target.gpu.sm_count,
              info.target.peak.bandwidth * 1e-12, static_cast<long>(info.target.gpu.l2_bytes));
}

TEST_F(GpuDevice, MemoryKeepsWhatIsCopied) {
  const std::vector<float> values = counting(12345, 3);
  const Buffer buffer = upload(values);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u);
  EXPECT_EQ(download(buffer), values);
  EXPECT_EQ(Buffer(device(), 0).data(), nullptr);
}

TEST_F(GpuDevice, ExhaustedMemoryIsAnErrorWithNumbers) {
  try {
    const Buffer buffer(device(), std::size_t{1} << 50);
    FAIL();
  } catch (const Error& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("device memory exhausted on cuda:0: 1125899906842624 bytes wanted, "), std::string::npos)
        << text;
    EXPECT_NE(text.find(" free; "), std::string::npos) << text;
  }
}

TEST_F(GpuDevice, MeasuresWithEvents) {
  const Buffer buffer(device(), 64 << 20);
  const Stream stream(device());
  int calls = 0;
  const auto seconds = device().measure(
      [&](void* on) {
        ++calls;
        device().fill(buffer.data(), 1, buffer.size(), on);
      },
      3, 10, stream.get());
  EXPECT_EQ(calls, 13);
  ASSERT_EQ(seconds.size(), 10u);
  for (double s : seconds) {
    EXPECT_GT(s, 1e-6);
    EXPECT_LT(s, 1);
  }
}

}  // namespace
}  // namespace quern::runtime
