#include "compiler/strategies/wgmma.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "compiler/strategies/ring.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

const FieldList kWgmmaFields{"wgmma",
                             {{.name = "block", .parts = 3, .fallback = {128, 256, 64}},
                              {.name = "consumers", .fallback = {2}},
                              {.name = "tiles", .words = {"shared", "pingpong"}, .fallback = {0}},
                              {.name = "stages", .fallback = {4}},
                              {.name = "cluster", .parts = 2, .fallback = {1, 1}},
                              {.name = "raster", .fallback = {8}},
                              {.name = "order", .words = {"grouped", "hilbert"}, .fallback = {0}},
                              {.name = "a", .words = {"shared", "registers"}, .fallback = {0}},
                              {.name = "pad", .words = {"no", "yes"}, .fallback = {0}}}};

WgmmaSchedule::WgmmaSchedule(const Schedule& s)
    : bm(get(s, kWgmmaFields, "block", 0)),
      bn(get(s, kWgmmaFields, "block", 1)),
      bk(get(s, kWgmmaFields, "block", 2)),
      consumers(get(s, kWgmmaFields, "consumers")),
      stages(get(s, kWgmmaFields, "stages")),
      cluster_m(get(s, kWgmmaFields, "cluster", 0)),
      cluster_n(get(s, kWgmmaFields, "cluster", 1)),
      raster(get(s, kWgmmaFields, "raster")),
      pingpong(get(s, kWgmmaFields, "tiles") != 0),
      hilbert(get(s, kWgmmaFields, "order") != 0),
      a_in_registers(get(s, kWgmmaFields, "a") != 0) {}

// A row of the staging's swizzle, of no more values for each thread than the registers besides its accumulators hold.
std::int64_t WgmmaSchedule::chunk() const {
  constexpr std::int64_t kValues = 32;
  std::int64_t columns = swizzle_row(bn);
  while (own_rows() * columns / kGroupThreads > kValues) columns /= 2;
  return columns;
}

std::int64_t wgmma_row(const WgmmaOperand& operand, std::int64_t own, std::int64_t bk) {
  return swizzle_row(operand.k_contiguous ? bk : own);
}

