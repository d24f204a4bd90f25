#include "compiler/strategies/hopper_tiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

std::int64_t swizzle_row(std::int64_t extent) {
  std::int64_t row = kSwizzleSpan;
  while (extent % row != 0) row /= 2;
  return row;
}

Swizzle swizzle_of(std::int64_t row) {
  int bits = 0;
  while ((std::int64_t{8} << bits) < row) ++bits;
  return {bits, 3, 3};
}

Layout operand_tiles(std::int64_t stages, std::int64_t own, std::int64_t k, bool k_contiguous, std::int64_t row) {
  Mode along_own, along_k;
  if (k_contiguous) {
    along_own = {{own, Place::address, row}};
    along_k = {{row, Place::address, 1}, {k / row, Place::address, own * row}};
  } else {
    along_own = {{row, Place::address, 1}, {own / row, Place::address, k * row}};
    along_k = {{k, Place::address, row}};
  }
  return {{{{stages, Place::address, own * k}}, along_own, along_k}, swizzle_of(row)};
}

Layout accumulators(std::int64_t rows, std::int64_t columns) {
  Mode along_rows{{8, Place::lane, 4}, {2, Place::reg, 2}, {kGroupWarps, Place::warp, 1}};
  if (rows > kWgmmaRows) along_rows.push_back({rows / kWgmmaRows, Place::reg, columns / 2});
  return {{along_rows, {{2, Place::reg, 1}, {4, Place::lane, 1}, {columns / 8, Place::reg, 4}}}, {}};
}

Layout accumulator_rows(std::int64_t rows) {
  Mode along_rows{{8, Place::lane, 4}, {2, Place::reg, 1}, {kGroupWarps, Place::warp, 1}};
  if (rows > kWgmmaRows) along_rows.push_back({rows / kWgmmaRows, Place::reg, 2});
  return {{along_rows}, {}};
}

std::string why_not_in_bulk(const Buffer& buffer, const Assumptions& known) {
  const std::string& name = buffer.name;
  const std::size_t rank = buffer.shape.size();
  if (rank > kMapRank) return fmt::format("{} has {} dimensions, a tensor map at most {}", name, rank, kMapRank);
  const auto is_positive = [&](const Expr& e) { return prove(less(0, e), known) == true; };
  if (!std::ranges::all_of(buffer.shape, is_positive)) return fmt::format("{} may be empty", name);
  const std::vector<Expr> strides = element_strides(buffer);
  if (!buffer.strides.empty() && !std::ranges::all_of(strides, is_positive)) {
    return fmt::format("not all strides of {} are known to be above 0", name);
  }
  if (!is_integer(simplify(strides.back(), known), 1)) return fmt::format("the last axis of {} is not dense", name);
  const std::int64_t unit = kBulkBytes / byte_size(buffer.dtype);
  const bool is_aligned = buffer.alignment % kBulkBytes == 0 &&
                          std::all_of(strides.begin(), strides.end() - 1,
                                      [&](const Expr& stride) { return divisor(stride, known) % unit == 0; });
  return is_aligned ? "" : fmt::format("rows of {} may not begin at multiples of {} bytes", name, kBulkBytes);
}

Stmt load_in_steps(std::int64_t own, std::int64_t k, bool k_contiguous,
                   const std::function<Stmt(const LoadStep& step)>& load) {
  constexpr std::int64_t kLanes = 32, kEach = 8;  // elements of a thread in one step, at most
  // Lanes along what memory walks, warps across.
  const std::int64_t inner = k_contiguous ? k : own, across = k_contiguous ? own : k;
  const std::int64_t lanes = inner % kLanes == 0 ? kLanes : 16, rows = kLanes / lanes * kGroupWarps;
  std::int64_t repeat = std::max<std::int64_t>(kEach / (inner / lanes), 1);
  while (across % (rows * repeat) != 0) repeat /= 2;
  const Mode along_inner{{lanes, Place::lane, 1}, {inner / lanes, Place::reg, repeat}};
  const Mode along_across{{kLanes / lanes, Place::lane, lanes}, {kGroupWarps, Place::warp, 1}, {repeat, Place::reg, 1}};
  const VarRef step = make_var("step");
  const Expr first = Expr(step) * (rows * repeat);
  const LoadStep one = k_contiguous ? LoadStep{first, {}, {rows * repeat, k}, {{along_across, along_inner}, {}}}
                                    : LoadStep{{}, first, {own, rows * repeat}, {{along_inner, along_across}, {}}};
  return make_stmt(For{step, 0, across / (rows * repeat), 1, ForKind::rolled, load(one)});
}

BufferRef barriers(std::string name, std::int64_t stages) {
  const std::int64_t extents[] = {stages};
  return make_buffer(std::move(name), DType::u64, Space::barrier, row_major(extents), 8);
}

Stmt let(const VarRef& var, const Expr& value) { return make_stmt(Let{var, value}); }
Stmt intrinsic(IntrinsicId id, std::vector<Expr> args) { return make_stmt(Intrinsic{id, std::move(args)}); }

Stmt load_tile(const Emitter& emitter, const LoadStep& step, const TileLoad& load) {
  Map map{.axes = {{load.i, 0, step.extents[0]}, {load.p, 0, step.extents[1]}}, .distribution = step.distribution};
  Emitter::Scope scope(emitter, load.axes);
  const Expr zero = constant(load.source->dtype, 0.0);
  if (load.full) {
    std::vector<Expr> index;
    for (const Expr& e : load.source->args) index.push_back(scope.lower(e));
    const Expr own = read(emitter.param(*load.source->tensor), std::move(index), zero);
    scope.store(load.shared, load.place, load.matrix ? load.matrix : own);
    map.via = load.via;
    map.barrier = load.full;
    map.multicast = load.multicast;
  } else {
    scope.store(load.shared, load.place, scope.lower_guarded(load.source, load.inside, zero));
  }
  map.body = scope.finish();
  return make_stmt(std::move(map));
}

Stmt elected(const char* name, int warps, std::vector<Stmt> body) {
  return make_stmt(Role{.name = name, .lo = 0, .hi = warps, .elected = true, .body = block(std::move(body))});
}

}  // namespace quern::compiler
