#include "compiler/strategies/attention.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compiler/strategies/hopper_tiles.h"
#include "compiler/strategies/ring.h"
#include "compiler/strategies/space.h"
#include "compiler/strategies/table.h"
#include "ir/printer.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

const FieldList kAttentionFields{"attention",
                                 {{.name = "block", .parts = 2, .fallback = {128, 128}},
                                  {.name = "consumers", .fallback = {2}},
                                  {.name = "stages", .fallback = {2}},
                                  {.name = "overlap", .words = {"no", "yes"}, .fallback = {0}}}};

AttentionSchedule::AttentionSchedule(const Schedule& s)
    : bm(get(s, kAttentionFields, "block", 0)),
      bn(get(s, kAttentionFields, "block", 1)),
      consumers(get(s, kAttentionFields, "consumers")),
      stages(get(s, kAttentionFields, "stages")),
      overlap(get(s, kAttentionFields, "overlap") != 0) {}

// --- Logits ---------------------------------------------------------------------------------------------------------

namespace {

bool is_minus_infinity(const Expr& e) {
  return is_constant(e) && is_float(e->dtype) && std::isinf(e->real) && e->real < 0;
}

bool is_positive(const Expr& e) {
  return is_constant(e) && is_float(e->dtype) && e->real > 0 && std::isfinite(e->real);
}

// The conjuncts of a condition.
void conjuncts_of(const Expr& condition, std::vector<Expr>& found) {
  if (!is_call(condition, Op::logical_and)) {
    found.push_back(condition);
    return;
  }
  for (const Expr& arg : condition->args) conjuncts_of(arg, found);
}

}  // namespace

Logit split_logit(const Expr& logit) {
  if (is_call(logit, Op::select) && is_minus_infinity(logit->args[2])) {
    Logit inner = split_logit(logit->args[1]);
    inner.seen = both(logit->args[0], inner.seen);
    return inner;
  }
  if (is_call(logit, Op::mul)) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}}) {
      if (!is_positive(logit->args[at])) continue;
      Logit inner = split_logit(logit->args[1 - at]);
      inner.factor *= logit->args[at]->real;
      return inner;
    }
  }
  return {logit, 1, {}};
}

Expr key_limit(const Attention& a, const Assumptions& known) {
  const Logit logit = split_logit(a.logit);
  if (!logit.seen) return {};
  std::vector<Expr> conditions;
  conjuncts_of(logit.seen, conditions);
  for (const Expr& condition : conditions) {
    const bool is_strict = is_call(condition, Op::lt);
    if ((!is_strict && !is_call(condition, Op::le)) || !is_variable(condition->args[0], a.key.var)) continue;
    const Expr limit = simplify(is_strict ? condition->args[1] : condition->args[1] + 1, known);
    const auto slope = coefficient(limit, a.row.var, known);
    if (uses(limit, a.key.var) || !tensors_read(limit).empty() || !slope) continue;
    if (prove(less_equal(0, *slope), known) == true) return limit;
  }
  return {};
}