namespace {

constexpr const FieldList& kFields = kWgmmaFields;

Schedule make(std::int64_t bm, std::int64_t bn, std::int64_t bk, std::int64_t consumers, std::int64_t stages,
              std::int64_t cluster_m, std::int64_t cluster_n, std::int64_t raster, bool hilbert = false) {
  return {"wgmma", {bm, bn, bk, consumers, 0, stages, cluster_m, cluster_n, raster, hilbert ? 1 : 0, 0, 0}};
}

constexpr std::int64_t kReserved = 1024 + 256;  // for the alignment of the first buffer, and the mbarriers

std::int64_t stage_bytes(const WgmmaSchedule& s) { return (s.bm + s.bn) * s.bk * kHalfBytes; }
std::int64_t staging_bytes(const WgmmaSchedule& s, int outputs) {
  return std::int64_t{2} * outputs * s.bm * s.turns() * s.chunk() * kHalfBytes;
}

constexpr std::int64_t kOtherRegisters = 56;  // addresses, the epilogue's values
constexpr std::int64_t kLeastStages = 2, kMostStages = 8;
constexpr std::int64_t kTurns = 3;  // tiles for each processor, from which on clusters pay

std::int64_t most_stages(const WgmmaSchedule& s, int outputs, const Target& target) {
  const std::int64_t left = target.gpu.shared_per_block - kReserved - staging_bytes(s, outputs);
  return std::min<std::int64_t>(left / stage_bytes(s), kMostStages);
}

// A tile's columns: as many as wished for, where sums of rows do not say.
std::int64_t columns_of(const WgmmaProblem& problem, std::int64_t wish) {
  const std::int64_t width = summed_width(problem);
  return width != 0 ? width : wish;
}

// The smallest tile, of the columns that sums of rows ask for.
Schedule smallest(const WgmmaProblem& problem) {
  return make(kWgmmaRows, columns_of(problem, 16), kSwizzleSpan, 1, kLeastStages, 1, 1, 8);
}

Verdict matches(const Program& program, const Target& target) {
  if (!target.is_gpu() || !target.gpu.features.wgmma || !target.gpu.features.tma) {
    return {fmt::format("{} has no wgmma", to_text(target))};
  }
  auto analysis = analyze_wgmma(program);
  if (auto* reason = std::get_if<std::string>(&analysis)) return {std::move(*reason)};
  const auto& problem = std::get<WgmmaProblem>(analysis);
  const int outputs = wgmma_staged_outputs(program, problem);
  if (most_stages(WgmmaSchedule(smallest(problem)), outputs, target) >= kLeastStages) return {};
  return {fmt::format("{} outputs of 2-byte elements take more shared memory than there is", outputs)};
}

std::int64_t extent_or(const Expr& extent, std::int64_t unknown) {
  return std::max<std::int64_t>(as_integer(extent).value_or(unknown), 1);
}

std::int64_t tiles_of(const WgmmaProblem& problem, std::int64_t bm, std::int64_t bn) {
  const std::int64_t m = extent_or(problem.m, 4096), n = extent_or(problem.n, 4096);
  return extent_or(problem.batch, 1) * ((m + bm - 1) / bm) * ((n + bn - 1) / bn);
}

std::int64_t steps_of_k(const WgmmaProblem& problem) {
  return extent_or(extent_product(problem.outer_k), 1) * extent_or(problem.inner_k.hi, 4096);
}

bool wants_padding(const Program& program) {
  const ContractionProblem problem = analyze_operands(program, program.facts);
  constexpr std::int64_t kUses = 256;  // of an element, for which a copy pays
  return extent_or(problem.m, 0) >= kUses && extent_or(problem.n, 0) >= kUses && is_misaligned(problem);
}

Verdict check_block(const WgmmaSchedule& s) {
  if (s.consumers < 1 || s.consumers > 3) return {fmt::format("consumers={} is not 1, 2 or 3 warpgroups", s.consumers)};
  const std::int64_t sharers = s.pingpong ? 1 : s.consumers;
  if (s.bm < 1 || s.bm % (kWgmmaRows * sharers) != 0 || s.bm > 256) {
    return {fmt::format("block m={} is not a multiple of 64 rows for each of {} consumers, up to 256", s.bm, sharers)};
  }
  if (!is_wgmma_width(s.bn)) {
    return {fmt::format("block n={} is not a multiple of 16 from 16 to 256", s.bn)};
  }
  if (s.bk != kSwizzleSpan) return {fmt::format("block k={} is not {}, a row of 128 bytes", s.bk, kSwizzleSpan)};
  const std::int64_t held = s.accumulator_registers() + s.operand_registers(), most = consumer_registers(s.consumers);
  if (held + kOtherRegisters > most) {
    return {fmt::format(
        "a consumer's thread takes {} registers for accumulators and operands, {} for others, of {}: a smaller block, "
        "or more consumers, take fewer",
        held, kOtherRegisters, most)};
  }
  return {};
}

// Steps of k that take as long as what follows the product: functions of floats alone take the special functions' unit,
// two results of 16 a clock, where a processor adds 2048 products.
double epilogue_steps(const Program& program, const WgmmaProblem& problem) {
  bool is_long = false;
  for (const Definition& definition : program.definitions) {
    if (definition.tensor == problem.contraction.product->tensor) continue;
    visit(definition.value, [&](const Expr& e) {
      is_long |= e->kind == ExprKind::call && row(e->op).types == TypeRule::floating;
      return !is_long;
    });
  }
  return is_long ? 256 : 0;
}

// The tile with which the blocks end first: each takes as many turns as there are tiles for it, a turn as long as the
// tile's share of the tensor cores' rate, and its epilogue where no other consumer's products hide it.
Schedule fastest_tile(const Program& program, const WgmmaProblem& problem, int outputs, const Target& target) {
  struct Tile {
    std::int64_t bm, bn, consumers;
    bool pingpong;
    double rate;  // of the largest tile's, measured on an H200
  };
  constexpr Tile kTiles[] = {{128, 256, 2, false, 1},  {128, 192, 2, false, 0.97}, {128, 128, 2, false, 0.85},
                             {128, 64, 2, false, 0.6}, {64, 256, 1, false, 0.75},  {64, 128, 1, false, 0.55},
                             {64, 64, 1, false, 0.4},  {128, 160, 2, true, 0.95},  {128, 128, 2, true, 0.95}};
  const double epilogue = epilogue_steps(program, problem) / static_cast<double>(steps_of_k(problem));
  Schedule chosen = smallest(problem);
  double least = std::numeric_limits<double>::infinity();
  for (const Tile& tile : kTiles) {
    const std::int64_t bn = columns_of(problem, tile.bn);
    Schedule schedule = make(tile.bm, bn, kSwizzleSpan, tile.consumers, kLeastStages, 1, 1, 8);
    set(schedule, kFields, "tiles", tile.pingpong ? 1 : 0);
    const std::int64_t turns = (tiles_of(problem, tile.bm, bn) + target.gpu.sm_count - 1) / target.gpu.sm_count;
    // Taking turns costs what shared rows save, and more where columns of the tile are beyond the product's.
    if (tile.pingpong && (epilogue == 0 || turns <= kTurns || extent_or(problem.n, 4096) < bn)) continue;
    const double time = static_cast<double>(turns * tile.bm * bn) * (1 / tile.rate + (tile.pingpong ? 0 : epilogue));
    const WgmmaSchedule fields(schedule);
    if (time >= least || !check_block(fields) || most_stages(fields, outputs, target) < kLeastStages) continue;
    chosen = schedule;
    least = time;
  }
  return chosen;
}

Schedule fallback(const Program& program, const Target& target) {
  const WgmmaProblem problem = wgmma_problem(program);
  const int outputs = wgmma_staged_outputs(program, problem);
  Schedule schedule = fastest_tile(program, problem, outputs, target);
  const WgmmaSchedule tile(schedule);
  // Blocks in pairs halve what the second operand's tile costs, where there is enough to do for all but a few.
  const bool is_large = tiles_of(problem, tile.bm, tile.bn) >= kTurns * target.gpu.sm_count;
  if (is_large && (tile.bn == 256 || tile.pingpong)) set(schedule, kFields, "cluster", 2, 0);
  set(schedule, kFields, "stages", most_stages(WgmmaSchedule(schedule), outputs, target));
  if (wants_padding(program)) set(schedule, kFields, "pad", 1);
  return schedule;
}

std::vector<Schedule> candidates(const Program& program, const Target& target) {
  const WgmmaProblem problem = wgmma_problem(program);
  const int outputs = wgmma_staged_outputs(program, problem);
  std::vector<Schedule> all{fallback(program, target)};
  const std::int64_t pad = get(all[0], kFields, "pad");
  struct Tile {
    std::int64_t bm, bn, consumers;
  };
  for (const Tile& t : {Tile{128, 256, 2}, Tile{256, 128, 2}, Tile{256, 160, 2}, Tile{128, 192, 2}, Tile{192, 192, 3},
                        Tile{192, 128, 3}, Tile{128, 160, 2}, Tile{128, 128, 2}, Tile{128, 112, 2}, Tile{128, 96, 2},
                        Tile{128, 64, 2}, Tile{64, 256, 1}, Tile{64, 128, 1}, Tile{64, 64, 1}, Tile{64, 32, 1}}) {
    for (const auto& [cm, cn] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {2, 1}, {1, 2}}) {
      for (const std::int64_t raster : {1, 4, 8, 16}) {
        for (const bool hilbert : {false, true}) {
          if (hilbert && raster < 8) continue;
          for (const bool pingpong : {false, true}) {
            if (pingpong && (t.consumers != 2 || raster == 1 || hilbert)) continue;
            Schedule schedule = make(pingpong ? t.bm / 2 : t.bm, columns_of(problem, t.bn), kSwizzleSpan, t.consumers,
                                     2, cm, cn, raster, hilbert);
            set(schedule, kFields, "tiles", pingpong ? 1 : 0);
            const std::int64_t stages = most_stages(WgmmaSchedule(schedule), outputs, target);
            set(schedule, kFields, "stages", stages);
            set(schedule, kFields, "pad", pad);
            if (std::ranges::find(all, schedule) == all.end()) all.push_back(schedule);
          }
        }
      }
    }
  }
  return all;
}

