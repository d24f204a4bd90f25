#include "runtime/simulator/device.h"

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "runtime/host_device.h"
#include "runtime/host_memory.h"
#include "runtime/simulator/program.h"

namespace quern::runtime::simulator {
namespace {

DeviceInfo describe(Target target) {
  return {.id = to_text(target),
          .name = "simulator of " + target.arch,
          .uuid = "",
          .index = 0,
          .memory_bytes = physical_memory(),
          .target = std::move(target)};
}

class SimulatorDevice final : public HostDevice {
 public:
  explicit SimulatorDevice(Target target) : HostDevice(describe(std::move(target))) {}

  std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary) override {
    return simulator::load(plan, binary, info().target);
  }

  std::vector<double> measure(const std::function<void(void* stream)>&, int, int, void*) override {
    fail("{} has no timing: it tells what a kernel does, not how long it takes; measure on a GPU", info().id);
  }
};

}  // namespace

Device& open_device(std::string_view id) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<SimulatorDevice>, std::less<>> devices;
  const Target target = parse_target(id);  // its Error lists what there is
  const std::lock_guard lock(mutex);
  auto& device = devices[to_text(target)];
  if (!device) device = std::make_unique<SimulatorDevice>(target);
  return *device;
}

void set_mode(bool checks, std::uint64_t seed) { settings() = {checks, seed}; }

}  // namespace quern::runtime::simulator
