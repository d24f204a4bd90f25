#include "runtime/host_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "base/error.h"

namespace quern::runtime {
namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kWorthAsking = std::size_t{1} << 26;

// proc(5): "MemAvailable:   23519048 kB".
std::int64_t system_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key; file.ignore(kUnlimited, '\n')) {
    std::int64_t kibibytes = 0;
    if (key == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
  }
  return kUnlimited;
}

// Of the control group, as a container shows it in version 2 or 1 of the interface; "max" is no number.
std::int64_t group_limit() {
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::int64_t limit = 0;
    if (std::ifstream(path) >> limit) return limit;
  }
  return kUnlimited;
}

}  // namespace

std::int64_t physical_memory() {
  return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
}

std::int64_t available_host_memory() { return std::min(system_memory(), group_limit()); }

void require_host_memory(std::size_t bytes, std::string_view purpose) {
  if (bytes < kWorthAsking) return;
  const std::int64_t available = available_host_memory();
  if (bytes <= static_cast<std::size_t>(available)) return;
  fail("out of memory on cpu: {} bytes wanted for {}, {} available; use smaller sizes, or release other memory", bytes,
       purpose, available);
}

std::size_t array_bytes(DType dtype, std::span<const std::int64_t> shape) {
  std::int64_t bytes = std::ranges::count(shape, 0) > 0 ? 0 : byte_size(dtype);
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::numeric_limits<std::int64_t>::max();
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace quern::runtime
