// The kernel of the wgmma strategy, in tile form.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "compiler/strategies/hopper_tiles.h"
#include "compiler/strategies/tile_order.h"
#include "compiler/strategies/wgmma.h"
#include "ir/fragment_layouts.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kCertain = 16;  // processors of the smallest part of a chip
constexpr std::int64_t kWarpRows = kWgmmaRows / kGroupWarps;

class Writer {
 public:
  Writer(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts)
      : program_(program),
        problem_(*analyze_wgmma(program)),
        schedule_(schedule),
        kernel_(kernel_frame(program, facts, target)),
        known_(known_in(program, facts)),
        emitter_(program, kernel_),
        processors_(target.gpu.sm_count) {
    kernel_.warps = static_cast<int>(1 + schedule_.consumers) * kGroupWarps;
    kernel_.min_blocks_per_sm = 1;
  }

  Kernel run() {
    bulk_ = is_copied_in_bulk(problem_.a, problem_.m) && is_copied_in_bulk(problem_.b, problem_.n);
    if (!bulk_) take_ordinary_loads();
    lay_out_grid();
    a_ = stage(problem_.a, "a", schedule_.bm, schedule_.cluster_n);
    b_ = stage(problem_.b, "b", schedule_.bn, schedule_.cluster_m);
    find_outputs();
    for (const Contraction::RowSum& sum : problem_.contraction.row_sums) {
      const Layout rows = accumulator_rows(own_rows());
      sums_.push_back({&sum, make_buffer(sum.definition->tensor->name + "_r", DType::f32, Space::fragment, rows)});
    }
    full_ = barrier("full", schedule_.stages);
    empty_ = barrier("empty", schedule_.stages);
    if (schedule_.pingpong) turn_ = barrier("turn", turns());
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
    BufferRef shared;    // [stage, own axis, k]
    std::int64_t own;    // rows of the block's tile
    std::int64_t share;  // of them that this block of the cluster loads for all
  };

  bool is_copied_in_bulk(const Tensor& tensor) const {
    return compiler::is_copied_in_bulk(as_buffer(*emitter_.param(tensor)), known_);
  }
  bool is_copied_in_bulk(const WgmmaOperand& operand, const Expr& own) const {
    return is_copied_in_bulk(*operand.source->tensor) && prove(less(0, own), known_) == true;
  }

  void take_ordinary_loads() {
    kernel_.comment = fmt::format(
        "ordinary loads instead of bulk copies{}: rows of the operands may not begin at multiples of {} bytes",
        schedule_.cluster() > 1 ? ", without a cluster" : "", kBulkBytes);
    schedule_.cluster_m = schedule_.cluster_n = 1;
  }

  Staged stage(const WgmmaOperand& operand, const std::string& name, std::int64_t own, std::int64_t sharers) {
    const std::int64_t share = own / sharers, row = wgmma_row(operand, share, schedule_.bk);
    const Layout layout = operand_tiles(schedule_.stages, own, schedule_.bk, operand.k_contiguous, row);
    const BufferRef shared = make_buffer(name + "_s", operand.source->dtype, Space::shared, layout, kSwizzled);
    kernel_.shared.push_back(shared);
    return {&operand, shared, own, share};
  }

  BufferRef barrier(std::string name, std::int64_t count) {
    kernel_.shared.push_back(barriers(std::move(name), count));
    return kernel_.shared.back();
  }

  static Expr at(const BufferRef& buffer, const Expr& stage) { return read(buffer, {stage}); }

  // --- The grid and its tiles ---------------------------------------------------------------------------------------