namespace {

// --- Schedules ------------------------------------------------------------------------------------------------------

constexpr std::int64_t kLeastColumns = 32, kMostColumns = 256;
constexpr std::int64_t kOtherRegisters = 44;    // addresses, rows' maxima and sums
constexpr std::int64_t kReserved = 1024 + 256;  // for the alignment of the first buffer, and the mbarriers

std::int64_t depth_of(const Attention& a) { return as_integer(a.depth.hi).value_or(0); }
std::int64_t columns_of(const Attention& a) { return as_integer(a.column.hi).value_or(0); }

// What the strategy takes, or why it takes something else.
std::variant<Attention, std::string> attention_for(const Program& program, const Target& target) {
  if (!target.is_gpu() || !target.gpu.features.wgmma || !target.gpu.features.tma) {
    return fmt::format("{} has no wgmma", to_text(target));
  }
  auto found = analyze_attention(program);
  const auto* a = std::get_if<Attention>(&found);
  if (!a) return found;
  for (const Axis& axis : {a->depth, a->column}) {
    const std::optional<std::int64_t> extent = as_integer(axis.hi);
    if (extent && *extent >= kLeastColumns && *extent <= kMostColumns && *extent % kLeastColumns == 0) continue;
    return fmt::format("{} ({}) is no number that is a multiple of {} up to {}", axis.var->name, to_string(axis.hi),
                       kLeastColumns, kMostColumns);
  }
  return found;
}

Verdict matches(const Program& program, const Target& target) {
  auto found = attention_for(program, target);
  auto* reason = std::get_if<std::string>(&found);
  return {reason ? std::move(*reason) : ""};
}

std::int64_t shared_bytes(const AttentionSchedule& s, const Attention& a) {
  return kHalfBytes * (s.bm * depth_of(a) + s.stages * s.bn * (depth_of(a) + columns_of(a)));
}

// Of a consumer's thread: scores, probabilities and the mixture.
std::int64_t registers_of(const AttentionSchedule& s, const Attention& a) {
  const std::int64_t tiles = s.bm / kWgmmaRows / std::max<std::int64_t>(s.consumers, 1);
  return tiles * (s.bn / 2 + s.bn / 4 + columns_of(a) / 2) + kOtherRegisters;
}

Verdict check(const Attention& a, const Schedule& schedule, const Target& target) {
  const AttentionSchedule s(schedule);
  if (s.consumers < 1 || s.consumers > 3) return {fmt::format("consumers={} is not 1, 2 or 3 warpgroups", s.consumers)};
  if (s.bm < 1 || s.bm != kWgmmaRows * s.consumers) {
    return {fmt::format("block m={} is not 64 rows for each of {} consumers", s.bm, s.consumers)};
  }
  if (s.bn < 16 || s.bn % 16 != 0 || s.bn > kMostColumns) {
    return {fmt::format("block n={} is not a multiple of 16 from 16 to {}", s.bn, kMostColumns)};
  }
  if (s.stages < 1 || s.stages > 8) return {fmt::format("stages={} is not 1 to 8", s.stages)};
  if (registers_of(s, a) > consumer_registers(s.consumers)) {
    return {
        fmt::format("a consumer's thread takes {} registers for scores, probabilities and the result, {} for others, "
                    "of {}: a smaller block n takes fewer",
                    registers_of(s, a) - kOtherRegisters, kOtherRegisters, consumer_registers(s.consumers))};
  }
  if (const std::int64_t needed = shared_bytes(s, a) + kReserved; needed > target.gpu.shared_per_block) {
    return {fmt::format("needs {} B of shared memory, the device has {}: the queries, {} stages of keys and values",
                        needed, target.gpu.shared_per_block, s.stages)};
  }
  return {};
}

Verdict check(const Program& program, const Schedule& schedule, const Target& target) {
  const auto found = attention_for(program, target);
  const auto* a = std::get_if<Attention>(&found);
  return a ? check(*a, schedule, target) : Verdict{std::get<std::string>(found)};
}

Schedule make(std::int64_t bn, std::int64_t consumers, std::int64_t stages, bool overlap) {
  return {"attention", {kWgmmaRows * consumers, bn, consumers, stages, overlap ? 1 : 0}};
}

std::vector<Schedule> candidates(const Program& program, const Target& target) {
  const auto found = attention_for(program, target);
  const auto* a = std::get_if<Attention>(&found);
  std::vector<Schedule> all;
  if (!a) return all;
  for (const std::int64_t consumers : {2, 3, 1}) {
    for (const std::int64_t bn : {128, 176, 160, 144, 112, 96, 80, 64, 48, 32}) {
      for (const std::int64_t stages : {2, 3, 4}) {
        for (const bool overlap : {true, false}) {
          if (Schedule schedule = make(bn, consumers, stages, overlap); check(*a, schedule, target)) {
            all.push_back(std::move(schedule));
          }
        }
      }
    }
  }
  return all;
}

// Two consumers, of which one forms probabilities while the other multiplies, with products of its own in flight, and
// as many keys as registers hold: the fastest of what was measured on an H200 (docs/performance.md).
Schedule fallback(const Program& program, const Target& target) {
  for (const Schedule& schedule : candidates(program, target)) {
    if (get(schedule, kAttentionFields, "stages") == 2) return schedule;
  }
  return make(16, 1, 1, false);
}

std::optional<Schedule> narrower(const Program& program, const Schedule& schedule, const Target& target) {
  Schedule next = schedule;
  set(next, kAttentionFields, "block", AttentionSchedule(schedule).bn / 32 * 16, 1);
  return check(program, next, target) ? std::optional(std::move(next)) : std::nullopt;
}

std::optional<Rewrite> rewrite(const Program&, const Schedule&) { return std::nullopt; }

}  // namespace

const Strategy kAttention{kAttentionFields, matches,        fallback, candidates, check,
                          rewrite,          emit_attention, narrower, true};

}  // namespace quern::compiler
