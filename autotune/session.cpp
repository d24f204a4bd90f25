#include "autotune/session.h"

#include <map>
#include <memory>
#include <mutex>

#include "autotune/compiler_version.h"
#include "autotune/store_location.h"
#include "base/error.h"
#include "ir/canonical.h"
#include "pipeline/build_digest.h"
#include "pipeline/schedule_program.h"

namespace quern::autotune {
namespace {

// The nearest winner whose schedule is legal here.
std::optional<Choice> choose_near(const ir::Program& kernel, const compiler::Strategy& strategy, const Target& target,
                                  Store& store, const WinnerKey& key) {
  for (const Store::Near& near : store.nearest(key)) {
    if (!is_legal(near.winner.schedule, kernel, strategy, target)) continue;
    std::string shape;
    for (const std::int64_t extent : near.shape) shape += fmt::format("{}{}", shape.empty() ? "" : "x", extent);
    return Choice{near.winner.schedule, fmt::format("nearest: {}, distance {:.3g}", shape, near.distance)};
  }
  return std::nullopt;
}

}  // namespace

std::vector<Choice> choose_schedules(const ir::Program& program, runtime::Device& device, Store& store, Policy policy,
                                     const TuneSettings& settings) {
  const Target& target = device.info().target;
  std::vector<Choice> choices;
  if (policy == Policy::tune) {
    for (const KernelResult& kernel : tune(program, device, store, settings, {}).kernels) {
      choices.push_back({kernel.schedule, kernel.from_store ? "store" : "tuned"});
    }
    return choices;
  }
  for (const ir::Program& kernel : pipeline::kernels_of(program, target)) {
    const compiler::Strategy& strategy = compiler::strategy_for(kernel, target);
    if (!kernel.externs.empty()) {
      choices.push_back({std::string(strategy.fields.strategy), "given"});
      continue;
    }
    const WinnerKey key = winner_key(kernel, strategy, device.info());
    const auto winner = store.winner(key);
    if (winner && is_legal(winner->schedule, kernel, strategy, target)) {
      choices.push_back({winner->schedule, "store"});
    } else if (policy == Policy::frozen) {
      fail("the policy is frozen and the store {} has no winner for {} (key {}); tune it first, or use another policy",
           store.location(), describe(key), to_text(id(key)));
    } else if (const auto near = choose_near(kernel, strategy, target, store, key)) {
      choices.push_back(*near);
    } else {
      choices.push_back({compiler::to_string(strategy.fallback(kernel, target), strategy.fields), "default"});
    }
  }
  return choices;
}

BinaryKey binary_key(const ir::Program& program, const std::string& schedules, const Target& target,
                     const std::string& options, const std::string& nvrtc_path) {
  return {ir::digest(program),
          schedules,
          target_key(target),
          std::string(build_digest()),
          compiler_version(target, nvrtc_path),
          options};
}

Store& shared_store(const std::string& location) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Store>> stores;
  const std::string path = store_path(location).string();
  const std::lock_guard lock(mutex);
  std::unique_ptr<Store>& store = stores[path];
  if (!store) store = std::make_unique<Store>(path);
  return *store;
}

}  // namespace quern::autotune
