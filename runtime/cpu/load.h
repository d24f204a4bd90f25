#pragma once
// The way from a CPU binary to a program that runs; runtime/cpu_device.cpp calls it.

#include <memory>

#include "runtime/device.h"

namespace quern::runtime::cpu {

// Links `binary` (a relocatable ELF object) into this process and binds `plan` to its kernels. Throws Error when the
// object is damaged or was compiled for features that this processor lacks.
std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary);

}  // namespace quern::runtime::cpu
