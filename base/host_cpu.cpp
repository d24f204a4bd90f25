// What the processor that runs this program can do.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/target.h"

namespace quern {
namespace {

std::string_view host_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) return "x86-64-v4";
  if (v3) return "x86-64-v3";
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt")) return "x86-64-v2";
#endif
  return "generic";
}

// The C library's answer, or `fallback` where it knows none (in some containers).
std::int64_t cache_bytes(int name, std::int64_t fallback) {
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : fallback;
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
}

}  // namespace

Target host_cpu_target() {
  Target target = parse_target("cpu:" + std::string(host_level()));
  target.cpu.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, target.cpu.l1_bytes);
  target.cpu.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, target.cpu.l2_bytes);
  target.cpu.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, target.cpu.l3_bytes);
  target.cpu.cores = usable_cores();
  target.peak = nominal_cpu_rates(target.cpu);
  return target;
}

int host_threads() {
  const char* text = std::getenv("QUERN_THREADS");
  if (text == nullptr || *text == '\0') return usable_cores();
  const std::string_view view(text);
  int count = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), count);
  if (error != std::errc() || end != view.data() + view.size() || count < 1) {
    fail("QUERN_THREADS is '{}'; give a number of threads from 1 on", view);
  }
  return count;
}

PeakRates nominal_cpu_rates(const CpuLimits& limits) {
  constexpr double kClock = 2.5e9;
  const double bytes_per_clock = 2.0 * 2.0 * limits.vector_bytes * limits.cores;
  PeakRates rates;
  rates.f32 = kClock * bytes_per_clock / 4;
  rates.f64 = kClock * bytes_per_clock / 8;
  rates.f16 = rates.f32;  // computed in f32
  rates.bandwidth = std::min(10e9 * limits.cores, 200e9);
  return rates;
}

}  // namespace quern
