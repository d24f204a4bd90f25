#pragma once
// Compiles hand-built kernels for this processor and runs them in the test's process.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/cpu_kernel.h"
#include "base/target.h"
#include "ir/kernel.h"

namespace quern::codegen {

// The targets that this machine can run: its own feature level and all below.
std::vector<Target> runnable_targets();

// A target's level as a test's name.
std::string test_name(const Target& target);

class CpuRunner {
 public:
  CpuRunner(const ir::Kernel& kernel, const Target& target);
  ~CpuRunner();

  void run(std::vector<void*> buffers, std::vector<std::int64_t> scalars = {},
           std::array<std::int64_t, 3> grid = {1, 1, 1}) const;

 private:
  struct Session;
  std::unique_ptr<Session> session_;
  CpuKernelFunction function_ = nullptr;
  std::int64_t scratch_bytes_ = 0;
};

// A kernel in thread form with its lane, one block variable per grid extent, and nothing in it.
ir::Kernel thread_kernel(std::string name, int lanes, std::vector<ir::Expr> grid = {ir::Expr(1)});
int native_lanes(const Target& target);

ir::BufferRef global_buffer(std::string name, DType dtype);
ir::BufferRef fragment(std::string name, DType dtype, std::int64_t size);
ir::BufferRef shared_buffer(std::string name, DType dtype, std::int64_t size);

// Memory that ends where reading on faults, or begins where reading before faults.
class GuardedMemory {
 public:
  explicit GuardedMemory(std::size_t bytes);
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory();
  void* data() const { return data_; }  // bytes up to the fault
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* pages_ = nullptr;
  std::size_t mapped_ = 0;
  void* data_ = nullptr;
};

}  // namespace quern::codegen
