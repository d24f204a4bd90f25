#pragma once
// The variants that a compiled program has: lists of facts that its kernels rely on and its plan guards, best first.

#include <vector>

#include "base/target.h"
#include "ir/tensor.h"
#include "pipeline/schedule_program.h"

namespace quern::pipeline {

struct VariantFacts {
  std::string name;
  std::vector<ir::Fact> facts;   // the program's own, and those to guard
  std::vector<ir::Fact> guards;  // the latter
  bool narrow = false;           // indices fit in 32 bits
};

// On a GPU: aligned pointers, innermost sizes that fill wide accesses, no empty tensor where the target copies in bulk,
// and 32-bit offsets; then, where bulk copies may bring what lies in workspace, no empty tensor and 32-bit offsets;
// then 32-bit offsets alone; then anything. What the sizes settle is no guard; a variant that could never serve is left
// out. The last has no guard.
std::vector<VariantFacts> variants_of(const ScheduledProgram& scheduled, const Target& target);

}  // namespace quern::pipeline
