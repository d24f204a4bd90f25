#include "pipeline/schedule_program.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "compiler/in_place.h"
#include "compiler/lift_reductions.h"
#include "compiler/partition.h"
#include "ir/printer.h"
#include "ir/verify.h"
#include "pipeline/dump.h"

namespace quern::pipeline {

using compiler::Schedule;
using compiler::Strategy;
using compiler::Verdict;

namespace {

void require_legal(const ir::Program& kernel, const Strategy& strategy, const Schedule& schedule,
                   const Target& target) {
  if (const Verdict verdict = strategy.check(kernel, schedule, target); !verdict) {
    fail("schedule '{}' is illegal for kernel '{}' on {}: {}", compiler::to_string(schedule, strategy.fields),
         kernel.name, to_text(target), verdict.reason);
  }
}

// The strategy that the schedule is of.
const Strategy& serving(const ir::Program& kernel, const Schedule& schedule, const Target& target) {
  const Strategy& strategy = compiler::strategy_named(schedule.strategy);
  const Verdict match = strategy.matches(kernel, target);
  if (match) return strategy;
  fail("schedule '{}' is for other kernels than '{}' on {}, which the strategy {} serves: {}",
       compiler::to_string(schedule), kernel.name, to_text(target),
       compiler::strategy_for(kernel, target).fields.strategy, match.reason);
}

// The fallback of a kernel that a rewrite made, which is rewritten no further.
ScheduledKernel plain(const ir::Program& program, const Target& target) {
  const Strategy& strategy = compiler::strategy_for(program, target);
  Schedule schedule = strategy.fallback(program, target);
  ir::Program main = program;
  while (auto again = strategy.rewrite(main, schedule)) {
    schedule = std::move(again->schedule);
    main = std::move(again->parts.kernels[again->main]);
  }
  return {program, &strategy, schedule, false};
}

// The kernel, or the kernels that its schedule makes of it.
void add(ScheduledProgram& result, ScheduledKernel kernel, const Target& target) {
  require_legal(kernel.program, *kernel.strategy, kernel.schedule, target);
  auto rewritten = kernel.strategy->rewrite(kernel.program, kernel.schedule);
  if (!rewritten) {
    result.kernels.push_back(std::move(kernel));
    return;
  }
  compiler::Partition& parts = rewritten->parts;
  std::ranges::for_each(parts.kernels, compiler::keep_own);
  result.workspace.insert(result.workspace.end(), parts.workspace.begin(), parts.workspace.end());
  for (std::size_t i = 0; i < parts.kernels.size(); ++i) {
    if (i == rewritten->main) {
      add(result, {parts.kernels[i], kernel.strategy, rewritten->schedule, kernel.chosen}, target);
    } else {
      add(result, plain(parts.kernels[i], target), target);
    }
  }
}

// Whether what schedules made of the kernels still reads updated inputs in time.
bool keeps_updated_inputs(const ScheduledProgram& scheduled) {
  std::vector<ir::Output> updating = scheduled.program.outputs;
  std::erase_if(updating, [](const ir::Output& output) { return !output.updates; });
  if (updating.empty()) return true;
  std::vector<ir::Program> kernels;
  for (const ScheduledKernel& kernel : scheduled.kernels) kernels.push_back(kernel.program);
  return std::ranges::all_of(updating,
                             [&](const ir::Output& output) { return compiler::is_read_in_time(kernels, output); });
}

compiler::Fuses fuses_on(const Target& target) {
  return [&target](const ir::Program& group) { return compiler::fuses(group, target); };
}

std::vector<std::string_view> split_text(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(';');
    std::string_view part = text.substr(0, end);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    parts.push_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

ChooseSchedule choose_fallback(const Target& target) {
  return [target](const ir::Program& kernel, const Strategy& strategy) { return strategy.fallback(kernel, target); };
}

ChooseSchedule choose_text(std::string_view text) {
  const std::string all(text);
  std::size_t next = 0;
  return [all, next](const ir::Program& kernel, const Strategy& strategy) mutable {
    const std::vector<std::string_view> parts = split_text(all);
    if (next >= parts.size()) {
      fail(
          "schedule '{}' holds {} schedule{}, kernel {} of the program ('{}', strategy {}) has none; separate them by "
          "';'",
          all, parts.size(), parts.size() == 1 ? "" : "s", next + 1, kernel.name, strategy.fields.strategy);
    }
    const std::string_view own = parts[next++];
    if (own.empty()) {
      fail("schedule '{}' is empty for kernel {} ('{}'); {} serves it", all, next, kernel.name,
           strategy.fields.strategy);
    }
    return compiler::parse_schedule(own);
  };
}

std::vector<ir::Program> kernels_of(const ir::Program& program, const Target& target) {
  ir::verify(program);
  return compiler::partition(compiler::lift_reductions(program), fuses_on(target)).kernels;
}

ScheduledProgram schedule_program(const ir::Program& program, const Target& target, const ChooseSchedule& choose) {
  ir::verify(program);
  const ir::Program canonical = compiler::lift_reductions(program);
  dump("lift_reductions", [&] { return ir::to_string(canonical); });
  const compiler::Partition parts = compiler::partition(canonical, fuses_on(target));
  for (const ir::Program& kernel : parts.kernels) dump("partition", [&] { return ir::to_string(kernel); });
  ScheduledProgram result{program, {}, parts.workspace, parts.apart};
  for (const ir::Program& kernel : parts.kernels) {
    const Schedule schedule = choose(kernel, compiler::strategy_for(kernel, target));
    add(result, {kernel, &serving(kernel, schedule, target), schedule}, target);
  }
  ensure(keeps_updated_inputs(result), "what an output updates is read before it is written");
  return result;
}

std::string to_string(const ScheduledProgram& scheduled) {
  std::string text;
  for (const ScheduledKernel& kernel : scheduled.kernels) {
    text +=
        fmt::format("{}{}", text.empty() ? "" : "; ", compiler::to_string(kernel.schedule, kernel.strategy->fields));
  }
  return text;
}

}  // namespace quern::pipeline
