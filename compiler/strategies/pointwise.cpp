// pointwise: elementwise kernels. The outputs' space, merged to as few axes as its accesses allow, is cut into tiles of
// `rows` x (`threads` * `vec` * ...) elements; each thread takes `vec` neighbours (as far as memory is aligned for
// them) in each of `rows` places. An input that walks another axis than the outputs (a transpose) is staged through
// shared memory, a `tile` of (its axis) x (theirs) at a time, so that both sides stay coalesced.

#include <algorithm>
#include <array>

#include "base/error.h"
#include "compiler/analysis.h"
#include "compiler/strategies/emitter.h"
#include "compiler/strategies/space.h"
#include "compiler/strategies/strategy.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

const FieldList kFields{"pointwise",
                        {{.name = "threads", .fallback = {256}},
                         {.name = "vec", .fallback = {4}},
                         {.name = "rows", .fallback = {4}},
                         {.name = "tile", .parts = 2, .least = 0, .fallback = {0, 0}}}};

constexpr std::int64_t kAccessBytes = 16;
constexpr std::int64_t kMaxUnrolled = 64;  // elements per thread

// The space and what it accesses.
struct Shape {
  std::vector<Axis> outer;  // all but the innermost
  Axis inner;
  AxisMap place;               // the first output's axes in it
  std::vector<Expr> staged;    // reads that walk an outer axis at unit stride and the inner one not, at those axes
  int staged_axis = -1;        // that outer axis
  std::vector<Expr> accesses;  // all, at those axes
};

// Every output's axes, as those of the first output.
AxisMap align(const Definition& definition, const std::vector<Axis>& axes, const AxisMap& place) {
  AxisMap map;
  for (std::size_t d = 0; d < axes.size(); ++d) map[definition.axes[d].var] = place.at(axes[d].var);
  return map;
}

// The axes in one, where what walks them all then moves in wider accesses than row by row, as rows of odd lengths do;
// smaller inputs are read at the rest of a division. None where that gains nothing, or divides by what is not constant.
std::optional<MergedSpace> flatten(const Program& program, const std::vector<Axis>& axes,
                                   const std::vector<Expr>& accesses, const MergedSpace& by_rows,
                                   std::span<const Fact> facts) {
  const bool constant = std::all_of(axes.begin() + 1, axes.end(), [](const Axis& a) { return as_integer(a.hi); });
  if (by_rows.axes.size() == 1 || !constant) return std::nullopt;
  std::vector<Expr> whole;
  std::ranges::copy_if(accesses, std::back_inserter(whole), [&](const Expr& access) {
    return std::ranges::all_of(axes, [&](const Axis& axis) { return uses(access, axis.var); });
  });
  MergedSpace flat = merge_axes(axes, whole, known_in(program, facts, axes));
  const auto width = [&](const MergedSpace& space) {
    std::vector<Expr> placed;
    for (const Expr& access : whole) placed.push_back(substitute(access, space.place));
    return aligned_vector(kAccessBytes, placed, space.axes.back().var, known_in(program, facts, space.axes), facts);
  };
  if (flat.axes.size() != 1 || width(flat) <= width(by_rows)) return std::nullopt;
  return flat;
}

