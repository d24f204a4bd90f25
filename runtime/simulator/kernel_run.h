#pragma once
// One kernel program in thread form on given memory, without a plan around it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/target.h"
#include "ir/kernel.h"
#include "runtime/simulator/launch.h"

namespace quern::runtime::simulator {

// Memory of one parameter: its elements, row-major; `written`: its contents count as such; `is_output`: all of it is to
// be written.
struct KernelArgument {
  std::span<std::byte> data;
  bool written = true;
  bool is_output = false;
};

// Runs `kernel` at the values of its symbols. `lines` as compile_code takes them. Throws Error for memory that is
// smaller than a parameter, for values that break a fact of the kernel, make an extent negative, or do not fit 64 bits.
Report run_kernel(const ir::Kernel& kernel, std::span<const std::int64_t> symbols,
                  std::span<const KernelArgument> arguments, const Target& target, const Settings& settings,
                  const std::vector<int>& lines = {});

// Bytes of a parameter at these values.
std::int64_t parameter_bytes(const ir::Kernel& kernel, std::size_t parameter, std::span<const std::int64_t> symbols);

}  // namespace quern::runtime::simulator
