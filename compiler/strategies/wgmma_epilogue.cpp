#include "compiler/strategies/wgmma_epilogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "compiler/strategies/hopper_tiles.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kWarpRows = kWgmmaRows / kGroupWarps;

// One thread of each warp of a consumer.
template <typename F>
Stmt for_each_warp(const char* name, const F& body) {
  const VarRef warp = make_var("warp");
  return make_stmt(Role{.name = name,
                        .lo = 0,
                        .hi = kGroupWarps,
                        .elected = true,
                        .body = body(Expr(warp)),
                        .groups = kGroupWarps,
                        .group = warp});
}

}  // namespace

WgmmaEpilogue::WgmmaEpilogue(const Program& program, const WgmmaProblem& problem, const WgmmaSchedule& schedule,
                             Kernel& kernel, const Assumptions& known, Emitter& emitter, const VarRef& group)
    : program_(program),
      problem_(problem),
      schedule_(schedule),
      kernel_(kernel),
      known_(known),
      emitter_(emitter),
      group_(group),
      width_(schedule.chunk()) {
  find_outputs();
  for (const Contraction::RowSum& sum : problem_.contraction.row_sums) {
    const Layout rows = accumulator_rows(schedule_.own_rows());
    sums_.push_back({&sum, make_buffer(sum.definition->tensor->name + "_r", DType::f32, Space::fragment, rows)});
  }
  // Sums of rows hold a chunk's values besides those that leave.
  if (staged_.empty() && !sums_.empty()) width_ = std::max<std::int64_t>(width_ / 2, 16);
}

void WgmmaEpilogue::find_outputs() {
  for (const Contraction::Member& member : problem_.contraction.epilogue) {
    if (!is_output(program_, *member.definition->tensor)) continue;
    const Tensor& tensor = *member.definition->tensor;
    if (!is_row_major(problem_, *member.definition, member.to_space)) continue;
    if (const std::string reason = why_not_in_bulk(as_buffer(*emitter_.param(tensor)), known_); !reason.empty()) {
      note_ += fmt::format("{}ordinary stores instead of bulk copies: {}", note_.empty() ? "" : "; ", reason);
      continue;
    }
    const Layout layout{{{{2 * schedule_.turns(), Place::address, schedule_.bm * width_}},
                         {{schedule_.bm, Place::address, width_}},
                         {{width_, Place::address, 1}}},
                        swizzle_of(width_)};
    Sent sent{&member, make_buffer(tensor.name + "_s", tensor.dtype, Space::shared, layout, kSwizzled), as_rows(tensor),
              make_buffer(tensor.name + "_r", tensor.dtype, Space::fragment, held(width_))};
    kernel_.shared.push_back(sent.staging);
    staged_.push_back(std::move(sent));
  }
}

// A parameter whose axes are all of m and then n, as the matrix that it is.
BufferRef WgmmaEpilogue::as_rows(const Tensor& tensor) {
  const TensorRef param = emitter_.param(tensor);
  if (problem_.contraction.m.size() > 1) return as_matrix(kernel_, param, problem_.m, problem_.n);
  return *std::ranges::find_if(kernel_.params, [&](const BufferRef& p) { return p == param; });
}

std::vector<Expr> WgmmaEpilogue::row_index(const Sent& sent, const WgmmaTile& tile, const Expr& row,
                                           const Expr& column) const {
  if (problem_.contraction.m.size() > 1) return {row, column};
  const Substitution axes = place_axes(problem_.contraction, tile.batch, row, column, {});
  std::vector<Expr> index;
  for (const Axis& axis : sent.member->definition->axes) {
    index.push_back(substitute(substitute(Expr(axis.var), sent.member->to_space), axes));
  }
  return index;
}

// Whether an element of a tile is one of the product, as far as tiles reach beyond it.
Expr WgmmaEpilogue::inside(const Expr& row, const Expr& column) const {
  const auto below = [&](const Expr& place, const Expr& extent, std::int64_t tile) {
    return prove(equals(mod(extent, tile), 0), known_) == true ? Expr() : less(place, extent);
  };
  const Expr in_rows = below(row, problem_.m, schedule_.bm * schedule_.cluster_m),
             in_columns = below(column, problem_.n, schedule_.bn * schedule_.cluster_n);
  return in_rows ? both(in_rows, in_columns) : in_columns;
}

// The axes of the product at an element of the tile, and of a member's definition there.
Substitution WgmmaEpilogue::axes_at(const WgmmaTile& tile, const Expr& row, const Expr& column) const {
  return place_axes(problem_.contraction, tile.batch, row, column, {});
}

// rows[i] = value(i)
template <typename F>
Stmt WgmmaEpilogue::for_rows(const BufferRef& rows, const F& value) const {
  const VarRef i = make_var("i");
  return make_stmt(Map{.axes = {{i, 0, schedule_.own_rows()}},
                       .distribution = rows->layout,
                       .body = make_stmt(Store{.buffer = rows, .index = {Expr(i)}, .value = value(Expr(i))})});
}

