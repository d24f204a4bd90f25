// reduction: reductions over one space of kept and reduced axes, with the elementwise work between and after them
// (sums, softmax, norms). A block holds `rows` kept positions; a pass walks the reduced axes in steps of
// `unroll` x (`row_threads` * `vec`) elements and ends in a fold. `keep` holds the inputs in registers, so that several
// passes read memory once. `split` parts of the reduced axis become a kernel of their own, joined by a second one.
//
// The contiguous axis gets the vectors and the neighbouring lanes: the reduced one ("rows"), or the kept one
// ("columns"), where the threads of a column's parts meet through shared memory.

#include "compiler/strategies/reduction.h"

#include <algorithm>

#include "base/error.h"
#include "compiler/strategies/emitter.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

const FieldList kReductionFields{"reduction",
                                 {{.name = "rows", .fallback = {1}},
                                  {.name = "row_threads", .fallback = {256}},
                                  {.name = "vec", .fallback = {4}},
                                  {.name = "unroll", .fallback = {4}},
                                  {.name = "keep", .words = {"no", "yes"}, .fallback = {0}},
                                  {.name = "split", .fallback = {1}}}};

namespace {

constexpr const FieldList& kFields = kReductionFields;
constexpr std::int64_t kAccessBytes = 16;
constexpr std::int64_t kMaxKept = 64;      // input elements that a thread keeps in registers, per input
constexpr std::int64_t kLeastPart = 64;    // elements that a part of a reduction is worth a kernel for
constexpr std::int64_t kLeastGrain = 16;   // elements at whose multiples parts begin
constexpr std::int64_t kTargetBlocks = 8;  // per processor, that hide a memory latency

}  // namespace

