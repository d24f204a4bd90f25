#include "runtime/device.h"

#include <charconv>

#include "base/error.h"
#include "runtime/cpu_device.h"
#include "runtime/simulator/device.h"
#if QUERN_WITH_CUDA
#include "runtime/cuda/device.h"
#endif

namespace quern::runtime {
namespace {

constexpr std::string_view kNoCudaInBuild = "this build of Quern has no CUDA (QUERN_CUDA=OFF)";

Device& open_cuda([[maybe_unused]] std::string_view id, [[maybe_unused]] int index) {
#if QUERN_WITH_CUDA
  return cuda::open_device(index);
#else
  fail("no device '{}': {}", id, kNoCudaInBuild);
#endif
}

}  // namespace

DeviceList list_devices() {
  DeviceList list;
#if QUERN_WITH_CUDA
  try {
    list.devices = cuda::list_devices();
  } catch (const Error& e) {
    list.why_no_cuda = e.what();
  }
#else
  list.why_no_cuda = kNoCudaInBuild;
#endif
#if QUERN_WITH_CPU
  list.devices.push_back(cpu_device().info());
#endif
  return list;
}

Device& open_device(std::string_view id) {
  if (id == "cpu") return cpu_device();
  if (id == "cuda") return open_cuda(id, 0);
  if (id.starts_with("cuda:")) {
    int index = 0;
    const auto [end, error] = std::from_chars(id.data() + 5, id.data() + id.size(), index);
    if (error == std::errc() && end == id.data() + id.size() && index >= 0) return open_cuda(id, index);
  }
  if (id == "sim") return simulator::open_device("sim:sm_90a");
  if (id.starts_with("sim:")) return simulator::open_device(id);
  fail("unknown device '{}'; a device is 'cpu', 'cuda', 'cuda:INDEX' or a simulated 'sim:ARCHITECTURE'", id);
}

}  // namespace quern::runtime
