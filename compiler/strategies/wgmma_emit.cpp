// The kernel of the wgmma strategy, in tile form.

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "compiler/strategies/hopper_tiles.h"
#include "compiler/strategies/ring.h"
#include "compiler/strategies/tile_order.h"
#include "compiler/strategies/wgmma.h"
#include "compiler/strategies/wgmma_epilogue.h"
#include "ir/fragment_layouts.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        problem_(wgmma_problem(program)),
        schedule_(schedule),
        kernel_(kernel_frame(program, facts, target)),
        known_(known_in(program, facts)),
        emitter_(program, kernel_),
        processors_(target.gpu.sm_count) {
    kernel_.warps = warps_of(schedule_.consumers);
    kernel_.min_blocks_per_sm = 1;
  }

  Kernel run() {
    if (const std::string reason = why_ordinary_loads(); !reason.empty()) take_ordinary_loads(reason);
    if (problem_.a.is_rows && bulk_) {
      rows_ = as_matrix(kernel_, emitter_.param(*problem_.a.source->tensor), problem_.m, problem_.inner_k.hi);
    }
    lay_out_grid();
    a_ = stage(problem_.a, "a", schedule_.bm, schedule_.cluster_n);
    b_ = stage(problem_.b, "b", schedule_.bn, schedule_.cluster_m);
    epilogue_.emplace(program_, problem_, schedule_, kernel_, known_, emitter_, group_);
    if (bulk_) kernel_.comment = epilogue_->note();
    const std::int64_t readers = (schedule_.pingpong ? 1 : schedule_.consumers) * schedule_.cluster();
    ring_ = Ring(kernel_, "", schedule_.stages, bulk_, readers, schedule_.cluster());
    if (schedule_.pingpong) {
      turn_ = barriers("turn", turns());
      kernel_.shared.push_back(turn_);
    }
    body_ = {set_up(), meet()};
    body_.push_back(let(steps_, steps()));
    body_.push_back(producer());
    body_.push_back(consumer());
    if (schedule_.cluster() > 1) body_.push_back(meet());  // nobody arrives at a block that has ended
    kernel_.body = block(std::move(body_));
    return kernel_;
  }

 private:
  // --- Where operands lie -------------------------------------------------------------------------------------------

  struct Staged {
    const WgmmaOperand* operand;
    BufferRef shared;  // [stage, own axis, k]
    std::int64_t own;  // rows of the block's tile
    LoadStep part;     // what this block brings of a stage in bulk: for all of its cluster where they share the tile
    bool is_shared;
  };

  // Why bulk copies do not serve the operands; empty: they do.
  std::string why_ordinary_loads() const {
    for (const WgmmaOperand* operand : {&problem_.a, &problem_.b}) {
      const Tensor& tensor = *operand->source->tensor;
      if (std::string reason = why_not_in_bulk(as_buffer(*emitter_.param(tensor)), known_); !reason.empty()) {
        return reason;
      }
      const Expr& last = operand->source->args.back();
      if (std::ranges::any_of(problem_.contraction.batch, [&](const Axis& b) { return is_variable(last, b.var); })) {
        return fmt::format("memory walks {} along {}, of the batch", tensor.name, last->var->name);
      }
    }
    std::vector<Axis> axes = problem_.contraction.product->axes;
    axes.insert(axes.end(), problem_.contraction.k.begin(), problem_.contraction.k.end());
    for (const Axis& axis : axes) {
      if (!is_filled(axis)) return fmt::format("{} may be of no elements", axis.var->name);
    }
    if (!problem_.a.beyond_im2col.empty()) return problem_.a.beyond_im2col;
    const bool is_any = problem_.a.im2col && !as_integer(problem_.inner_k.hi);
    return is_any ? "the number of channels is not known, and with it the tap of a step" : "";
  }

  void take_ordinary_loads(std::string_view reason) {
    bulk_ = false;
    kernel_.comment = fmt::format("ordinary loads instead of bulk copies{}: {}",
                                  schedule_.cluster() > 1 ? ", without a cluster" : "", reason);
    schedule_.cluster_m = schedule_.cluster_n = 1;
  }

  Staged stage(const WgmmaOperand& operand, const std::string& name, std::int64_t own, std::int64_t sharers) {
    // Parts are of rows, or of k where memory walks the rows and part of them would be a narrower span of the swizzle.
    const auto row_of = [&](std::int64_t rows) { return wgmma_row(operand, rows, schedule_.bk); };
    const bool of_k = row_of(own / sharers) < row_of(own);
    LoadStep part{{}, {}, {own, schedule_.bk}, {}};
    part.extents[of_k] /= sharers;
    if (sharers > 1) (of_k ? part.k : part.own) = rank_ * part.extents[of_k];
    const Layout layout =
        operand_tiles(schedule_.stages, own, schedule_.bk, operand.k_contiguous, row_of(part.extents[0]));
    const BufferRef shared = make_buffer(name + "_s", operand.source->dtype, Space::shared, layout, kSwizzled);
    kernel_.shared.push_back(shared);
    return {&operand, shared, own, std::move(part), sharers > 1};
  }

  bool is_filled(const Axis& axis) const { return prove(less(0, axis.hi), known_) == true; }

  // --- The grid and its tiles ---------------------------------------------------------------------------------------

  // One block for each processor walks the tiles; a cluster walks tiles of its own together.
  void lay_out_grid() {
    const auto ceiling = [&](const Expr& extent, std::int64_t of) { return simplify(ceil_div(extent, of), known_); };
    tiles_m_ = ceiling(problem_.m, schedule_.bm * schedule_.cluster_m);
    tiles_n_ = ceiling(problem_.n, schedule_.bn * schedule_.cluster_n);
    const std::int64_t cluster = schedule_.cluster();
    // Processors are built in pairs, so that clusters of two find places on all of them.
    workers_ = std::max<std::int64_t>(processors_ / cluster, 1);
    tiles_ = simplify(problem_.batch * tiles_m_ * tiles_n_, known_);
    // No more than end at the same time: others would only spread what is walked together.
    if (const auto tiles = as_integer(tiles_); tiles && *tiles > 0) {
      const std::int64_t turns = (*tiles + workers_ - 1) / workers_;
      workers_ = (*tiles + turns - 1) / turns;
    }
    const VarRef id = make_var("block");
    kernel_.block = {id};
    kernel_.grid = {simplify(min(tiles_, workers_) * cluster, known_)};
    if (cluster > 1) kernel_.cluster = {cluster};
    worker_ = cluster > 1 ? div(Expr(id), cluster) : Expr(id);
    rank_ = cluster > 1 ? mod(Expr(id), cluster) : Expr(0);
  }

  // Where the tile at hand begins.
  struct Tile {
    VarRef number = make_var("t"), first = make_var("first"), batch = make_var("batch"), row = make_var("row"),
           column = make_var("column");
  };

  // for each tile of this block, or every `turns`th from its tile number `turn` on: `body`, with the number of its
  // first step.
  Stmt for_each_tile(const Tile& tile, std::vector<Stmt> body, const Expr& turn = 0, std::int64_t turns = 1) const {
    std::vector<Stmt> all{let(tile.first, div(Expr(tile.number) - worker_, workers_) * Expr(steps_))};
    Expr within = tile.number;
    if (problem_.contraction.batch.empty()) {
      all.push_back(let(tile.batch, Expr(0)));
    } else {
      const Expr matrix = simplify(tiles_m_ * tiles_n_, known_);
      all.push_back(let(tile.batch, div(Expr(tile.number), matrix)));
      within = mod(Expr(tile.number), matrix);
    }
    const TilePlace place = place_tile(within, tiles_m_, tiles_n_, {schedule_.raster, schedule_.hilbert}, all);
    const auto begin = [&](const Expr& number, std::int64_t extent, std::int64_t cluster) {
      return cluster > 1 ? (number * cluster + rank_) * extent : number * extent;
    };
    all.push_back(let(tile.row, begin(place.row, schedule_.bm, schedule_.cluster_m)));
    all.push_back(let(tile.column, begin(place.column, schedule_.bn, schedule_.cluster_n)));
    std::ranges::move(body, std::back_inserter(all));
    const Expr first = turns > 1 ? worker_ + turn * workers_ : worker_;
    return make_stmt(For{tile.number, first, tiles_, Expr(workers_ * turns), ForKind::rolled, block(std::move(all))});
  }

  // At least one step is taken, of zeros where there is nothing to sum.
  Expr inner_steps() const { return simplify(max(ceil_div(problem_.inner_k.hi, schedule_.bk), 1), known_); }
  std::vector<Axis> outer_axes() const {
    std::vector<Axis> axes = problem_.outer_k;
    for (Axis& axis : axes) axis.hi = simplify(max(axis.hi, 1), known_);
    return axes;
  }
  Expr steps() const { return simplify(extent_product(outer_axes()) * inner_steps(), known_); }

  // --- Set-up -------------------------------------------------------------------------------------------------------

  Stmt set_up() const {
    const VarRef s = make_var("s");
    std::vector<Stmt> all{make_stmt(For{s, 0, schedule_.stages, 1, ForKind::unroll, block(ring_.init(s))})};
    if (turn_) {
      const VarRef g = make_var("g");
      const Stmt init = intrinsic(IntrinsicId::mbarrier_init, {read(turn_, {g}), 1});
      all.push_back(make_stmt(For{g, 0, turns(), 1, ForKind::unroll, init}));
    }
    return set_up_barriers(std::move(all));
  }

  // All threads of the block, or of the cluster.
  Stmt meet() const {
    if (schedule_.cluster() == 1) return intrinsic(IntrinsicId::barrier);
    return block({intrinsic(IntrinsicId::cluster_arrive), intrinsic(IntrinsicId::cluster_wait)});
  }

  // --- The producer -------------------------------------------------------------------------------------------------

  Stmt producer() const {
    const Tile tile;
    const VarRef q = make_var("q"), s = make_var("s"), step = make_var("step");
    std::vector<Stmt> body{let(step, Expr(tile.first) + q), let(s, ring_.stage_of(step))};
    const std::int64_t bytes = (schedule_.bm + schedule_.bn) * schedule_.bk * kHalfBytes;
    for (Stmt& stmt : ring_.fill(step, s, bytes, {load(a_, tile, q, s), load(b_, tile, q, s)})) {
      body.push_back(std::move(stmt));
    }
    const Stmt steps = make_stmt(For{q, 0, Expr(steps_), 1, ForKind::rolled, block(std::move(body))});
    return producer_role(schedule_.consumers, bulk_, {for_each_tile(tile, {steps})});
  }

  // The operand's tile of step `q`: of a cluster's, the share that this block loads for all.
  Stmt load(const Staged& staged, const Tile& tile, const VarRef& q, const VarRef& s) const {
    if (bulk_) return load_part(staged, tile, q, s, staged.part);
    return load_in_steps(staged.own, schedule_.bk, staged.operand->k_contiguous,
                         [&](const LoadStep& step) { return load_part(staged, tile, q, s, step); });
  }

  Stmt load_part(const Staged& staged, const Tile& tile, const VarRef& q, const VarRef& s, const LoadStep& part) const {
    const bool is_a = &staged == &a_;
    const WgmmaOperand& operand = *staged.operand;
    const VarRef i = make_var(is_a ? "i" : "j"), p = make_var("p");
    const Expr within = part.own_at(i), depth = part.k_at(p);
    const Expr own = Expr(is_a ? tile.row : tile.column) + within;
    Substitution axes = is_a ? place_axes(problem_.contraction, tile.batch, own, {}, {})
                             : place_axes(problem_.contraction, tile.batch, {}, own, {});
    Expr inside = less(own, is_a ? problem_.m : problem_.n);
    const std::vector<Expr> outer = unravel(div(Expr(q), inner_steps()), outer_axes());
    for (std::size_t d = 0; d < outer.size(); ++d) {
      const Axis& axis = problem_.outer_k[d];
      axes[axis.var] = outer[d];
      if (!is_filled(axis)) inside = both(inside, less(outer[d], axis.hi));
    }
    const Expr k = (problem_.outer_k.empty() ? Expr(q) : mod(Expr(q), inner_steps())) * schedule_.bk + depth;
    axes[problem_.inner_k.var] = k;
    const std::uint16_t everybody = static_cast<std::uint16_t>((1 << schedule_.cluster()) - 1);
    return load_tile(emitter_, part,
                     {.i = i,
                      .p = p,
                      .source = operand.source,
                      .axes = std::move(axes),
                      .shared = staged.shared,
                      .place = {Expr(s), within, depth},
                      .full = bulk_ ? ring_.full(s) : Expr(),
                      .matrix = is_a && rows_ ? read(rows_, {own, k}, constant(operand.source->dtype, 0.0)) : Expr(),
                      .inside = both(inside, less(k, problem_.inner_k.hi)),
                      .via = operand.im2col ? Via::tma_im2col : Via::tma_load,
                      .multicast = staged.is_shared ? everybody : std::uint16_t{0}});
  }

  // --- The consumers ------------------------------------------------------------------------------------------------

  std::int64_t own_rows() const { return schedule_.own_rows(); }
  std::int64_t turns() const { return schedule_.turns(); }
  Layout held(std::int64_t columns) const { return accumulators(own_rows(), columns); }

  Stmt release(const Expr& step, const char* name) const {
    const Stmt release = ring_.release(ring_.stage_of(step), name);
    // wgmma's reads are all done at its wait, loads into registers are each thread's own.
    return schedule_.a_in_registers ? block({intrinsic(IntrinsicId::barrier), release}) : release;
  }

  // One group of products stays in flight: a stage is released once the next one's are issued.
  Stmt main_loop(const Tile& tile) const {
    const VarRef q = make_var("q"), step = make_var("step"), s = make_var("s");
    const Axis i{make_var("i"), 0, own_rows()}, j{make_var("j"), 0, schedule_.bn}, p{make_var("p"), 0, schedule_.bk};
    const Expr in_shared = read(a_.shared, {Expr(s), schedule_.own_row(group_, i.var), Expr(p.var)});
    std::vector<Stmt> body{let(step, Expr(tile.first) + q), let(s, ring_.stage_of(step)), ring_.await(step, s)};
    if (schedule_.a_in_registers) {
      const Stmt load = make_stmt(Store{.buffer = a_held_, .index = {Expr(i.var), Expr(p.var)}, .value = in_shared});
      body.push_back(
          make_stmt(Map{.axes = {i, p}, .distribution = a_held_->layout, .body = load, .via = Via::ldmatrix}));
    }
    const Stmt product =
        make_stmt(Mma{.kind = MmaKind::wgmma,
                      .i = i,
                      .j = j,
                      .k = p,
                      .acc = acc_,
                      .a = schedule_.a_in_registers ? read(a_held_, {Expr(i.var), Expr(p.var)}) : in_shared,
                      .b = read(b_.shared, {Expr(s), Expr(j.var), Expr(p.var)}),
                      .accumulate = negate(equals(q, 0))});
    // Registers of an operand are free again at the end of its products.
    const std::int64_t in_flight = schedule_.a_in_registers ? 0 : 1;
    for (const Stmt& stmt : {intrinsic(IntrinsicId::wgmma_fence), product, intrinsic(IntrinsicId::wgmma_commit),
                             intrinsic(IntrinsicId::wgmma_wait, {Expr(in_flight)}),
                             make_stmt(If{less(0, Expr(q)), block({release(Expr(step) - 1, "release")})})}) {
      body.push_back(stmt);
    }
    if (turn_) body.push_back(make_stmt(If{equals(q, Expr(steps_) - 1), block({pass_turn()})}));
    return make_stmt(For{q, 0, Expr(steps_), 1, ForKind::rolled, block(std::move(body))});
  }

  // Consumers with tiles of their own take the ring's stages one after the other: a barrier tells them of two phases
  // alone, and who came early would take another's stages for its own.
  Stmt await_turn(const Tile& tile) const {
    if (!turn_) return block({});
    const Expr passed = div(Expr(tile.number) - worker_, workers_ * turns()) + min(Expr(group_), 1);
    return intrinsic(IntrinsicId::mbarrier_wait, {read(turn_, {Expr(group_)}), mod(passed + 1, 2)});
  }
  // With its last products on their way, so that the next one's follow them at once.
  Stmt pass_turn() const {
    const Expr next = read(turn_, {mod(Expr(group_) + 1, turns())});
    return elected("pass_turn", kGroupWarps, {intrinsic(IntrinsicId::mbarrier_arrive, {next})});
  }

  Stmt consumer() {
    const Tile tile;
    acc_ = make_buffer("acc", DType::f32, Space::fragment, held(schedule_.bn));
    std::vector<Stmt> body{make_stmt(Alloc{acc_})};
    if (schedule_.a_in_registers) {
      a_held_ = make_buffer("a_r", problem_.a.source->dtype, Space::fragment, accumulators(own_rows(), schedule_.bk));
      body.push_back(make_stmt(Alloc{a_held_}));
    }
    for (const Stmt& stmt : {await_turn(tile), main_loop(tile), intrinsic(IntrinsicId::wgmma_wait, {Expr(0)}),
                             release(Expr(tile.first) + Expr(steps_) - 1, "release_last")}) {
      body.push_back(stmt);
    }
    const Expr turn = div(Expr(tile.number) - worker_, workers_ * turns());
    for (Stmt& stmt : epilogue_->store(acc_, {tile.batch, tile.row, tile.column, turn}))
      body.push_back(std::move(stmt));
    std::vector<Stmt> all{for_each_tile(tile, std::move(body), Expr(group_), turns())};
    for (Stmt& stmt : epilogue_->end()) all.push_back(std::move(stmt));
    return consumer_role(schedule_.consumers, group_, std::move(all));
  }

  const Program& program_;
  WgmmaProblem problem_;
  WgmmaSchedule schedule_;
  Kernel kernel_;
  Assumptions known_;
  Emitter emitter_;
  std::int64_t processors_;
  bool bulk_ = true;
  std::int64_t workers_ = 1;
  Expr tiles_m_, tiles_n_, tiles_, worker_, rank_;
  VarRef steps_ = make_var("steps");
  Staged a_{}, b_{};
  Ring ring_;
  BufferRef turn_;  // barriers of the consumers that have tiles of their own
  BufferRef acc_, a_held_;
  BufferRef rows_;  // the first operand as a matrix, where it is one of several axes
  VarRef group_ = make_var("g");
  std::optional<WgmmaEpilogue> epilogue_;
  std::vector<Stmt> body_;
};

}  // namespace

Kernel emit_wgmma(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace quern::compiler
