#include "runtime/cpu_device.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/error.h"
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

std::int64_t physical_memory() {
  return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
}

class CpuDevice final : public Device {
 public:
  CpuDevice()
      : info_{.id = "cpu",
              .name = processor_name(),
              .uuid = "",
              .index = 0,
              .memory_bytes = physical_memory(),
              .target = host_cpu_target()} {}

  const DeviceInfo& info() const override { return info_; }

  std::unique_ptr<LoadedProgram> load([[maybe_unused]] const Plan& plan,
                                      [[maybe_unused]] const Binary& binary) override {
#if QUERN_WITH_CPU
    return cpu::load(plan, binary);
#else
    fail("program '{}' was compiled for {}, but this build of Quern has no CPU back end; build with QUERN_CPU=ON",
         plan.name, binary.target);
#endif
  }

  void* allocate(std::size_t bytes) override {
    constexpr std::size_t kAlignment = 256;
    if (bytes == 0) return nullptr;
    require_host_memory(bytes, "a buffer");
    void* memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (memory == nullptr) fail("out of memory on cpu: {} bytes wanted, the machine has {}", bytes, info_.memory_bytes);
    return memory;
  }

  void release(void* memory) noexcept override { std::free(memory); }

  void upload(void* to, const void* from, std::size_t bytes, void*) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, std::size_t bytes, void* stream) override {
    upload(to, from, bytes, stream);
  }
  void fill(void* memory, std::uint8_t value, std::size_t bytes, void*) override {
    if (bytes > 0) std::memset(memory, value, bytes);
  }

  void* create_stream() override { return nullptr; }
  void destroy_stream(void*) noexcept override {}
  void synchronize(void*) override {}

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

 private:
  DeviceInfo info_;
};

}  // namespace

Device& cpu_device() {
  static CpuDevice device;
  return device;
}

}  // namespace quern::runtime
