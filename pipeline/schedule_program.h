#pragma once
// Tensor program -> kernels with schedules: the part of the way that needs no code generation, shared by compiling,
// tuning and explaining.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/target.h"
#include "compiler/schedule.h"
#include "compiler/strategies/strategy.h"
#include "ir/tensor.h"

namespace quern::pipeline {

// One kernel and how it is computed.
struct ScheduledKernel {
  ir::Program program;  // its part of the tensor program
  const compiler::Strategy* strategy;
  compiler::Schedule schedule;
  bool chosen = true;  // false: made by a rewrite, under its strategy's fallback
};

// A whole tensor program as kernels, in the order of launching.
struct ScheduledProgram {
  ir::Program program;  // verified, as given
  std::vector<ScheduledKernel> kernels;
  std::vector<ir::TensorRef> workspace;  // what passes between them
  std::vector<compiler::Apart> apart;
};

// The schedule of one kernel of the partition; called once for each, in order. A schedule may make several kernels of
// its one (Strategy::rewrite); the others then take their strategies' fallbacks and are not asked for.
using ChooseSchedule = std::function<compiler::Schedule(const ir::Program& kernel, const compiler::Strategy& strategy)>;

// The strategy's fallback for every kernel.
ChooseSchedule choose_fallback(const Target& target);
// The schedules of `text`, one per kernel of the partition, separated by ';'. Error where their number, a field or a
// value does not fit.
ChooseSchedule choose_text(std::string_view text);

// Verifies, lifts reductions, partitions, chooses and rewrites. Throws Error for an illegal schedule, with the reason.
ScheduledProgram schedule_program(const ir::Program& program, const Target& target, const ChooseSchedule& choose);

// The kernels that a choice is made for, before any is rewritten: what a tuner tunes one by one.
std::vector<ir::Program> kernels_of(const ir::Program& program, const Target& target);

// The schedules of all kernels, separated by "; ".
std::string to_string(const ScheduledProgram& scheduled);

}  // namespace quern::pipeline
