#pragma once
// A plan and its kernel programs, loaded to be simulated. Inside runtime/simulator/.

#include <memory>

#include "runtime/device.h"
#include "runtime/simulator/launch.h"

namespace quern::runtime::simulator {

// Throws Error where the binary was not made for a simulator.
std::unique_ptr<LoadedProgram> load(const Plan& plan, const Binary& binary, const Target& target);

// Of the calling thread, see device.h.
Settings& settings();

}  // namespace quern::runtime::simulator
