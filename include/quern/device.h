#pragma once
// Devices to run on, and what a host does with them: memory, streams, time. Programs that have a CUDA context, streams
// and memory of their own need none of this: an Executable takes their pointers and streams as they are.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quern/export.h"

namespace quern {

namespace runtime {
class Device;
}  // namespace runtime

// Nominal rates of a whole device, for rooflines: operations per second (a multiply-add counts two; 0: no such unit)
// and bytes per second of its memory.
struct Rates {
  double f64 = 0, f32 = 0, f16 = 0;                                      // ordinary arithmetic
  double tensor_f16 = 0, tensor_tf32 = 0, tensor_f8 = 0, tensor_i8 = 0;  // tensor units
  double bandwidth = 0;
};

struct DeviceInfo {
  std::string id;      // "cuda:0", "cpu"
  std::string name;    // the vendor's: "NVIDIA H200"
  std::string uuid;    // of a GPU
  std::string target;  // what it is compiled for: "cuda:sm_90a", "cpu:x86-64-v4"
  std::int64_t memory_bytes = 0;
  std::int64_t l2_bytes = 0;
  int processors = 0;  // SMs of a GPU, cores that this process may use of a CPU
  bool is_gpu = false;
  Rates rates;
};

// All devices, GPUs first, then the CPU where this build can run on it.
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::string why_no_gpu;  // what was looked for, where, and what is missing; empty where there is one
};

// Looks once per call; a missing driver is no error. Thread-safe.
QUERN_API DeviceList devices();

// The targets that programs can be compiled for without a device: "cuda:sm_80", ..., "cpu:x86-64-v3".
QUERN_API std::vector<std::string> targets();

// One open device; copies are the same. Thread-safe. A stream is a CUstream on a GPU (null: the default one) and null
// on the CPU.
class QUERN_API Device {
 public:
  // "cuda:1", "cuda" (the first GPU), "cpu", "sim:sm_90a" (the simulator), or "" for the best one present. Throws Error
  // saying what is missing.
  static Device open(std::string_view id = "");

  DeviceInfo info() const;

  // Memory aligned to at least 256 bytes, null for 0 bytes. Throws Error with the bytes wanted and free.
  void* allocate(std::size_t bytes) const;
  void release(void* memory) const noexcept;

  // Copies in stream order and waits for it. `fill` returns at once on a GPU.
  void upload(void* to, const void* from, std::size_t bytes, void* stream = nullptr) const;
  void download(void* to, const void* from, std::size_t bytes, void* stream = nullptr) const;
  void fill(void* memory, std::uint8_t value, std::size_t bytes, void* stream = nullptr) const;

  void* create_stream() const;
  void destroy_stream(void* stream) const noexcept;
  void synchronize(void* stream = nullptr) const;

  // Calls `work(stream)` `warmup` times, then times it `samples` times, one after the other: seconds of each, by device
  // events on a GPU and by the steady clock on the CPU.
  std::vector<double> measure(const std::function<void(void* stream)>& work, int warmup, int samples,
                              void* stream = nullptr) const;

  // Below is the way between this and the library's own form.
  explicit Device(runtime::Device& device) : device_(&device) {}
  runtime::Device& runtime() const { return *device_; }

 private:
  runtime::Device* device_;
};

// Device memory that is released with its owner.
class QUERN_API DeviceBuffer {
 public:
  DeviceBuffer(const Device& device, std::size_t bytes);
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  ~DeviceBuffer();

  void* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  Device device_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// The most threads that kernels on the CPU use, process-wide; 0: as many as there are cores.
QUERN_API void set_cpu_threads(int threads);
// That number: as set, else QUERN_THREADS, else the cores that this process may use. 0: this build runs nothing on the
// CPU.
QUERN_API int cpu_threads();

}  // namespace quern
