#include <array>

#include "base/error.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {
namespace {

// In the order of asking: the most particular first. Externs stand apart: nobody chooses how they are computed.
const std::array<Strategy, 5>& table() {
  static const std::array<Strategy, 5> kRows{kAttention, kWgmma, kContraction, kReduction, kPointwise};
  return kRows;
}

}  // namespace

Verdict Strategy::check(const ir::Program& kernel, const Schedule& schedule, const Target& target) const {
  Verdict ranges = check_ranges(schedule, fields);
  return ranges ? check_own(kernel, schedule, target) : std::move(ranges);
}

std::span<const Strategy> strategies() { return table(); }

Verdict fuses(const ir::Program& group, const Target& target) {
  Verdict attention = kAttention.matches(group, target);
  return attention || kWgmma.matches(group, target) ? Verdict{} : std::move(attention);
}

const Strategy& strategy_for(const ir::Program& kernel, const Target& target) {
  if (kExtern.matches(kernel, target)) return kExtern;
  for (const Strategy& strategy : table()) {
    if (strategy.matches(kernel, target)) return strategy;
  }
  throw InternalError(fmt::format("no strategy matches a kernel of {}", kernel.name));
}

const Strategy& strategy_named(std::string_view name) {
  if (name == kExtern.fields.strategy) return kExtern;  // in the schedules of a whole program
  std::string known;
  for (const Strategy& strategy : table()) {
    if (strategy.fields.strategy == name) return strategy;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", strategy.fields.strategy);
  }
  fail("'{}' is not a strategy; known are {}", name, known);
}

Verdict check_shared(std::string_view field, std::int64_t bytes, std::string_view sum, const Target& target) {
  constexpr std::int64_t kMostScratch = std::int64_t{64} << 20;  // far more than caches hold, and no machine's memory
  const std::int64_t most = target.is_gpu() ? target.gpu.shared_per_block : kMostScratch;
  if (bytes <= most) return {};
  return {fmt::format("needs {} B of {} {}: {}; a smaller {} takes less", bytes,
                      target.is_gpu() ? "shared memory, the device has" : "scratch for each thread, the most is", most,
                      sum, field)};
}

Schedule parse_schedule(std::string_view text) {
  return parse_schedule(text, strategy_named(strategy_of(text)).fields);
}

std::string to_string(const Schedule& schedule) {
  return to_string(schedule, strategy_named(schedule.strategy).fields);
}

}  // namespace quern::compiler