std::vector<Stmt> WgmmaEpilogue::store(const BufferRef& acc, const WgmmaTile& tile) {
  acc_ = acc;
  std::vector<Stmt> body;
  for (const Summed& summed : sums_) {
    body.push_back(make_stmt(Alloc{summed.total}));
    body.push_back(for_rows(summed.total, [](const Expr&) { return constant(DType::f32, 0.0); }));
  }
  const VarRef c = make_var("c");
  body.push_back(make_stmt(For{c, 0, schedule_.bn / width_, 1, ForKind::unroll, block(chunk(tile, Expr(c)))}));
  for (const Summed& summed : sums_) body.push_back(store_sums(summed, tile));
  return body;
}

std::vector<Stmt> WgmmaEpilogue::end() const {
  if (staged_.empty()) return {};
  return {for_each_warp("flush", [](const Expr&) { return intrinsic(IntrinsicId::tma_store_wait, {Expr(0)}); })};
}

// What is done with a chunk of the tile's columns: all of it at once, since what several of them read is held until the
// last has read it. What is sent goes through one of two buffers of the consumer's.
std::vector<Stmt> WgmmaEpilogue::chunk(const WgmmaTile& tile, const Expr& number) {
  const Expr first = number * width_;
  std::vector<Stmt> body;
  const VarRef buffer = make_var("buffer");
  if (!staged_.empty()) {
    const Expr own = mod(tile.turn * (schedule_.bn / width_) + number, 2);
    body = {let(buffer, schedule_.pingpong ? Expr(group_) * 2 + own : own),
            for_each_warp("drain", [](const Expr&) { return intrinsic(IntrinsicId::tma_store_wait_read, {Expr(1)}); }),
            intrinsic(IntrinsicId::warp_sync)};
    for (const Sent& sent : staged_) body.push_back(make_stmt(Alloc{sent.values}));
    body.push_back(compute(tile, first));
  }
  for (Stmt& stmt : store_directly(tile, first)) body.push_back(std::move(stmt));
  for (const Summed& summed : sums_) {
    for (Stmt& stmt : add_up(summed, tile, first)) body.push_back(std::move(stmt));
  }
  if (!staged_.empty()) {
    for (Stmt& stmt : send(tile, buffer, first)) body.push_back(std::move(stmt));
  }
  return body;
}

// The chunk's values of all outputs that are sent, in registers. Where a chunk may reach beyond the product, one that
// does not still reads without conditions, several elements at once.
Stmt WgmmaEpilogue::compute(const WgmmaTile& tile, const Expr& first) {
  const Expr is_whole =
      inside(tile.row + schedule_.own_row(group_, schedule_.own_rows() - 1), tile.column + first + (width_ - 1));
  const bool reads = std::ranges::any_of(
      staged_, [&](const Sent& sent) { return !global_reads(program_, sent.member->definition->value, {}).empty(); });
  if (!is_whole || !reads) return compute(tile, first, Reach::within);
  return make_stmt(If{is_whole, compute(tile, first, Reach::within), compute(tile, first, Reach::beyond)});
}

Stmt WgmmaEpilogue::compute(const WgmmaTile& tile, const Expr& first, Reach reach) {
  const VarRef i = make_var("i"), j = make_var("j");
  const Expr row = tile.row + schedule_.own_row(group_, i), column = tile.column + first + j;
  const Definition& product = *problem_.contraction.product;
  emitter_.materialize(*product.tensor, acc_, {Expr(i), first + j});
  const Expr where = reach == Reach::beyond ? inside(row, column) : Expr();
  Emitter::Scope scope(emitter_, {});
  for (const Sent& sent : staged_) {
    Substitution own;
    const Substitution axes = axes_at(tile, row, column);
    for (const auto& [axis, place] : sent.member->to_space) own[axis] = substitute(place, axes);
    scope.enter(std::move(own));
    const Expr zero = constant(sent.values->dtype, std::int64_t{0});
    scope.store(sent.values, {Expr(i), Expr(j)}, scope.lower_guarded(sent.member->definition->value, where, zero));
  }
  return make_stmt(Map{
      .axes = {{i, 0, schedule_.own_rows()}, {j, 0, width_}}, .distribution = held(width_), .body = scope.finish()});
}

// The chunk's values on their way through shared memory: each warp sends the rows that it holds, and waits for no
// other.
std::vector<Stmt> WgmmaEpilogue::send(const WgmmaTile& tile, const VarRef& buffer, const Expr& first) const {
  std::vector<Stmt> body;
  for (const Sent& sent : staged_) body.push_back(to_staging(sent, buffer));
  body.push_back(intrinsic(IntrinsicId::fence_proxy_async));
  body.push_back(intrinsic(IntrinsicId::warp_sync));
  body.push_back(for_each_warp("send", [&](const Expr& warp) {
    std::vector<Stmt> copies;
    for (const Sent& sent : staged_) {
      for (std::int64_t rows = 0; rows < schedule_.own_rows(); rows += kWgmmaRows) {
        const Expr from = simplify(Expr(rows) + warp * kWarpRows, known_);
        copies.push_back(to_memory(sent, tile, buffer, from, first));
      }
    }
    copies.push_back(intrinsic(IntrinsicId::tma_store_commit));
    return block(std::move(copies));
  }));
  return body;
}

