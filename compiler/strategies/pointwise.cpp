// pointwise: elementwise kernels. The outputs' space, merged to as few axes as its accesses allow, is cut into tiles of
// `rows` x (`threads` * `vec` * ...) elements; each thread takes `vec` neighbours (as far as memory is aligned for
// them) in each of `rows` places. An input that walks another axis than the outputs (a transpose) is staged through
// shared memory, a `tile` square at a time, so that both sides stay coalesced.

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
                         {.name = "tile", .fallback = {0}}}};

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

Shape analyze(const Program& program, std::span<const Fact> facts) {
  const std::vector<Axis> axes = analyze_pointwise(program)->axes;
  AxisMap identity;
  for (const Axis& axis : axes) identity[axis.var] = Expr(axis.var);
  std::vector<Expr> accesses, inputs;
  for (const Output& output : program.outputs) {
    const Definition& definition = *definition_of(program, *output.tensor);
    const AxisMap own = align(definition, axes, identity);
    std::vector<Expr> index;
    for (const Axis& axis : definition.axes) index.push_back(own.at(axis.var));
    accesses.push_back(read(output.tensor, index));
    for (const Expr& r : global_reads(program, definition.value, own)) inputs.push_back(r);
  }
  accesses.insert(accesses.end(), inputs.begin(), inputs.end());
  MergedSpace space = merge_axes(axes, accesses, known_in(program, facts, axes));
  Shape shape;
  if (space.axes.empty()) space.axes.push_back({make_var("one"), 0, 1});
  shape.inner = space.axes.back();
  shape.outer.assign(space.axes.begin(), space.axes.end() - 1);
  shape.place = space.place;
  for (const Expr& access : accesses) shape.accesses.push_back(substitute(access, shape.place));
  const Assumptions known = known_in(program, facts, space.axes);
  for (const Expr& input : inputs) {
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

bool matches(const Program& program) { return analyze_pointwise(program).has_value(); }

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
    set(schedule, kFields, "tile", 64);
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
  const bool staged = get(all[0], kFields, "tile") != 0;
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
          for (const std::int64_t tile : {32, 64, 128}) {
            set(schedule, kFields, "tile", tile);
            add(schedule);
          }
        }
      }
    }
  }
  return all;
}

bool is_power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

std::int64_t shared_bytes(const Shape& shape, std::int64_t tile) {
  std::int64_t bytes = 0;
  for (const Expr& input : shape.staged) bytes += tile * (tile + 1) * byte_size(input->dtype);
  return bytes;
}

Verdict check(const Program& program, const Schedule& schedule, const Target& target) {
  const std::int64_t threads = get(schedule, kFields, "threads"), vec = get(schedule, kFields, "vec");
  const std::int64_t rows = get(schedule, kFields, "rows"), tile = get(schedule, kFields, "tile");
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
  if (tile == 0) return {};
  const Shape shape = analyze(program, program.facts);
  if (shape.staged.empty()) return {fmt::format("tile={}, but no input walks another axis than the outputs", tile)};
  if (!is_power_of_two(tile) || tile * tile < threads * vec) {
    return {fmt::format("tile={} is not a power of two whose square holds threads={} times vec={} elements", tile,
                        threads, vec)};
  }
  if (target.is_gpu() && shared_bytes(shape, tile) > target.gpu.shared_per_block) {
    return {fmt::format("needs {} B of shared memory ({} inputs x {} x {} elements), the target has {}",
                        shared_bytes(shape, tile), shape.staged.size(), tile, tile + 1, target.gpu.shared_per_block)};
  }
  return {};
}

void store_outputs(const Program& program, Emitter::Scope& scope, const AxisMap& at) {
  const std::vector<Axis> axes = analyze_pointwise(program)->axes;
  for (const Output& output : program.outputs) {
    const Definition& definition = *definition_of(program, *output.tensor);
    scope.enter(align(definition, axes, at));
    scope.store_output(definition);
  }
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
        shape(analyze(of, that_hold)),
        kernel(kernel_frame(of, that_hold, target)),
        known(known_in(of, that_hold)) {
    kernel.warps = static_cast<int>(get(schedule, kFields, "threads") / kernel.lanes);
    kernel.block = {id};
  }
};

