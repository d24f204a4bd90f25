#pragma once
// Externs on their way to a binary: users' CUDA text beside ours.

#include <string>
#include <vector>

#include "base/plan.h"
#include "ir/tensor.h"
#include "pipeline/compile.h"
#include "pipeline/schedule_program.h"

namespace quern::pipeline {

// The text of all externs, to stand ahead of ours. Throws Error where two of one name differ.
std::string extern_source(const ScheduledProgram& scheduled);

// The launch of an extern, without its parameters: blocks of 256 threads, as many as are resident at once.
Launch extern_launch(const ir::Extern& external);

// After the module as a whole did not compile: throws Error with NVRTC's words where the text of an extern is to blame.
void blame_externs(const ScheduledProgram& scheduled, const Target& target, const CompileOptions& options);

// Throws Error where an extern's text defines no kernel of its name.
void check_externs(const ScheduledProgram& scheduled, const std::vector<Resources>& kernels);

}  // namespace quern::pipeline
