#include "runtime/cpu/threads.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "base/target.h"

#ifdef QUERN_THREAD_SANITIZER
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace quern::runtime::cpu {
namespace {

// The order that TBB gives to work: what comes before a launch, then its chunks, then what comes after. ThreadSanitizer
// does not see it inside TBB, which is not instrumented, so this file is built without it and says the order aloud.
class LaunchOrder {
 public:
  LaunchOrder() { release(&begun_); }
  void enter_chunk() { acquire(&begun_); }
  void leave_chunk() { release(&done_); }
  ~LaunchOrder() { acquire(&done_); }

 private:
#ifdef QUERN_THREAD_SANITIZER
  static void acquire(char* address) { __tsan_acquire(address); }
  static void release(char* address) { __tsan_release(address); }
#else
  static void acquire(char*) {}
  static void release(char*) {}
#endif
  char begun_ = 0, done_ = 0;
};

constexpr std::int64_t kChunksPerThread = 8;

// Where blocks run. More threads than processors are what somebody asked for: TBB must not cut them, nor say so on
// stderr.
struct Arena {
  explicit Arena(int threads) : workers(threads) {
    if (threads > tbb::info::default_concurrency()) {
      limit.emplace(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
    }
  }
  std::optional<tbb::global_control> limit;
  tbb::task_arena workers;
};

// The arena in use, held by launches while they run, so that it may be replaced at any time.
class Pool {
 public:
  std::shared_ptr<Arena> arena() {
    const std::lock_guard lock(mutex_);
    if (!arena_) arena_ = std::make_shared<Arena>(host_threads());
    return arena_;
  }

  void resize(int count) {
    const std::lock_guard lock(mutex_);
    arena_ = count == 0 ? nullptr : std::make_shared<Arena>(count);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<Arena> arena_;
};

// There from the program's first instruction, since ThreadSanitizer would not see here who waits for whom to make it,
// and never destroyed: launches may outlive static objects.
constinit union Kept {
  constexpr Kept() : pool() {}
  ~Kept() {}
  Pool pool;
} kept;

void run_range(CpuKernelFunction function, CpuKernelArguments arguments, std::int64_t begin, std::int64_t end,
               std::size_t scratch_bytes) {
  thread_local ThreadMemory scratch;
  arguments.begin = begin;
  arguments.end = end;
  arguments.scratch = scratch.at_least(scratch_bytes);
  function(&arguments);
}

}  // namespace

int thread_count() { return kept.pool.arena()->workers.max_concurrency(); }

void set_thread_count(int count) {
  if (count < 0) fail("{} threads; give a number from 1 on, or 0 for the default", count);
  kept.pool.resize(count);
}

void run_blocks(CpuKernelFunction function, const CpuKernelArguments& arguments, std::int64_t blocks,
                std::size_t scratch_bytes) {
  if (blocks <= 0) return;
  const std::shared_ptr<Arena> arena = kept.pool.arena();
  const std::int64_t threads = arena->workers.max_concurrency();
  if (blocks == 1 || threads == 1) return run_range(function, arguments, 0, blocks, scratch_bytes);
  // Several chunks for each thread, so that slow ones cost little; each call runs many blocks where they are small.
  const std::int64_t grain = std::max<std::int64_t>(1, blocks / (threads * kChunksPerThread));
  LaunchOrder order;
  arena->workers.execute([&] {
    tbb::parallel_for(
        tbb::blocked_range<std::int64_t>(0, blocks, static_cast<std::size_t>(grain)),
        [&](const tbb::blocked_range<std::int64_t>& range) {
          order.enter_chunk();
          run_range(function, arguments, range.begin(), range.end(), scratch_bytes);
          order.leave_chunk();
        },
        tbb::simple_partitioner());
  });
}

ThreadMemory::~ThreadMemory() { std::free(data_); }

void* ThreadMemory::at_least(std::size_t bytes) {
  if (bytes <= bytes_) return bytes == 0 ? nullptr : data_;
  constexpr auto kAlignment = static_cast<std::size_t>(kCpuScratchAlignment);
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  std::free(data_);
  bytes_ = 0;
  data_ = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (data_ == nullptr) fail("out of memory: a CPU kernel needs {} bytes of scratch for each thread", bytes);
  bytes_ = rounded;
  return data_;
}

}  // namespace quern::runtime::cpu
