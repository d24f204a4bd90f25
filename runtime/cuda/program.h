#pragma once
// A plan bound to its cubin on one GPU. Internal to runtime/cuda; Device::load makes one.

#include <memory>

#include "runtime/cuda/context.h"
#include "runtime/device.h"

namespace quern::runtime::cuda {

// Loads all kernels of `binary`, checks that the plan's parameters fit them and fixes what does not depend on sizes, so
// that launching neither allocates nor locks nor loads. `gpu` must outlive the result. Throws Error when the driver
// refuses the binary.
std::unique_ptr<LoadedProgram> load_program(const Gpu& gpu, const Plan& plan, const Binary& binary);

}  // namespace quern::runtime::cuda
