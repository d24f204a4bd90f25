// The kernel of the attention strategy, in tile form.

#include <algorithm>
#include <limits>
#include <numbers>
#include <string>
#include <utility>

#include "base/error.h"
#include "compiler/strategies/attention.h"
#include "compiler/strategies/emitter.h"
#include "compiler/strategies/hopper_tiles.h"
#include "compiler/strategies/ring.h"
#include "compiler/strategies/space.h"
#include "ir/rescaling.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

Expr f32(double value) { return constant(DType::f32, value); }
// What the sums lose of it ir/rescaling.h admits.
Expr exp2(const Expr& x) { return call(Op::exp2_flush, {x}); }
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void append(std::vector<Stmt>& to, std::vector<Stmt> stmts) { std::ranges::move(stmts, std::back_inserter(to)); }

class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        attention_(std::get<Attention>(analyze_attention(program))),
        logit_(split_logit(attention_.logit)),
        schedule_(schedule),
        kernel_(kernel_frame(program, facts, target)),
        known_(known_in(program, facts)),
        emitter_(program, kernel_),
        depth_(*as_integer(attention_.depth.hi)),
        columns_(*as_integer(attention_.column.hi)) {
    kernel_.warps = warps_of(schedule_.consumers);
    kernel_.min_blocks_per_sm = 1;
  }

  Kernel run() {
    const Attention& a = attention_;
    if (const std::string reason = why_ordinary_loads(); !reason.empty()) {
      bulk_ = false;
      kernel_.comment = fmt::format("ordinary loads instead of bulk copies: {}", reason);
    }
    lay_out_grid();
    q_ = operand("q_s", a.q, 1, schedule_.bm, depth_, true);
    k_ = operand("k_s", a.k, schedule_.stages, schedule_.bn, depth_, true);
    v_ = operand("v_s", a.v, schedule_.stages, columns_, schedule_.bn, false);
    q_ring_ = Ring(kernel_, "q_", 1, bulk_, 0);
    k_ring_ = Ring(kernel_, "k_", schedule_.stages, bulk_, schedule_.consumers);
    v_ring_ = Ring(kernel_, "v_", schedule_.stages, bulk_, schedule_.consumers);
    std::vector<Stmt> body{set_up(), intrinsic(IntrinsicId::barrier)};
    for (Stmt& stmt : place_) body.push_back(std::move(stmt));
    body.push_back(producer());
    body.push_back(consumer());
    kernel_.body = block(std::move(body));
    return kernel_;
  }

 private:
  // --- The grid -----------------------------------------------------------------------------------------------------

  // A block for each tile of rows, those of one batch side by side: they read the same keys. Where later rows see more
  // keys, they go first.
  void lay_out_grid() {
    const Expr tiles = simplify(ceil_div(attention_.row.hi, schedule_.bm), known_);
    Expr batches = 1;
    for (const Axis& axis : attention_.batch) batches = batches * axis.hi;
    const VarRef id = make_var("block");
    kernel_.block = {id};
    kernel_.grid = {simplify(tiles * batches, known_)};
    const Expr limit = key_limit(attention_, known_in(program_, program_.facts, all_axes()));
    const Expr tile = mod(Expr(id), tiles);
    place_.push_back(let(row_, (limit ? tiles - 1 - tile : tile) * schedule_.bm));
    batch_ = unravel(div(Expr(id), tiles), attention_.batch);
    for (std::size_t d = 0; d < batch_.size(); ++d) {
      const VarRef var = make_var(attention_.batch[d].var->name);
      place_.push_back(let(var, batch_[d]));
      batch_[d] = Expr(var);
    }
    Expr seen = attention_.key.hi;
    if (limit) {
      limit_ = limit;
      const Expr last = min(Expr(row_) + schedule_.bm, attention_.row.hi) - 1;
      seen = min(seen, max(limit_at(last), 0));
    }
    place_.push_back(let(steps_, simplify(ceil_div(seen, schedule_.bn), known_)));
  }

  std::vector<Axis> all_axes() const {
    std::vector<Axis> axes = attention_.batch;
    for (const Axis& axis : {attention_.row, attention_.key, attention_.column, attention_.depth}) axes.push_back(axis);
    return axes;
  }

  Substitution axes_at(const Expr& row, const Expr& key) const {
    Substitution axes;
    for (std::size_t d = 0; d < batch_.size(); ++d) axes[attention_.batch[d].var] = batch_[d];
    axes[attention_.row.var] = row;
    if (key) axes[attention_.key.var] = key;
    return axes;
  }
  Expr limit_at(const Expr& row) const { return substitute(limit_, axes_at(row, {})); }

  // --- Shared memory ------------------------------------------------------------------------------------------------

  struct Staged {
    Expr source;
    BufferRef shared;  // [stage, own axis, k]
    std::int64_t own, k;
    bool k_contiguous;
  };

  // Why bulk copies do not serve a tensor; empty: they do.
  std::string why_not_in_bulk(const Tensor& tensor) const {
    return compiler::why_not_in_bulk(as_buffer(*emitter_.param(tensor)), known_);
  }
  std::string why_ordinary_loads() const {
    for (const Expr* source : {&attention_.q, &attention_.k, &attention_.v}) {
      if (std::string reason = why_not_in_bulk(*(*source)->tensor); !reason.empty()) return reason;
    }
    for (const Axis* axis : {&attention_.row, &attention_.key}) {
      if (prove(less(0, axis->hi), known_) != true) return fmt::format("{} may be of no elements", axis->var->name);
    }
    return {};
  }

  Staged operand(const std::string& name, const Expr& source, std::int64_t stages, std::int64_t own, std::int64_t k,
                 bool k_contiguous) {
    const Layout layout = operand_tiles(stages, own, k, k_contiguous, swizzle_row(k_contiguous ? k : own));
    const BufferRef shared = make_buffer(name, source->dtype, Space::shared, layout, kSwizzled);
    kernel_.shared.push_back(shared);
    return {source, shared, own, k, k_contiguous};
  }

  Stmt set_up() const {
    const VarRef s = make_var("s");
    std::vector<Stmt> all = q_ring_.init(0), stage = k_ring_.init(s);
    append(stage, v_ring_.init(s));
    all.push_back(make_stmt(For{s, 0, schedule_.stages, 1, ForKind::unroll, block(std::move(stage))}));
    return set_up_barriers(std::move(all));
  }

  // --- The producer -------------------------------------------------------------------------------------------------

  Stmt producer() const {
    const VarRef step = make_var("step"), s = make_var("s");
    const Expr key = Expr(step) * schedule_.bn;
    std::vector<Stmt> body{let(s, k_ring_.stage_of(step))};
    append(body, fill(k_ring_, k_, step, s, key));
    append(body, fill(v_ring_, v_, step, s, key));
    std::vector<Stmt> all = fill(q_ring_, q_, 0, 0, 0);
    all.push_back(make_stmt(For{step, 0, Expr(steps_), 1, ForKind::rolled, block(std::move(body))}));
    return producer_role(schedule_.consumers, bulk_, std::move(all));
  }

  // The operand's tile into the step's stage.
  std::vector<Stmt> fill(const Ring& ring, const Staged& staged, const Expr& step, const Expr& stage,
                         const Expr& key) const {
    const auto load = [&](const LoadStep& part) { return load_part(staged, stage, key, ring.full(stage), part); };
    return ring.fill(step, stage, staged.own * staged.k * kHalfBytes,
                     {bulk_ ? load({{}, {}, {staged.own, staged.k}, {}})
                            : load_in_steps(staged.own, staged.k, staged.k_contiguous, load)});
  }

  Stmt load_part(const Staged& staged, const Expr& stage, const Expr& key, const Expr& full,
                 const LoadStep& part) const {
    const VarRef i = make_var("i"), p = make_var("p");
    const Expr own = part.own_at(i), k = part.k_at(p);
    // The axes that the tile lies along, with where they end.
    const bool is_q = &staged == &q_, is_v = &staged == &v_;
    const Expr along = is_q ? Expr(row_) + own : is_v ? own : key + own, deep = is_v ? key + k : k;
    const Axis& own_axis = is_q ? attention_.row : is_v ? attention_.column : attention_.key;
    const Axis& k_axis = is_v ? attention_.key : attention_.depth;
    Substitution axes = axes_at(0, {});
    axes[own_axis.var] = along;
    axes[k_axis.var] = deep;
    return load_tile(emitter_, part,
                     {.i = i,
                      .p = p,
                      .source = staged.source,
                      .axes = std::move(axes),
                      .shared = staged.shared,
                      .place = {stage, own, k},
                      .full = bulk_ ? full : Expr(),
                      .inside = both(less(along, own_axis.hi), less(deep, k_axis.hi))});
  }

  // --- The consumers ------------------------------------------------------------------------------------------------

  Expr own_row(const Expr& i) const { return schedule_.consumers == 1 ? i : Expr(group_) * kWgmmaRows + i; }
  Expr first_row() const { return Expr(row_) + Expr(group_) * (schedule_.consumers == 1 ? 0 : kWgmmaRows); }

  static BufferRef fragment(const char* name, DType dtype, Layout layout) {
    return make_buffer(name, dtype, Space::fragment, std::move(layout));
  }

  // For each row that the group holds.
  static Stmt for_rows(const std::function<Stmt(const Expr& i)>& body) {
    const VarRef i = make_var("i");
    return make_stmt(Map{.axes = {{i, 0, kWgmmaRows}}, .distribution = accumulator_rows(kWgmmaRows), .body = body(i)});
  }
  static Stmt for_elements(std::int64_t columns, const std::function<Stmt(const Expr& i, const Expr& j)>& body) {
    const VarRef i = make_var("i"), j = make_var("j");
    return make_stmt(Map{.axes = {{i, 0, kWgmmaRows}, {j, 0, columns}},
                         .distribution = accumulators(kWgmmaRows, columns),
                         .body = body(i, j)});
  }
  static Stmt store(const BufferRef& buffer, std::vector<Expr> index, const Expr& value) {
    return make_stmt(Store{.buffer = buffer, .index = std::move(index), .value = value});
  }

  // A tile of keys and values: its number, and where it lies.
  struct Step {
    VarRef number, s = make_var("s");
    Stmt place(const AttentionSchedule& schedule) const { return let(s, mod(Expr(number), schedule.stages)); }
  };

  // acc += a * b, once the ring's stage is full.
  static std::vector<Stmt> issue(const Stmt& mma, const Ring& ring, const Step& step) {
    return {ring.await(step.number, step.s), intrinsic(IntrinsicId::wgmma_fence), mma,
            intrinsic(IntrinsicId::wgmma_commit)};
  }
  // All but the last `pending` products are done: the stage is free.
  static std::vector<Stmt> finish(std::int64_t pending, const Ring& ring, const Step& step, const char* name) {
    return {intrinsic(IntrinsicId::wgmma_wait, {Expr(pending)}), ring.release(step.s, name)};
  }

  Stmt score(const VarRef& s) const {
    const Axis i{make_var("i"), 0, kWgmmaRows}, j{make_var("j"), 0, schedule_.bn}, p{make_var("p"), 0, depth_};
    return make_stmt(Mma{.kind = MmaKind::wgmma,
                         .i = i,
                         .j = j,
                         .k = p,
                         .acc = scores_,
                         .a = read(q_.shared, {Expr(0), own_row(i.var), Expr(p.var)}),
                         .b = read(k_.shared, {Expr(s), Expr(j.var), Expr(p.var)}),
                         .accumulate = boolean(false)});
  }

  Stmt mix(const VarRef& s) const {
    const Axis i{make_var("i"), 0, kWgmmaRows}, c{make_var("c"), 0, columns_}, p{make_var("p"), 0, schedule_.bn};
    return make_stmt(Mma{.kind = MmaKind::wgmma,
                         .i = i,
                         .j = c,
                         .k = p,
                         .acc = result_,
                         .a = read(probabilities_, {Expr(i.var), Expr(p.var)}),
                         .b = read(v_.shared, {Expr(s), Expr(c.var), Expr(p.var)})});
  }

  // What is done to the scores before they are compared, where it is anything but the factor.
  std::vector<Stmt> logits(const Expr& key) {
    const auto write = [&](const Expr& value, bool masked) {
      return for_elements(schedule_.bn, [&](const Expr& i, const Expr& j) {
        const Expr row = Expr(row_) + own_row(i), column = key + j;
        emitter_.materialize(*attention_.scores->tensor, scores_, {i, j});
        Emitter::Scope scope(emitter_, axes_at(row, column));
        const Expr inside = both(less(row, attention_.row.hi), less(column, attention_.key.hi));
        const bool reads = reads_inputs(value) || (masked && logit_.seen && reads_inputs(logit_.seen));
        const Expr seen = masked ? both(less(column, attention_.key.hi), logit_.seen) : Expr();
        Expr lowered = scope.lower_conditional(value);
        if (seen) lowered = select(scope.lower_conditional(seen), lowered, f32(kMinusInfinity));
        if (reads) lowered = select(inside, lowered, f32(kMinusInfinity));
        scope.store(scores_, {i, j}, lowered);
        return scope.finish();
      });
    };
    const bool is_plain = logit_.value->kind == ExprKind::read;
    const bool is_whole = divisor(attention_.key.hi, known_) % schedule_.bn == 0;
    if (!logit_.seen && is_whole) return is_plain ? std::vector<Stmt>{} : std::vector<Stmt>{write(logit_.value, false)};
    // Tiles that all rows see whole need no mask.
    Expr partial = is_whole ? Expr() : less(attention_.key.hi, key + schedule_.bn);
    if (logit_.seen) {
      if (!limit_ || !is_only_limit()) return {write(logit_.value, true)};
      const Expr beyond = less(limit_at(first_row()), key + schedule_.bn);
      partial = partial ? either(partial, beyond) : beyond;
    }
    const Stmt masked = make_stmt(If{partial, block({write(logit_.value, true)})});
    if (is_plain) return {masked};
    return {make_stmt(If{partial, block({write(logit_.value, true)}), block({write(logit_.value, false)})})};
  }

  bool reads_inputs(const Expr& e) const {
    return std::ranges::any_of(tensors_read(e), [&](const TensorRef& t) { return is_input(program_, *t); });
  }
  // Whether the condition is the limit alone.
  bool is_only_limit() const { return !is_call(logit_.seen, Op::logical_and); }

  // The scores become numerators, exp2(scores * factor - shift), with rows' maxima and totals; what was mixed before is
  // to shrink by `shrink`.
  std::vector<Stmt> online_softmax(const Expr& first_key, const BufferRef& shrink) {
    const Layout rows = accumulator_rows(kWgmmaRows);
    const BufferRef tile_max = fragment("tile_max", DType::f32, rows),
                    tile_sum = fragment("tile_sum", DType::f32, rows), shift = fragment("shift", DType::f32, rows);
    const double factor = logit_.factor * std::numbers::log2e;
    // A variable, which is known to be an index: what conditions compute in 64 bits stays so otherwise.
    const VarRef key = make_var("key");
    std::vector<Stmt> body = logits(Expr(key));
    if (!body.empty()) body.insert(body.begin(), let(key, first_key));
    for (const BufferRef& buffer : {tile_max, shift}) body.push_back(make_stmt(Alloc{buffer}));
    body.push_back(make_stmt(Fold{Reducer::max, {tile_max}, {scores_}, {1}}));
    body.push_back(for_rows([&](const Expr& i) {
      const VarRef grown = make_var("grown", DType::f32), base = make_var("base", DType::f32);
      // A row that has seen nothing yet has no maximum to subtract.
      return block({let(grown, max(read(largest_, {i}), read(tile_max, {i}))),
                    let(base, select(equals(Expr(grown), f32(kMinusInfinity)), f32(0), Expr(grown))),
                    store(shrink, {i}, exp2((read(largest_, {i}) - Expr(base)) * f32(factor))),
                    store(shift, {i}, Expr(base) * f32(factor)), store(largest_, {i}, Expr(grown))});
    }));
    body.push_back(for_elements(schedule_.bn, [&](const Expr& i, const Expr& j) {
      return store(scores_, {i, j}, exp2(read(scores_, {i, j}) * f32(factor) - read(shift, {i})));
    }));
    body.push_back(make_stmt(Alloc{tile_sum}));
    body.push_back(make_stmt(Fold{Reducer::sum, {tile_sum}, {scores_}, {1}}));
    body.push_back(for_rows([&](const Expr& i) {
      return store(total_, {i}, read(total_, {i}) * read(shrink, {i}) + read(tile_sum, {i}));
    }));
    return body;
  }

  // Whether the mixture leaves as what it is over its total alone: 0 / 0 where no key is seen.
  bool divides_by_total() const {
    const auto is_read_of = [](const Expr& e, const Definition* definition) {
      return definition && e->kind == ExprKind::read && e->tensor == definition->tensor;
    };
    bool is_divided = true;
    for (const Attention::Member& member : attention_.outputs) {
      is_divided = is_divided && member.definition != attention_.product;
      visit(inline_definitions(program_, member.definition->value), [&](const Expr& e) {
        const bool is_quotient = is_call(e, Op::div) && is_read_of(e->args[0], attention_.product) &&
                                 is_read_of(e->args[1], attention_.total);
        is_divided = is_divided && !is_read_of(e, attention_.product) && !is_read_of(e, attention_.total);
        return !is_quotient;
      });
    }
    return is_divided;
  }

  // Where no key is seen, though there are keys, all numerators are exp(-inf - -inf).
  std::vector<Stmt> rows_that_see_nothing() const {
    const BufferRef seen = fragment("seen", DType::f32, accumulator_rows(kWgmmaRows));
    const auto times_seen = [&](const BufferRef& buffer, std::vector<Expr> index) {
      const Expr row = index[0];
      return store(buffer, index, read(buffer, index) * read(seen, {row}));
    };
    return {make_stmt(Alloc{seen}), for_rows([&](const Expr& i) {
              const Expr are_keys =
                  prove(less(0, attention_.key.hi), known_) == true ? Expr() : less(0, attention_.key.hi);
              const Expr nothing = both(equals(read(largest_, {i}), f32(kMinusInfinity)), are_keys);
              return block({store(seen, {i}, select(nothing, f32(kNan), f32(1))), times_seen(total_, {i})});
            }),
            for_elements(columns_, [&](const Expr& i, const Expr& c) { return times_seen(result_, {i, c}); })};
  }

  // The mixture at the new scale, and the numerators as its next operand.
  std::vector<Stmt> rescale(const BufferRef& shrink) const {
    return {for_elements(schedule_.bn,
                         [&](const Expr& i, const Expr& j) {
                           return store(probabilities_, {i, j}, cast(attention_.numerator, read(scores_, {i, j})));
                         }),
            for_elements(columns_, [&](const Expr& i, const Expr& c) {
              return store(result_, {i, c}, read(result_, {i, c}) * read(shrink, {i}));
            })};
  }

  // One tile after the other: while a group forms its numerators, the other one multiplies.
  std::vector<Stmt> in_turn() {
    const Step step{make_var("step")};
    const BufferRef shrink = fragment("shrink", DType::f32, accumulator_rows(kWgmmaRows));
    std::vector<Stmt> body{step.place(schedule_), make_stmt(Alloc{scores_})};
    append(body, issue(score(step.s), k_ring_, step));
    append(body, finish(0, k_ring_, step, "release_keys"));
    body.push_back(make_stmt(Alloc{shrink}));
    append(body, online_softmax(Expr(step.number) * schedule_.bn, shrink));
    body.push_back(make_stmt(Alloc{probabilities_}));
    append(body, rescale(shrink));
    append(body, issue(mix(step.s), v_ring_, step));
    append(body, finish(0, v_ring_, step, "release_values"));
    return {make_stmt(For{step.number, 0, Expr(steps_), 1, ForKind::rolled, block(std::move(body))})};
  }

  // The scores of a tile and the mixture of the one before it are multiplied together; the softmax waits for the scores
  // alone.
  std::vector<Stmt> overlapped() {
    const Step first{make_var("step")}, step{make_var("step")}, last{make_var("step")}, before{make_var("before")};
    const BufferRef shrink = fragment("shrink", DType::f32, accumulator_rows(kWgmmaRows));
    std::vector<Stmt> all{let(first.number, 0), first.place(schedule_)};
    for (const BufferRef& buffer : {scores_, probabilities_, shrink}) all.push_back(make_stmt(Alloc{buffer}));
    append(all, issue(score(first.s), k_ring_, first));
    append(all, finish(0, k_ring_, first, "release_first"));
    append(all, online_softmax(0, shrink));
    append(all, rescale(shrink));
    std::vector<Stmt> body{step.place(schedule_), let(before.number, Expr(step.number) - 1), before.place(schedule_)};
    append(body, issue(score(step.s), k_ring_, step));
    append(body, issue(mix(before.s), v_ring_, before));
    append(body, finish(1, k_ring_, step, "release_keys"));
    append(body, online_softmax(Expr(step.number) * schedule_.bn, shrink));
    append(body, finish(0, v_ring_, before, "release_values"));
    append(body, rescale(shrink));
    all.push_back(make_stmt(For{step.number, 1, Expr(steps_), 1, ForKind::rolled, block(std::move(body))}));
    all.push_back(let(last.number, Expr(steps_) - 1));
    all.push_back(last.place(schedule_));
    append(all, issue(mix(last.s), v_ring_, last));
    append(all, finish(0, v_ring_, last, "release_last"));
    return {make_stmt(If{less(0, Expr(steps_)), block(std::move(all))})};
  }

  Stmt consumer() {
    const Layout rows = accumulator_rows(kWgmmaRows), keys = accumulators(kWgmmaRows, schedule_.bn);
    scores_ = fragment("scores", DType::f32, keys);
    probabilities_ = fragment("probabilities", attention_.numerator, keys);
    result_ = fragment("result", DType::f32, accumulators(kWgmmaRows, columns_));
    largest_ = fragment("largest", DType::f32, rows);
    total_ = fragment("total", DType::f32, rows);
    std::vector<Stmt> all;
    for (const BufferRef& buffer : {result_, largest_, total_}) all.push_back(make_stmt(Alloc{buffer}));
    all.push_back(for_rows(
        [&](const Expr& i) { return block({store(largest_, {i}, f32(kMinusInfinity)), store(total_, {i}, f32(0))}); }));
    all.push_back(for_elements(columns_, [&](const Expr& i, const Expr& c) { return store(result_, {i, c}, f32(0)); }));
    all.push_back(q_ring_.await(0, 0));
    append(all, schedule_.overlap ? overlapped() : in_turn());
    if (!divides_by_total()) append(all, rows_that_see_nothing());
    append(all, epilogue());
    return consumer_role(schedule_.consumers, group_, std::move(all));
  }

  // --- The epilogue -------------------------------------------------------------------------------------------------

  // The first output of the queries' dtype leaves through the queries' place, which its group alone has read; others
  // straight from registers.
  std::vector<Stmt> epilogue() {
    std::vector<Stmt> body;
    bool is_staged = false;
    for (const Attention::Member& member : attention_.outputs) {
      const bool fits = columns_ <= depth_ && swizzle_row(columns_) == swizzle_row(depth_);
      const bool through = !is_staged && fits && leaves_in_bulk(*member.definition, member.to_space);
      for (Stmt& stmt : through ? send(member) : store_directly(member)) body.push_back(std::move(stmt));
      is_staged = is_staged || through;
    }
    return body;
  }

  bool leaves_in_bulk(const Definition& definition, const Substitution& to_space) const {
    const Tensor& tensor = *definition.tensor;
    const Expr last = substitute(Expr(definition.axes.back().var), to_space);
    return tensor.dtype == attention_.numerator && is_variable(last, attention_.column.var) && bulk_ &&
           why_not_in_bulk(tensor).empty();
  }

  Substitution output_axes(const Attention::Member& member, const Expr& row, const Expr& column) const {
    Substitution space = axes_at(row, {}), own;
    space[attention_.column.var] = column;
    for (const Axis& axis : member.definition->axes) {
      own[axis.var] = substitute(substitute(Expr(axis.var), member.to_space), space);
    }
    return own;
  }

  Expr value_of(const Attention::Member& member, Emitter::Scope& scope) const {
    if (member.definition == attention_.product) {
      return scope.lower(read(attention_.product->tensor, std::vector<Expr>(member.definition->axes.size(), Expr(0))));
    }
    return scope.lower_conditional(member.definition->value);
  }

  void materialize(const Expr& i, const Expr& c) {
    emitter_.materialize(*attention_.product->tensor, result_, {i, c});
    if (attention_.total) emitter_.materialize(*attention_.total->tensor, total_, {i});
  }

  Expr inside(const Expr& row, const Expr& value) const {
    return global_reads(program_, value, {}).empty() ? Expr() : less(row, attention_.row.hi);
  }

  std::vector<Stmt> send(const Attention::Member& member) {
    const DType dtype = member.definition->tensor->dtype;
    const BufferRef values = fragment("values", dtype, accumulators(kWgmmaRows, columns_));
    std::vector<Stmt> body{make_stmt(Alloc{values})};
    body.push_back(for_elements(columns_, [&](const Expr& i, const Expr& c) {
      materialize(i, c);
      const Expr row = Expr(row_) + own_row(i);
      Emitter::Scope scope(emitter_, output_axes(member, row, c));
      const Expr value = value_of(member, scope), where = inside(row, member.definition->value);
      scope.store(values, {i, c}, where ? select(where, value, constant(dtype, 0.0)) : value);
      return scope.finish();
    }));
    const BufferRef& staging = q_.shared;
    Stmt to_shared = for_elements(columns_, [&](const Expr& i, const Expr& c) {
      return store(staging, {Expr(0), own_row(i), c}, read(values, {i, c}));
    });
    Map moved = *get_if<Map>(to_shared);
    moved.via = Via::stmatrix;
    body.push_back(make_stmt(std::move(moved)));
    body.push_back(intrinsic(IntrinsicId::fence_proxy_async));
    body.push_back(intrinsic(IntrinsicId::barrier));
    const VarRef i = make_var("i"), c = make_var("c");
    std::vector<Expr> index;
    for (const auto& axes = output_axes(member, Expr(row_) + own_row(i), c);
         const Axis& axis : member.definition->axes) {
      index.push_back(axes.at(axis.var));
    }
    const Stmt copy = make_stmt(
        Map{.axes = {{i, 0, kWgmmaRows}, {c, 0, columns_}},
            .distribution = {},
            .body = store_to(*member.definition->tensor, index, read(staging, {Expr(0), own_row(i), Expr(c)})),
            .via = Via::tma_store});
    body.push_back(
        elected("send", 1,
                {copy, intrinsic(IntrinsicId::tma_store_commit), intrinsic(IntrinsicId::tma_store_wait, {Expr(0)})}));
    return body;
  }

  Stmt store_to(const Tensor& tensor, std::vector<Expr> index, const Expr& value) const {
    return make_stmt(Store{.buffer = emitter_.param(tensor), .index = std::move(index), .value = value});
  }

  std::vector<Stmt> store_directly(const Attention::Member& member) {
    const VarRef i = make_var("i"), c = make_var("c");
    const Expr row = Expr(row_) + own_row(i);
    materialize(Expr(i), Expr(c));
    Emitter::Scope scope(emitter_, output_axes(member, row, Expr(c)));
    std::vector<Expr> index;
    for (const auto& axes = output_axes(member, row, Expr(c)); const Axis& axis : member.definition->axes) {
      index.push_back(axes.at(axis.var));
    }
    scope.store_at(*member.definition->tensor, std::move(index), value_of(member, scope));
    return {make_stmt(Map{.axes = {{i, 0, kWgmmaRows}, {c, 0, columns_}},
                          .distribution = accumulators(kWgmmaRows, columns_),
                          .where = less(row, attention_.row.hi),
                          .body = scope.finish()})};
  }

  const Program& program_;
  Attention attention_;
  Logit logit_;
  AttentionSchedule schedule_;
  Kernel kernel_;
  Assumptions known_;
  Emitter emitter_;
  std::int64_t depth_, columns_;
  bool bulk_ = true;
  std::vector<Stmt> place_;
  std::vector<Expr> batch_;
  VarRef row_ = make_var("row"), steps_ = make_var("steps"), group_ = make_var("g");
  Expr limit_;
  Staged q_, k_, v_;
  Ring q_ring_, k_ring_, v_ring_;
  BufferRef scores_, probabilities_, result_, largest_, total_;
};

}  // namespace

Kernel emit_attention(const Program& program, const Schedule& schedule, const Target& target,
                      std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace quern::compiler
