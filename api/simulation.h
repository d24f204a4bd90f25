#pragma once
// What the simulator reports, for the public face.

#include <cstddef>
#include <cstdint>
#include <span>

#include "quern/dtype.h"
#include "quern/simulation.h"
#include "runtime/simulator/report.h"

namespace quern::api {

Simulation simulation_of(const runtime::simulator::Report& report);

}  // namespace quern::api
