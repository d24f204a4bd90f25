#include "runtime/cpu_device.h"

#include <chrono>
#include <fstream>

#include "base/error.h"
#include "runtime/host_device.h"
#include "runtime/host_memory.h"
#if QUERN_WITH_CPU
#include "runtime/cpu/load.h"
#endif

namespace quern::runtime {
namespace {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

class CpuDevice final : public HostDevice {
 public:
  CpuDevice()
      : HostDevice({.id = "cpu",
                    .name = processor_name(),
                    .uuid = "",
                    .index = 0,
                    .memory_bytes = physical_memory(),
                    .target = host_cpu_target()}) {}

  std::unique_ptr<LoadedProgram> load([[maybe_unused]] const Plan& plan,
                                      [[maybe_unused]] const Binary& binary) override {
#if QUERN_WITH_CPU
    return cpu::load(plan, binary);
#else
    fail("program '{}' was compiled for {}, but this build of Quern has no CPU back end; build with QUERN_CPU=ON",
         plan.name, binary.target);
#endif
  }

  std::vector<double> measure(const std::function<void(void* stream)>& work, int warmup, int samples,
                              void* stream) override {
    for (int i = 0; i < warmup; ++i) work(stream);
    std::vector<double> seconds;
    for (int i = 0; i < samples; ++i) {
      const auto start = std::chrono::steady_clock::now();
      work(stream);
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return seconds;
  }
};

}  // namespace

Device& cpu_device() {
  static CpuDevice device;
  return device;
}

}  // namespace quern::runtime
