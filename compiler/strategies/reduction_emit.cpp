// The tile form of a reduction: see reduction.cpp.

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "compiler/strategies/emitter.h"
#include "compiler/strategies/reduction.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr const FieldList& kFields = kReductionFields;

bool has_read(const Expr& e) {
  return e->kind == ExprKind::read || std::any_of(e->args.begin(), e->args.end(), has_read);
}

// The writer of one kernel.
class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        facts_(facts),
        space_(analyze_iteration(program, facts)),
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
      for (const Expr& r : reads_of(program_, member, true)) {
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
      if (const auto [guard, rest] = split(stage[0]->definition->value->where); stage.size() == 1 && guard) {
        return map(both(inside(r0), substitute(guard, axes_of(*stage[0], r0))), update(*stage[0], rest, states[0], r0));
      }
      std::vector<Stmt> updates;
      for (std::size_t m = 0; m < stage.size(); ++m) {
        updates.push_back(update(*stage[m], stage[m]->definition->value->where, states[m], r0));
      }
      map(inside(r0), block(std::move(updates)));
    });
    for (std::size_t m = 0; m < stage.size(); ++m) finish(*stage[m], states[m]);
    stage.clear();
  }

  // A condition in two: what is told by an element's place alone, which guards loads as well, and what reads. Either
  // may be absent.
  static std::pair<Expr, Expr> split(const Expr& where) {
    if (!where) return {};
    if (!has_read(where)) return {where, {}};
    if (!is_call(where, Op::logical_and)) return {{}, where};
    const auto [guard_a, rest_a] = split(where->args[0]);
    const auto [guard_b, rest_b] = split(where->args[1]);
    return {both(guard_a, guard_b), both(rest_a, rest_b)};
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

  // Of the elements for which `condition` holds; absent: all of them.
  Stmt update(const Reduction::Member& member, const Expr& condition, const std::vector<BufferRef>& state,
              const Expr& r0) {
    const Expr& value = member.definition->value;
    const ReducerRow& reducer = row(value->reduce->reducer);
    Emitter::Scope scope(emitter_, axes_of(member, r0));
    const Expr where = condition ? scope.lower(condition) : Expr();
    const Expr element =
        cast(accumulator(member), where ? scope.lower_conditional(value->args[0]) : scope.lower(value->args[0]));
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

}  // namespace

Kernel emit_reduction(const Program& program, const Schedule& schedule, const Target& target,
                      std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace quern::compiler
