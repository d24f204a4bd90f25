// compile: a program and options to something that runs.

#include <algorithm>
#include <utility>

#include "api/device.h"
#include "api/executable.h"
#include "base/error.h"

namespace quern {
namespace api {
namespace {

Compiled compile_now(const Program& program, const Target& target, const Options& options) {
  const bool given = !options.schedule.empty();
  const Scheduled scheduled = given ? schedule_program(program, target, options.schedule)
                                    : schedule_program(program, target, pipeline::choose_fallback(target));
  pipeline::Artifact artifact = pipeline::compile(
      scheduled.program, target,
      {.line_info = !options.source_path.empty(), .source_path = options.source_path, .nvrtc_path = options.nvrtc});
  return {.program = program,
          .target = target,
          .schedule = joined(scheduled.schedules),
          .origins = std::vector<std::string>(scheduled.schedules.size(), given ? "given" : "default"),
          .plan = std::move(artifact.plan),
          .binary = std::move(artifact.binary),
          .resources = std::move(artifact.resources),
          .times = artifact.times};
}

}  // namespace
}  // namespace api

Executable compile(const Program& program, const Options& options) {
  if (!options.device.empty() && !options.target.empty()) {
    fail("both device '{}' and target '{}' are given; a device has its own target", options.device, options.target);
  }
  runtime::Device* device = options.target.empty() ? &api::open_device(options.device) : nullptr;
  const Target target = device == nullptr ? parse_target(options.target) : device->info().target;
  return Executable(
      std::make_shared<const Executable::State>(api::compile_now(program, target, options), device, options.nvrtc));
}

}  // namespace quern