Shape analyze(const Program& program, std::span<const Fact> facts, bool may_flatten = false) {
  const std::vector<Axis> axes = analyze_pointwise(program)->axes;
  AxisMap identity;
  for (const Axis& axis : axes) identity[axis.var] = Expr(axis.var);
  std::vector<Expr> accesses, inputs, certain;
  for (const Output& output : program.outputs) {
    const Definition& definition = *definition_of(program, *output.tensor);
    const AxisMap own = align(definition, axes, identity);
    std::vector<Expr> index;
    for (const Axis& axis : definition.axes) index.push_back(own.at(axis.var));
    accesses.push_back(read(output.tensor, index));
    for (const Expr& r : global_reads(program, definition.value, own)) inputs.push_back(r);
    for (const Expr& r : certain_reads(program, definition.value, own)) certain.push_back(r);
  }
  accesses.insert(accesses.end(), inputs.begin(), inputs.end());
  MergedSpace space = merge_axes(axes, accesses, known_in(program, facts, axes));
  if (may_flatten && !space.axes.empty()) space = flatten(program, axes, accesses, space, facts).value_or(space);
  Shape shape;
  if (space.axes.empty()) space.axes.push_back({make_var("one"), 0, 1});
  shape.inner = space.axes.back();
  shape.outer.assign(space.axes.begin(), space.axes.end() - 1);
  shape.place = space.place;
  for (const Expr& access : accesses) shape.accesses.push_back(substitute(access, shape.place));
  const Assumptions known = known_in(program, facts, space.axes);
  for (const Expr& input : certain) {
    if (input->fill) continue;
    const Expr placed = substitute(input, shape.place);
    const Expr offset = simplify(flat_offset(placed), known);
    const auto along = coefficient(offset, shape.inner.var, known);
    if (!along || is_integer(*along, 0) || is_integer(*along, 1)) continue;
    for (std::size_t d = 0; d < shape.outer.size(); ++d) {
      if (stride_along(offset, shape.outer[d].var, known) != 1) continue;
      if (shape.staged_axis >= 0 && shape.staged_axis != static_cast<int>(d)) continue;
      shape.staged_axis = static_cast<int>(d);
      shape.staged.push_back(placed);
      break;
    }
  }
  return shape;
}

int narrowest(const Program& program) {
  int bytes = 8;
  for (const TensorRef& tensor : arguments(program)) bytes = std::min(bytes, byte_size(tensor->dtype));
  return bytes;
}

Verdict matches(const Program& program, const Target&) {
  return {analyze_pointwise(program) ? "" : "it is no elementwise kernel"};
}

bool has_tile(const Schedule& schedule) {
  return get(schedule, kFields, "tile", 0) != 0 || get(schedule, kFields, "tile", 1) != 0;
}

// Tiles to try: the outputs' side is the longer one, since a line that is written in part costs more than one that is
// read in part.
constexpr std::array<std::array<std::int64_t, 2>, 6> kTiles{
    {{32, 32}, {64, 64}, {128, 128}, {32, 128}, {64, 128}, {64, 256}}};

void set_tile(Schedule& schedule, std::int64_t across, std::int64_t inner) {
  set(schedule, kFields, "tile", across, 0);
  set(schedule, kFields, "tile", inner, 1);
}

// Whether every row of the first output is known to begin with a sector of memory, the unit that is written whole.
bool rows_fill_sectors(const Program& program, const Shape& shape) {
  constexpr std::int64_t kSectorBytes = 32;
  const Expr& written = shape.accesses.front();
  const Assumptions known = known_in(program, program.facts, shape.outer);
  const Expr start = substitute(simplify(flat_offset(written), known), {{shape.inner.var, Expr(0)}});
  return divisor(simplify(start, known), known) * byte_size(written->dtype) % kSectorBytes == 0;
}

Schedule fallback(const Program& program, const Target& target) {
  Schedule schedule = default_schedule(kFields);
  const Shape shape = analyze(program, program.facts);
  if (!target.is_gpu()) {
    set(schedule, kFields, "threads", target.cpu.vector_bytes / 4);
    set(schedule, kFields, "vec", 1);
    set(schedule, kFields, "rows", 8);
    return schedule;
  }
  const std::int64_t vec = std::min<std::int64_t>(8, kAccessBytes / narrowest(program));
  set(schedule, kFields, "vec", vec);
  set(schedule, kFields, "rows", std::max<std::int64_t>(1, 16 / vec));
  if (!shape.staged.empty()) {
    set(schedule, kFields, "threads", 512);
    set_tile(schedule, 64, rows_fill_sectors(program, shape) ? 64 : 128);
    set(schedule, kFields, "vec", 1);
    set(schedule, kFields, "rows", 1);
  }
  return schedule;
}

