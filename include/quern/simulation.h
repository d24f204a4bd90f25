#pragma once
// The simulator: GPU kernels run on the host under the CUDA execution model. It is the device "sim:sm_90a" (any
// architecture of targets()), which executes exactly what is printed as CUDA and tells what a GPU hides: races, missing
// fences, reads of what nobody wrote, accesses out of bounds, deadlocks, and the exact counts of memory transactions
// and bank conflicts. It has no notion of time: no clock, no caches.

#include <cstdint>
#include <string>
#include <string_view>

#include "quern/export.h"
#include "quern/program.h"

namespace quern {

// What one run found and counted.
struct Simulation {
  std::int64_t findings = 0;
  std::string findings_text;  // each finding with its statement, line of the CUDA text, axes, block, threads, element
  std::string counts_text;    // a line for each statement that moves data, and sums
  std::string json;           // all of it: docs/json.md, "simulation"

  bool clean() const { return findings == 0; }
};

struct SimulateOptions {
  std::string target = "sim:sm_90a";
  bool checks = true;      // false: values alone, faster; nothing is counted
  std::uint64_t seed = 1;  // of the inputs, of when asynchronous work completes and which warp goes on
};

// Runs one kernel program (docs/kernel_language.md), in tile or thread form, on random inputs; parameters that it
// writes begin as what nobody wrote, but those that it adds to atomically, which begin as zeros. `sizes` are the values
// of its symbols. Throws Error for a text that is no kernel program, a missing size, and an unknown target.
// Thread-safe.
QUERN_API Simulation simulate(std::string_view kernel, const Sizes& sizes = {}, const SimulateOptions& options = {});

}  // namespace quern
