#include "compiler/strategies/contraction.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

const FieldList kContractionFields{"contraction",
                                   {{.name = "block", .parts = 3, .fallback = {128, 128, 16}},
                                    {.name = "thread", .parts = 2, .fallback = {8, 8}},
                                    {.name = "stages", .fallback = {2}},
                                    {.name = "copy", .words = {"register", "async"}, .fallback = {0}},
                                    {.name = "split_k", .fallback = {1}},
                                    {.name = "raster", .fallback = {8}},
                                    {.name = "pack", .words = {"task", "once"}, .fallback = {0}},
                                    {.name = "pad", .words = {"no", "yes"}, .fallback = {0}}}};

namespace {

constexpr const FieldList& kFields = kContractionFields;

bool has_fixed_order(const ContractionProblem& problem) {
  return problem.contraction.product->value->reduce->contract.order == Order::fixed;
}

// Whether sums are rounded to the element's dtype at their end alone.
bool accumulates_wider(const ContractionProblem& problem) {
  const Expr& sum = problem.contraction.product->value;
  return sum->reduce->contract.accumulator.value_or(sum->dtype) != sum->dtype;
}

// What blocks are cut from; an empty extent takes those of 1.
std::int64_t static_extent(const Expr& extent, std::int64_t unknown) {
  return std::max<std::int64_t>(as_integer(extent).value_or(unknown), 1);
}

Schedule make(std::int64_t bm, std::int64_t bn, std::int64_t bk, std::int64_t tm, std::int64_t tn, std::int64_t stages,
              bool async, std::int64_t split, std::int64_t raster, bool pack_once = false) {
  return {"contraction", {bm, bn, bk, tm, tn, stages, async ? 1 : 0, split, raster, pack_once ? 1 : 0, 0}};
}

std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

Verdict matches(const Program& program, const Target&) {
  return {analyze_contraction(program) ? "" : "it is no contraction"};
}

// A staged operand's pitch keeps vectors aligned and neighbouring rows in different banks.
constexpr std::int64_t kPitchBytes = 16;
constexpr std::int64_t kAccumulatorLimit = 160;  // registers for accumulators, of 255
constexpr std::int64_t kMaxRegisters = 255;
constexpr std::int64_t kMinDepth = 256;  // of a part of k

struct Resources {
  std::int64_t threads, shared, registers;
  std::string sum;  // how the shared memory adds up
};

Resources resources_of(const ContractionProblem& problem, const Schedule& s) {
  const std::int64_t bm = get(s, kFields, "block", 0), bn = get(s, kFields, "block", 1),
                     bk = get(s, kFields, "block", 2);
  const std::int64_t tm = get(s, kFields, "thread", 0), tn = get(s, kFields, "thread", 1);
  const std::int64_t stages = get(s, kFields, "stages");
  const auto bytes = [&](const Operand& operand, std::int64_t own) {
    const std::int64_t size = byte_size(operand.dtype()), pad = kPitchBytes / size;
    return size * (operand.k_contiguous ? own * (bk + pad) : bk * (own + pad));
  };
  const std::int64_t a = bytes(problem.a, bm) * stages, b = bytes(problem.b, bn) * stages;
  const std::int64_t threads = (bm / tm) * (bn / tn);
  // What runs along k comes as vectors of 16 bytes, else one element at a time.
  constexpr std::int64_t kRegisterBytes = 4;
  const std::int64_t depth = problem.a.k_contiguous || problem.b.k_contiguous ? kPitchBytes / kRegisterBytes : 1;
  const std::int64_t staged = get(s, kFields, "copy") ? 0 : (bm + bn) * bk / std::max<std::int64_t>(threads, 1);
  return {threads, a + b, tm * tn + (tm + tn) * depth + staged,
          fmt::format("A {}x{}x{} {} = {}, B {}x{}x{} {} = {}", stages, bm, bk, name(problem.a.dtype()), a, stages, bk,
                      bn, name(problem.b.dtype()), b)};
}

// A CPU's register tile has so many rows and two vectors of columns. Blocks of them are at most so large: what is
// packed for a block is then used often enough, and what a block holds stays in the caches.
struct CpuTile {
  std::int64_t rows, most_rows, most_columns;
};
constexpr CpuTile kTileOf16{6, 288, 512}, kTileOf32{14, 168, 512};  // for as many vector registers

// What a CPU block costs in vector operations: the product, and packing, which an element of an operand pays once per
// block. A stored panel is read as it is.
constexpr double kPackCost = 6;

// `extent` in as few even blocks, of whole tiles, as have at most `most` elements.
std::int64_t even_block(std::int64_t extent, std::int64_t most, std::int64_t tile) {
  const std::int64_t blocks = (extent + most - 1) / most;
  return round_up((extent + blocks - 1) / blocks, tile);
}

// The block whose tasks end first, on all cores.
std::pair<std::int64_t, std::int64_t> best_cpu_block(const ContractionProblem& problem, const Target& target,
                                                     const CpuTile& tile, std::int64_t tn, bool in_panels) {
  const std::int64_t m = static_extent(problem.m, 1024), n = static_extent(problem.n, 1024),
                     batch = static_extent(problem.batch, 1);
  std::pair<std::int64_t, std::int64_t> best;
  double least = std::numeric_limits<double>::infinity();
  for (const std::int64_t rows : {1, 2, 3, 4, 6, 12, 24, 48}) {
    for (const std::int64_t columns : {1, 2, 4, 8, 16, 32}) {
      const std::int64_t bm = even_block(m, std::max(tile.most_rows / rows, tile.rows), tile.rows);
      const std::int64_t bn = even_block(n, std::max(tile.most_columns / columns, tn), tn);
      const std::int64_t down = (m + bm - 1) / bm, across = (n + bn - 1) / bn, tasks = batch * down * across;
      const std::int64_t rounds = (tasks + target.cpu.cores - 1) / std::max(target.cpu.cores, 1);
      const auto rows_in = static_cast<double>(round_up(m, tile.rows)),
                 columns_in = static_cast<double>(round_up(n, tn));
      const double packed =
          rows_in * static_cast<double>(across) + (in_panels ? 0 : columns_in * static_cast<double>(down));
      const double mean = (rows_in * columns_in + kPackCost * packed) / static_cast<double>(down * across);
      const double cost = static_cast<double>(rounds) * mean;
      if (cost >= least) continue;
      least = cost;
      best = {bm, bn};
    }
  }
  return best;
}

Schedule fallback_cpu(const Program& program, const ContractionProblem& problem, const Target& target) {
  const CpuTile& tile = target.cpu.vector_registers >= 32 ? kTileOf32 : kTileOf16;
  const std::int64_t tn = 2 * target.cpu.vector_bytes / 4;
  const std::int64_t bk = std::min<std::int64_t>(256, static_extent(problem.k, 1024));
  const bool once = can_pack_once(program, problem.contraction);
  const auto [bm, bn] = best_cpu_block(problem, target, tile, tn, once);
  return make(bm, bn, bk, tile.rows, tn, 2, false, 1, 8, once);
}

Schedule fallback_aligned_gpu(const ContractionProblem& problem, const Target& target) {
  const std::int64_t m = static_extent(problem.m, 4096), n = static_extent(problem.n, 4096),
                     k = static_extent(problem.k, 4096);
  const std::int64_t batch = static_extent(problem.batch, 1);
  const bool async =
      target.gpu.features.cp_async && copies_asynchronously(problem.a) && copies_asynchronously(problem.b);
  // The largest tile that fills the device, else the smallest.
  struct Tile {
    std::int64_t bm, bn, tm, tn;
  };
  constexpr Tile kTiles[] = {{128, 128, 8, 8}, {128, 64, 8, 4}, {64, 64, 4, 4}, {32, 64, 4, 2}, {16, 128, 4, 4}};
  Tile chosen = kTiles[2];
  for (const Tile& tile : kTiles) {
    if (tile.bm > 2 * m || tile.bn > 2 * n) continue;
    const std::int64_t tiles = batch * ((m + tile.bm - 1) / tile.bm) * ((n + tile.bn - 1) / tile.bn);
    chosen = tile;
    if (tiles >= target.gpu.sm_count) break;
  }
  const std::int64_t tiles = batch * ((m + chosen.bm - 1) / chosen.bm) * ((n + chosen.bn - 1) / chosen.bn);
  // Parts of k where the tiles leave processors idle: whole parts of its first axis, of at least kMinDepth each.
  std::int64_t split = 1;
  const std::int64_t first = as_integer(problem.contraction.k[0].hi).value_or(1);
  while (!has_fixed_order(problem) && !accumulates_wider(problem) && tiles * split <= target.gpu.sm_count &&
         first % (split * 2) == 0 && k / (split * 2) >= kMinDepth)
    split *= 2;
  // Two deep stages where two blocks of them fit a processor, else three of half the depth.
  Schedule deep = make(chosen.bm, chosen.bn, 32, chosen.tm, chosen.tn, 2, async, split, 8);
  if (2 * resources_of(problem, deep).shared <= target.gpu.shared_per_sm) return deep;
  return make(chosen.bm, chosen.bn, 16, chosen.tm, chosen.tn, async ? 3 : 2, async, split, 8);
}

// Copying the operands pays where each element of them is used often enough.
Schedule fallback_gpu(const ContractionProblem& problem, const Target& target) {
  constexpr std::int64_t kUses = 256;
  Schedule schedule = fallback_aligned_gpu(problem, target);
  const bool often = static_extent(problem.m, 0) >= kUses && static_extent(problem.n, 0) >= kUses;
  if (often && is_misaligned(problem)) set(schedule, kFields, "pad", 1);
  return schedule;
}

Schedule fallback(const Program& program, const Target& target) {
  const ContractionProblem problem = analyze_operands(program, program.facts);
  return target.is_gpu() ? fallback_gpu(problem, target) : fallback_cpu(program, problem, target);
}

std::vector<Schedule> candidates(const Program& program, const Target& target) {
  const ContractionProblem problem = analyze_operands(program, program.facts);
  std::vector<Schedule> all{target.is_gpu() ? fallback_gpu(problem, target) : fallback_cpu(program, problem, target)};
  const auto add = [&](const Schedule& schedule) {
    if (std::find(all.begin(), all.end(), schedule) == all.end()) all.push_back(schedule);
  };
  if (!target.is_gpu()) {
    const std::int64_t lanes = target.cpu.vector_bytes / 4;
    const bool once = can_pack_once(program, problem.contraction);
    const std::int64_t m = static_extent(problem.m, 1024), n = static_extent(problem.n, 1024),
                       k = static_extent(problem.k, 1024);
    struct Tile {
      std::int64_t tm, vectors;
    };
    for (const Tile& tile : {Tile{14, 2}, Tile{12, 2}, Tile{8, 3}, Tile{6, 4}, Tile{6, 2}, Tile{8, 1}}) {
      const std::int64_t tn = tile.vectors * lanes;
      for (const std::int64_t mc : {4, 8, 12, 18, 32, 48}) {
        for (const std::int64_t nc : {64, 128, 256, 512, 1024}) {
          for (const std::int64_t kc : {128, 256, 384, 512}) {
            add(make(std::min(tile.tm * mc, round_up(m, tile.tm)), std::min(round_up(nc, tn), round_up(n, tn)),
                     std::min(kc, std::max<std::int64_t>(k, 1)), tile.tm, tn, 2, false, 1, 8, once));
          }
        }
      }
    }
    return all;
  }
  const bool async =
      target.gpu.features.cp_async && copies_asynchronously(problem.a) && copies_asynchronously(problem.b);
  const std::int64_t split = get(all[0], kFields, "split_k");
  struct Tile {
    std::int64_t bm, bn, tm, tn;
  };
  for (const Tile& t : {Tile{128, 128, 8, 8}, Tile{256, 128, 16, 8}, Tile{128, 256, 8, 16}, Tile{64, 128, 8, 8},
                        Tile{128, 64, 8, 8}, Tile{64, 64, 8, 4}, Tile{64, 64, 4, 4}, Tile{32, 128, 4, 8},
                        Tile{16, 128, 4, 4}, Tile{16, 256, 4, 8}, Tile{32, 32, 4, 2}, Tile{64, 32, 4, 4}}) {
    for (const std::int64_t bk : {8, 16, 32}) {
      for (const bool by_async : {false, true}) {
        if (by_async && !async) continue;
        for (const std::int64_t stages : {2, 3, 4}) {
          if (!by_async && stages != 2) continue;
          for (const std::int64_t s : {std::int64_t{1}, split, 2 * split}) {
            Schedule schedule = make(t.bm, t.bn, bk, t.tm, t.tn, stages, by_async, s, 8);
            set(schedule, kFields, "pad", get(all[0], kFields, "pad"));
            add(schedule);
          }
        }
      }
    }
  }
  return all;
}

bool is_power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

Verdict check_split(const ContractionProblem& problem, const Schedule& schedule) {
  const std::int64_t split = get(schedule, kFields, "split_k");
  if (split == 1) return {};
  if (has_fixed_order(problem)) return {fmt::format("split_k={} adds in another order than order=fixed", split)};
  if (accumulates_wider(problem)) {
    return {fmt::format("split_k={} rounds partial sums to the element's dtype, unlike acc", split)};
  }
  const VarRef& first = problem.contraction.k[0].var;
  if (!uses(problem.contraction.a, first) && !uses(problem.contraction.b, first)) {
    return {fmt::format("split_k={} takes a reduced axis that an operand has, unlike {}", split, first->name)};
  }
  const auto k0 = as_integer(problem.contraction.k[0].hi);
  if (!k0 || *k0 % split != 0) {
    return {fmt::format("split_k={} does not divide the reduced axis {} of {}", split,
                        problem.contraction.k[0].var->name, k0 ? std::to_string(*k0) : "unknown length")};
  }
  return {};
}

Verdict check_pack(const Program& program, const ContractionProblem& problem, const Schedule& s, const Target& target) {
  if (get(s, kFields, "pack") == 0) return {};
  if (target.is_gpu()) return {"pack=once is for CPUs: on GPUs each block stages its operands"};
  if (can_pack_once(program, problem.contraction)) return {};
  std::string sources;
  for (const TensorRef& tensor : tensors_read(problem.contraction.b)) {
    sources += fmt::format("{}{}", sources.empty() ? "" : ", ", tensor->name);
  }
  return {fmt::format("pack=once takes a second operand of const inputs alone, not of {}", sources)};
}

// The packed operands and the accumulators between parts of k, but for what keeps their rows apart.
Verdict check_scratch(const ContractionProblem& problem, const Schedule& s, const Target& target) {
  const std::int64_t bm = get(s, kFields, "block", 0), bn = get(s, kFields, "block", 1),
                     bk = get(s, kFields, "block", 2);
  const Expr& sum = problem.contraction.product->value;
  const DType packed = problem.b.factor->dtype, sums = sum->reduce->contract.accumulator.value_or(sum->args[0]->dtype);
  const std::int64_t a = bm * bk * byte_size(packed), b = bn * bk * byte_size(packed), c = bm * bn * byte_size(sums);
  return check_shared("block", a + b + c,
                      fmt::format("A {}x{} {} = {}, B {}x{} {} = {}, sums {}x{} {} = {}", bm, bk, name(packed), a, bk,
                                  bn, name(packed), b, bm, bn, name(sums), c),
                      target);
}

Verdict check_cpu(const ContractionProblem& problem, const Schedule& s, const Target& target) {
  const std::int64_t lanes = target.cpu.vector_bytes / 4;
  const std::int64_t tm = get(s, kFields, "thread", 0), tn = get(s, kFields, "thread", 1);
  if (tn % lanes != 0) {
    return {fmt::format("thread={}x{}: its columns are not a multiple of the vector's {} elements", tm, tn, lanes)};
  }
  const std::int64_t needed = tm * (tn / lanes) + tn / lanes + 1;
  if (needed > target.cpu.vector_registers) {
    return {fmt::format("thread={}x{} needs {} vector registers, the target has {}", tm, tn, needed,
                        target.cpu.vector_registers)};
  }
  if (get(s, kFields, "block", 0) % tm != 0 || get(s, kFields, "block", 1) % tn != 0) {
    return {fmt::format("block={}x{} is not a multiple of thread={}x{}", get(s, kFields, "block", 0),
                        get(s, kFields, "block", 1), tm, tn)};
  }
  if (get(s, kFields, "copy") != 0) return {"copy=async is for GPUs"};
  static const Schedule kStanding = default_schedule(kFields);
  for (const std::string_view name : {"stages", "raster"}) {
    const std::int64_t value = get(s, kFields, name), standing = get(kStanding, kFields, name);
    if (value == standing) continue;
    return {fmt::format("{0}={1} is for GPUs: on CPUs {0} means nothing and stays {2}; leave it out", name, value,
                        standing)};
  }
  return check_scratch(problem, s, target);
}

Verdict check(const Program& program, const Schedule& s, const Target& target) {
  const ContractionProblem problem = analyze_operands(program, program.facts);
  if (Verdict split = check_split(problem, s); !split) return split;
  if (Verdict pack = check_pack(program, problem, s, target); !pack) return pack;
  if (get(s, kFields, "pad") != 0) {
    if (!target.is_gpu()) return {"pad=yes is for GPUs: on CPUs operands are packed"};
    if (std::string reason = why_not_padded(problem); !reason.empty()) return {std::move(reason)};
  }
  if (!target.is_gpu()) return check_cpu(problem, s, target);
  const std::int64_t bm = get(s, kFields, "block", 0), bn = get(s, kFields, "block", 1),
                     bk = get(s, kFields, "block", 2);
  const std::int64_t tm = get(s, kFields, "thread", 0), tn = get(s, kFields, "thread", 1);
  const std::int64_t stages = get(s, kFields, "stages");
  const bool async = get(s, kFields, "copy") != 0;
  for (const auto& [what, value] :
       {std::pair{"block m", bm}, {"block n", bn}, {"block k", bk}, {"thread m", tm}, {"thread n", tn}}) {
    if (!is_power_of_two(value)) return {fmt::format("{}={} is not a power of two", what, value)};
  }
  if (tm > bm || tn > bn) return {fmt::format("thread={}x{} is larger than block={}x{}", tm, tn, bm, bn)};
  const Resources r = resources_of(problem, s);
  if (r.threads < 32 || r.threads > target.gpu.threads_per_block) {
    return {fmt::format("block={}x{} over thread={}x{} is {} threads, not 32 to {}", bm, bn, tm, tn, r.threads,
                        target.gpu.threads_per_block)};
  }
  if (tm * tn > kAccumulatorLimit || r.registers > kMaxRegisters - 40 ||
      r.threads * std::min<std::int64_t>(r.registers + 40, kMaxRegisters) > target.gpu.registers_per_sm) {
    return {fmt::format("needs about {} registers for each of {} threads, the target has {} per thread and {} in all",
                        r.registers + 40, r.threads, target.gpu.registers_per_thread, target.gpu.registers_per_sm)};
  }
  const std::int64_t vector = kPitchBytes / byte_size(problem.a.dtype());
  if ((problem.a.k_contiguous || problem.b.k_contiguous) && bk % vector != 0) {
    return {fmt::format("block k={} is not a multiple of the operands' vectors of {}", bk, vector)};
  }
  if ((problem.a.k_contiguous || problem.b.k_contiguous) &&
      byte_size(problem.a.dtype()) != byte_size(problem.b.dtype())) {
    if (bk % (kPitchBytes / std::min(byte_size(problem.a.dtype()), byte_size(problem.b.dtype()))) != 0) {
      return {fmt::format("block k={} does not hold whole vectors of both operands", bk)};
    }
  }
  if (Verdict shared = check_shared("block", r.shared, r.sum, target); !shared) return shared;
  if (!async && stages != 2) return {fmt::format("copy=register takes stages=2, not {}", stages)};
  if (async && (stages < 2 || stages > 8)) return {fmt::format("copy=async takes 2 to 8 stages, not {}", stages)};
  if (async && !target.gpu.features.cp_async) return {fmt::format("{} has no asynchronous copies", target.arch)};
  if (async && !(copies_asynchronously(problem.a) && copies_asynchronously(problem.b))) {
    return {"copy=async takes operands that are plain reads, filled with zeros if at all"};
  }
  return {};
}

// k in parts: the first reduced axis becomes a batch axis of partial sums, which a second kernel adds up.
Rewrite split_k(const Program& program, const Schedule& schedule) {
  const std::int64_t parts = get(schedule, kFields, "split_k");
  const Contraction contraction = *analyze_contraction(program);
  const Definition& whole = *contraction.product;
  const ReduceInfo& info = *whole.value->reduce;
  const Expr chunk = simplify(div(info.axes[0].hi, parts), Assumptions());
  const VarRef s = make_var("part"), within = make_var(info.axes[0].var->name), s2 = make_var("part");
  std::vector<Axis> reduced = info.axes;
  reduced[0] = {within, 0, chunk};
  const Expr moved = substitute(whole.value->args[0], {{info.axes[0].var, Expr(s) * chunk + within}});
  Definition partial;
  partial.axes = {{s, 0, parts}};
  partial.axes.insert(partial.axes.end(), whole.axes.begin(), whole.axes.end());
  partial.value = reduce(info.reducer, reduced, {moved}, {}, info.contract);
  std::vector<Expr> shape, index{Expr(s2)};
  for (const Axis& axis : partial.axes) shape.push_back(axis.hi);
  for (const Axis& axis : whole.axes) index.push_back(Expr(axis.var));
  partial.tensor = make_tensor(whole.tensor->name + "_parts", partial.value->dtype, shape);
  Definition total = whole;
  total.value = reduce(Reducer::sum, {{s2, 0, parts}}, {read(partial.tensor, index)});
  Program result = program;
  const auto at = std::find_if(result.definitions.begin(), result.definitions.end(),
                               [&](const Definition& d) { return d.tensor == whole.tensor; });
  *at = total;
  result.definitions.insert(at, partial);
  Schedule rest = schedule;
  set(rest, kFields, "split_k", 1);
  return {partition(result), 0, std::move(rest)};
}

std::optional<Rewrite> rewrite(const Program& program, const Schedule& schedule) {
  if (get(schedule, kFields, "pad") != 0) {
    Schedule rest = schedule;
    set(rest, kFields, "pad", 0);
    Partition parts = pad_operands(program);
    const std::size_t main = parts.kernels.size() - 1;
    return Rewrite{std::move(parts), main, std::move(rest)};
  }
  if (get(schedule, kFields, "pack") != 0) {
    Schedule rest = schedule;
    set(rest, kFields, "pack", 0);
    return Rewrite{pack_once(program, get(schedule, kFields, "thread", 1)), 1, std::move(rest)};
  }
  if (get(schedule, kFields, "split_k") > 1) return split_k(program, schedule);
  return std::nullopt;
}

Kernel emit(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts) {
  return target.is_gpu() ? emit_contraction_gpu(program, schedule, target, facts)
                         : emit_contraction_cpu(program, schedule, target, facts);
}

// The innermost read of a factor, where the factor is casts around it.
Expr inner_read(const Expr& factor) {
  if (factor->kind == ExprKind::read) return factor;
  return factor->kind == ExprKind::cast ? inner_read(factor->args[0]) : Expr();
}

Operand analyze_operand(const Program& program, const Expr& factor, const Axis& own, const Axis& k,
                        const Assumptions& known) {
  Operand operand{factor, factor, false, false};
  if (const Expr read = inner_read(factor); read && is_input(program, *read->tensor)) {
    operand.source = read;
    operand.plain = true;
  }
  for (const Expr& access : global_reads(program, factor, {})) {
    const Expr offset = simplify(flat_offset(access), known);
    const auto along_k = stride_along(offset, k.var, known), along_own = stride_along(offset, own.var, known);
    if (along_k == 1 && along_own != 1) operand.k_contiguous = true;
    if (along_own == 1) {
      operand.k_contiguous = false;
      break;
    }
  }
  return operand;
}

}  // namespace

