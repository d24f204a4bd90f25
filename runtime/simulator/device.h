#pragma once
// The simulator as a device: kernels run on the host under the CUDA execution model, checked and counted.

#include <memory>
#include <string_view>

#include "runtime/device.h"

namespace quern::runtime::simulator {

// "sim:sm_90a". Throws Error listing the architectures. One object each, kept for the life of the process. Thread-safe.
Device& open_device(std::string_view id);

// How programs on the simulator run from now on in the calling thread: with all checks and counts (the default), or for
// their values alone; and the seed of when asynchronous work completes.
void set_mode(bool checks, std::uint64_t seed = 1);

}  // namespace quern::runtime::simulator