// Squares of (staged axis) x (inner axis) through shared memory; the other axes count blocks.
Kernel emit_staged(Start start, std::int64_t vec, std::int64_t tile) {
  const auto& [program, facts, shape, unused, known, id] = start;
  Kernel& kernel = start.kernel;
  Emitter emitter(program, kernel);
  std::vector<Axis> rest = shape.outer;
  const Axis across = rest[static_cast<std::size_t>(shape.staged_axis)];
  rest.erase(rest.begin() + shape.staged_axis);
  const Expr tiles_across = simplify(ceil_div(across.hi, tile), known);
  const Expr tiles_inner = simplify(ceil_div(shape.inner.hi, tile), known);
  kernel.grid = {simplify(extent_product(rest) * tiles_across * tiles_inner, known)};
  std::vector<Axis> counts = rest;
  counts.push_back({make_var("ta"), 0, tiles_across});
  counts.push_back({make_var("ti"), 0, tiles_inner});
  const std::vector<Expr> at = unravel(id, counts);
  const VarRef c = make_var(across.var->name), i = make_var(shape.inner.var->name);
  const VarRef c0 = make_var(c->name + "0"), i0 = make_var(i->name + "0");
  Substitution values{{across.var, Expr(c0) + c}, {shape.inner.var, Expr(i0) + i}};
  for (std::size_t d = 0; d < rest.size(); ++d) values[rest[d].var] = at[d];
  const std::vector<Axis> axes{{c, 0, tile}, {i, 0, tile}};
  const Expr where = both(less(Expr(c0) + c, across.hi), less(Expr(i0) + i, shape.inner.hi));
  const Spread square = spread(tile, tile, vec, kernel.lanes, kernel.warps);

  Emitter::Scope load(emitter, {}), store(emitter, {});
  for (const Expr& input : shape.staged) {
    const std::vector<std::int64_t> extents{tile, tile};
    const BufferRef staged = make_buffer(input->tensor->name + "_s", input->dtype, Space::shared, padded(extents, 1));
    kernel.shared.push_back(staged);
    const Expr placed = substitute(input, values);
    load.store(staged, {Expr(i), Expr(c)}, read(emitter.param(*input->tensor), placed->args));
    emitter.stage(placed, read(staged, {Expr(i), Expr(c)}));
  }
  store_outputs(program, store, substituted(shape.place, values));
  const auto over_square = [&](const Mode& first, const Mode& second, Stmt body) {
    return make_stmt(
        Map{.axes = axes, .distribution = Layout{{first, second}, {}}, .where = where, .body = std::move(body)});
  };
  kernel.body =
      block({make_stmt(Let{c0, simplify(at[rest.size()] * tile, known)}),
             make_stmt(Let{i0, simplify(at[rest.size() + 1] * tile, known)}),
             over_square(square.fast, square.slow, load.finish()), make_stmt(Intrinsic{IntrinsicId::barrier, {}}),
             over_square(square.slow, square.fast, store.finish())});
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
  const std::int64_t rows = wanted_rows * (wanted / vec), threads = std::int64_t{kernel.warps} * kernel.lanes;
  const std::int64_t inner_extent = as_integer(shape.inner.hi).value_or(threads * vec);
  const std::int64_t inner_threads = std::min(threads, ceil_power_of_two((inner_extent + vec - 1) / vec));
  Mode inner{{vec, Place::reg, 1}};
  for (const Digit& digit : pool.take(inner_threads)) inner.push_back(digit);
  Mode outer = pool.take(pool.left());
  const bool flat = shape.outer.empty();
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
  if (!flat) where = both(less(row, outer_extent), where);
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
  const std::int64_t vec = get(schedule, kFields, "vec"), tile = get(schedule, kFields, "tile");
  if (tile != 0) return emit_staged(std::move(start), vec, tile);
  return emit_direct(std::move(start), vec, get(schedule, kFields, "rows"));
}

std::optional<Rewrite> rewrite(const Program&, const Schedule&) { return std::nullopt; }

}  // namespace

const Strategy kPointwise{kFields, matches, fallback, candidates, check, rewrite, emit};

}  // namespace quern::compiler
