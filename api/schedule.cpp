#include <algorithm>

#include "api/executable.h"
#include "base/error.h"

namespace quern::api {

std::string joined(const std::vector<std::string>& schedules) {
  std::string text;
  for (const std::string& schedule : schedules) text += (text.empty() ? "" : "; ") + schedule;
  return text;
}

Scheduled schedule_program(const Program& program, const Target& target, const pipeline::ChooseSchedule& choose) {
  Scheduled result;
  result.program = pipeline::schedule_program(program.ir(), target,
                                              [&](const ir::Program& kernel, const compiler::Strategy& strategy) {
                                                compiler::Schedule schedule = choose(kernel, strategy);
                                                result.schedules.push_back(compiler::to_string(schedule));
                                                return schedule;
                                              });
  return result;
}

Scheduled schedule_program(const Program& program, const Target& target, std::string_view text) {
  Scheduled result = schedule_program(program, target, pipeline::choose_text(text));
  const auto given = static_cast<std::size_t>(std::count(text.begin(), text.end(), ';')) + 1;
  if (!result.schedules.empty() && given != result.schedules.size()) {
    fail("schedule '{}' holds {} schedules, {} has {} kernel{}; leave the others out", text, given, program.name(),
         result.schedules.size(), result.schedules.size() == 1 ? "" : "s");
  }
  return result;
}

std::optional<std::string> another_schedule(const Compiled& compiled) {
  const Scheduled own = schedule_program(compiled.program, compiled.target, compiled.schedule);
  std::size_t next = 0;
  bool differs = false;
  const Scheduled other =
      schedule_program(compiled.program, compiled.target, [&](const ir::Program& kernel, const compiler::Strategy&) {
        const compiler::Schedule used = compiler::parse_schedule(own.schedules.at(next++));
        const compiler::Strategy& strategy = compiler::strategy_named(used.strategy);
        const auto fits = [&](const compiler::Schedule& schedule) {
          return schedule != used && strategy.check(kernel, schedule, compiled.target);
        };
        std::vector<compiler::Schedule> candidates = strategy.candidates(kernel, compiled.target);
        candidates.insert(candidates.begin(), strategy.fallback(kernel, compiled.target));
        const auto found = std::find_if(candidates.begin(), candidates.end(), fits);
        differs = differs || found != candidates.end();
        return found == candidates.end() ? used : *found;
      });
  if (!differs) return std::nullopt;
  return joined(other.schedules);
}

}  // namespace quern::api
