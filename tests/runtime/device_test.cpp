#include "runtime/device.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/error.h"

namespace quern::runtime {
namespace {

std::string refusal(std::string_view id) {
  try {
    open_device(id);
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

TEST(Device, ListsTheGpusOrSaysWhyThereAreNone) {
  const DeviceList list = list_devices();
  const bool gpu = !list.devices.empty() && list.devices[0].target.kind == TargetKind::cuda;
  EXPECT_EQ(list.why_no_cuda.empty(), gpu) << list.why_no_cuda;
#if QUERN_WITH_CUDA
  if (!gpu) {
    EXPECT_NE(list.why_no_cuda.find("libcuda.so.1"), std::string::npos) << list.why_no_cuda;
  }
#endif
  for (const DeviceInfo& info : list.devices) {
    EXPECT_EQ(open_device(info.id).info().name, info.name);
    EXPECT_GT(info.memory_bytes, 0);
  }
}

#if !QUERN_WITH_CUDA
TEST(Device, ABuildWithoutCudaSaysSo) {
  const std::string why = "this build of Quern has no CUDA (QUERN_CUDA=OFF)";
  EXPECT_EQ(list_devices().why_no_cuda, why);
  EXPECT_EQ(refusal("cuda"), "no device 'cuda': " + why);
  EXPECT_EQ(refusal("cuda:1"), "no device 'cuda:1': " + why);
}
#endif

TEST(Device, UnknownIdsAreRefusedWithTheReason) {
  EXPECT_EQ(refusal("tpu"),
            "unknown device 'tpu'; a device is 'cpu', 'cuda', 'cuda:INDEX' or a simulated 'sim:ARCHITECTURE'");
  EXPECT_NE(refusal("cuda:x"), "");
  EXPECT_NE(refusal("cuda:-1"), "");
  EXPECT_NE(refusal("cuda:4096"), "");
}

TEST(Device, TheCpuHasMemoryAndAClock) {
  Device& cpu = open_device("cpu");
  EXPECT_EQ(cpu.info().target.kind, TargetKind::cpu);
  Buffer buffer(cpu, 1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u);
  std::array<unsigned char, 1000> host{};
  cpu.fill(buffer.data(), 7, buffer.size(), nullptr);
  cpu.download(host.data(), buffer.data(), host.size(), nullptr);
  EXPECT_EQ(host[999], 7);
  Buffer moved = std::move(buffer);
  EXPECT_EQ(moved.size(), 1000u);
  int calls = 0;
  const auto seconds = cpu.measure([&](void*) { ++calls; }, 2, 5, nullptr);
  EXPECT_EQ(calls, 7);
  EXPECT_EQ(seconds.size(), 5u);
  EXPECT_EQ(Buffer(cpu, 0).data(), nullptr);
}

TEST(Device, TooMuchMemoryIsAnErrorWithNumbers) {
  try {
    Buffer buffer(open_device("cpu"), std::size_t{1} << 60);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("out of memory on cpu: 1152921504606846976 bytes wanted"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace quern::runtime