std::vector<Schedule> candidates(const Program& program, const Target& target) {
  std::vector<Schedule> all{fallback(program, target)};
  const auto add = [&](const Schedule& schedule) {
    if (std::find(all.begin(), all.end(), schedule) == all.end()) all.push_back(schedule);
  };
  const bool staged = has_tile(all[0]);
  const std::vector<std::int64_t> threads = target.is_gpu() ? std::vector<std::int64_t>{128, 256, 512}
                                                            : std::vector<std::int64_t>{target.cpu.vector_bytes / 4};
  for (const std::int64_t t : threads) {
    for (const std::int64_t vec : {1, 2, 4, 8}) {
      for (const std::int64_t rows : {1, 2, 4, 8, 16}) {
        if (!target.is_gpu() && vec != 1) continue;
        Schedule schedule = all[0];
        set(schedule, kFields, "threads", t);
        set(schedule, kFields, "vec", vec);
        set(schedule, kFields, "rows", rows);
        if (!staged) {
          add(schedule);
        } else if (rows == 1 && vec <= 4) {
          for (const auto& [across, along] : kTiles) {
            set_tile(schedule, across, along);
            add(schedule);
          }
        }
      }
    }
  }
  return all;
}

bool is_power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

std::int64_t shared_bytes(const Shape& shape, std::int64_t across, std::int64_t inner) {
  std::int64_t bytes = 0;
  for (const Expr& input : shape.staged) bytes += inner * (across + 1) * byte_size(input->dtype);
  return bytes;
}

// Whether inputs can be staged by a tile.
Verdict check_tile(const Shape& shape, const Schedule& schedule, const Target& target) {
  const std::int64_t across = get(schedule, kFields, "tile", 0), inner = get(schedule, kFields, "tile", 1);
  const std::int64_t threads = get(schedule, kFields, "threads"), vec = get(schedule, kFields, "vec");
  if (shape.staged.empty()) {
    return {fmt::format("tile={}x{}, but no input walks another axis than the outputs", across, inner)};
  }
  if (!is_power_of_two(across) || !is_power_of_two(inner) || across * inner < threads * vec ||
      std::min(across, inner) < vec) {
    return {fmt::format("tile={}x{} is not of powers of two that hold threads={} times vec={} elements", across, inner,
                        threads, vec)};
  }
  return check_shared("tile", shared_bytes(shape, across, inner),
                      fmt::format("{} inputs x {} x {} elements", shape.staged.size(), inner, across + 1), target);
}

Verdict check(const Program& program, const Schedule& schedule, const Target& target) {
  const std::int64_t threads = get(schedule, kFields, "threads"), vec = get(schedule, kFields, "vec");
  const std::int64_t rows = get(schedule, kFields, "rows");
  const std::int64_t lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / 4;
  for (const auto& [name, value] : {std::pair{"threads", threads}, {"vec", vec}, {"rows", rows}}) {
    if (!is_power_of_two(value)) return {fmt::format("{}={} is not a power of two", name, value)};
  }
  if (threads % lanes != 0) return {fmt::format("threads={} is not a multiple of the {} lanes", threads, lanes)};
  const std::int64_t most = target.is_gpu() ? target.gpu.threads_per_block : lanes;
  if (threads > most) return {fmt::format("threads={}, the target has at most {} per block", threads, most)};
  if (vec > 16) return {fmt::format("vec={}, one access moves at most 16 elements", vec)};
  if (vec * rows > kMaxUnrolled) {
    return {
        fmt::format("vec={} times rows={} is {} elements per thread, at most {}", vec, rows, vec * rows, kMaxUnrolled)};
  }
  return has_tile(schedule) ? check_tile(analyze(program, program.facts), schedule, target) : Verdict{};
}

// All values ahead of all stores: an output may be the memory of what another one reads (in_place.h).
void store_outputs(const Program& program, Emitter::Scope& scope, const AxisMap& at) {
  scope.enter(at);
  if (program.outputs.size() == 1) return scope.store_output(*definition_of(program, *program.outputs[0].tensor));
  const std::vector<Axis> axes = analyze_pointwise(program)->axes;
  std::vector<Expr> place, values;
  for (const Axis& axis : axes) place.push_back(at.at(axis.var));
  for (const Output& output : program.outputs) values.push_back(scope.lower(read(output.tensor, place)));
  for (std::size_t o = 0; o < values.size(); ++o) scope.store_at(*program.outputs[o].tensor, place, values[o]);
}

