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

struct Buffers {
  explicit Buffers(const Device& device) : from(device, kBytes), to(device, kBytes) {
    device.fill(from.data(), 1, kBytes);
    device.fill(to.data(), 2, kBytes);
    device.synchronize();
  }
  DeviceBuffer from, to;
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
    result.variants.push_back({"memcpy of 1 GiB", [buffers, threads = cpu_threads(task)](auto, void*) {
                                 copy_on_cpu(static_cast<std::byte*>(buffers->to.data()),
                                             static_cast<const std::byte*>(buffers->from.data()), threads);
                               }});
    return result;
  }
#if QUERN_BENCH_CUDA
  result.library = "the CUDA driver";
  result.variants.push_back({"cuMemcpyDtoDAsync of 1 GiB", [buffers](auto, void* stream) {
                               copy_on_gpu(buffers->to.data(), buffers->from.data(), kBytes, stream);
                             }});
  return result;
#else
  fail("memcpy cannot be compared with on a GPU: this build has no cuda.h. Build with QUERN_CUDA=ON");
#endif
}

}  // namespace quern::bench
