// tune: a winner in the store for every kernel of a program.

#include <algorithm>
#include <limits>

#include "api/device.h"
#include "api/session.h"
#include "base/error.h"
#include "runtime/host_memory.h"

namespace quern {
namespace api {

autotune::Store& store_of(const Options& options) {
  return autotune::shared_store(options.use_store ? options.store : ":memory:");
}

autotune::TuneSettings tune_settings(const Options& options) {
  if (!(options.budget_seconds >= 0)) fail("a budget of {} s; give 0 or more", options.budget_seconds);
  if (options.compile_threads < 0) fail("{} compile_threads; give 0 or more", options.compile_threads);
  return {options.budget_seconds, options.compile_threads, options.seed, options.nvrtc};
}

void require_addressable(const Program& program) {
  for (const Argument& argument : program.arguments()) {
    const auto& extents = argument.extents;
    if (std::ranges::count_if(extents, [](std::int64_t extent) { return extent < 0; }) > 0) continue;
    if (runtime::array_bytes(argument.dtype, extents) < std::numeric_limits<std::int64_t>::max()) continue;
    fail("argument {} of {} is {}, 2^63 bytes or more, which no memory has; use smaller sizes", argument.name,
         program.name(), argument.type());
  }
}

void require_timing(const runtime::Device& device) {
  if (device.info().target.kind != TargetKind::sim) return;
  fail("{} has no timing: it tells what a kernel does, not how long it takes; tune on a GPU (cuda) or on the CPU (cpu)",
       device.info().id);
}

}  // namespace api

TuneReport tune(const Program& program, const Options& options, const TuneCallback& callback) {
  if (!options.target.empty()) {
    fail("a target '{}' is given, but tuning measures on a device; give one, or neither for the best one here",
         options.target);
  }
  const Program sized = program.bind(options.sizes);
  api::require_addressable(sized);
  if (!sized.symbols().empty()) {
    fail("tuning {} takes a size for its symbol '{}': give it in Options::sizes (on the command line -D {}=1024)",
         program.name(), sized.symbols().front(), sized.symbols().front());
  }
  runtime::Device& device = api::open_device(options.device);
  api::require_timing(device);
  const auto observe = [&](const autotune::TuneStep& step) {
    return !callback || callback({.kernel = step.title,
                                  .kernel_index = step.kernel,
                                  .kernel_count = step.kernels,
                                  .schedule = step.schedule,
                                  .rejection = step.rejection,
                                  .tried = step.tried,
                                  .candidates = step.candidates,
                                  .seconds = step.seconds,
                                  .best_seconds = step.best_seconds,
                                  .elapsed_seconds = step.elapsed_seconds});
  };
  const autotune::TuneResult result =
      autotune::tune(sized.ir(), device, api::store_of(options), api::tune_settings(options), observe);
  TuneReport report{.kernels = {}, .tried = 0, .elapsed_seconds = result.elapsed_seconds, .stopped = result.stopped};
  for (const autotune::KernelResult& kernel : result.kernels) {
    report.tried += kernel.tried;
    report.kernels.push_back({kernel.title, kernel.schedule, kernel.fallback, kernel.seconds, kernel.fallback_seconds,
                              kernel.tried, kernel.candidates, kernel.rejected, kernel.from_store});
  }
  return report;
}

}  // namespace quern
