#include <algorithm>

#include "api/executable.h"
#include "base/error.h"

namespace quern::api {

Scheduled schedule_program(const Program& program, const Target& target, const pipeline::ChooseSchedule& choose) {
  Scheduled result;
  result.program = pipeline::schedule_program(
      program.ir(), target, [&](const ir::Program& kernel, const compiler::Strategy& strategy) {
        compiler::Schedule schedule = choose(kernel, strategy);
        result.schedules.push_back(compiler::to_string(schedule, strategy.fields));
        result.parts.push_back(strategy.split(kernel, schedule) ? 2 : 1);
        return schedule;
      });
  return result;
}

Scheduled schedule_program(const Program& program, const Target& target, std::string_view text) {
  Scheduled result = schedule_program(program, target, pipeline::choose_text(text));
  const auto given = static_cast<std::size_t>(std::count(text.begin(), text.end(), ';')) + 1;
  if (!result.parts.empty() && given != result.parts.size()) {
    fail("schedule '{}' holds {} schedules, {} has {} kernel{}; leave the others out", text, given, program.name(),
         result.parts.size(), result.parts.size() == 1 ? "" : "s");
  }
  return result;
}

}  // namespace quern::api
