#pragma once
// The threads that run CPU kernels, and the memory that each keeps for them.

#include <cstddef>
#include <cstdint>

#include "base/cpu_kernel.h"

namespace quern::runtime::cpu {

// How many threads run blocks at once, the caller among them: host_threads() unless set.
int thread_count();

// Sets that number for launches that begin later; 0: back to the default. Thread-safe.
void set_thread_count(int count);

// Runs all blocks of a launch, `arguments` but for begin, end and scratch, and waits for them. `scratch_bytes` is what
// each running block needs of its own. Thread-safe; calls from several threads share the same workers.
void run_blocks(CpuKernelFunction function, const CpuKernelArguments& arguments, std::int64_t blocks,
                std::size_t scratch_bytes);

// Memory that belongs to a thread and grows with its needs, aligned to kCpuScratchAlignment; freed with its owner.
class ThreadMemory {
 public:
  ThreadMemory() = default;
  ThreadMemory(const ThreadMemory&) = delete;
  ThreadMemory& operator=(const ThreadMemory&) = delete;
  ~ThreadMemory();

  // At least `bytes`, the contents undefined; null for 0. Throws Error when there is not as much.
  void* at_least(std::size_t bytes);

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace quern::runtime::cpu