AxisMap substituted(const AxisMap& place, const Substitution& values) {
  AxisMap result;
  for (const auto& [axis, value] : place) result[axis] = substitute(value, values);
  return result;
}

// What both ways to write a kernel start from.
struct Start {
  const Program& program;
  std::span<const Fact> facts;
  Shape shape;
  Kernel kernel;
  Assumptions known;
  VarRef id = make_var("block");

  Start(const Program& of, const Schedule& schedule, const Target& target, std::span<const Fact> that_hold)
      : program(of),
        facts(that_hold),
        shape(analyze(of, that_hold, target.is_gpu() && !has_tile(schedule))),
        kernel(kernel_frame(of, that_hold, target)),
        known(known_in(of, that_hold)) {
    kernel.warps = static_cast<int>(get(schedule, kFields, "threads") / kernel.lanes);
    kernel.block = {id};
  }
};

// Tiles of (staged axis) x (inner axis) through shared memory; the other axes count blocks.
Kernel emit_staged(Start start, const Schedule& schedule) {
  const std::int64_t tile_across = get(schedule, kFields, "tile", 0), tile_inner = get(schedule, kFields, "tile", 1);
  const std::int64_t vec = get(schedule, kFields, "vec");
  const auto& [program, facts, shape, unused, known, id] = start;
  Kernel& kernel = start.kernel;
  Emitter emitter(program, kernel);
  std::vector<Axis> rest = shape.outer;
  const Axis across = rest[static_cast<std::size_t>(shape.staged_axis)];
  rest.erase(rest.begin() + shape.staged_axis);
  const Expr tiles_across = simplify(ceil_div(across.hi, tile_across), known);
  const Expr tiles_inner = simplify(ceil_div(shape.inner.hi, tile_inner), known);
  kernel.grid = {simplify(extent_product(rest) * tiles_across * tiles_inner, known)};
  std::vector<Axis> counts = rest;
  counts.push_back({make_var("ta"), 0, tiles_across});
  counts.push_back({make_var("ti"), 0, tiles_inner});
  const std::vector<Expr> at = unravel(id, counts);
  const VarRef c = make_var(across.var->name), i = make_var(shape.inner.var->name);
  const VarRef c0 = make_var(c->name + "0"), i0 = make_var(i->name + "0");
  Substitution values{{across.var, Expr(c0) + c}, {shape.inner.var, Expr(i0) + i}};
  for (std::size_t d = 0; d < rest.size(); ++d) values[rest[d].var] = at[d];
  const std::vector<Axis> axes{{c, 0, tile_across}, {i, 0, tile_inner}};
  const Expr where = both(less(Expr(c0) + c, across.hi), less(Expr(i0) + i, shape.inner.hi));
  const Spread loaded = spread(tile_across, tile_inner, vec, kernel.lanes, kernel.warps);
  const Spread stored = spread(tile_inner, tile_across, vec, kernel.lanes, kernel.warps);

  Emitter::Scope load(emitter, {}), store(emitter, {});
  for (const Expr& input : shape.staged) {
    const std::vector<std::int64_t> extents{tile_inner, tile_across};
    const BufferRef staged = make_buffer(input->tensor->name + "_s", input->dtype, Space::shared, padded(extents, 1));
    kernel.shared.push_back(staged);
    const Expr placed = substitute(input, values);
    load.store(staged, {Expr(i), Expr(c)}, read(emitter.param(*input->tensor), placed->args));
    emitter.stage(placed, read(staged, {Expr(i), Expr(c)}));
  }
  store_outputs(program, store, substituted(shape.place, values));
  const auto over_tile = [&](const Mode& first, const Mode& second, Stmt body) {
    return make_stmt(
        Map{.axes = axes, .distribution = Layout{{first, second}, {}}, .where = where, .body = std::move(body)});
  };
  kernel.body =
      block({make_stmt(Let{c0, simplify(at[rest.size()] * tile_across, known)}),
             make_stmt(Let{i0, simplify(at[rest.size() + 1] * tile_inner, known)}),
             over_tile(loaded.fast, loaded.slow, load.finish()), make_stmt(Intrinsic{IntrinsicId::barrier, {}}),
             over_tile(stored.slow, stored.fast, store.finish())});
  return kernel;
}

