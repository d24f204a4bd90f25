#pragma once
// What CUDA peers share: the driver opened at run time, and the device's primary context.

#if QUERN_WITH_CUDA && __has_include(<cuda.h>)
#define QUERN_BENCH_CUDA 1
#include <cuda.h>

#include "bench/library.h"
#include "quern/device.h"

namespace quern::bench {

// Makes the primary context of `device`, a GPU, the calling thread's current one, for the libraries that take it from
// there; it is the one that quern runs in. Throws Error where the driver refuses.
void use_primary_context(const Device& device);

// Copies on the device, in stream order.
void copy_on_gpu(void* to, const void* from, std::size_t bytes, void* stream);

}  // namespace quern::bench
#else
#define QUERN_BENCH_CUDA 0
#endif