Verdict check_order(const WgmmaSchedule& s, const Target& target) {
  const bool is_one = s.cluster_m >= 1 && s.cluster_n >= 1 && s.cluster() <= 2;
  if (!is_one || s.cluster() > target.gpu.max_cluster) {
    return {fmt::format("cluster={}x{} is not 1x1, 2x1 or 1x2", s.cluster_m, s.cluster_n)};
  }
  if (s.hilbert && ((s.raster & (s.raster - 1)) != 0 || s.raster < 2 || s.raster > 64)) {
    return {fmt::format("order=hilbert takes raster=2 to 64, a power of two, not {}", s.raster)};
  }
  // The arrivals between blocks order wgmma's reads alone.
  if (s.cluster() > 1 && s.a_in_registers)
    return {"a=registers takes cluster=1x1: its loads from shared memory are ordinary"};
  if (s.cluster_m == 2 && s.bn % 32 != 0) return {fmt::format("cluster=2x1 halves block n={}, a multiple of 32", s.bn)};
  return {};
}

Verdict check(const Program& program, const Schedule& schedule, const Target& target) {
  if (Verdict match = matches(program, target); !match) return match;
  const WgmmaProblem problem = wgmma_problem(program);
  const WgmmaSchedule s(schedule);
  if (Verdict block = check_block(s); !block) return block;
  if (Verdict order = check_order(s, target); !order) return order;
  if (get(schedule, kFields, "pad") != 0) {
    const ContractionProblem plain = analyze_operands(program, program.facts);
    if (std::string reason = why_not_padded(plain); !reason.empty()) return {std::move(reason)};
  }
  if (const std::int64_t width = summed_width(problem); width != 0 && width != s.bn) {
    return {fmt::format("block n={} is not what rows are summed in, {}", s.bn, width)};
  }
  if (problem.a.im2col && s.cluster_n == 2) return {"cluster=1x2 halves rows that im2col copies whole; take 2x1"};
  const int outputs = wgmma_staged_outputs(program, problem);
  if (s.stages < kLeastStages || s.stages > kMostStages) {
    return {fmt::format("stages={} is not {} to {}", s.stages, kLeastStages, kMostStages)};
  }
  const std::int64_t needed = s.stages * stage_bytes(s) + staging_bytes(s, outputs) + kReserved;
  if (needed > target.gpu.shared_per_block) {
    return {fmt::format(
        "needs {} B of shared memory, the device has {}: {} stages of {}, {} for the epilogue, {} for "
        "barriers and alignment",
        needed, target.gpu.shared_per_block, s.stages, stage_bytes(s), staging_bytes(s, outputs), kReserved)};
  }
  return {};
}

