// reduction: reductions over one space of kept and reduced axes, with the elementwise work between and after them
// (sums, softmax, norms). A block holds `rows` kept positions; a pass walks the reduced axes in steps of
// `unroll` x (`row_threads` * `vec`) elements and ends in a fold. `keep` holds the inputs in registers, so that several
// passes read memory once. `split` parts of the reduced axis become a kernel of their own, joined by a second one.
//
// The contiguous axis gets the vectors and the neighbouring lanes: the reduced one ("rows"), or the kept one
// ("columns"), where the threads of a column's parts meet through shared memory.

#include <algorithm>

#include "base/error.h"
#include "compiler/analysis.h"
#include "compiler/strategies/emitter.h"
#include "compiler/strategies/space.h"
#include "compiler/strategies/table.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

const FieldList kFields{"reduction",
                        {{.name = "rows", .fallback = {1}},
                         {.name = "row_threads", .fallback = {256}},
                         {.name = "vec", .fallback = {4}},
                         {.name = "unroll", .fallback = {4}},
                         {.name = "keep", .words = {"no", "yes"}, .fallback = {0}},
                         {.name = "split", .fallback = {1}}}};

constexpr std::int64_t kAccessBytes = 16;
constexpr std::int64_t kMaxKept = 64;      // input elements that a thread keeps in registers, per input
constexpr std::int64_t kLeastPart = 64;    // elements that a part of a reduction is worth a kernel for
constexpr std::int64_t kTargetBlocks = 8;  // per processor, that hide a memory latency

struct Iteration {
  Reduction reduction;
  std::vector<Axis> kept, reduced;  // merged
  AxisMap place;                    // the reduction's axes in the merged ones
  bool rows = true;                 // the reduced axis is the contiguous one
  std::vector<Expr> accesses;       // all, at the merged axes
};