Stmt WgmmaEpilogue::to_staging(const Sent& sent, const VarRef& buffer) const {
  const VarRef i = make_var("i"), j = make_var("j");
  const Stmt store = make_stmt(Store{.buffer = sent.staging,
                                     .index = {Expr(buffer), schedule_.own_row(group_, i), Expr(j)},
                                     .value = read(sent.values, {Expr(i), Expr(j)})});
  return make_stmt(Map{.axes = {{i, 0, schedule_.own_rows()}, {j, 0, width_}},
                       .distribution = held(width_),
                       .body = store,
                       .via = Via::stmatrix});
}

// A warp's rows of a chunk, from the consumer's row `from` on.
Stmt WgmmaEpilogue::to_memory(const Sent& sent, const WgmmaTile& tile, const VarRef& buffer, const Expr& from,
                              const Expr& first) const {
  const VarRef i = make_var("i"), j = make_var("j");
  const Expr row = schedule_.own_row(group_, from + i);
  const Stmt store = make_stmt(Store{.buffer = sent.rows,
                                     .index = row_index(sent, tile, tile.row + row, tile.column + first + j),
                                     .value = read(sent.staging, {Expr(buffer), row, Expr(j)})});
  return make_stmt(
      Map{.axes = {{i, 0, kWarpRows}, {j, 0, width_}}, .distribution = {}, .body = store, .via = Via::tma_store});
}

// Adds the chunk's columns to the sums of the rows.
std::vector<Stmt> WgmmaEpilogue::add_up(const Summed& summed, const WgmmaTile& tile, const Expr& first) {
  const VarRef i = make_var("i"), j = make_var("j");
  const Expr row = tile.row + schedule_.own_row(group_, i), column = tile.column + first + j;
  const BufferRef values = make_buffer("summed", DType::f32, Space::fragment, held(width_)),
                  part = make_buffer("part", DType::f32, Space::fragment, summed.total->layout);
  emitter_.materialize(*problem_.contraction.product->tensor, acc_, {Expr(i), first + j});
  for (const Sent& sent : staged_) {
    emitter_.materialize(*sent.member->definition->tensor, sent.values, {Expr(i), Expr(j)});
  }
  Emitter::Scope scope(emitter_, axes_at(tile, row, column));
  scope.store(values, {Expr(i), Expr(j)},
              scope.lower_guarded(summed.sum->value, inside(row, column), constant(DType::f32, 0.0)));
  return {make_stmt(Alloc{values}), make_stmt(Alloc{part}),
          make_stmt(Map{.axes = {{i, 0, schedule_.own_rows()}, {j, 0, width_}},
                        .distribution = held(width_),
                        .body = scope.finish()}),
          make_stmt(Fold{Reducer::sum, {part}, {values}, {1}}),
          for_rows(summed.total, [&](const Expr& at) { return read(summed.total, {at}) + read(part, {at}); })};
}

Stmt WgmmaEpilogue::store_sums(const Summed& summed, const WgmmaTile& tile) const {
  const VarRef i = make_var("i");
  const Expr row = tile.row + schedule_.own_row(group_, i);
  const Substitution axes = axes_at(tile, row, tile.column);
  const std::vector<Axis>& own = summed.sum->definition->axes;
  std::vector<Expr> index;
  for (std::size_t d = 0; d + 1 < own.size(); ++d) {
    index.push_back(substitute(substitute(Expr(own[d].var), summed.sum->to_space), axes));
  }
  index.push_back(div(tile.column, schedule_.bn));
  Emitter::Scope scope(emitter_, {});
  scope.store_at(*summed.sum->definition->tensor, std::move(index), read(summed.total, {Expr(i)}));
  return make_stmt(Map{.axes = {{i, 0, schedule_.own_rows()}},
                       .distribution = summed.total->layout,
                       .where = both(less(row, problem_.m), less(tile.column, problem_.n)),
                       .body = scope.finish()});
}

// The chunk's values of what does not leave through shared memory, straight from registers.
std::vector<Stmt> WgmmaEpilogue::store_directly(const WgmmaTile& tile, const Expr& first) {
  const VarRef i = make_var("i"), j = make_var("j");
  const Expr row = tile.row + schedule_.own_row(group_, i), column = tile.column + first + j;
  const Definition& product = *problem_.contraction.product;
  emitter_.materialize(*product.tensor, acc_, {Expr(i), first + j});
  Emitter::Scope scope(emitter_, {});
  if (!store_results(program_, problem_.contraction, scope, axes_at(tile, row, column), [&](const Definition& d) {
        return std::ranges::none_of(staged_, [&](const Sent& sent) { return sent.member->definition == &d; });
      })) {
    return {};
  }
  return {make_stmt(Map{.axes = {{i, 0, schedule_.own_rows()}, {j, 0, width_}},
                        .distribution = held(width_),
                        .where = inside(row, column),
                        .body = scope.finish()})};
}

}  // namespace quern::compiler
