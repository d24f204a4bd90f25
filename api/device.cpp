#include "quern/device.h"

#include <utility>

#include "api/device.h"
#include "base/error.h"
#include "base/target.h"
#include "quern/quern.h"
#include "runtime/device.h"
#if QUERN_WITH_CPU
#include "runtime/cpu/threads.h"
#endif

namespace quern {
namespace {

DeviceInfo info_of(const runtime::DeviceInfo& device) {
  const Target& target = device.target;
  const PeakRates& peak = target.peak;
  return {.id = device.id,
          .name = device.name,
          .uuid = device.uuid,
          .target = to_text(target),
          .memory_bytes = device.memory_bytes,
          .l2_bytes = target.is_gpu() ? target.gpu.l2_bytes : target.cpu.l2_bytes,
          .processors = target.is_gpu() ? target.gpu.sm_count : target.cpu.cores,
          .is_gpu = target.is_gpu(),
          .rates = {.f64 = peak.f64,
                    .f32 = peak.f32,
                    .f16 = peak.f16,
                    .tensor_f16 = peak.tensor_f16,
                    .tensor_tf32 = peak.tensor_tf32,
                    .tensor_f8 = peak.tensor_f8,
                    .tensor_i8 = peak.tensor_i8,
                    .bandwidth = peak.bandwidth}};
}

}  // namespace

namespace api {

runtime::Device& open_device(std::string_view id) {
  if (!id.empty()) return runtime::open_device(id);
  const runtime::DeviceList list = runtime::list_devices();
  if (list.devices.empty()) fail("there is no device to run on; no GPU: {}", list.why_no_cuda);
  return runtime::open_device(list.devices.front().id);
}

}  // namespace api

DeviceList devices() {
  const runtime::DeviceList list = runtime::list_devices();
  DeviceList result{.devices = {}, .why_no_gpu = list.why_no_cuda};
  for (const runtime::DeviceInfo& device : list.devices) result.devices.push_back(info_of(device));
  return result;
}

std::vector<std::string> targets() {
  const std::span<const std::string> known = known_targets();
  return {known.begin(), known.end()};
}

Device Device::open(std::string_view id) { return Device(api::open_device(id)); }

DeviceInfo Device::info() const { return info_of(device_->info()); }

void* Device::allocate(std::size_t bytes) const { return device_->allocate(bytes); }
void Device::release(void* memory) const noexcept { device_->release(memory); }

void Device::upload(void* to, const void* from, std::size_t bytes, void* stream) const {
  device_->upload(to, from, bytes, stream);
}
void Device::download(void* to, const void* from, std::size_t bytes, void* stream) const {
  device_->download(to, from, bytes, stream);
}
void Device::fill(void* memory, std::uint8_t value, std::size_t bytes, void* stream) const {
  device_->fill(memory, value, bytes, stream);
}

void* Device::create_stream() const { return device_->create_stream(); }
void Device::destroy_stream(void* stream) const noexcept { device_->destroy_stream(stream); }
void Device::synchronize(void* stream) const { device_->synchronize(stream); }

std::vector<double> Device::measure(const std::function<void(void* stream)>& work, int warmup, int samples,
                                    void* stream) const {
  if (warmup < 0 || samples < 0) fail("{} calls to warm up and {} to time; give 0 or more of each", warmup, samples);
  return device_->measure(work, warmup, samples, stream);
}

DeviceBuffer::DeviceBuffer(const Device& device, std::size_t bytes)
    : device_(device), data_(device.allocate(bytes)), bytes_(bytes) {}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : device_(other.device_), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) device_.release(data_);
}

void set_cpu_threads([[maybe_unused]] int threads) {
#if QUERN_WITH_CPU
  runtime::cpu::set_thread_count(threads);
#endif
}

int cpu_threads() {
#if QUERN_WITH_CPU
  return runtime::cpu::thread_count();
#else
  return 0;
#endif
}

std::string_view version() { return QUERN_VERSION; }

}  // namespace quern