bool copies_asynchronously(const Operand& operand) {
  if (!operand.plain) return false;
  const Expr& fill = operand.source->fill;
  return !fill || (is_constant(fill) && (is_float(fill->dtype) ? fill->real == 0 : fill->integer == 0));
}

ContractionProblem analyze_operands(const Program& program, std::span<const Fact> facts) {
  ContractionProblem problem{*analyze_contraction(program, true), {}, {}, {}, {}, {}, {}};
  const Contraction& c = problem.contraction;
  std::vector<Axis> axes = c.product->axes;
  axes.insert(axes.end(), c.k.begin(), c.k.end());
  const Assumptions known = known_in(program, facts, axes);
  problem.a = analyze_operand(program, c.a, c.m.back(), c.k.back(), known);
  problem.b = analyze_operand(program, c.b, c.n.back(), c.k.back(), known);
  problem.m = extent_product(c.m);
  problem.n = extent_product(c.n);
  problem.k = extent_product(c.k);
  problem.batch = extent_product(c.batch);
  return problem;
}

Substitution place_axes(const Contraction& contraction, const Expr& batch, const Expr& m, const Expr& n,
                        const Expr& k) {
  Substitution values;
  const auto place = [&](const std::vector<Axis>& axes, const Expr& flat) {
    if (!flat) return;
    const std::vector<Expr> parts = unravel(flat, axes);
    for (std::size_t d = 0; d < axes.size(); ++d) values[axes[d].var] = parts[d];
  };
  place(contraction.batch, batch);
  place(contraction.m, m);
  place(contraction.n, n);
  place(contraction.k, k);
  return values;
}

bool store_results(const Program& program, const Contraction& contraction, Emitter::Scope& scope,
                   const Substitution& axes, const std::function<bool(const Definition&)>& chosen) {
  const auto is_stored = [&](const Definition& d) { return is_output(program, *d.tensor) && (!chosen || chosen(d)); };
  bool any = false;
  if (is_stored(*contraction.product)) {
    std::vector<Expr> index;
    for (const Axis& axis : contraction.product->axes) index.push_back(axes.at(axis.var));
    scope.enter(axes);
    std::vector<Expr> plain;
    for (const Axis& axis : contraction.product->axes) plain.push_back(Expr(axis.var));
    const Expr value = scope.lower(read(contraction.product->tensor, plain));
    scope.store_at(*contraction.product->tensor, std::move(index), value);
    any = true;
  }
  for (const Contraction::Member& member : contraction.epilogue) {
    if (!is_stored(*member.definition)) continue;
    Substitution own;
    for (const auto& [axis, place] : member.to_space) own[axis] = substitute(place, axes);
    scope.enter(std::move(own));
    scope.store_output(*member.definition);
    any = true;
  }
  return any;
}

const Strategy kContraction{kContractionFields, matches, fallback, candidates, check, rewrite, emit};

}  // namespace quern::compiler