std::vector<Axis> joined(std::vector<Axis> a, const std::vector<Axis>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Expr> reads_of(const Program& program, const Reduction::Member& member) {
  std::vector<Expr> found;
  const Expr& value = member.definition->value;
  if (value->kind != ExprKind::reduce) return global_reads(program, value, member.to_space);
  for (const Expr& arg : value->args) {
    for (const Expr& r : global_reads(program, arg, member.to_space)) found.push_back(r);
  }
  if (value->where) {
    for (const Expr& r : global_reads(program, value->where, member.to_space)) found.push_back(r);
  }
  return found;
}

Iteration analyze(const Program& program, std::span<const Fact> facts) {
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

bool matches(const Program& program) { return analyze_reduction(program).has_value(); }

std::int64_t static_size(const std::vector<Axis>& axes, std::int64_t unknown) {
  return as_integer(extent_product(axes)).value_or(unknown);
}

int widest_vector(const Program& program) {
  int bytes = 8;
  for (const TensorRef& input : program.inputs) bytes = std::min(bytes, byte_size(input->dtype));
  return static_cast<int>(std::min<std::int64_t>(8, kAccessBytes / bytes));
}

bool has_read(const Expr& e) {
  return e->kind == ExprKind::read || std::any_of(e->args.begin(), e->args.end(), has_read);
}

bool has_passes(const Iteration& space) {
  const auto& members = space.reduction.members;
  return members.size() > 1 && std::any_of(members.begin(), members.end(), [](const auto& m) { return m.full; });
}

bool can_split(const Program& program, const Iteration& space) {
  if (space.reduction.members.size() != 1 || program.outputs.size() != 1 || space.reduction.reduced.empty())
    return false;
  const Definition& definition = *space.reduction.members[0].definition;
  const ReducerRow& reducer = row(definition.value->reduce->reducer);
  return is_reduction(definition) && !reducer.ordered && reducer.state(DType::f32).size() == 1;
}

// A divisor of the extent close to what is wanted, so that no part is ragged; 1 where the extent is unknown.
std::int64_t divisor_near(const Expr& extent, std::int64_t wanted) {
  const auto size = as_integer(extent);
  if (!size || *size <= 0) return 1;
  std::int64_t best = 1;
  for (std::int64_t d = 1; d <= std::min(wanted, *size); ++d) {
    if (*size % d == 0) best = d;
  }
  return best;
}

Schedule make(std::int64_t rows, std::int64_t row_threads, std::int64_t vec, std::int64_t unroll, bool keep,
              std::int64_t split) {
  return {"reduction", {rows, row_threads, vec, unroll, keep ? 1 : 0, split}};
}

Schedule fallback(const Program& program, const Target& target) {
  const Iteration space = analyze(program, program.facts);
  const std::int64_t kept = static_size(space.kept, 4096), reduced = static_size(space.reduced, 4096);
  const std::int64_t lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / 4;
  const std::int64_t vec = target.is_gpu() ? widest_vector(program) : 1;
  const std::int64_t processors = target.is_gpu() ? target.gpu.sm_count : target.cpu.cores;
  if (!target.is_gpu()) return space.rows ? make(1, lanes, 1, 8, false, 1) : make(lanes, 1, 1, 4, false, 1);
  const auto split_for = [&](std::int64_t blocks) {
    if (!can_split(program, space) || blocks >= 2 * processors) return std::int64_t{1};
    const std::int64_t parts = kTargetBlocks * processors / std::max<std::int64_t>(blocks, 1);
    return divisor_near(space.reduction.reduced[0].hi,
                        std::min(parts, std::max<std::int64_t>(reduced / kLeastPart, 1)));
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
  const Iteration space = analyze(program, program.facts);
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

bool is_power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

std::int64_t threads_of(const Iteration& space, const Schedule& schedule) {
  const std::int64_t rows = get(schedule, kFields, "rows"), vec = get(schedule, kFields, "vec");
  return get(schedule, kFields, "row_threads") * (space.rows ? rows : std::max<std::int64_t>(1, rows / vec));
}

std::optional<Rewrite> rewrite(const Program& program, const Schedule& schedule);

Verdict check(const Program& program, const Schedule& schedule, const Target& target) {
  const Iteration space = analyze(program, program.facts);
  const std::int64_t lanes = target.is_gpu() ? 32 : target.cpu.vector_bytes / 4;
  for (const std::string_view name : {"rows", "row_threads", "vec", "unroll"}) {
    if (!is_power_of_two(get(schedule, kFields, name))) {
      return {fmt::format("{}={} is not a power of two", name, get(schedule, kFields, name))};
    }
  }
  const std::int64_t threads = threads_of(space, schedule);
  const std::int64_t most = target.is_gpu() ? target.gpu.threads_per_block : lanes;
  if (threads % lanes != 0 || threads > most) {
    return {fmt::format("rows x row_threads is {} threads, not a multiple of {} of at most {}", threads, lanes, most)};
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
      return {fmt::format("split={}, but only a kernel of one plain reduction is split", split)};
    const auto extent = as_integer(space.reduction.reduced[0].hi);
    if (!extent || split < 1 || *extent % split != 0) {
      return {fmt::format("split={} does not divide the reduced axis of {}", split,
                          extent ? std::to_string(*extent) : "unknown length")};
    }
    // The parts may walk memory another way than the whole does.
    const std::optional<Rewrite> parts = rewrite(program, schedule);
    return parts ? check(parts->parts.kernels[parts->main], parts->schedule, target) : Verdict{};
  }
  return {};
}

std::optional<Rewrite> rewrite(const Program& program, const Schedule& schedule) {
  const std::int64_t parts = get(schedule, kFields, "split");
  if (parts <= 1) return std::nullopt;
  const Iteration space = analyze(program, program.facts);
  const Definition& whole = *space.reduction.members[0].definition;
  const ReduceInfo& info = *whole.value->reduce;
  const Expr extent = info.axes[0].hi - info.axes[0].lo;
  const Expr chunk = simplify(div(extent, parts), Assumptions());
  const VarRef s = make_var("part"), within = make_var(info.axes[0].var->name);
  ReduceInfo part_info = info;
  part_info.axes[0] = {within, 0, chunk};
  const Substitution moved{{info.axes[0].var, simplify(info.axes[0].lo + Expr(s) * chunk + within, Assumptions())}};
  std::vector<Expr> args;
  for (const Expr& arg : whole.value->args) args.push_back(substitute(arg, moved));
  const Expr where = whole.value->where ? substitute(whole.value->where, moved) : Expr();
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

// The writer of one kernel.
class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        facts_(facts),
        space_(analyze(program, facts)),
        kernel_(kernel_frame(program, facts, target)),
        known_(known_in(program, facts)),
        emitter_(program, kernel_) {
    rows_ = get(schedule, kFields, "rows");
    row_threads_ = get(schedule, kFields, "row_threads");
    vec_ = get(schedule, kFields, "vec");
    unroll_ = get(schedule, kFields, "unroll");
    keep_ = get(schedule, kFields, "keep") != 0;
    kernel_.warps = static_cast<int>(threads_of(space_, schedule) / kernel_.lanes);
    lay_apart();
  }

  Kernel run() {
    lay_out();
    const Expr kept = extent_product(space_.kept);
    kernel_.grid = {simplify(ceil_div(kept, rows_), known_)};
    const VarRef id = make_var("block");
    kernel_.block = {id};
    k0_ = make_var("k0");
    body_.push_back(make_stmt(Let{k0_, Expr(id) * rows_}));
    for (const Axis& axis : space_.kept) known_ = known_.with(axis);
    if (keep_) load_inputs();
    const auto& members = space_.reduction.members;
    std::vector<const Reduction::Member*> stage;
    for (const Reduction::Member& member : members) {
      if (is_reduction(*member.definition)) {
        if (depends_on(member, stage)) flush(stage);
        stage.push_back(&member);
        continue;
      }
      if (depends_on(member, stage)) flush(stage);
      if (member.full && keep_ && uses_of(*member.definition->tensor) > 1) hold(member);
    }
    flush(stage);
    store_kept();
    store_full();
    kernel_.body = block(std::move(body_));
    return kernel_;
  }

 private:
  // Where no wide access is possible, what a thread would take at once lies apart: further steps of a row, or the
  // columns of further blocks.
  void lay_apart() {
    const std::vector<Axis>& contiguous = space_.rows ? space_.reduced : space_.kept;
    if (contiguous.empty()) return;
    const std::int64_t wanted = space_.rows ? vec_ : std::min(vec_, rows_);
    const std::int64_t vec = aligned_vector(wanted, space_.accesses, contiguous.back().var,
                                            known_in(program_, facts_, joined(space_.kept, space_.reduced)), facts_);
    if (!space_.rows) rows_ = rows_ / wanted * vec;
    unroll_ *= wanted / vec;
    vec_ = vec;
  }

  // Tile axes: k (kept positions of the block), u (steps), r (elements of one step).
  void lay_out() {
    ThreadPool pool(kernel_.lanes, kernel_.warps);
    Mode k, r;
    if (space_.rows) {
      r.push_back({vec_, Place::reg, 1});
      for (const Digit& digit : pool.take(row_threads_)) r.push_back(digit);
      k = pool.take(rows_);
    } else {
      const std::int64_t wide = std::min(vec_, rows_);
      k.push_back({wide, Place::reg, 1});
      for (const Digit& digit : pool.take(rows_ / wide)) k.push_back(digit);
      r = pool.take(row_threads_);
    }
    step_ = extent(r);
    layout_ = {{k, {{unroll_, Place::reg, vec_}}, r}, {}};
    k_ = make_var("k"), u_ = make_var("u"), r_ = make_var("r");
    tile_axes_ = {{k_, 0, rows_}, {u_, 0, unroll_}, {r_, 0, step_}};
    reduced_ = extent_product(space_.reduced);
    const auto size = as_integer(reduced_);
    one_step_ = size && *size <= step_ * unroll_;
  }

  // The space's axes at the tile's coordinates, reduced ones from `r0`.
  Substitution at(const Expr& r0) const {
    Substitution values;
    const std::vector<Expr> kept = unravel(Expr(k0_) + k_, space_.kept);
    for (std::size_t d = 0; d < kept.size(); ++d) values[space_.kept[d].var] = kept[d];
    if (r0) {
      const std::vector<Expr> reduced = unravel(linear(r0), space_.reduced);
      for (std::size_t d = 0; d < reduced.size(); ++d) values[space_.reduced[d].var] = reduced[d];
    }
    return values;
  }

  Expr linear(const Expr& r0) const { return r0 + Expr(u_) * step_ + r_; }

  Substitution axes_of(const Reduction::Member& member, const Expr& r0) const {
    const Substitution values = at(r0);
    Substitution axes;
    for (const auto& [axis, place] : member.to_space) {
      axes[axis] = substitute(substitute(place, space_.place), values);
    }
    return axes;
  }

  Expr inside_kept() const { return less(Expr(k0_) + k_, extent_product(space_.kept)); }
  Expr inside(const Expr& r0) const { return both(inside_kept(), less(linear(r0), reduced_)); }

  Layout per_row() const { return project(layout_, std::vector<int>{0}); }
  Layout per_state() const { return project(layout_, std::vector<int>{0, 2}); }

  BufferRef declare(std::string name, DType dtype, const Layout& layout) {
    const BufferRef fragment = make_buffer(std::move(name), dtype, Space::fragment, layout);
    body_.push_back(make_stmt(Alloc{fragment}));
    return fragment;
  }

  // Loads every input that is walked by the whole space into registers, once.
  void load_inputs() {
    std::vector<Expr> wanted;
    for (const Reduction::Member& member : space_.reduction.members) {
      for (const Expr& r : reads_of(program_, member)) {
        const Expr placed = substitute(substitute(r, space_.place), at(0));
        // Only what is read at plain places: an index out of a tensor is read where it is used.
        const bool plain = std::none_of(placed->args.begin(), placed->args.end(), has_read) &&
                           (!placed->fill || !has_read(placed->fill));
        if (!plain || !uses(placed, r_) ||
            std::any_of(wanted.begin(), wanted.end(), [&](const Expr& w) { return equal(w, placed); }))
          continue;
        wanted.push_back(placed);
      }
    }
    for (const Expr& placed : wanted) {
      const BufferRef held = declare(placed->tensor->name + "_r", placed->dtype, layout_);
      Emitter::Scope scope(emitter_, {});
      scope.store(held, {Expr(k_), Expr(u_), Expr(r_)},
                  read(emitter_.param(*placed->tensor), placed->args, placed->fill));
      map(inside(0), scope.finish());
      emitter_.stage(placed, read(held, {Expr(k_), Expr(u_), Expr(r_)}));
    }
  }

  void map(const Expr& where, Stmt stmt) {
    body_.push_back(
        make_stmt(Map{.axes = tile_axes_, .distribution = layout_, .where = where, .body = std::move(stmt)}));
  }

  // An elementwise tensor that several members read, computed once.
  void hold(const Reduction::Member& member) {
    const BufferRef held = declare(member.definition->tensor->name, member.definition->value->dtype, layout_);
    Emitter::Scope scope(emitter_, axes_of(member, 0));
    scope.store(held, {Expr(k_), Expr(u_), Expr(r_)}, scope.lower(member.definition->value));
    map(inside(0), scope.finish());
    emitter_.materialize(*member.definition->tensor, held, {Expr(k_), Expr(u_), Expr(r_)});
  }

  int uses_of(const Tensor& tensor) const {
    int count = is_output(program_, tensor) ? 1 : 0;
    for (const Definition& definition : program_.definitions) count += reads(definition.value, tensor) ? 1 : 0;
    return count;
  }

  bool depends_on(const Reduction::Member& member, const std::vector<const Reduction::Member*>& stage) const {
    return std::any_of(stage.begin(), stage.end(),
                       [&](const Reduction::Member* m) { return reaches(*member.definition, *m->definition->tensor); });
  }

  bool reaches(const Definition& from, const Tensor& tensor) const {
    for (const TensorRef& r : tensors_read(from.value)) {
      if (r.get() == &tensor) return true;
      const Definition* next = definition_of(program_, *r);
      if (next && reaches(*next, tensor)) return true;
    }
    return false;
  }

  // One pass over the reduced axes for reductions that do not need each other.
  void flush(std::vector<const Reduction::Member*>& stage) {
    if (stage.empty()) return;
    std::vector<std::vector<BufferRef>> states;
    for (const Reduction::Member* member : stage) {
      const ReducerRow& reducer = row(member->definition->value->reduce->reducer);
      std::vector<BufferRef> state;
      Emitter::Scope start(emitter_, {});
      const std::vector<Expr> identity = reducer.identity(accumulator(*member));
      for (std::size_t p = 0; p < identity.size(); ++p) {
        state.push_back(declare(member->definition->tensor->name + "_state", identity[p]->dtype, per_state()));
        start.store(state[p], {Expr(k_), Expr(r_)}, identity[p]);
      }
      body_.push_back(
          make_stmt(Map{.axes = {tile_axes_[0], tile_axes_[2]}, .distribution = per_state(), .body = start.finish()}));
      states.push_back(std::move(state));
    }
    pass([&](const Expr& r0) {
      std::vector<Stmt> updates;
      for (std::size_t m = 0; m < stage.size(); ++m) updates.push_back(update(*stage[m], states[m], r0));
      map(inside(r0), block(std::move(updates)));
    });
    for (std::size_t m = 0; m < stage.size(); ++m) finish(*stage[m], states[m]);
    stage.clear();
  }

  // `body` once per step of the reduced axes.
  template <typename Body>
  void pass(const Body& body) {
    if (one_step_) {
      body(Expr(0));
      return;
    }
    std::vector<Stmt> outer;
    std::swap(outer, body_);
    const VarRef r0 = make_var("r0");
    body(Expr(r0));
    std::swap(outer, body_);
    body_.push_back(make_stmt(For{r0, 0, reduced_, step_ * unroll_, ForKind::rolled, block(std::move(outer))}));
  }

  // Floats that a reducer picks rather than adds up stay as they are; the rest goes by the contract.
  static DType accumulator(const Reduction::Member& member) {
    const Expr& value = member.definition->value;
    const DType element = value->args[0]->dtype, acc = value->reduce->contract.accumulator.value_or(element);
    const Reducer reducer = value->reduce->reducer;
    const bool picks = reducer != Reducer::sum && reducer != Reducer::prod && reducer != Reducer::logsumexp &&
                       reducer != Reducer::welford;
    return picks && is_float(element) && is_float(acc) ? element : acc;
  }

  Stmt update(const Reduction::Member& member, const std::vector<BufferRef>& state, const Expr& r0) {
    const Expr& value = member.definition->value;
    const ReducerRow& reducer = row(value->reduce->reducer);
    Emitter::Scope scope(emitter_, axes_of(member, r0));
    const Expr where = value->where ? scope.lower(value->where) : Expr();
    const Expr element = cast(accumulator(member), scope.lower(value->args[0]));
    const std::vector<Expr> index{Expr(k_), Expr(r_)};
    std::vector<Expr> held;
    for (const BufferRef& part : state) held.push_back(read(part, index));
    const std::vector<Expr> lifted = reducer.lift(accumulator(member), element, linear(r0));
    const std::vector<Expr> next = reducer.combine(held, lifted);
    std::vector<VarRef> parts;
    for (const Expr& part : next) {
      parts.push_back(make_var("next", part->dtype));
      scope.let(parts.back(), where ? select(where, part, held[parts.size() - 1]) : part);
    }
    for (std::size_t p = 0; p < parts.size(); ++p) scope.store(state[p], index, Expr(parts[p]));
    return scope.finish();
  }

  void finish(const Reduction::Member& member, const std::vector<BufferRef>& state) {
    const ReducerRow& reducer = row(member.definition->value->reduce->reducer);
    std::vector<BufferRef> folded;
    for (const BufferRef& part : state) folded.push_back(declare(part->name, part->dtype, per_row()));
    body_.push_back(make_stmt(Fold{reducer.reducer, folded, state, {1}}));
    std::vector<Expr> held;
    for (const BufferRef& part : folded) held.push_back(read(part, {Expr(k_)}));
    const Expr value = cast(member.definition->value->dtype, reducer.finish(held));
    const BufferRef result = declare(member.definition->tensor->name, value->dtype, per_row());
    Emitter::Scope scope(emitter_, {});
    scope.store(result, {Expr(k_)}, value);
    body_.push_back(make_stmt(Map{.axes = {tile_axes_[0]}, .distribution = per_row(), .body = scope.finish()}));
    emitter_.materialize(*member.definition->tensor, result, {Expr(k_)});
  }

  // One thread per row stores what is over the kept axes alone.
  void store_kept() {
    Emitter::Scope scope(emitter_, {});
    bool any = false;
    for (const Reduction::Member& member : space_.reduction.members) {
      if (member.full || !is_output(program_, *member.definition->tensor)) continue;
      any = true;
      const Substitution axes = axes_of(member, {});
      std::vector<Expr> index;
      for (const Axis& axis : member.definition->axes) index.push_back(axes.at(axis.var));
      scope.enter(axes);
      const bool reduced = is_reduction(*member.definition);
      const Expr value =
          reduced ? scope.lower(read(member.definition->tensor, index)) : scope.lower(member.definition->value);
      scope.store(emitter_.param(*member.definition->tensor), std::move(index), value);
    }
    if (!any) return;
    body_.push_back(make_stmt(
        Map{.axes = {tile_axes_[0]}, .distribution = per_row(), .where = inside_kept(), .body = scope.finish()}));
  }

  void store_full() {
    const auto& members = space_.reduction.members;
    const auto stored = [&](const Reduction::Member& m) {
      return m.full && is_output(program_, *m.definition->tensor);
    };
    if (std::none_of(members.begin(), members.end(), stored)) return;
    pass([&](const Expr& r0) {
      Emitter::Scope scope(emitter_, {});
      for (const Reduction::Member& member : members) {
        if (!stored(member)) continue;
        scope.enter(axes_of(member, r0));
        scope.store_output(*member.definition);
      }
      map(inside(r0), scope.finish());
    });
  }

  const Program& program_;
  std::span<const Fact> facts_;
  Iteration space_;
  Kernel kernel_;
  Assumptions known_;
  Emitter emitter_;
  std::int64_t rows_ = 1, row_threads_ = 1, vec_ = 1, unroll_ = 1, step_ = 1;
  bool keep_ = false, one_step_ = false;
  Layout layout_;
  VarRef k_, u_, r_, k0_;
  Expr reduced_;
  std::vector<Axis> tile_axes_;
  std::vector<Stmt> body_;
};

Kernel emit(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace

const Strategy kReduction{kFields, matches, fallback, candidates, check, rewrite, emit};

}  // namespace quern::compiler