// Threads along the inner axis as far as it reaches, the rest over rows. More places per thread: rows where there are
// any, else further along the inner axis.
Kernel emit_direct(Start start, std::int64_t wanted, std::int64_t wanted_rows) {
  const auto& [program, facts, shape, unused, known, id] = start;
  Kernel& kernel = start.kernel;
  Emitter emitter(program, kernel);
  ThreadPool pool(kernel.lanes, kernel.warps);
  std::vector<Axis> axes = shape.outer;
  axes.push_back(shape.inner);
  // Where no wide access is possible, what a thread would take at once lies apart.
  const std::int64_t vec =
      aligned_vector(wanted, shape.accesses, shape.inner.var, known_in(program, facts, axes), facts);
  const std::int64_t threads = std::int64_t{kernel.warps} * kernel.lanes;
  const std::int64_t inner_extent = as_integer(shape.inner.hi).value_or(threads * vec);
  const std::int64_t inner_threads = std::min(threads, ceil_power_of_two((inner_extent + vec - 1) / vec));
  Mode inner{{vec, Place::reg, 1}};
  for (const Digit& digit : pool.take(inner_threads)) inner.push_back(digit);
  Mode outer = pool.take(pool.left());
  const bool flat = shape.outer.empty();
  const std::int64_t rows = wanted_rows * (wanted / vec);
  (flat ? inner : outer).push_back({rows, Place::reg, vec});
  const std::int64_t tile_inner = extent(inner), tile_outer = extent(outer);

  const Expr outer_extent = extent_product(shape.outer);
  const Expr tiles_inner = simplify(ceil_div(shape.inner.hi, tile_inner), known);
  const Expr tiles_outer = simplify(ceil_div(outer_extent, tile_outer), known);
  kernel.grid = {simplify(tiles_outer * tiles_inner, known)};
  const VarRef o = make_var("row"), i = make_var(shape.inner.var->name);
  const VarRef o0 = make_var("row0"), i0 = make_var(i->name + "0");
  const std::vector<Expr> at = unravel(id, {{make_var("to"), 0, tiles_outer}, {make_var("ti"), 0, tiles_inner}});
  Substitution values{{shape.inner.var, Expr(i0) + i}};
  const Expr row = flat ? Expr(0) : Expr(o0) + o;
  const std::vector<Expr> rows_at = unravel(row, shape.outer);
  for (std::size_t d = 0; d < shape.outer.size(); ++d) values[shape.outer[d].var] = rows_at[d];
  Expr where = less(Expr(i0) + i, shape.inner.hi);
  // Threads beyond the inner axis have no rows to go to where there is one alone.
  where = both(flat ? less(Expr(o), Expr(1)) : less(row, outer_extent), where);
  Emitter::Scope scope(emitter, {});
  store_outputs(program, scope, substituted(shape.place, values));
  kernel.body = block({make_stmt(Let{o0, simplify(at[0] * tile_outer, known)}),
                       make_stmt(Let{i0, simplify(at[1] * tile_inner, known)}),
                       make_stmt(Map{.axes = {{o, 0, tile_outer}, {i, 0, tile_inner}},
                                     .distribution = Layout{{outer, inner}, {}},
                                     .where = where,
                                     .body = scope.finish()})});
  return kernel;
}

Kernel emit(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts) {
  Start start(program, schedule, target, facts);
  // What a variant knows more may merge the axes, so that nothing walks another one.
  if (has_tile(schedule) && !start.shape.staged.empty()) return emit_staged(std::move(start), schedule);
  return emit_direct(std::move(start), get(schedule, kFields, "vec"), get(schedule, kFields, "rows"));
}

std::optional<Rewrite> rewrite(const Program&, const Schedule&) { return std::nullopt; }

}  // namespace

const Strategy kPointwise{kFields, matches, fallback, candidates, check, rewrite, emit};

}  // namespace quern::compiler
