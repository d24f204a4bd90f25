#pragma once
// Whether a candidate computes what the program says, before it may win.

#include <cstdint>
#include <string>

#include "autotune/measure.h"

namespace quern::autotune {

struct Verification {
  std::string failure;  // empty: right
  std::string text;     // "4120 elements, largest error 0.12 of its bound"
};

// Launches on poisoned outputs and compares elements with the reference evaluator within its bounds (ir/bounds.h): all
// of small outputs, else corners, edges and seeded ones, fewer where one costs much, 512 at least.
Verification verify(runtime::LoadedProgram& loaded, const ir::Program& program, ProblemData& data,
                    runtime::Device& device, std::uint64_t seed);

}  // namespace quern::autotune