  // One block for each processor walks the tiles; a cluster walks tiles of its own together.
  void lay_out_grid() {
    const auto ceiling = [&](const Expr& extent, std::int64_t of) { return simplify(ceil_div(extent, of), known_); };
    tiles_m_ = ceiling(problem_.m, schedule_.bm * schedule_.cluster_m);
    tiles_n_ = ceiling(problem_.n, schedule_.bn * schedule_.cluster_n);
    const std::int64_t cluster = schedule_.cluster();
    // A cluster takes processors of one part of the chip, whose parts are not all alike (hopper.md 0): those that find
    // no place at once would wait for all the others' tiles.
    workers_ = cluster > 1 ? std::max<std::int64_t>(processors_ / kCertain * kCertain / cluster, 1) : processors_;
    tiles_ = simplify(problem_.batch * tiles_m_ * tiles_n_, known_);
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

  Expr inner_steps() const { return simplify(ceil_div(problem_.inner_k.hi, schedule_.bk), known_); }
  Expr steps() const { return simplify(max(extent_product(problem_.outer_k) * inner_steps(), 1), known_); }

  Expr stage_of(const Expr& step) const { return mod(step, schedule_.stages); }
  // The parity of the barrier's phase that the step's turn of the ring ends.
  Expr parity_of(const Expr& step) const { return mod(div(step, schedule_.stages), 2); }

  // --- Set-up -------------------------------------------------------------------------------------------------------

  Stmt set_up() const {
    const VarRef s = make_var("s");
    const Expr loaders = bulk_ ? Expr(1) : Expr(kGroupThreads);
    const Expr readers = (schedule_.pingpong ? 1 : schedule_.consumers) * schedule_.cluster();
    const auto init = [&](const BufferRef& buffer, const VarRef& number, const Expr& count) {
      return intrinsic(IntrinsicId::mbarrier_init, {at(buffer, number), count});
    };
    std::vector<Stmt> all{make_stmt(
        For{s, 0, schedule_.stages, 1, ForKind::unroll, block({init(full_, s, loaders), init(empty_, s, readers)})})};
    if (turn_) {
      const VarRef g = make_var("g");
      all.push_back(make_stmt(For{g, 0, turns(), 1, ForKind::unroll, init(turn_, g, 1)}));
    }
    all.push_back(intrinsic(IntrinsicId::mbarrier_init_fence));
    return elected("setup", 1, std::move(all));
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
    const Expr number = Expr(tile.first) + q;
    std::vector<Stmt> body{let(step, number), let(s, stage_of(Expr(step))),
                           intrinsic(IntrinsicId::mbarrier_wait, {at(empty_, s), mod(parity_of(Expr(step)) + 1, 2)})};
    if (bulk_) {
      const std::int64_t bytes = (schedule_.bm + schedule_.bn) * schedule_.bk * kHalfBytes;
      body.push_back(intrinsic(IntrinsicId::mbarrier_expect, {at(full_, s), Expr(bytes)}));
    }
    for (const Staged* staged : {&a_, &b_}) body.push_back(load(*staged, tile, q, s));
    if (!bulk_) {
      body.push_back(intrinsic(IntrinsicId::fence_proxy_async));
      body.push_back(intrinsic(IntrinsicId::mbarrier_arrive, {at(full_, s)}));
    }
    const Stmt steps = make_stmt(For{q, 0, Expr(steps_), 1, ForKind::rolled, block(std::move(body))});
    return make_stmt(Role{.name = "producer",
                          .lo = 0,
                          .hi = kGroupWarps,
                          .registers = producer_registers(schedule_.consumers),
                          .elected = bulk_,
                          .body = block({for_each_tile(tile, {steps})})});
  }

  // The operand's tile of step `q`: of a cluster's, the share that this block loads for all.
  Stmt load(const Staged& staged, const Tile& tile, const VarRef& q, const VarRef& s) const {
    if (bulk_) return load_part(staged, tile, q, s, {{}, {}, {staged.share, schedule_.bk}, {}});
    return load_in_steps(staged.own, schedule_.bk, staged.operand->k_contiguous,
                         [&](const LoadStep& step) { return load_part(staged, tile, q, s, step); });
  }

  Stmt load_part(const Staged& staged, const Tile& tile, const VarRef& q, const VarRef& s, const LoadStep& part) const {
    const bool is_a = &staged == &a_;
    const WgmmaOperand& operand = *staged.operand;
    const VarRef i = make_var(is_a ? "i" : "j"), p = make_var("p");
    const bool shared = staged.share != staged.own;
    const Expr within = shared ? rank_ * staged.share + i : part.own_at(i), depth = part.k_at(p);
    const Expr own = Expr(is_a ? tile.row : tile.column) + within;
    // What a cluster shares begins where its first block's tile does.
    Substitution axes = is_a ? place_axes(problem_.contraction, tile.batch, own, {}, {})
                             : place_axes(problem_.contraction, tile.batch, {}, own, {});
    const std::vector<Expr> outer = unravel(div(Expr(q), inner_steps()), problem_.outer_k);
    for (std::size_t d = 0; d < outer.size(); ++d) axes[problem_.outer_k[d].var] = outer[d];
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
                      .full = bulk_ ? at(full_, s) : Expr(),
                      .inside = both(less(own, is_a ? problem_.m : problem_.n), less(k, problem_.inner_k.hi)),
                      .via = operand.im2col ? Via::tma_im2col : Via::tma_load,
                      .multicast = shared ? everybody : std::uint16_t{0}});
  }

  // --- The consumers ------------------------------------------------------------------------------------------------

  std::int64_t own_rows() const { return schedule_.own_rows(); }
  std::int64_t turns() const { return schedule_.pingpong ? schedule_.consumers : 1; }
  bool shares_tile() const { return schedule_.consumers > 1 && !schedule_.pingpong; }

  Layout held(std::int64_t columns) const { return accumulators(own_rows(), columns); }

  // Of the block's tile.
  Expr own_row(const Expr& i) const { return shares_tile() ? Expr(group_) * own_rows() + i : i; }

  Stmt release(const Expr& step, const char* name, const Stmt& first = block({})) const {
    const Expr barrier = at(empty_, stage_of(step));
    Stmt arrive = intrinsic(IntrinsicId::mbarrier_arrive, {barrier});
    if (schedule_.cluster() > 1) {
      const VarRef r = make_var("r");
      arrive = make_stmt(For{r, 0, schedule_.cluster(), 1, ForKind::unroll,
                             intrinsic(IntrinsicId::mbarrier_release_cluster, {barrier, Expr(r)})});
    }
    const Stmt release = elected(name, kGroupWarps, {first, arrive});
    // wgmma's reads are all done at its wait, loads into registers are each thread's own.
    return schedule_.a_in_registers ? block({intrinsic(IntrinsicId::barrier), release}) : release;
  }

  // One group of products stays in flight: a stage is released once the next one's are issued.
  Stmt main_loop(const Tile& tile) const {
    const VarRef q = make_var("q"), step = make_var("step"), s = make_var("s");
    const Axis i{make_var("i"), 0, own_rows()}, j{make_var("j"), 0, schedule_.bn}, p{make_var("p"), 0, schedule_.bk};
    const Expr in_shared = read(a_.shared, {Expr(s), own_row(i.var), Expr(p.var)});
    std::vector<Stmt> body{let(step, Expr(tile.first) + q), let(s, stage_of(Expr(step))),
                           intrinsic(IntrinsicId::mbarrier_wait, {at(full_, s), parity_of(Expr(step))})};
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
    return make_stmt(For{q, 0, Expr(steps_), 1, ForKind::rolled, block(std::move(body))});
  }

  // Consumers with tiles of their own take the ring's stages one after the other: a barrier tells them of two phases
  // alone, and who came early would take another's stages for its own.
  Stmt await_turn(const Tile& tile) const {
    if (!turn_) return block({});
    const Expr passed = div(Expr(tile.number) - worker_, workers_ * turns()) + min(Expr(group_), 1);
    return intrinsic(IntrinsicId::mbarrier_wait, {at(turn_, Expr(group_)), mod(passed + 1, 2)});
  }
  Stmt pass_turn() const {
    if (!turn_) return block({});
    return intrinsic(IntrinsicId::mbarrier_arrive, {at(turn_, mod(Expr(group_) + 1, turns()))});
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
                             release(Expr(tile.first) + Expr(steps_) - 1, "release_last", pass_turn())}) {
      body.push_back(stmt);
    }
    for (Stmt& stmt : epilogue(tile)) body.push_back(std::move(stmt));
    std::vector<Stmt> all{for_each_tile(tile, std::move(body), Expr(group_), turns())};
    if (!staged_.empty()) {
      all.push_back(
          for_each_warp("flush", [](const Expr&) { return intrinsic(IntrinsicId::tma_store_wait, {Expr(0)}); }));
    }
    return make_stmt(Role{.name = "consumer",
                          .lo = kGroupWarps,
                          .hi = kernel_.warps,
                          .registers = consumer_registers(schedule_.consumers),
                          .body = block(std::move(all)),
                          .groups = static_cast<int>(schedule_.consumers),
                          .group = group_});
  }

  // --- The epilogue -------------------------------------------------------------------------------------------------

  // An output that leaves through shared memory.
  struct Sent {
    const Contraction::Member* member;
    BufferRef staging;  // [2 of each tile at hand, BM, columns]
    BufferRef rows;     // the output as a matrix
    BufferRef values;   // a chunk in registers
  };

  // Sums of rows, of the tile at hand.
  struct Summed {
    const Contraction::RowSum* sum;
    BufferRef total;
  };

  void find_outputs() {
    for (const Contraction::Member& member : problem_.contraction.epilogue) {
      if (!is_output(program_, *member.definition->tensor)) continue;
      const Tensor& tensor = *member.definition->tensor;
      if (!is_row_major(problem_, *member.definition, member.to_space) || !is_copied_in_bulk(tensor)) continue;
      const std::int64_t chunk = schedule_.chunk();
      const Layout layout{{{{2 * turns(), Place::address, schedule_.bm * chunk}},
                           {{schedule_.bm, Place::address, chunk}},
                           {{chunk, Place::address, 1}}},
                          swizzle_of(chunk)};
      Sent sent{&member, make_buffer(tensor.name + "_s", tensor.dtype, Space::shared, layout, kSwizzled),
                as_rows(tensor), make_buffer(tensor.name + "_r", tensor.dtype, Space::fragment, held(chunk))};
      kernel_.shared.push_back(sent.staging);
      staged_.push_back(std::move(sent));
    }
  }

  // A parameter whose axes are all of m and then n, as the matrix that it is.
  BufferRef as_rows(const Tensor& tensor) {
    const TensorRef param = emitter_.param(tensor);
    const auto at = std::ranges::find_if(kernel_.params, [&](const BufferRef& p) { return p == param; });
    ensure(at != kernel_.params.end(), "an output is a parameter");
    if (problem_.contraction.m.size() == 1) return *at;
    auto matrix = std::make_shared<Buffer>(**at);
    matrix->shape = {problem_.m, problem_.n};
    for (Fact& fact : kernel_.facts) {
      if (fact.tensor == param) fact.tensor = matrix;
    }
    *at = matrix;
    return matrix;
  }

  std::vector<Expr> row_index(const Sent& sent, const Tile& tile, const Expr& row, const Expr& column) const {
    if (problem_.contraction.m.size() > 1) return {row, column};
    const Substitution axes = place_axes(problem_.contraction, tile.batch, row, column, {});
    std::vector<Expr> index;
    for (const Axis& axis : sent.member->definition->axes) {
      index.push_back(substitute(substitute(Expr(axis.var), sent.member->to_space), axes));
    }
    return index;
  }

  // Whether an element of a tile is one of the product, as far as tiles reach beyond it.
  Expr inside(const Expr& row, const Expr& column) const {
    const auto below = [&](const Expr& place, const Expr& extent, std::int64_t tile) {
      return prove(equals(mod(extent, tile), 0), known_) == true ? Expr() : less(place, extent);
    };
    const Expr in_rows = below(row, problem_.m, schedule_.bm * schedule_.cluster_m),
               in_columns = below(column, problem_.n, schedule_.bn * schedule_.cluster_n);
    return in_rows ? both(in_rows, in_columns) : in_columns;
  }

  // The axes of the product at an element of the tile, and of a member's definition there.
  Substitution axes_at(const Tile& tile, const Expr& row, const Expr& column) const {
    return place_axes(problem_.contraction, tile.batch, row, column, {});
  }

  std::vector<Stmt> epilogue(const Tile& tile) {
    std::vector<Stmt> body = store_directly(tile);
    if (staged_.empty() && sums_.empty()) return body;
    const std::int64_t width = schedule_.chunk(), chunks = schedule_.bn / width;
    const VarRef c = make_var("c"), buffer = make_var("buffer");
    const Expr first = Expr(c) * width;
    const Expr turn = div(Expr(tile.number) - worker_, workers_ * turns());
    const Expr own = mod(turn * chunks + c, 2);
    std::vector<Stmt> chunk;
    if (!staged_.empty()) {
      chunk = {
          let(buffer, schedule_.pingpong ? Expr(group_) * 2 + own : own),
          for_each_warp("drain", [](const Expr&) { return intrinsic(IntrinsicId::tma_store_wait_read, {Expr(1)}); }),
          intrinsic(IntrinsicId::warp_sync)};
      for (const Sent& sent : staged_) chunk.push_back(make_stmt(Alloc{sent.values}));
      chunk.push_back(compute(tile, first, width));
    }
    for (const Summed& summed : sums_) {
      body.push_back(make_stmt(Alloc{summed.total}));
      body.push_back(for_rows(summed.total, [](const Expr&) { return constant(DType::f32, 0.0); }));
      for (Stmt& stmt : add_up(summed, tile, first, width)) chunk.push_back(std::move(stmt));
    }
    if (!staged_.empty()) {
      for (Stmt& stmt : send(tile, buffer, first, width)) chunk.push_back(std::move(stmt));
    }
    body.push_back(make_stmt(For{c, 0, chunks, 1, ForKind::unroll, block(std::move(chunk))}));
    for (const Summed& summed : sums_) body.push_back(store_sums(summed, tile));
    return body;
  }

  // The chunk's values on their way through shared memory: each warp sends the rows that it holds, and waits for no
  // other.
  std::vector<Stmt> send(const Tile& tile, const VarRef& buffer, const Expr& first, std::int64_t width) const {
    std::vector<Stmt> body;
    for (const Sent& sent : staged_) body.push_back(to_staging(sent, buffer, width));
    body.push_back(intrinsic(IntrinsicId::fence_proxy_async));
    body.push_back(intrinsic(IntrinsicId::warp_sync));
    body.push_back(for_each_warp("send", [&](const Expr& warp) {
      std::vector<Stmt> copies;
      for (const Sent& sent : staged_) {
        for (std::int64_t rows = 0; rows < own_rows(); rows += kWgmmaRows) {
          const Expr from = simplify(Expr(rows) + warp * kWarpRows, known_);
          copies.push_back(to_memory(sent, tile, buffer, from, first, width));
        }
      }
      copies.push_back(intrinsic(IntrinsicId::tma_store_commit));
      return block(std::move(copies));
    }));
    return body;
  }

  // One thread of each warp of a consumer.
  template <typename F>
  static Stmt for_each_warp(const char* name, const F& body) {
    const VarRef warp = make_var("warp");
    return make_stmt(Role{.name = name,
                          .lo = 0,
                          .hi = kGroupWarps,
                          .elected = true,
                          .body = body(Expr(warp)),
                          .groups = kGroupWarps,
                          .group = warp});
  }

  // rows[i] = value(i)
  template <typename F>
  Stmt for_rows(const BufferRef& rows, const F& value) const {
    const VarRef i = make_var("i");
    return make_stmt(Map{.axes = {{i, 0, own_rows()}},
                         .distribution = rows->layout,
                         .body = make_stmt(Store{.buffer = rows, .index = {Expr(i)}, .value = value(Expr(i))})});
  }

  // Adds the chunk's columns to the sums of the rows.
  std::vector<Stmt> add_up(const Summed& summed, const Tile& tile, const Expr& first, std::int64_t width) {
    const VarRef i = make_var("i"), j = make_var("j");
    const Expr row = Expr(tile.row) + own_row(i), column = Expr(tile.column) + first + j;
    const BufferRef values = make_buffer("summed", DType::f32, Space::fragment, held(width)),
                    part = make_buffer("part", DType::f32, Space::fragment, summed.total->layout);
    emitter_.materialize(*problem_.contraction.product->tensor, acc_, {Expr(i), first + j});
    for (const Sent& sent : staged_) {
      emitter_.materialize(*sent.member->definition->tensor, sent.values, {Expr(i), Expr(j)});
    }
    Emitter::Scope scope(emitter_, axes_at(tile, row, column));
    scope.store(values, {Expr(i), Expr(j)},
                scope.lower_guarded(summed.sum->value, inside(row, column), constant(DType::f32, 0.0)));
    return {make_stmt(Alloc{values}), make_stmt(Alloc{part}),
            make_stmt(
                Map{.axes = {{i, 0, own_rows()}, {j, 0, width}}, .distribution = held(width), .body = scope.finish()}),
            make_stmt(Fold{Reducer::sum, {part}, {values}, {1}}),
            for_rows(summed.total, [&](const Expr& at) { return read(summed.total, {at}) + read(part, {at}); })};
  }

  Stmt store_sums(const Summed& summed, const Tile& tile) const {
    const VarRef i = make_var("i");
    const Expr row = Expr(tile.row) + own_row(i);
    const Substitution axes = axes_at(tile, row, Expr(tile.column));
    const std::vector<Axis>& own = summed.sum->definition->axes;
    std::vector<Expr> index;
    for (std::size_t d = 0; d + 1 < own.size(); ++d) {
      index.push_back(substitute(substitute(Expr(own[d].var), summed.sum->to_space), axes));
    }
    index.push_back(div(Expr(tile.column), schedule_.bn));
    Emitter::Scope scope(emitter_, {});
    scope.store_at(*summed.sum->definition->tensor, std::move(index), read(summed.total, {Expr(i)}));
    return make_stmt(Map{.axes = {{i, 0, own_rows()}},
                         .distribution = summed.total->layout,
                         .where = both(less(row, problem_.m), less(Expr(tile.column), problem_.n)),
                         .body = scope.finish()});
  }

  // The chunk's values of all outputs that are sent, in registers.
  Stmt compute(const Tile& tile, const Expr& first, std::int64_t chunk) {
    const VarRef i = make_var("i"), j = make_var("j");
    const Expr row = Expr(tile.row) + own_row(i), column = Expr(tile.column) + first + j;
    const Definition& product = *problem_.contraction.product;
    emitter_.materialize(*product.tensor, acc_, {Expr(i), first + j});
    const Expr where = inside(row, column);
    Emitter::Scope scope(emitter_, {});
    for (const Sent& sent : staged_) {
      Substitution own;
      const Substitution axes = axes_at(tile, row, column);
      for (const auto& [axis, place] : sent.member->to_space) own[axis] = substitute(place, axes);
      scope.enter(std::move(own));
      const Expr value = sent.member->definition->value;
      const bool reads = !global_reads(program_, value, {}).empty();
      const Expr zero = constant(sent.values->dtype, 0.0);
      scope.store(sent.values, {Expr(i), Expr(j)},
                  reads ? scope.lower_guarded(value, where, zero) : scope.lower(value));
    }
    return make_stmt(
        Map{.axes = {{i, 0, own_rows()}, {j, 0, chunk}}, .distribution = held(chunk), .body = scope.finish()});
  }

  Stmt to_staging(const Sent& sent, const VarRef& buffer, std::int64_t chunk) const {
    const VarRef i = make_var("i"), j = make_var("j");
    const Stmt store = make_stmt(Store{.buffer = sent.staging,
                                       .index = {Expr(buffer), own_row(i), Expr(j)},
                                       .value = read(sent.values, {Expr(i), Expr(j)})});
    return make_stmt(Map{
        .axes = {{i, 0, own_rows()}, {j, 0, chunk}}, .distribution = held(chunk), .body = store, .via = Via::stmatrix});
  }

  // A warp's rows of a chunk, from the consumer's row `from` on.
  Stmt to_memory(const Sent& sent, const Tile& tile, const VarRef& buffer, const Expr& from, const Expr& first,
                 std::int64_t chunk) const {
    const VarRef i = make_var("i"), j = make_var("j");
    const Expr row = own_row(from + i);
    const Stmt store =
        make_stmt(Store{.buffer = sent.rows,
                        .index = row_index(sent, tile, Expr(tile.row) + row, Expr(tile.column) + first + j),
                        .value = read(sent.staging, {Expr(buffer), row, Expr(j)})});
    return make_stmt(
        Map{.axes = {{i, 0, kWarpRows}, {j, 0, chunk}}, .distribution = {}, .body = store, .via = Via::tma_store});
  }

  // What does not leave through shared memory, straight from registers.
  std::vector<Stmt> store_directly(const Tile& tile) {
    const VarRef i = make_var("i"), j = make_var("j");
    const Expr row = Expr(tile.row) + own_row(i), column = Expr(tile.column) + j;
    const Definition& product = *problem_.contraction.product;
    emitter_.materialize(*product.tensor, acc_, {Expr(i), Expr(j)});
    Emitter::Scope scope(emitter_, {});
    if (!store_results(program_, problem_.contraction, scope, axes_at(tile, row, column), [&](const Definition& d) {
          return std::ranges::none_of(staged_, [&](const Sent& sent) { return sent.member->definition == &d; });
        })) {
      return {};
    }
    return {make_stmt(Map{.axes = {{i, 0, own_rows()}, {j, 0, schedule_.bn}},
                          .distribution = held(schedule_.bn),
                          .where = inside(row, column),
                          .body = scope.finish()})};
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
  BufferRef full_, empty_, turn_, acc_, a_held_;
  VarRef group_ = make_var("g");
  std::vector<Sent> staged_;
  std::vector<Summed> sums_;
  std::vector<Stmt> body_;
};

}  // namespace

Kernel emit_wgmma(const Program& program, const Schedule& schedule, const Target& target, std::span<const Fact> facts) {
  return Writer(program, schedule, target, facts).run();
}

}  // namespace quern::compiler
