#pragma once
// What the parts of the strategy "reduction" share: reduction.cpp chooses schedules, reduction_emit.cpp writes tile
// form.

#include <span>
#include <vector>

#include "base/target.h"
#include "compiler/analysis.h"
#include "compiler/schedule.h"
#include "compiler/strategies/space.h"
#include "ir/kernel.h"

namespace quern::compiler {

extern const FieldList kReductionFields;

// The space of a kernel's reductions.
struct Iteration {
  Reduction reduction;
  std::vector<ir::Axis> kept, reduced;  // merged
  AxisMap place;                        // the reduction's axes in the merged ones
  bool rows = true;                     // the reduced axis is the contiguous one
  std::vector<ir::Expr> accesses;       // all, at the merged axes
};
Iteration analyze_iteration(const ir::Program& program, std::span<const ir::Fact> facts);

// Reads of inputs that a member makes, in the reduction's axes.
// `certain`: those that happen for every element.
std::vector<ir::Expr> reads_of(const ir::Program& program, const Reduction::Member& member, bool certain = false);

std::vector<ir::Axis> joined(std::vector<ir::Axis> a, const std::vector<ir::Axis>& b);

std::int64_t threads_of(const Iteration& space, const Schedule& schedule);

ir::Kernel emit_reduction(const ir::Program& program, const Schedule& schedule, const Target& target,
                          std::span<const ir::Fact> facts);

}  // namespace quern::compiler
