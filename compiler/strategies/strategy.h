#pragma once
// What every strategy offers: whether it matches a kernel's tensor program, its schedules, which of them are legal, and
// the tile form. The table of strategies is in registry.cpp; a new strategy is one file and one row there.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/target.h"
#include "compiler/partition.h"
#include "compiler/schedule.h"
#include "ir/kernel.h"
#include "ir/tensor.h"

namespace quern::compiler {

// A kernel as the several that its schedule asks for: a reduction in parts, whose results a second kernel joins, or a
// const operand repacked ahead. One of them, `main`, goes on with `schedule`; the others take their fallbacks.
struct Rewrite {
  Partition parts;
  std::size_t main = 0;
  Schedule schedule;  // the one given, without what is done by the rewrite
};

struct Strategy {
  const FieldList& fields;
  // Whether it can compute this kernel (partition.h) there, or why not. The first strategy of the table that matches
  // serves it, unless a schedule names another one that does.
  Verdict (*matches)(const ir::Program& kernel, const Target& target);
  // The schedule that is good without tuning.
  Schedule (*fallback)(const ir::Program& kernel, const Target& target);
  // The points worth measuring, legal or not, without duplicates.
  std::vector<Schedule> (*candidates)(const ir::Program& kernel, const Target& target);
  // check() of schedules whose integers are in their fields' ranges.
  Verdict (*check_own)(const ir::Program& kernel, const Schedule& schedule, const Target& target);
  // The kernel rewritten, where the schedule asks for it. What comes out computes the same (rewriting is tensor program
  // to tensor program).
  std::optional<Rewrite> (*rewrite)(const ir::Program& kernel, const Schedule& schedule);
  // Tile form, for calls in which `facts` hold.
  ir::Kernel (*emit)(const ir::Program& kernel, const Schedule& schedule, const Target& target,
                     std::span<const ir::Fact> facts);
  // The next smaller tile, for a kernel whose registers do not suffice; nothing where there is none. Absent: there
  // never is one.
  std::optional<Schedule> (*narrower)(const ir::Program& kernel, const Schedule& schedule,
                                      const Target& target) = nullptr;
  // Whether it has bulk copies (TMA) bring operands that lie aligned.
  bool copies_in_bulk = false;

  // Legal, or why not, with the numbers. What is called legal compiles, unless the assembler finds that what stands
  // behind a product needs more registers than its accumulators leave (SpillError, pipeline/compile.h).
  Verdict check(const ir::Program& kernel, const Schedule& schedule, const Target& target) const;
};

std::span<const Strategy> strategies();

// Whether a strategy takes a group of several reductions that no other covers, or why attention does not.
Verdict fuses(const ir::Program& group, const Target& target);

// The strategy that serves a kernel, or the one of that name (Error where there is none).
const Strategy& strategy_for(const ir::Program& kernel, const Target& target);
const Strategy& strategy_named(std::string_view name);

// Whether a block's shared memory, on the CPU a task's scratch, holds the bytes that a schedule's `field` asks for;
// `sum` says how they add up.
Verdict check_shared(std::string_view field, std::int64_t bytes, std::string_view sum, const Target& target);

// The schedule of the strategy that the text begins with. Throws Error as schedule.h's and strategy_named do.
Schedule parse_schedule(std::string_view text);
std::string to_string(const Schedule& schedule);

}  // namespace quern::compiler
