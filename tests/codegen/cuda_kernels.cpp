#include "tests/codegen/cuda_kernels.h"

namespace quern::codegen::test {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

Stmt store(const BufferRef& buffer, const Expr& index, const Expr& value) {
  return make_stmt(Store{.buffer = buffer, .index = {index}, .value = value});
}
Stmt loop(const VarRef& var, const Expr& lo, const Expr& hi, ForKind kind, std::vector<Stmt> body,
          const Expr& step = 1) {
  return make_stmt(For{var, lo, hi, step, kind, block(std::move(body))});
}
Stmt alloc(const BufferRef& buffer) { return make_stmt(Alloc{buffer}); }
Stmt let(const VarRef& var, const Expr& value) { return make_stmt(Let{var, value}); }
Stmt when(const Expr& condition, std::vector<Stmt> then, std::vector<Stmt> otherwise = {}) {
  return make_stmt(If{condition, block(std::move(then)), otherwise.empty() ? nullptr : block(std::move(otherwise))});
}
Stmt move(const BufferRef& to, const Expr& to_index, const BufferRef& from, const Expr& from_index, int width,
          CacheHint hint = CacheHint::none) {
  return make_stmt(Move{to, to_index, from, from_index, width, hint});
}
Stmt intrinsic(IntrinsicId id, std::vector<Expr> args = {}) { return make_stmt(Intrinsic{id, std::move(args)}); }
Expr at(const BufferRef& buffer, const Expr& index) { return read(buffer, {index}); }
Expr code(DType dtype) { return static_cast<int>(dtype); }
BufferRef shared(const std::string& name, DType dtype, std::int64_t count, std::int64_t alignment = 16) {
  return make_buffer(name, dtype, Space::shared, row_major(std::vector<std::int64_t>{count}), alignment);
}
BufferRef barriers(const std::string& name, std::int64_t count) {
  return make_buffer(name, DType::u64, Space::barrier, row_major(std::vector<std::int64_t>{count}), 8);
}

Kernel frame(std::string name, int warps) {
  Kernel kernel;
  kernel.name = std::move(name);
  kernel.form = Form::thread;
  kernel.warps = warps;
  kernel.warp = make_var("warp", DType::i32);
  kernel.lane = make_var("lane", DType::i32);
  kernel.block = {make_var("block", DType::i32)};
  return kernel;
}

Expr as_i32(std::int64_t value) { return constant(DType::i32, value); }

Sample vector_add() {
  Kernel k = frame("add", 8);
  k.comment = "kernel add(x: f32[n], y: f32[n]) -> (z: f32[n]) { z[i] = x[i] + y[i] }\n\nfour elements per thread";
  const VarRef n = make_var("n");
  k.block = {make_var("block")};
  k.lane = make_var("lane");
  k.warp = make_var("warp");
  const BufferRef x = global("x", DType::f32, n), y = global("y", DType::f32, n), z = global("z", DType::f32, n);
  k.params = {x, y, z};
  k.symbols = {n};
  k.grid = {ceil_div(n, 1024)};
  const VarRef i = make_var("i"), r = make_var("r"), t = make_var("t");
  const BufferRef a = registers("a", DType::f32, 4), b = registers("b", DType::f32, 4);
  k.body = block({
      let(i, Expr(k.block[0]) * 1024 + Expr(k.warp) * 128 + Expr(k.lane) * 4),
      when(less_equal(Expr(i) + 4, n),
           {alloc(a), alloc(b), move(a, 0, x, i, 4, CacheHint::no_allocate), move(b, 0, y, i, 4),
            loop(r, 0, 4, ForKind::unroll, {store(a, r, at(a, r) + at(b, r))}),
            move(z, i, a, 0, 4, CacheHint::streaming)},
           {loop(t, i, n, ForKind::rolled, {store(z, t, at(x, t) + at(y, t))})}),
  });
  return {"vector_add", k, cuda_targets(), {"ld.global.nc.L1::no_allocate.L2::256B.v4", "st.global.cs.v4"}};
}

Sample row_sum() {
  Kernel k = frame("row_sum", 1);
  const VarRef m = make_var("m", DType::i32), n = make_var("n", DType::i32);
  const BufferRef x = global("x", DType::bf16, 1 << 20), y = global("y", DType::f32, 1 << 20);
  k.params = {x, y};
  k.symbols = {m, n};
  k.grid = {cast(DType::i64, m)};
  const VarRef j = make_var("j", DType::i32), s = make_var("s", DType::i32);
  const BufferRef total = registers("total", DType::f32, 1);
  std::vector<Stmt> body{
      alloc(total), store(total, 0, constant(DType::f32, 0.0)),
      loop(j, k.lane, n, ForKind::serial,
           {store(total, 0, at(total, 0) + cast(DType::f32, at(x, Expr(k.block[0]) * Expr(n) + j)))}, as_i32(32))};
  for (int step = 16; step >= 1; step /= 2) {
    const BufferRef other = registers("other", DType::f32, 1);
    body.push_back(
        make_stmt(Block{{alloc(other), intrinsic(IntrinsicId::shuffle_xor, {at(other, 0), at(total, 0), step}),
                         store(total, 0, at(total, 0) + at(other, 0))}}));
  }
  body.push_back(when(equals(k.lane, as_i32(0)), {store(y, k.block[0], at(total, 0))}));
  k.body = block(std::move(body));
  return {"row_sum", k, cuda_targets(), {"shfl.sync.bfly.b32", "ld.global.nc.u16"}};
}

Sample transpose() {
  Kernel k = frame("transpose", 8);
  const VarRef m = make_var("m", DType::i32), n = make_var("n", DType::i32);
  k.symbols = {m, n};
  k.block = {make_var("tile_i", DType::i32), make_var("tile_j", DType::i32)};
  const BufferRef x = global("x", DType::f16, 1 << 20), y = global("y", DType::f16, 1 << 20);
  k.params = {x, y};
  k.grid = {ceil_div(cast(DType::i64, m), 32), ceil_div(cast(DType::i64, n), 32)};
  const BufferRef tile = shared("tile", DType::f16, 32 * 33);
  k.shared = {tile};
  const VarRef r = make_var("r", DType::i32), s = make_var("s", DType::i32);
  const Expr row = Expr(k.warp) + Expr(r) * as_i32(8);
  const Expr i = Expr(k.block[0]) * as_i32(32) + row, j = Expr(k.block[1]) * as_i32(32) + k.lane;
  const Expr i2 = Expr(k.block[0]) * as_i32(32) + k.lane;
  const Expr row2 = Expr(k.warp) + Expr(s) * as_i32(8);
  const Expr j2 = Expr(k.block[1]) * as_i32(32) + row2;
  k.body = block({
      loop(r, as_i32(0), as_i32(4), ForKind::unroll,
           {store(tile, row * as_i32(33) + k.lane,
                  select(both(less(i, m), less(j, n)), at(x, i * Expr(n) + j), constant(DType::f16, 0.0)))}),
      intrinsic(IntrinsicId::barrier),
      loop(s, as_i32(0), as_i32(4), ForKind::unroll,
           {when(both(less(j2, n), less(i2, m)),
                 {store(y, j2 * Expr(m) + i2, at(tile, Expr(k.lane) * as_i32(33) + row2))})}),
  });
  return {"transpose", k, cuda_targets(), {"bar.sync"}};
}

Sample mma_tile() {
  Kernel k = frame("mma_tile", 1);
  const BufferRef x = global("x", DType::bf16, 256), w = global("w", DType::bf16, 128),
                  y = global("y", DType::f32, 128);
  k.params = {x, w, y};
  k.grid = {1};
  const BufferRef sx = shared("sx", DType::bf16, 256), sw = shared("sw", DType::bf16, 128);
  k.shared = {sx, sw};
  const BufferRef a = registers("a", DType::bf16, 8), b = registers("b", DType::bf16, 4),
                  acc = registers("acc", DType::f32, 4);
  const VarRef r = make_var("r", DType::i32), row = make_var("row", DType::i32),
               column = make_var("column", DType::i32);
  const Expr lane = k.lane;
  k.body = block({
      intrinsic(IntrinsicId::cp_async, {at(sx, lane * as_i32(8)), at(x, lane * as_i32(8)), 16, 16}),
      intrinsic(IntrinsicId::cp_async,
                {at(sw, lane * as_i32(4)), at(w, lane * as_i32(4)), 8, select(less(lane, as_i32(16)), 8, 0)}),
      intrinsic(IntrinsicId::cp_async_commit),
      intrinsic(IntrinsicId::cp_async_wait, {0}),
      intrinsic(IntrinsicId::warp_sync),
      alloc(a),
      alloc(b),
      intrinsic(IntrinsicId::ldmatrix,
                {at(a, 0), at(sx, mod(lane, as_i32(16)) * as_i32(16) + div(lane, as_i32(16)) * as_i32(8)), 4, 0}),
      intrinsic(IntrinsicId::ldmatrix, {at(b, 0), at(sw, mod(lane, as_i32(16)) * as_i32(8)), 2, 1}),
      alloc(acc),
      loop(r, as_i32(0), as_i32(4), ForKind::unroll, {store(acc, r, constant(DType::f32, 0.0))}),
      intrinsic(IntrinsicId::mma_sync,
                {at(acc, 0), at(a, 0), at(b, 0), 16, 8, 16, code(DType::bf16), code(DType::bf16), code(DType::f32)}),
      let(row, div(lane, as_i32(4))),
      let(column, mod(lane, as_i32(4)) * as_i32(2)),
      move(y, Expr(row) * as_i32(8) + column, acc, 0, 2),
      move(y, (Expr(row) + as_i32(8)) * as_i32(8) + column, acc, 2, 2),
  });
  return {"mma_tile",
          k,
          cuda_targets(),
          {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "ldmatrix.sync.aligned.m8n8.x4.shared.b16",
           "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16", "st.global.v2", "cp.async.cg.shared.global.L2::128B"}};
}

TensorMapParam tile_map(const std::string& name, const BufferRef& buffer, std::int64_t rows, std::int64_t columns,
                        int box_rows) {
  TensorMapParam map;
  map.name = name;
  map.buffer = buffer;
  map.dims = {columns, rows};
  map.byte_strides = {columns * 2};
  map.box = {64, box_rows};
  map.swizzle = TensorMapParam::Map::Swizzle::b128;
  return map;
}

// One 64 x 128 tile of y = x * w^T over k in steps of 64: a producer warp and a consumer warpgroup.
Sample wgmma_step() {
  Kernel k = frame("wgmma_step", 8);
  const VarRef steps = make_var("steps", DType::i32);
  const BufferRef x = global("x", DType::bf16, 1 << 20), w = global("w", DType::bf16, 1 << 20),
                  y = global("y", DType::f32, 1 << 20);
  k.params = {x, w, y};
  k.symbols = {steps};
  k.grid = {1};
  k.min_blocks_per_sm = 1;
  k.maps = {tile_map("x_map", x, 64, 4096, 64), tile_map("w_map", w, 128, 4096, 128)};
  const BufferRef a = shared("a", DType::bf16, 2 * 64 * 64, 1024), b = shared("b", DType::bf16, 2 * 128 * 64, 1024);
  const BufferRef full = barriers("full", 2), empty = barriers("empty", 2);
  k.shared = {a, b, full, empty};
  const VarRef s = make_var("s", DType::i32), p = make_var("k", DType::i32), c = make_var("k", DType::i32),
               stage = make_var("stage", DType::i32), phase = make_var("phase", DType::i32),
               stage2 = make_var("stage", DType::i32), phase2 = make_var("phase", DType::i32),
               r = make_var("r", DType::i32);
  const BufferRef acc = registers("acc", DType::f32, 64), a_tile = registers("a_tile", DType::u64, 1),
                  b_tile = registers("b_tile", DType::u64, 1);
  const Expr warp = k.warp, lane = k.lane;
  const auto descriptor = [&](const BufferRef& to, const BufferRef& from, const Expr& index) {
    return intrinsic(IntrinsicId::wgmma_descriptor, {at(to, 0), at(from, index), 16, 1024, 128});
  };
  k.body = block({
      when(both(equals(warp, as_i32(0)), equals(lane, as_i32(0))),
           {loop(s, as_i32(0), as_i32(2), ForKind::unroll,
                 {intrinsic(IntrinsicId::mbarrier_init, {at(full, s), 1}),
                  intrinsic(IntrinsicId::mbarrier_init, {at(empty, s), 1})}),
            intrinsic(IntrinsicId::mbarrier_init_fence)}),
      intrinsic(IntrinsicId::barrier),
      when(less(warp, as_i32(4)),
           {intrinsic(IntrinsicId::set_max_registers, {40, 0}),
            when(both(equals(warp, as_i32(0)), equals(lane, as_i32(0))),
                 {loop(p, as_i32(0), steps, ForKind::rolled,
                       {let(stage, mod(p, as_i32(2))), let(phase, mod(div(p, as_i32(2)), as_i32(2))),
                        intrinsic(IntrinsicId::mbarrier_wait, {at(empty, stage), as_i32(1) - Expr(phase)}),
                        intrinsic(IntrinsicId::mbarrier_expect, {at(full, stage), (64 + 128) * 64 * 2}),
                        intrinsic(IntrinsicId::tma_load, {at(a, Expr(stage) * as_i32(4096)), 0, at(full, stage), 0,
                                                          Expr(p) * as_i32(64), as_i32(0)}),
                        intrinsic(IntrinsicId::tma_load, {at(b, Expr(stage) * as_i32(8192)), 1, at(full, stage), 0,
                                                          Expr(p) * as_i32(64), as_i32(0)})})})},
           {intrinsic(IntrinsicId::set_max_registers, {232, 1}), alloc(acc),
            loop(c, as_i32(0), steps, ForKind::rolled,
                 {let(stage2, mod(c, as_i32(2))), let(phase2, mod(div(c, as_i32(2)), as_i32(2))),
                  intrinsic(IntrinsicId::mbarrier_wait, {at(full, stage2), phase2}), alloc(a_tile), alloc(b_tile),
                  descriptor(a_tile, a, Expr(stage2) * as_i32(4096)),
                  descriptor(b_tile, b, Expr(stage2) * as_i32(8192)), intrinsic(IntrinsicId::wgmma_fence),
                  intrinsic(IntrinsicId::wgmma,
                            {at(acc, 0), at(a_tile, 0), at(b_tile, 0), negate(equals(Expr(c), as_i32(0))), 128, 4, 2, 2,
                             code(DType::bf16), code(DType::bf16), code(DType::f32), 0, 0}),
                  intrinsic(IntrinsicId::wgmma_commit), intrinsic(IntrinsicId::wgmma_wait, {0}),
                  when(equals(mod(warp, as_i32(4)) + lane, as_i32(0)),
                       {intrinsic(IntrinsicId::mbarrier_arrive, {at(empty, stage2)})})}),
            loop(r, as_i32(0), as_i32(32), ForKind::unroll,
                 {move(y,
                       ((warp - as_i32(4)) * as_i32(16) + div(lane, as_i32(4)) + mod(r, as_i32(2)) * as_i32(8)) *
                               as_i32(128) +
                           div(r, as_i32(2)) * as_i32(8) + mod(lane, as_i32(4)) * as_i32(2),
                       acc, Expr(r) * as_i32(2), 2)})}),
  });
  return {"wgmma_step",
          k,
          {"cuda:sm_90a"},
          {"wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16",
           "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes", "setmaxnreg.inc"}};
}

// Counts and extremes of groups: y[g[i]] += x[i], and the like.
Sample scatter() {
  Kernel k = frame("scatter", 4);
  const VarRef n = make_var("n", DType::i32), i = make_var("i", DType::i32), v = make_var("v", DType::f32),
               into = make_var("into", DType::i32);
  k.symbols = {n};
  k.grid = {ceil_div(cast(DType::i64, n), 128)};
  const BufferRef x = global("x", DType::f32, 1 << 20), g = global("g", DType::i32, 1 << 20),
                  sum = global("sum", DType::f32, 64), half = global("half", DType::bf16, 64),
                  largest = global("largest", DType::f32, 64), any = global("any", DType::boolean, 64),
                  count = global("count", DType::i64, 64);
  k.params = {x, g, sum, half, largest, any, count};
  const auto atomic = [&](const BufferRef& buffer, const Expr& value, Reducer reducer) {
    return make_stmt(Store{.buffer = buffer, .index = {Expr(into)}, .value = value, .atomic = reducer});
  };
  k.body = block({
      let(i, Expr(k.block[0]) * as_i32(128) + Expr(k.warp) * as_i32(32) + k.lane),
      when(less(i, n), {let(into, at(g, i) - as_i32(1)), let(v, at(x, i)), atomic(sum, v, Reducer::sum),
                        atomic(half, cast(DType::bf16, v), Reducer::sum), atomic(largest, v, Reducer::max),
                        atomic(any, less(constant(DType::f32, 0.0), v), Reducer::any),
                        atomic(count, constant(DType::i64, std::int64_t{1}), Reducer::sum)}),
  });
  return {"scatter", k, cuda_targets(), {"global.add.f32", "cas.b32"}};
}

}  // namespace

const std::vector<std::string>& cuda_targets() {
  static const std::vector<std::string> targets{"cuda:sm_80",  "cuda:sm_86",   "cuda:sm_89",
                                                "cuda:sm_90a", "cuda:sm_100a", "cuda:sm_120a"};
  return targets;
}

BufferRef global(const std::string& name, DType dtype, const Expr& size) {
  return make_global(make_tensor(name, dtype, {size}));
}

BufferRef registers(const std::string& name, DType dtype, std::int64_t count) {
  return make_buffer(name, dtype, Space::fragment, row_major(std::vector<std::int64_t>{count}));
}

std::vector<Sample> sample_kernels() {
  return {vector_add(), row_sum(), transpose(), mma_tile(), wgmma_step(), scatter()};
}

}  // namespace quern::codegen::test
