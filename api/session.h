#pragma once
// Options as the tuning room takes them.

#include "autotune/session.h"
#include "quern/compile.h"

namespace quern::api {

// The store that the options name, or one in memory where they use none.
autotune::Store& store_of(const Options& options);

autotune::TuneSettings tune_settings(const Options& options);

// Error where the device has no timing: the simulator.
void require_timing(const runtime::Device& device);

// Error where an argument of known size has 2^63 bytes or more, which no offset reaches.
void require_addressable(const Program& program);

}  // namespace quern::api
