#pragma once
// What loaded programs and devices share about one GPU. Internal to runtime/cuda.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/plan_expr.h"
#include "runtime/cuda/driver.h"

namespace quern::runtime::cuda {

// A GPU, its primary context, and the pool that stream-ordered workspaces come from. Never destroyed.
struct Gpu {
  CUdevice device = 0;
  CUcontext primary = nullptr;
  CUmemoryPool pool = nullptr;
  std::string id;                                        // "cuda:0"
  std::array<std::int64_t, kDeviceLimitCount> limits{};  // by DeviceLimit; resident_blocks is 0
};

// Makes a context of `gpu` current for as long as it lives: the caller's own when that is of this GPU, else the primary
// one. Restores what was current.
class CurrentContext {
 public:
  explicit CurrentContext(const Gpu& gpu);
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;
  ~CurrentContext();

 private:
  bool pushed_ = false;
};

// Is `stream` being captured into a graph?
bool is_capturing(CUstream stream);

// Throws Error with the bytes wanted and the bytes free, after a failed allocation of any kind.
[[noreturn]] void fail_out_of_memory(const Gpu& gpu, std::size_t bytes, CUresult result);
// Its text where memory is what is missing.
std::string exhausted(std::string_view device, std::size_t bytes, std::size_t free, std::size_t total);

}  // namespace quern::runtime::cuda
