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
    case Policy::frozen:
      return autotune::Policy::frozen;
    case Policy::nearest:
      return autotune::Policy::nearest;
    case Policy::tune:
      return autotune::Policy::tune;
  }
  unreachable("a policy");
}

// A program's kernels and where their schedules come from.
struct Chosen {
  std::vector<std::string> schedules;
  std::vector<std::string> origins;
  std::optional<Scheduled> scheduled;  // where choosing has made it already
};

Chosen with_origin(Scheduled scheduled, const std::string& origin) {
  std::vector<std::string> schedules = scheduled.schedules;
  std::vector<std::string> origins(schedules.size(), origin);
  return {std::move(schedules), std::move(origins), std::move(scheduled)};
}

// What is known for the program's sizes, where that is legal for all sizes that the binary serves; the strategy's own
// choice elsewhere.
Chosen for_all_sizes(const Program& program, const Target& target, const std::vector<autotune::Choice>& choices) {
  std::vector<std::string> origins;
  Scheduled scheduled =
      schedule_program(program, target, [&](const ir::Program& kernel, const compiler::Strategy& strategy) {
        const std::size_t i = origins.size();
        if (i < choices.size() && compiler::strategy_of(choices[i].schedule) == strategy.fields.strategy) {
          const compiler::Schedule known = compiler::parse_schedule(choices[i].schedule, strategy.fields);
          if (strategy.check(kernel, known, target)) {
            origins.push_back(choices[i].origin);
            return known;
          }
        }
        origins.emplace_back("default");
        return strategy.fallback(kernel, target);
      });
  std::vector<std::string> schedules = scheduled.schedules;
  return {std::move(schedules), std::move(origins), std::move(scheduled)};
}

// Only a device has winners, and only for sizes that are known.
Chosen choose(const Program& program, const Target& target, const Options& options, runtime::Device* device) {
  const Program sized = program.bind(options.sizes);
  if (!options.schedule.empty()) return with_origin(schedule_program(program, target, options.schedule), "given");
  if (device == nullptr || !sized.symbols().empty()) {
    if (options.policy == Policy::frozen) {
      fail("the policy is frozen, which takes a device and sizes for all symbols of {}; give them, or another policy",
           program.name());
    }
    return with_origin(schedule_program(program, target, pipeline::choose_fallback(target)), "default");
  }
  if (options.policy == Policy::tune) require_timing(*device);
  const std::vector<autotune::Choice> choices = autotune::choose_schedules(
      sized.ir(), *device, store_of(options), policy_of(options.policy), tune_settings(options));
  if (!program.symbols().empty()) return for_all_sizes(program, target, choices);
  Chosen chosen;
  for (const autotune::Choice& choice : choices) {
    chosen.schedules.push_back(choice.schedule);
    chosen.origins.push_back(choice.origin);
  }
  return chosen;
}

// A stored plan speaks of a program that is equal up to names: it takes the names of this one.
void take_names(Plan& plan, const Program& program) {
  plan.name = program.name();
  const std::vector<Argument> arguments = program.arguments();
  for (std::size_t i = 0; i < arguments.size(); ++i) plan.arguments.at(i).name = arguments[i].name;
  const std::vector<std::string> symbols = program.symbols();
  for (std::size_t i = 0; i < symbols.size(); ++i) plan.symbols.at(i).name = symbols[i];
}

// A kernel that spills under a schedule that nobody gave takes the next smaller one. False where there is none.
bool narrow(Chosen& chosen, const Program& program, const Target& target, std::size_t spilling) {
  const auto& kernels = chosen.scheduled->program.kernels;
  const auto rewritten = kernels.begin() + static_cast<std::ptrdiff_t>(spilling);
  if (!rewritten->chosen) return false;
  const auto i = static_cast<std::size_t>(
      std::count_if(kernels.begin(), rewritten, [](const pipeline::ScheduledKernel& kernel) { return kernel.chosen; }));
  const compiler::Strategy& strategy = *rewritten->strategy;
  if (chosen.origins[i] == "given" || strategy.narrower == nullptr) return false;
  const compiler::Schedule own = compiler::parse_schedule(chosen.schedules[i], strategy.fields);
  const auto next = strategy.narrower(pipeline::kernels_of(program.ir(), target)[i], own, target);
  if (!next) return false;
  chosen.schedules[i] = compiler::to_string(*next, strategy.fields);
  chosen.origins[i] = "narrowed: wider tiles spill registers";
  chosen.scheduled = schedule_program(program, target, joined(chosen.schedules));
  return true;
}

pipeline::Artifact compile_chosen(Chosen& chosen, const Program& program, const Target& target,
                                  const Options& options) {
  if (!chosen.scheduled) chosen.scheduled = schedule_program(program, target, joined(chosen.schedules));
  while (true) {
    try {
      return pipeline::compile(
          chosen.scheduled->program, target,
          {.line_info = !options.source_path.empty(), .source_path = options.source_path, .nvrtc_path = options.nvrtc});
    } catch (const pipeline::SpillError& spill) {
      if (!narrow(chosen, program, target, spill.kernel())) throw;
    }
  }
}

Compiled compile_now(const Program& program, const Target& target, const Options& options, runtime::Device* device) {
  Chosen chosen = choose(program, target, options, device);
  Compiled compiled{
      .program = program, .target = target, .schedule = joined(chosen.schedules), .origins = chosen.origins};
  // A binary with source lines belongs to the file that they name.
  const bool stored = options.use_store && options.source_path.empty();
  const autotune::BinaryKey key = autotune::binary_key(program.ir(), compiled.schedule, target, "", options.nvrtc);
  if (stored) {
    if (auto found = store_of(options).binary(key)) {
      compiled.schedule = std::move(found->schedule);
      compiled.plan = std::move(found->plan);
      take_names(compiled.plan, program);
      compiled.binary = std::move(found->binary);
      compiled.from_store = true;
      return compiled;
    }
  }
  if (options.policy == Policy::frozen) {
    fail(
        "the policy is frozen and the store has no binary of {} under '{}' (key {}); compile it first with another "
        "policy",
        program.name(), compiled.schedule, to_text(autotune::id(key)));
  }
  pipeline::Artifact artifact = compile_chosen(chosen, program, target, options);
  compiled.schedule = joined(chosen.schedules);
  compiled.origins = chosen.origins;
  if (stored) store_of(options).record(key, {program.name(), compiled.schedule, artifact.plan, artifact.binary});
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
  api::require_addressable(program);
  runtime::Device* device = options.target.empty() ? &api::open_device(options.device) : nullptr;
  const Target target = device == nullptr ? parse_target(options.target) : device->info().target;
  return Executable(std::make_shared<const Executable::State>(api::compile_now(program, target, options, device),
                                                              device, options.nvrtc));
}

}  // namespace quern
