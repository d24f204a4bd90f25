#pragma once
// The neutral face of everything that runs plans: which devices there are, and a loaded program that launches without
// saying on what. It names no CUDA and no LLVM type, so it builds and answers on every machine.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/plan.h"
#include "base/target.h"

namespace quern::runtime {

namespace simulator {
struct Report;
}  // namespace simulator

// One device to run on.
struct DeviceInfo {
  std::string id;    // "cuda:0", "cpu", "sim:sm_90a": as written on the command line
  std::string name;  // the vendor's, such as "NVIDIA H200"
  std::string uuid;  // "GPU-...", as nvidia-smi shows it; empty for the CPU
  int index = 0;     // among the devices of its kind
  std::int64_t memory_bytes = 0;
  Target target;  // the architecture to compile for, with this device's own counts
};

// All devices, GPUs first, then the CPU (when this build can run on it).
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::string why_no_cuda;  // what was looked for, where, and what is missing; empty when there is a GPU
};

// Looks once per call; never throws for a missing GPU or driver. Thread-safe.
DeviceList list_devices();

// Compiled code for one target: a cubin (cuda), a relocatable ELF object (cpu) or kernel programs as text (sim),
// holding all kernels of one plan.
struct Binary {
  std::string target;  // Target's text
  std::vector<std::byte> bytes;
  bool operator==(const Binary&) const = default;
};

// A plan bound to its binary on one device. Argument pointers stand in the order of Plan::arguments, symbol values in
// the order of Plan::symbols. Thread-safe: calls from several threads, on several streams, need no lock.
class LoadedProgram {
 public:
  virtual ~LoadedProgram() = default;

  // Bytes of scratch memory that a launch with these symbols takes: enough for every variant that may serve them.
  virtual std::size_t workspace_bytes(std::span<const std::int64_t> symbols) const = 0;

  // Does everything that a first launch would do (loading, `once` steps on const arguments, tensor maps), so that a
  // launch with the same arguments may be captured into a graph. Waits for the work it starts.
  virtual void prepare(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void* stream) = 0;

  // Drops what `once` steps computed: before the memory of const arguments gets other contents. Not while a call runs.
  virtual void forget_constants() = 0;

  // Runs the program on `stream` (a CUstream; ignored on the CPU, which returns when it is done). `workspace` holds
  // workspace_bytes(symbols) bytes aligned to kWorkspaceAlignment and stays in use until the stream has passed this
  // call; null: it is taken and given back in stream order. Throws Error for null, misaligned or overlapping pointers
  // and when no variant serves the call.
  virtual void launch(std::span<void* const> arguments, std::span<const std::int64_t> symbols, void* stream,
                      void* workspace) = 0;

  // On the simulator what the last launch that ended found and counted; null elsewhere.
  virtual std::shared_ptr<const simulator::Report> simulation() const { return nullptr; }
};

// One open device. Thread-safe.
class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;

  // Loads `binary`, which must hold the plan's kernels. Throws Error when it was compiled for something else.
  virtual std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary) = 0;

  // Memory aligned to at least 256 bytes; null for 0 bytes. Throws Error with the bytes wanted and free.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;

  // Copies in stream order, then waits for it. `fill` returns at once on a GPU.
  virtual void upload(void* to, const void* from, std::size_t bytes, void* stream) = 0;
  virtual void download(void* to, const void* from, std::size_t bytes, void* stream) = 0;
  virtual void fill(void* memory, std::uint8_t value, std::size_t bytes, void* stream) = 0;

  // Streams; null is the device's default one, and on the CPU the only one.
  virtual void* create_stream() = 0;
  virtual void destroy_stream(void* stream) noexcept = 0;
  virtual void synchronize(void* stream) = 0;

  // Calls `work(stream)` `warmup` times, then times it `samples` times, one after the other: seconds of each, by device
  // events on a GPU and by the steady clock on the CPU.
  virtual std::vector<double> measure(const std::function<void(void* stream)>& work, int warmup, int samples,
                                      void* stream) = 0;
};

// The device written as `id`: "cuda:1", "cuda" (the first GPU), "cpu", or "sim:sm_90a", the simulator of an
// architecture. One object per device, shared and kept for
// the life of the process. Throws Error saying what is missing. Thread-safe.
Device& open_device(std::string_view id);

// Device memory that is released with its owner.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, std::size_t bytes) : device_(&device), data_(device.allocate(bytes)), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) device_->release(data_);
  }

  void* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// A stream that is destroyed with its owner.
class Stream {
 public:
  explicit Stream(Device& device) : device_(device), handle_(device.create_stream()) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { device_.destroy_stream(handle_); }

  void* get() const { return handle_; }
  void synchronize() const { device_.synchronize(handle_); }

 private:
  Device& device_;
  void* handle_;
};

}  // namespace quern::runtime
