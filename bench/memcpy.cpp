// A copy of 1 GiB: on a GPU the driver's, on the CPU the C library's, a part per thread.

#include <cstring>
#include <memory>
#include <thread>

#include "base/error.h"
#include "bench/cuda.h"
#include "bench/peer.h"

namespace quern::bench {
namespace {

constexpr std::size_t kBytes = std::size_t{1} << 30;

// What is copied, and where to; taken by the first copy.
class Buffers {
 public:
  explicit Buffers(const Device& device) : device_(device) {}

  std::byte* from() { return at(0); }
  std::byte* to() { return at(1); }

 private:
  std::byte* at(std::size_t i) {
    while (taken_.size() < 2) {
      const DeviceBuffer& buffer = taken_.emplace_back(device_, kBytes);
      device_.fill(buffer.data(), 1, kBytes);
      device_.synchronize();
    }
    return static_cast<std::byte*>(taken_[i].data());
  }

  Device device_;
  std::vector<DeviceBuffer> taken_;
};

void copy_on_cpu(std::byte* to, const std::byte* from, int threads) {
  const std::size_t part = kBytes / static_cast<std::size_t>(threads);
  std::vector<std::jthread> others;
  for (int t = 1; t < threads; ++t) {
    const std::size_t begin = static_cast<std::size_t>(t) * part;
    const std::size_t bytes = t + 1 == threads ? kBytes - begin : part;
    others.emplace_back([=] { std::memcpy(to + begin, from + begin, bytes); });
  }
  std::memcpy(to, from, threads == 1 ? kBytes : part);
}

}  // namespace

std::optional<PeerCase> make_memcpy(const Task& task) {
  if (!task.memory_bound || task.bytes <= 0) return std::nullopt;
  PeerCase result{.library = "the C library", .variants = {}, .computes = false, .scale = task.bytes / (2.0 * kBytes)};
  const auto buffers = std::make_shared<Buffers>(task.device);
  if (!task.device.info().is_gpu) {
    result.variants.push_back({"memcpy of 1 GiB", [buffers, threads = cpu_threads()](auto, void*) {
                                 copy_on_cpu(buffers->to(), buffers->from(), threads);
                               }});
    return result;
  }
#if QUERN_BENCH_CUDA
  result.library = "the CUDA driver";
  result.variants.push_back({"cuMemcpyDtoDAsync of 1 GiB", [buffers](auto, void* stream) {
                               copy_on_gpu(buffers->to(), buffers->from(), kBytes, stream);
                             }});
  return result;
#else
  fail("memcpy cannot be compared with on a GPU: this build has no cuda.h. Build with QUERN_CUDA=ON");
#endif
}

}  // namespace quern::bench
