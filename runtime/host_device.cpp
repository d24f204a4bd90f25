#include "runtime/host_device.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "runtime/host_memory.h"

namespace quern::runtime {

void* HostDevice::allocate(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  if (bytes == 0) return nullptr;
  require_host_memory(bytes, "a buffer");
  void* memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (memory == nullptr) {
    fail("out of memory on {}: {} bytes wanted, the machine has {}", info_.id, bytes, info_.memory_bytes);
  }
  return memory;
}

void HostDevice::release(void* memory) noexcept { std::free(memory); }

void HostDevice::upload(void* to, const void* from, std::size_t bytes, void*) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}
void HostDevice::download(void* to, const void* from, std::size_t bytes, void* stream) {
  upload(to, from, bytes, stream);
}
void HostDevice::fill(void* memory, std::uint8_t value, std::size_t bytes, void*) {
  if (bytes > 0) std::memset(memory, value, bytes);
}

}  // namespace quern::runtime
