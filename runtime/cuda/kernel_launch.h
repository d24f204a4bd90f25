#pragma once
// One launch step of a plan, bound to its kernel. Internal to runtime/cuda.

#include <deque>

#include "base/plan.h"
#include "runtime/cuda/context.h"
#include "runtime/cuda/tensor_map.h"

namespace quern::runtime::cuda {

// Where a call's memory lies.
struct CallMemory {
  const Variant& variant;
  std::span<void* const> arguments;
  CUdeviceptr workspace = 0;   // of the call's own slots
  CUdeviceptr persistent = 0;  // of the persistent slots

  CUdeviceptr address(const PlanPointer& pointer, const PlanContext& context) const;
};

class KernelLaunch {
 public:
  // Checks that the plan's parameters fit `kernel`'s, opts in to its shared memory and cluster, and asks the driver how
  // many of its blocks are resident when the plan wants to know. Needs a current context.
  KernelLaunch(const Gpu& gpu, const Launch& launch, CUkernel kernel);

  // Launches for one call; never allocates. An empty grid launches nothing.
  void run(const CallMemory& memory, std::span<const std::int64_t> symbols, CUstream stream);

  // Loads the kernel into the current context and encodes the tensor maps on arguments.
  void prepare(const CallMemory& memory, std::span<const std::int64_t> symbols);

 private:
  static constexpr std::size_t kMaxParameters = 256;
  static constexpr std::size_t kMaxParameterBytes = 4096;  // what every driver and GPU takes

  // The shape of a launch; the caller points `launch.attrs` at `cluster` once both lie still.
  struct Config {
    CUlaunchConfig launch{};
    CUlaunchAttribute cluster{};
  };

  struct Packed {
    alignas(64) std::array<std::byte, kMaxParameterBytes> bytes;
    std::array<void*, kMaxParameters> pointers;
  };

  PlanContext context(std::span<const std::int64_t> symbols) const { return {symbols, limits_}; }
  void check_parameters() const;
  void opt_in(const Gpu& gpu);
  std::int64_t resident_blocks() const;
  Config config(const std::array<PlanExpr, 3>& grid, const PlanContext& context) const;
  void pack(const CallMemory& memory, const PlanContext& context, Packed& packed);

  const Launch& launch_;
  CUkernel kernel_;
  std::array<std::int64_t, kDeviceLimitCount> limits_;
  std::deque<TensorMapCache> maps_;  // one per tensor map, in the parameters' order
};

}  // namespace quern::runtime::cuda
