// The contraction on a GPU, on ordinary arithmetic: a block computes a tile of m x n, walking k in steps whose operands
// are staged in shared memory, two or more steps ahead of the arithmetic. Layouts: an operand whose memory walks k lies
// row by row (own axis x k), any other k by own axis; a pitch of 16 bytes more than a row keeps both sides free of bank
// conflicts (hopper.md 6).

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "compiler/strategies/contraction.h"
#include "compiler/strategies/tile_order.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr const FieldList& kFields = kContractionFields;
constexpr std::int64_t kVectorBytes = 16;
constexpr int kLanesN = 8;  // lanes of a warp along n; 4 along m

class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        facts_(facts),
        problem_(analyze_operands(program, facts)),
        kernel_(kernel_frame(program, facts, target)),
        known_(known_in(program, facts)),
        emitter_(program, kernel_),
        bm_(get(schedule, kFields, "block", 0)),
        bn_(get(schedule, kFields, "block", 1)),
        bk_(get(schedule, kFields, "block", 2)),
        tm_(get(schedule, kFields, "thread", 0)),
        tn_(get(schedule, kFields, "thread", 1)),
        stages_(get(schedule, kFields, "stages")),
        async_(get(schedule, kFields, "copy") != 0),
        raster_(get(schedule, kFields, "raster")) {
    kernel_.warps = static_cast<int>((bm_ / tm_) * (bn_ / tn_) / kernel_.lanes);
  }

  Kernel run() {
    place_block();
    steps_ = simplify(ceil_div(problem_.k, bk_), known_);
    a_ = prepare(problem_.a, "a", bm_, m0_, problem_.m, true);
    b_ = prepare(problem_.b, "b", bn_, n0_, problem_.n, false);
    if (async_ && (a_.width == 0 || b_.width == 0)) {
      kernel_.comment = fmt::format(
          "copy=register stages=2 instead of copy=async stages={}: 4 bytes of {} may lie "
          "unaligned or half outside, and cp.async copies no less",
          stages_, (a_.width == 0 ? a_ : b_).operand->source->tensor->name);
      async_ = false;
    }
    if (!async_) stages_ = 2;
    lay_out_accumulators();
    declare_shared(a_);
    declare_shared(b_);
    acc_ = declare("acc", accumulator(), acc_layout_);
    clear();
    if (async_) {
      pipeline_async();
    } else {
      pipeline_registers();
    }
    epilogue();
    kernel_.body = block(std::move(body_));
    return kernel_;
  }

 private:
  // One operand's staging.
  struct Staged {
    const Operand* operand;
    std::string name;
    std::int64_t own;  // elements of its own axis in a tile
    VarRef origin;     // first one
    Expr extent;
    bool is_a;
    std::int64_t width = 0;  // elements of one asynchronous copy; 0: none is possible
    VarRef i, p;             // tile axes: own and k
    Layout distribution;     // over [i, p]
    BufferRef shared, held;
  };

  DType accumulator() const {
    const Expr& value = problem_.contraction.product->value;
    return value->reduce->contract.accumulator.value_or(value->args[0]->dtype);
  }

  void place_block() {
    const Expr tiles_m = simplify(ceil_div(problem_.m, bm_), known_),
               tiles_n = simplify(ceil_div(problem_.n, bn_), known_);
    const Expr tiles = simplify(tiles_m * tiles_n, known_);
    kernel_.grid = {simplify(problem_.batch * tiles, known_)};
    const VarRef id = make_var("block"), tile = make_var("tile");
    kernel_.block = {id};
    batch_ = make_var("batch"), m0_ = make_var("m0"), n0_ = make_var("n0");
    body_.push_back(let(batch_, div(Expr(id), tiles)));
    body_.push_back(let(tile, mod(Expr(id), tiles)));
    const TilePlace place = place_tile(tile, tiles_m, tiles_n, {as_integer(tiles_m) ? raster_ : 1}, body_);
    body_.push_back(let(m0_, place.row * bm_));
    body_.push_back(let(n0_, place.column * bn_));
    known_ = known_.with(Axis{id, 0, kernel_.grid[0]});
    known_ = known_.with(Axis{m0_, 0, simplify(tiles_m * bm_, known_)}, bm_);
    known_ = known_.with(Axis{n0_, 0, simplify(tiles_n * bn_, known_)}, bn_);
    for (const Axis& axis : problem_.contraction.batch) known_ = known_.with(axis);
    known_ = known_.with(Axis{batch_, 0, problem_.batch});
  }

  static Stmt let(const VarRef& var, const Expr& value) { return make_stmt(Let{var, value}); }

  BufferRef declare(std::string name, DType dtype, const Layout& layout) {
    const BufferRef fragment = make_buffer(std::move(name), dtype, Space::fragment, layout);
    body_.push_back(make_stmt(Alloc{fragment}));
    return fragment;
  }

  Staged prepare(const Operand& operand, std::string name, std::int64_t own, const VarRef& origin, const Expr& extent,
                 bool is_a) {
    Staged staged{&operand,
                  std::move(name),
                  own,
                  origin,
                  readable(operand, extent, is_a),
                  is_a,
                  0,
                  make_var("i"),
                  make_var("p"),
                  {},
                  nullptr,
                  nullptr};
    const std::int64_t size = byte_size(operand.dtype());
    const std::int64_t fast = operand.k_contiguous ? bk_ : own, slow = operand.k_contiguous ? own : bk_;
    const std::int64_t threads = kernel_.warps * kernel_.lanes;
    std::int64_t vec = std::max<std::int64_t>(1, std::min({kVectorBytes / size, fast, fast * slow / threads}));
    if (async_) {
      // Neighbours that are known to share alignment and bounds go in one copy.
      std::int64_t wide = std::min(kVectorBytes / size, fast);
      while (wide * size >= 4 && !copies_whole(staged, wide)) wide /= 2;
      staged.width = wide * size >= 4 ? wide : 0;
      if (staged.width) vec = staged.width;
    }
    const Spread spread_over = spread(fast, slow, vec, kernel_.lanes, kernel_.warps);
    staged.distribution = operand.k_contiguous ? Layout{{spread_over.slow, spread_over.fast}, {}}
                                               : Layout{{spread_over.fast, spread_over.slow}, {}};
    return staged;
  }

  // How far the operand may be read along its own axis: a padded matrix further than the product goes.
  Expr readable(const Operand& operand, const Expr& extent, bool is_a) const {
    const std::vector<Axis>& own = is_a ? problem_.contraction.m : problem_.contraction.n;
    if (!operand.plain || operand.source->fill || own.size() != 1) return extent;
    for (std::size_t d = 0; d < operand.source->args.size(); ++d) {
      const Expr& length = operand.source->tensor->shape[d];
      if (is_variable(operand.source->args[d], own[0].var) && prove(less_equal(extent, length), known_) == true) {
        return length;
      }
    }
    return extent;
  }

  // Whether `width` neighbours always lie at an aligned place and inside or outside together.
  bool copies_whole(const Staged& staged, std::int64_t width) const {
    if (width == 0 || !copies_asynchronously(*staged.operand)) return false;
    if (width == 1) return true;
    const bool along_k = staged.operand->k_contiguous;
    const Expr& extent = along_k ? problem_.k : staged.extent;
    if (divisor(extent, known_) % width != 0) return false;
    const VarRef vector = make_var("vector"), next = make_var("next"), other = make_var("other");
    const Assumptions known = known_.with(Axis{vector, 0, simplify(div(extent, width), known_)})
                                  .with(Axis{next, 0, width})
                                  .with(Axis{other, 0, along_k ? staged.extent : problem_.k});
    const Expr walk = Expr(vector) * width + next;
    const Expr source = place(staged, along_k ? Expr(other) : walk, along_k ? walk : Expr(other));
    const Expr offset = simplify(flat_offset(source), known);
    if (stride_along(offset, next, known) != 1) return false;
    const Expr start = simplify(substitute(offset, {{next, Expr(0)}}), known);
    if (divisor(start, known) % width != 0) return false;
    const Buffer& buffer = as_buffer(*emitter_.param(*source->tensor));
    if (buffer.alignment % (width * byte_size(source->dtype)) != 0) return false;
    if (!source->fill) return true;
    for (std::size_t d = 0; d < source->args.size(); ++d) {
      for (const Expr& bound : {less_equal(0, source->args[d]), less(source->args[d], source->tensor->shape[d])}) {
        if (uses(simplify(bound, known), next)) return false;
      }
    }
    return true;
  }

  // The operand's source at flat coordinates of its own axes and of k.
  Expr place(const Staged& staged, const Expr& own, const Expr& k) const {
    const Substitution axes = staged.is_a ? place_axes(problem_.contraction, batch_, own, {}, k)
                                          : place_axes(problem_.contraction, batch_, {}, own, k);
    return substitute(staged.operand->source, axes);
  }

  void declare_shared(Staged& staged) {
    const std::int64_t pad = kVectorBytes / byte_size(staged.operand->dtype());
    const std::vector<std::int64_t> rows = staged.operand->k_contiguous
                                               ? std::vector<std::int64_t>{stages_, staged.own, bk_}
                                               : std::vector<std::int64_t>{stages_, bk_, staged.own};
    staged.shared = make_buffer(staged.name + "_s", staged.operand->dtype(), Space::shared, padded(rows, pad));
    kernel_.shared.push_back(staged.shared);
  }

  std::vector<Expr> shared_index(const Staged& staged, const Expr& stage, const Expr& own, const Expr& k) const {
    if (staged.operand->k_contiguous) return {stage, own, k};
    return {stage, k, own};
  }

  // Registers: along n first, in vectors; lanes 4 x 8 over m x n; a k-contiguous operand's rows are spread lane by
  // lane.
  void lay_out_accumulators() {
    const auto axis = [&](const Operand& operand, std::int64_t own, std::int64_t thread, std::int64_t lanes,
                          std::int64_t lane_stride, std::int64_t warps, std::int64_t warp_stride, std::int64_t reg) {
      const std::int64_t vec =
          operand.k_contiguous ? 1 : std::min<std::int64_t>(thread, kVectorBytes / byte_size(operand.dtype()));
      Mode mode{{vec, Place::reg, reg},
                {lanes, Place::lane, lane_stride},
                {warps, Place::warp, warp_stride},
                {thread / vec, Place::reg, reg * vec}};
      ensure(extent(mode) == own, "the block's tile is its threads' tiles");
      return mode;
    };
    const std::int64_t threads_m = bm_ / tm_, threads_n = bn_ / tn_;
    const std::int64_t lanes_n = std::min<std::int64_t>({kLanesN, threads_n, 32});
    const std::int64_t lanes_m = std::min<std::int64_t>(32 / lanes_n, threads_m);
    const std::int64_t lanes_n_all = 32 / lanes_m;
    const std::int64_t warps_n = threads_n / lanes_n_all, warps_m = threads_m / lanes_m;
    const Mode n = axis(problem_.b, bn_, tn_, lanes_n_all, 1, warps_n, 1, 1);
    const Mode m = axis(problem_.a, bm_, tm_, lanes_m, lanes_n_all, warps_m, warps_n, tn_);
    acc_layout_ = {{m, n}, {}};
  }

  void clear() {
    const VarRef i = make_var("i"), j = make_var("j");
    Emitter::Scope scope(emitter_, {});
    scope.store(acc_, {Expr(i), Expr(j)}, constant(acc_->dtype, std::int64_t{0}));
    body_.push_back(
        make_stmt(Map{.axes = {{i, 0, bm_}, {j, 0, bn_}}, .distribution = acc_layout_, .body = scope.finish()}));
  }

  // Within the operand, or nothing where that is known.
  Expr inside(const Staged& staged, const Expr& own, const Expr& k) const {
    return both(less(own, staged.extent), less(k, problem_.k));
  }

  // The tile of step `step`, to `to`[index of (i, p)]; zeros outside.
  Stmt load(const Staged& staged, const Expr& step, const BufferRef& to, std::vector<Expr> index, Via via) {
    const Expr own = Expr(staged.origin) + staged.i, k = step * bk_ + staged.p;
    const std::vector<Axis> axes{{staged.i, 0, staged.own}, {staged.p, 0, bk_}};
    const Expr where = inside(staged, own, k);
    Emitter::Scope scope(emitter_, {});
    if (via == Via::cp_async) {
      const Expr source = place(staged, own, k);
      scope.store(to, std::move(index), read(emitter_.param(*source->tensor), source->args, source->fill));
      return make_stmt(
          Map{.axes = axes, .distribution = staged.distribution, .where = where, .body = scope.finish(), .via = via});
    }
    scope.enter(staged.is_a ? place_axes(problem_.contraction, batch_, own, {}, k)
                            : place_axes(problem_.contraction, batch_, {}, own, k));
    const Expr zero = constant(staged.operand->dtype(), std::int64_t{0});
    // Outside the tile nothing is read; the value is computed under the condition.
    const Expr value = scope.lower_guarded(staged.operand->source, where, zero);
    scope.store(to, std::move(index), value);
    return make_stmt(Map{.axes = axes, .distribution = staged.distribution, .body = scope.finish()});
  }

  Stmt product(const Expr& stage) {
    const Axis i{make_var("i"), 0, bm_}, j{make_var("j"), 0, bn_}, k{make_var("k"), 0, bk_};
    const auto factor = [&](const Staged& staged, const VarRef& own) {
      const Expr held = read(staged.shared, shared_index(staged, stage, Expr(own), Expr(k.var)));
      return replace_node(staged.operand->factor, staged.operand->source, held);
    };
    return make_stmt(Mma{
        .kind = MmaKind::simt, .i = i, .j = j, .k = k, .acc = acc_, .a = factor(a_, i.var), .b = factor(b_, j.var)});
  }

  static Stmt intrinsic(IntrinsicId id, std::vector<Expr> args = {}) {
    return make_stmt(Intrinsic{id, std::move(args)});
  }

  // Two shared buffers; the next step's operands wait in registers while this one's are multiplied.
  void pipeline_registers() {
    for (Staged* staged : {&a_, &b_}) {
      staged->held = declare(staged->name + "_next", staged->operand->dtype(), staged->distribution);
    }
    const auto fetch = [&](const Expr& step) {
      std::vector<Stmt> parts;
      for (const Staged* staged : {&a_, &b_}) {
        parts.push_back(load(*staged, step, staged->held, {Expr(staged->i), Expr(staged->p)}, Via::threads));
      }
      return block(std::move(parts));
    };
    const auto put = [&](const Expr& stage) {
      std::vector<Stmt> parts;
      for (const Staged* staged : {&a_, &b_}) {
        Emitter::Scope scope(emitter_, {});
        scope.store(staged->shared, shared_index(*staged, stage, Expr(staged->i), Expr(staged->p)),
                    read(staged->held, {Expr(staged->i), Expr(staged->p)}));
        parts.push_back(make_stmt(Map{.axes = {{staged->i, 0, staged->own}, {staged->p, 0, bk_}},
                                      .distribution = staged->distribution,
                                      .body = scope.finish()}));
      }
      return block(std::move(parts));
    };
    body_.push_back(fetch(0));
    body_.push_back(put(0));
    body_.push_back(intrinsic(IntrinsicId::barrier));
    const VarRef step = make_var("step");
    const Expr next = Expr(step) + 1, more = less(next, steps_);
    body_.push_back(make_stmt(For{step, 0, steps_, 1, ForKind::rolled,
                                  block({make_stmt(If{more, fetch(next)}), product(mod(Expr(step), 2)),
                                         make_stmt(If{more, put(mod(next, 2))}), intrinsic(IntrinsicId::barrier)})}));
  }

  // A ring of shared buffers, filled stages - 1 steps ahead.
  void pipeline_async() {
    const auto fetch = [&](const Expr& step, const Expr& stage) {
      std::vector<Stmt> parts;
      for (const Staged* staged : {&a_, &b_}) {
        parts.push_back(load(*staged, step, staged->shared,
                             shared_index(*staged, stage, Expr(staged->i), Expr(staged->p)), Via::cp_async));
      }
      return make_stmt(If{less(step, steps_), block(std::move(parts))});
    };
    for (std::int64_t s = 0; s + 1 < stages_; ++s) {
      body_.push_back(fetch(s, s));
      body_.push_back(intrinsic(IntrinsicId::cp_async_commit));
    }
    const VarRef step = make_var("step");
    const Expr ahead = Expr(step) + (stages_ - 1);
    body_.push_back(
        make_stmt(For{step, 0, steps_, 1, ForKind::rolled,
                      block({intrinsic(IntrinsicId::cp_async_wait, {Expr(stages_ - 2)}),
                             intrinsic(IntrinsicId::barrier), fetch(ahead, mod(ahead, stages_)),
                             intrinsic(IntrinsicId::cp_async_commit), product(mod(Expr(step), stages_))})}));
  }

  void epilogue() {
    const VarRef i = make_var("i"), j = make_var("j");
    const Expr m = Expr(m0_) + i, n = Expr(n0_) + j;
    const Definition& definition = *problem_.contraction.product;
    emitter_.materialize(*definition.tensor, acc_, {Expr(i), Expr(j)});
    Emitter::Scope scope(emitter_, {});
    store_results(program_, problem_.contraction, scope, place_axes(problem_.contraction, batch_, m, n, {}));
    body_.push_back(make_stmt(Map{.axes = {{i, 0, bm_}, {j, 0, bn_}},
                                  .distribution = acc_layout_,
                                  .where = both(less(m, problem_.m), less(n, problem_.n)),
                                  .body = scope.finish()}));
  }

  const Program& program_;
  std::span<const Fact> facts_;
  ContractionProblem problem_;
  Kernel kernel_;
  Assumptions known_;
  Emitter emitter_;
  std::int64_t bm_, bn_, bk_, tm_, tn_, stages_;
  bool async_;
  std::int64_t raster_;
  Staged a_, b_;
  VarRef batch_, m0_, n0_;
  Expr steps_;
  Layout acc_layout_;
  BufferRef acc_;
  std::vector<Stmt> body_;
};

}  // namespace

Kernel emit_contraction_gpu(const Program& program, const Schedule& schedule, const Target& target,
                            std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace quern::compiler
