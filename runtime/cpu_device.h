#pragma once
// The CPU as a device: memory, clock and identity. Loading programs is runtime/cpu's.

#include "runtime/device.h"

namespace quern::runtime {

// The one CPU device of this process. Builds without the CPU back end have it too, for its memory; it loads nothing.
Device& cpu_device();

}  // namespace quern::runtime