std::vector<Axis> joined(std::vector<Axis> a, const std::vector<Axis>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Expr> reads_of(const Program& program, const Reduction::Member& member, bool certain) {
  const auto find = certain ? certain_reads : global_reads;
  std::vector<Expr> found;
  const Expr& value = member.definition->value;
  if (value->kind != ExprKind::reduce) return find(program, value, member.to_space);
  // Elements that a condition leaves out need not exist.
  for (const Expr& arg : certain && value->where ? std::vector<Expr>{} : value->args) {
    for (const Expr& r : find(program, arg, member.to_space)) found.push_back(r);
  }
  if (value->where) {
    for (const Expr& r : find(program, value->where, member.to_space)) found.push_back(r);
  }
  return found;
}

Iteration analyze_iteration(const Program& program, std::span<const Fact> facts) {
  Iteration space{*analyze_reduction(program), {}, {}, {}, true, {}};
  const Reduction& reduction = space.reduction;
  std::vector<Expr> accesses;
  for (const Reduction::Member& member : reduction.members) {
    for (const Expr& r : reads_of(program, member)) accesses.push_back(r);
    if (!is_output(program, *member.definition->tensor)) continue;
    std::vector<Expr> index;
    for (const Axis& axis : member.definition->axes) index.push_back(member.to_space.at(axis.var));
    accesses.push_back(read(member.definition->tensor, index));
  }
  const Assumptions known = known_in(program, facts, joined(reduction.kept, reduction.reduced));
  const MergedSpace kept = merge_axes(reduction.kept, accesses, known);
  for (Expr& access : accesses) access = substitute(access, kept.place);
  const MergedSpace reduced =
      merge_axes(reduction.reduced, accesses, known_in(program, facts, joined(kept.axes, reduction.reduced)));
  space.kept = kept.axes;
  space.reduced = reduced.axes;
  space.place = kept.place;
  space.place.insert(reduced.place.begin(), reduced.place.end());
  // Count which axis walks memory by one.
  int for_rows = 0, for_columns = 0;
  const Assumptions merged = known_in(program, facts, joined(space.kept, space.reduced));
  for (Expr& access : accesses) access = substitute(access, reduced.place);
  for (const Expr& access : accesses) {
    const Expr offset = simplify(flat_offset(access), merged);
    if (space.reduced.empty()) continue;
    const auto along_row = stride_along(offset, space.reduced.back().var, merged);
    if (along_row == 1) ++for_rows;
    if (along_row != 0 && !space.kept.empty() && stride_along(offset, space.kept.back().var, merged) == 1)
      ++for_columns;
  }
  space.rows = for_rows >= for_columns;
  space.accesses = std::move(accesses);
  return space;
}

bool is_power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

std::int64_t threads_of(const Iteration& space, const Schedule& schedule) {
  const std::int64_t rows = get(schedule, kFields, "rows"), vec = get(schedule, kFields, "vec");
  return get(schedule, kFields, "row_threads") * (space.rows ? rows : std::max<std::int64_t>(1, rows / vec));
}

namespace {

Verdict matches(const Program& program, const Target&) {
  return {analyze_reduction(program) ? "" : "it is no reduction"};
}

std::int64_t static_size(const std::vector<Axis>& axes, std::int64_t unknown) {
  return as_integer(extent_product(axes)).value_or(unknown);
}

int widest_vector(const Program& program) {
  int bytes = 8;
  for (const TensorRef& input : program.inputs) bytes = std::min(bytes, byte_size(input->dtype));
  return static_cast<int>(std::min<std::int64_t>(8, kAccessBytes / bytes));
}

bool has_passes(const Iteration& space) {
  const auto& members = space.reduction.members;
  return members.size() > 1 && std::any_of(members.begin(), members.end(), [](const auto& m) { return m.full; });
}

bool has_fixed_order(const Reduction& reduction) {
  return std::ranges::any_of(reduction.members, [](const Reduction::Member& member) {
    const Expr& value = member.definition->value;
    return value->kind == ExprKind::reduce && value->reduce->contract.order == Order::fixed;
  });
}

bool can_split(const Program& program, const Iteration& space) {
  if (space.reduction.members.size() != 1 || program.outputs.size() != 1 || space.reduction.reduced.empty())
    return false;
  const Definition& definition = *space.reduction.members[0].definition;
  const ReducerRow& reducer = row(definition.value->reduce->reducer);
  return is_reduction(definition) && !reducer.ordered && reducer.state(DType::f32).size() == 1 &&
         !has_fixed_order(space.reduction);
}

// Elements of each of `parts` parts of an extent. Parts that do not divide it begin at multiples of a power of two, up
// to a sixteenth of a part, so that vectors stay aligned and steps whole; the last ones are shorter, or empty.
Expr part_length(const Expr& extent, std::int64_t parts) {
  const auto size = as_integer(extent);
  if (size && *size % parts == 0) return *size / parts;
  const std::int64_t even = size ? (*size + parts - 1) / parts : 0;
  const std::int64_t grain = std::max<std::int64_t>(kLeastGrain, ceil_power_of_two(even / 16 + 1) / 2);
  return simplify(ceil_div(extent, parts * grain) * grain, Assumptions());
}

// The number of parts near `wanted` of which none is empty, where the extent is known.
std::int64_t parts_near(const Expr& extent, std::int64_t wanted) {
  const auto size = as_integer(extent), length = as_integer(part_length(extent, wanted));
  if (!size || !length) return wanted;
  return *size == 0 ? 1 : (*size + *length - 1) / *length;
}

Schedule make(std::int64_t rows, std::int64_t row_threads, std::int64_t vec, std::int64_t unroll, bool keep,
              std::int64_t split) {
  return {"reduction", {rows, row_threads, vec, unroll, keep ? 1 : 0, split}};
}

Schedule fallback(const Program& program, const Target& target) {
  const Iteration space = analyze_iteration(program, program.facts);
  const std::int64_t kept = static_size(space.kept, 4096), reduced = static_size(space.reduced, 4096);
  const std::int64_t lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / 4;
  const std::int64_t vec = target.is_gpu() ? widest_vector(program) : 1;
  const std::int64_t processors = target.is_gpu() ? target.gpu.sm_count : target.cpu.cores;
  if (!target.is_gpu()) return space.rows ? make(1, lanes, 1, 8, false, 1) : make(lanes, 1, 1, 4, false, 1);
  const auto split_for = [&](std::int64_t blocks) {
    if (!can_split(program, space) || blocks >= 2 * processors) return std::int64_t{1};
    const std::int64_t parts = kTargetBlocks * processors / std::max<std::int64_t>(blocks, 1);
    // Few positions that reduce an unknown length are split as if it were long.
    const bool known = as_integer(extent_product(space.reduced)).has_value();
    const std::int64_t most = known ? std::max<std::int64_t>(reduced / kLeastPart, 1) : parts;
    return parts_near(space.reduction.reduced[0].hi, std::min(parts, most));
  };
  if (space.rows) {
    // Few rows are walked by more threads each, where they can't be split.
    const std::int64_t most = kept < 2 * processors && !can_split(program, space) ? 1024 : 256;
    const std::int64_t row_threads =
        std::clamp<std::int64_t>(ceil_power_of_two((reduced + vec - 1) / vec) / (has_passes(space) ? 4 : 2), 32, most);
    const std::int64_t rows = std::max<std::int64_t>(1, 128 / row_threads);
    const std::int64_t per_thread = (reduced + row_threads * vec - 1) / (row_threads * vec);
    const std::int64_t unroll =
        ceil_power_of_two(std::min<std::int64_t>(per_thread, std::max<std::int64_t>(1, kMaxKept / vec)));
    const bool known = as_integer(extent_product(space.reduced)).has_value();
    const bool keep = has_passes(space) && known && per_thread <= unroll;
    return make(rows, row_threads, vec, keep ? unroll : std::min<std::int64_t>(unroll, 4), keep,
                split_for((kept + rows - 1) / rows));
  }
  const std::int64_t rows = lanes * vec;
  return make(rows, 8, vec, 4, false, split_for((kept + rows - 1) / rows));
}

std::vector<Schedule> candidates(const Program& program, const Target& target) {
  const Schedule first = fallback(program, target);
  const Iteration space = analyze_iteration(program, program.facts);
  std::vector<Schedule> all{first};
  const auto add = [&](const Schedule& schedule) {
    if (std::find(all.begin(), all.end(), schedule) == all.end()) all.push_back(schedule);
  };
  const std::int64_t lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / 4;
  const std::int64_t vec = get(first, kFields, "vec"), split = get(first, kFields, "split");
  std::vector<std::int64_t> splits{1, split};
  if (split > 1) splits.insert(splits.end(), {std::max<std::int64_t>(1, split / 2), split * 2});
  for (const std::int64_t s : splits) {
    for (const std::int64_t v : {vec, std::max<std::int64_t>(1, vec / 2)}) {
      for (const std::int64_t unroll : {1, 2, 4, 8, 16}) {
        for (const bool keep : {false, true}) {
          if (space.rows) {
            for (const std::int64_t t : {lanes, 4 * lanes, 8 * lanes, 16 * lanes, 32 * lanes}) {
              for (const std::int64_t rows : {1, 2, 4}) add(make(rows, t, v, unroll, keep, s));
            }
          } else if (!keep) {
            for (const std::int64_t rows : {lanes * v, 2 * lanes * v}) {
              for (const std::int64_t t : {1, 4, 8, 16}) add(make(rows, t, v, unroll, keep, s));
            }
          }
        }
      }
    }
  }
  return all;
}

std::optional<Rewrite> rewrite(const Program& program, const Schedule& schedule);

// The fields that say which elements a thread adds up, and in which order: as the default has them.
Verdict check_order(const Program& program, const Schedule& schedule, const Target& target) {
  const Schedule first = fallback(program, target);
  for (const std::string_view name : {"row_threads", "vec", "unroll", "keep", "split"}) {
    if (get(schedule, kFields, name) == get(first, kFields, name)) continue;
    return {fmt::format("order=fixed is the order of '{}', which {} changes", to_string(first, kFields), name)};
  }
  return {};
}

Verdict check(const Program& program, const Schedule& schedule, const Target& target) {
  const Iteration space = analyze_iteration(program, program.facts);
  const std::int64_t lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / 4;
  for (const std::string_view name : {"rows", "row_threads", "vec", "unroll"}) {
    if (!is_power_of_two(get(schedule, kFields, name))) {
      return {fmt::format("{}={} is not a power of two", name, get(schedule, kFields, name))};
    }
  }
  if (has_fixed_order(space.reduction)) {
    if (Verdict order = check_order(program, schedule, target); !order) return order;
  }
  const std::int64_t threads = threads_of(space, schedule);
  const std::int64_t most = target.is_gpu() ? target.gpu.threads_per_block : lanes;
  if (threads % lanes != 0 || threads > most) {
    return {fmt::format("{} x row_threads is {} threads, not a multiple of {} of at most {}",
                        space.rows ? "rows" : "rows / vec", threads, lanes, most)};
  }
  const std::int64_t vec = get(schedule, kFields, "vec"), unroll = get(schedule, kFields, "unroll");
  if (vec > 16) return {fmt::format("vec={}, one access moves at most 16 elements", vec)};
  if (vec * unroll > kMaxKept) {
    return {
        fmt::format("vec={} x unroll={} is {} elements per thread, at most {}", vec, unroll, vec * unroll, kMaxKept)};
  }
  if (get(schedule, kFields, "keep")) {
    const auto reduced = as_integer(extent_product(space.reduced));
    const std::int64_t held = get(schedule, kFields, "row_threads") * vec * unroll;
    if (!space.rows || !reduced || *reduced > held) {
      return {fmt::format("keep=yes holds row_threads x vec x unroll = {} elements of a row of {}", held,
                          reduced ? std::to_string(*reduced) : "unknown length")};
    }
  }
  const std::int64_t split = get(schedule, kFields, "split");
  if (split != 1) {
    if (!can_split(program, space))
      return {fmt::format("split={}, but only a kernel of one plain reduction, in any order, is split", split)};
    // The parts may walk memory another way than the whole does.
    const std::optional<Rewrite> parts = rewrite(program, schedule);
    return parts ? check(parts->parts.kernels[parts->main], parts->schedule, target) : Verdict{};
  }
  return {};
}

std::optional<Rewrite> rewrite(const Program& program, const Schedule& schedule) {
  const std::int64_t parts = get(schedule, kFields, "split");
  if (parts <= 1) return std::nullopt;
  const Iteration space = analyze_iteration(program, program.facts);
  const Definition& whole = *space.reduction.members[0].definition;
  const ReduceInfo& info = *whole.value->reduce;
  const Expr extent = simplify(info.axes[0].hi - info.axes[0].lo, Assumptions());
  const Expr chunk = part_length(extent, parts);
  const VarRef s = make_var("part"), within = make_var(info.axes[0].var->name);
  ReduceInfo part_info = info;
  part_info.axes[0] = {within, 0, chunk};
  const Substitution moved{{info.axes[0].var, simplify(info.axes[0].lo + Expr(s) * chunk + within, Assumptions())}};
  std::vector<Expr> args;
  for (const Expr& arg : whole.value->args) args.push_back(substitute(arg, moved));
  Expr where = whole.value->where ? substitute(whole.value->where, moved) : Expr();
  const Expr inside = less(Expr(s) * chunk + within, extent);
  if (prove(inside, Assumptions().with(Axis{s, 0, parts}).with(part_info.axes[0])) != true) {
    where = where ? both(inside, where) : inside;
  }
  const DType acc = info.contract.accumulator.value_or(whole.value->args[0]->dtype);

  Definition partial;
  partial.axes = {{s, 0, parts}};
  std::vector<Expr> shape{parts}, index;
  for (const Axis& axis : whole.axes) {
    partial.axes.push_back(axis);
    shape.push_back(axis.hi);
  }
  for (Expr& arg : args) arg = cast(acc, arg);
  partial.value = reduce(info.reducer, part_info.axes, args, where, info.contract);
  partial.tensor = make_tensor(whole.tensor->name + "_parts", partial.value->dtype, shape);
  Definition joined_parts = whole;
  const VarRef s2 = make_var("part");
  index.push_back(Expr(s2));
  for (const Axis& axis : whole.axes) index.push_back(Expr(axis.var));
  Contract contract = info.contract;
  contract.accumulator.reset();
  const Expr total = reduce(info.reducer, {{s2, 0, parts}}, {read(partial.tensor, index)}, {}, contract);
  if (total->dtype != whole.tensor->dtype) return std::nullopt;
  joined_parts.value = total;
  Program result = program;
  const auto at = std::find_if(result.definitions.begin(), result.definitions.end(),
                               [&](const Definition& d) { return d.tensor == whole.tensor; });
  *at = joined_parts;
  result.definitions.insert(at, partial);
  Schedule rest = schedule;
  set(rest, kFields, "split", 1);
  return Rewrite{partition(result), 0, std::move(rest)};
}

}  // namespace

const Strategy kReduction{kReductionFields, matches, fallback, candidates, check, rewrite, emit_reduction};

}  // namespace quern::compiler
