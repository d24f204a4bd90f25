#include "runtime/cuda/device.h"

#include <limits>
#include <map>
#include <mutex>

#include "base/error.h"
#include "runtime/cuda/context.h"
#include "runtime/cuda/program.h"

namespace quern::runtime::cuda {
namespace {

int attribute(CUdevice device, CUdevice_attribute which) {
  int value = 0;
  check(driver().cuDeviceGetAttribute(&value, which, device), "reading a device attribute");
  return value;
}

std::string uuid_text(CUdevice device) {
  CUuuid uuid{};
  check(driver().cuDeviceGetUuid(&uuid, device), "reading a device's UUID");
  std::string text = "GPU-";
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

// The architecture's row with this board's own counts; rates scale with its SMs, the bandwidth is its memory's.
Target target_of(CUdevice device, std::string_view arch) {
  Target target = parse_target("cuda:" + std::string(arch));
  const int nominal = target.gpu.sm_count;
  target.gpu.sm_count = attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  target.gpu.l2_bytes = attribute(device, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
  target.gpu.shared_per_block = attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  target.gpu.shared_per_sm = attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
  target.gpu.shared_reserved = attribute(device, CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK);
  PeakRates& peak = target.peak;
  for (double* rate : {&peak.tensor_f16, &peak.tensor_tf32, &peak.tensor_f8, &peak.tensor_i8, &peak.tensor_f64,
                       &peak.f32, &peak.f16, &peak.f64}) {
    *rate *= static_cast<double>(target.gpu.sm_count) / nominal;
  }
  const double kilohertz = attribute(device, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
  const double bits = attribute(device, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
  if (kilohertz > 0 && bits > 0) peak.bandwidth = kilohertz * 1e3 * 2 * bits / 8;  // two transfers per clock
  return target;
}

// Description of GPU `index`; empty arch: Quern makes no code for it.
DeviceInfo describe(int index, std::string* unknown) {
  const Driver& d = driver();
  CUdevice device = 0;
  check(d.cuDeviceGet(&device, index), fmt::format("opening cuda:{}", index));
  char name[256] = {};
  check(d.cuDeviceGetName(name, sizeof name, device), "reading a device's name");
  const int major = attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  const int minor = attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  const std::string_view arch = arch_for_capability(major, minor);
  if (arch.empty()) {
    *unknown += fmt::format("cuda:{} ({}) has compute capability {}.{}, for which Quern makes no code. ", index, name,
                            major, minor);
    return {};
  }
  std::size_t bytes = 0;
  check(d.cuDeviceTotalMem(&bytes, device), "reading a device's memory");
  return {.id = fmt::format("cuda:{}", index),
          .name = name,
          .uuid = uuid_text(device),
          .index = index,
          .memory_bytes = static_cast<std::int64_t>(bytes),
          .target = target_of(device, arch)};
}

Gpu open_gpu(const DeviceInfo& info) {
  const Driver& d = driver();
  Gpu gpu{.id = info.id};
  check(d.cuDeviceGet(&gpu.device, info.index), "opening " + info.id);
  check(d.cuDevicePrimaryCtxRetain(&gpu.primary, gpu.device), "creating the primary context of " + info.id);
  CUmemPoolProps properties{};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = info.index};
  check(d.cuMemPoolCreate(&gpu.pool, &properties), "creating the workspace pool of " + info.id);
  // Keep freed workspaces: giving them back at every synchronisation would make each launch allocate anew.
  cuuint64_t keep = std::numeric_limits<cuuint64_t>::max();
  check(d.cuMemPoolSetAttribute(gpu.pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), "setting up the workspace pool");
  const auto limit = [&gpu](DeviceLimit which) -> std::int64_t& { return gpu.limits[static_cast<std::size_t>(which)]; };
  limit(DeviceLimit::processors) = info.target.gpu.sm_count;
  limit(DeviceLimit::shared_per_block) = info.target.gpu.shared_per_block;
  limit(DeviceLimit::shared_per_sm) = info.target.gpu.shared_per_sm;
  limit(DeviceLimit::l2_bytes) = info.target.gpu.l2_bytes;
  return gpu;
}

CUdeviceptr address(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }

class Event {
 public:
  Event() { check(driver().cuEventCreate(&handle, CU_EVENT_DEFAULT), "creating an event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { driver().cuEventDestroy(handle); }

  void record(CUstream stream) const { check(driver().cuEventRecord(handle, stream), "recording an event"); }

  CUevent handle = nullptr;
};

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(DeviceInfo info) : info_(std::move(info)), gpu_(open_gpu(info_)) {}

  const DeviceInfo& info() const override { return info_; }

  std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary) override {
    const std::string own = to_text(info_.target);
    if (binary.target != own) {
      fail("program '{}' was compiled for {}, but {} ({}) needs {}", plan.name, binary.target, info_.id, info_.name,
           own);
    }
    return load_program(gpu_, plan, binary);
  }

  void* allocate(std::size_t bytes) override {
    if (bytes == 0) return nullptr;
    const CurrentContext context(gpu_);
    CUdeviceptr memory = 0;
    CUresult result = driver().cuMemAlloc(&memory, bytes);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {  // the pool may hold unused workspaces
      driver().cuMemPoolTrimTo(gpu_.pool, 0);
      result = driver().cuMemAlloc(&memory, bytes);
    }
    if (result != CUDA_SUCCESS) fail_out_of_memory(gpu_, bytes, result);
    return reinterpret_cast<void*>(memory);
  }

  void release(void* memory) noexcept override {
    if (memory == nullptr) return;
    const CurrentContext context(gpu_);
    driver().cuMemFree(address(memory));
  }

  void upload(void* to, const void* from, std::size_t bytes, void* stream) override {
    copy(address(to), address(from), bytes, stream, "copying to the device");
  }

  void download(void* to, const void* from, std::size_t bytes, void* stream) override {
    copy(address(to), address(from), bytes, stream, "copying from the device");
  }

  void fill(void* memory, std::uint8_t value, std::size_t bytes, void* stream) override {
    if (bytes == 0) return;
    const CurrentContext context(gpu_);
    check(driver().cuMemsetD8Async(address(memory), value, bytes, static_cast<CUstream>(stream)), "filling memory");
  }

  void* create_stream() override {
    const CurrentContext context(gpu_);
    CUstream stream = nullptr;
    check(driver().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "creating a stream");
    return stream;
  }

  void destroy_stream(void* stream) noexcept override {
    if (stream != nullptr) driver().cuStreamDestroy(static_cast<CUstream>(stream));
  }

  void synchronize(void* stream) override {
    const CurrentContext context(gpu_);
    check(driver().cuStreamSynchronize(static_cast<CUstream>(stream)), "waiting for the device");
  }

  std::vector<double> measure(const std::function<void(void* stream)>& work, int warmup, int samples,
                              void* stream) override {
    const CurrentContext context(gpu_);
    const auto on = static_cast<CUstream>(stream);
    for (int i = 0; i < warmup; ++i) work(stream);
    std::vector<Event> starts(static_cast<std::size_t>(samples)), ends(static_cast<std::size_t>(samples));
    for (std::size_t i = 0; i < starts.size(); ++i) {
      starts[i].record(on);
      work(stream);
      ends[i].record(on);
    }
    check(driver().cuStreamSynchronize(on), "waiting for measurements");
    std::vector<double> seconds;
    for (std::size_t i = 0; i < starts.size(); ++i) {
      float milliseconds = 0;
      check(driver().cuEventElapsedTime(&milliseconds, starts[i].handle, ends[i].handle), "reading a measurement");
      seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
    }
    return seconds;
  }

 private:
  void copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, void* stream, std::string_view what) {
    if (bytes == 0) return;
    const CurrentContext context(gpu_);
    check(driver().cuMemcpyAsync(to, from, bytes, static_cast<CUstream>(stream)), what);
    check(driver().cuStreamSynchronize(static_cast<CUstream>(stream)), what);
  }

  DeviceInfo info_;
  Gpu gpu_;
};

}  // namespace

std::vector<DeviceInfo> list_devices() {
  int count = 0;
  check(driver().cuDeviceGetCount(&count), "counting GPUs");
  std::vector<DeviceInfo> devices;
  std::string unknown;
  for (int i = 0; i < count; ++i) {
    DeviceInfo info = describe(i, &unknown);
    if (!info.id.empty()) devices.push_back(std::move(info));
  }
  if (devices.empty()) fail("no usable GPU: the driver shows {}. {}", count, unknown);
  return devices;
}

Device& open_device(int index) {
  static std::mutex mutex;
  // Never destroyed: the driver may be gone before static destructors run.
  static auto& opened = *new std::map<int, std::unique_ptr<CudaDevice>>;
  const std::lock_guard lock(mutex);
  if (const auto found = opened.find(index); found != opened.end()) return *found->second;
  const std::vector<DeviceInfo> devices = list_devices();
  for (const DeviceInfo& info : devices) {
    if (info.index == index) return *opened.emplace(index, std::make_unique<CudaDevice>(info)).first->second;
  }
  fail("no device 'cuda:{}': there are {} usable GPUs, the first is {}", index, devices.size(), devices[0].id);
}

}  // namespace quern::runtime::cuda