// Half of the columns, whose accumulators leave the epilogue more registers.
std::optional<Schedule> narrower(const Program& program, const Schedule& schedule, const Target& target) {
  const int outputs = wgmma_staged_outputs(program, wgmma_problem(program));
  Schedule next = schedule;
  set(next, kFields, "block", WgmmaSchedule(schedule).bn / 32 * 16, 1);
  if (WgmmaSchedule(next).bn < 16) return std::nullopt;
  set(next, kFields, "stages", most_stages(WgmmaSchedule(next), outputs, target));
  return check(program, next, target) ? std::optional(std::move(next)) : std::nullopt;
}

std::optional<Rewrite> rewrite(const Program& program, const Schedule& schedule) {
  const WgmmaProblem problem = wgmma_problem(program);
  if (sums_whole_rows(problem)) {
    return Rewrite{sum_tiles_of_rows(program, problem, WgmmaSchedule(schedule).bn), 0, schedule};
  }
  if (get(schedule, kFields, "pad") == 0) return std::nullopt;
  Schedule rest = schedule;
  set(rest, kFields, "pad", 0);
  Partition parts = pad_operands(program);
  const std::size_t main = parts.kernels.size() - 1;
  return Rewrite{std::move(parts), main, std::move(rest)};
}

}  // namespace

const Strategy kWgmma{kWgmmaFields, matches, fallback, candidates, check, rewrite, emit_wgmma, narrower, true};

}  // namespace quern::compiler
