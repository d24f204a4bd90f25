// compile: a program and options to something that runs.

#include <algorithm>
#include <utility>

#include "api/device.h"
#include "api/executable.h"
#include "api/session.h"
#include "autotune/session.h"
#include "base/error.h"

namespace quern {
namespace api {
namespace {

autotune::Policy policy_of(Policy policy) {
  switch (policy) {
    case Policy::frozen: return autotune::Policy::frozen;
    case Policy::nearest: return autotune::Policy::nearest;
    case Policy::tune: return autotune::Policy::tune;
  }
  unreachable("a policy");
}

// Where the program's schedules come from, and the text of all of them.
struct Chosen {
  std::string schedule;
  std::vector<std::string> origins;
};

// Only a device has winners, and only for sizes that are known.
Chosen choose(const Program& program, const Target& target, const Options& options, runtime::Device* device) {
  const Program sized = program.bind(known_sizes(program, options.sizes));
  Chosen chosen;
  if (device != nullptr && sized.symbols().empty()) {
    std::vector<std::string> schedules;
    for (autotune::Choice& choice : autotune::choose_schedules(sized.ir(), *device, store_of(options),
                                                               policy_of(options.policy), tune_settings(options))) {
      schedules.push_back(std::move(choice.schedule));
      chosen.origins.push_back(std::move(choice.origin));
    }
    chosen.schedule = joined(schedules);
    return chosen;
  }
  if (options.policy == Policy::frozen) {
    fail("the policy is frozen, which takes a device and sizes for all symbols of {}; give them, or another policy",
         program.name());
  }
  const Scheduled scheduled = schedule_program(program, target, pipeline::choose_fallback(target));
  return {joined(scheduled.schedules), std::vector<std::string>(scheduled.schedules.size(), "default")};
}

Compiled compile_now(const Program& program, const Target& target, const Options& options, runtime::Device* device) {
  Chosen chosen;
  if (options.schedule.empty()) {
    chosen = choose(program, target, options, device);
  } else {
    const Scheduled scheduled = schedule_program(program, target, options.schedule);
    chosen = {joined(scheduled.schedules), std::vector<std::string>(scheduled.schedules.size(), "given")};
  }
  Compiled compiled{.program = program, .target = target, .schedule = chosen.schedule, .origins = chosen.origins};
  // A binary with source lines belongs to the file that they name.
  const bool stored = options.use_store && options.source_path.empty();
  const autotune::BinaryKey key = autotune::binary_key(program.ir(), chosen.schedule, target, "", options.nvrtc);
  if (stored) {
    if (auto found = store_of(options).binary(key)) {
      compiled.plan = std::move(found->plan);
      compiled.binary = std::move(found->binary);
      compiled.from_store = true;
      return compiled;
    }
  }
  if (options.policy == Policy::frozen) {
    fail("the policy is frozen and the store has no binary of {} under '{}' (key {}); compile it first with another policy",
         program.name(), chosen.schedule, to_text(autotune::id(key)));
  }
  const Scheduled scheduled = schedule_program(program, target, chosen.schedule);
  pipeline::Artifact artifact = pipeline::compile(
      scheduled.program, target,
      {.line_info = !options.source_path.empty(), .source_path = options.source_path, .nvrtc_path = options.nvrtc});
  if (stored) store_of(options).record(key, {program.name(), artifact.plan, artifact.binary});
  compiled.plan = std::move(artifact.plan);
  compiled.binary = std::move(artifact.binary);
  compiled.resources = std::move(artifact.resources);
  compiled.times = artifact.times;
  return compiled;
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
      std::make_shared<const Executable::State>(api::compile_now(program, target, options, device), device, options.nvrtc));
}

}  // namespace quern
