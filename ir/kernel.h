#pragma once
// Kernel programs: how one launch computes. One function over a grid of blocks; on the CPU a block is one task of one
// warp, whose lanes are the lanes of the vector unit, shared memory is the task's scratch, fragments are registers.
//
// Tile form   statements over tiles: Map (an elementwise body over a tile, distributed or moved by hardware), Reduce,
//             Mma; inside For, If, Let, Role; with barriers as intrinsics. It says nothing of lanes: distributions
//             (ir/layout.h) say who holds what.
// Thread form For, If, Let, Store, Move and Intrinsic only, executed by every thread with its own `warp` and `lane`;
//             compiler/expand_tiles.h makes it. Every buffer has rank 1 (an index is a flat element offset), shared
//             layouts and fragments' distributions are gone. Code generators and the simulator see thread form only.
//
// Execution: all threads of a block run the body in step where a statement names a scope wider than a thread; shared
// memory written by one thread is seen by another after a barrier. A fragment's elements live in registers; its
// layout maps tile coordinates to (warp, lane, register). Statements are immutable and shared.

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/plan.h"
#include "ir/expr.h"
#include "ir/intrinsics.h"
#include "ir/layout.h"
#include "ir/tensor.h"

namespace quern::ir {

enum class Space : std::uint8_t { global, shared, fragment, barrier };

// A tensor with a space and a layout. Global buffers are addressed by their tensor's strides (the layout is empty);
// shared buffers by an address layout; fragments by a distribution, in thread form by plain registers (address).
struct Buffer : Tensor {
  Space space = Space::global;
  Layout layout;
  std::int64_t alignment = 16;  // bytes, of the first element (shared: up to 1024)
};
using BufferRef = std::shared_ptr<const Buffer>;

BufferRef make_buffer(std::string name, DType dtype, Space space, Layout layout, std::int64_t alignment = 16);
BufferRef make_global(const TensorRef& tensor);
const Buffer& as_buffer(const Tensor& tensor);  // InternalError where it is a plain tensor
const Buffer* try_buffer(const Tensor& tensor);

struct StmtNode;
using Stmt = std::shared_ptr<const StmtNode>;

struct Block {
  std::vector<Stmt> body;
};  // fragments declared in it live to its end
struct Alloc {
  BufferRef buffer;
};  // a fragment; shared buffers and barriers are the kernel's

enum class ForKind : std::uint8_t {
  serial,
  unroll,
  rolled,
  vector
};  // rolled: `#pragma unroll 1`; vector: lanes of one
    // wide access, constant extent of at most 16
struct For {
  VarRef var;
  Expr lo, hi, step;
  ForKind kind = ForKind::serial;
  Stmt body;
};
struct If {
  Expr condition;
  Stmt then;
  Stmt otherwise{};
};  // otherwise may be null
struct Let {
  VarRef var;
  Expr value;
};  // in scope to the end of the block

enum class CacheHint : std::uint8_t { none, streaming, no_allocate, evict_last };
// buffer[index] = value. `atomic` adds (or the reducer's combine) to global memory instead.
struct Store {
  TensorRef buffer;
  std::vector<Expr> index;
  Expr value;
  std::optional<Reducer> atomic{};
  CacheHint hint = CacheHint::none;
};
// `width` consecutive elements from one buffer to another of the same dtype, one of them registers, as one access of
// width * size bytes (at most 16, aligned to it). Thread form; compiler/vectorize.h makes it.
struct Move {
  TensorRef to;
  Expr to_index;  // flat, in elements
  TensorRef from;
  Expr from_index;
  int width = 1;
  CacheHint hint = CacheHint::none;
};
struct Intrinsic {
  IntrinsicId id;
  std::vector<Expr> args;
};  // buffers are passed as address-of reads

// How the body of a Map moves its elements.
enum class Via : std::uint8_t {
  threads,     // each thread computes its elements; the body is any Let, If, Store
  cp_async,    // one Store global -> shared, asynchronous; completes by cp_async_commit/wait
  tma_load,    // one Store global -> shared, issued by one thread; completes on `barrier`
  tma_im2col,  // the same, im2col map; the index expressions of the read say pixel and tap
  tma_store,   // one Store shared -> global, issued by one thread; completes by tma_store_commit/wait
  tma_reduce,  // the same, adding
  ldmatrix,
  stmatrix,
};

// For every coordinate of the tile `axes` (constant extents) where `where` holds: body. With Via::threads the elements
// are spread by `distribution` over the threads of the scope (a role's, else the block's). Fragments read or stored in
// the body are distributed alike: each mode's index is an axis with the mode's digits (registers may be strided
// otherwise), or such a slice: axis + a multiple of its extent, where the digits above that extent are registers. Modes
// without threads may have any other index that is the same for all threads. Where the distribution replicates, all
// replicas run the body, but atomic stores happen once per coordinate. Reads outside a tensor take their fill.
struct Map {
  std::vector<Axis> axes;
  Layout distribution;
  Expr where{};
  Stmt body{};
  Via via = Via::threads;
  Expr barrier{};               // tma_load: the read of the mbarrier that counts the bytes
  std::uint16_t multicast = 0;  // tma_load: mask of cluster ranks, 0 none
};

// to[kept axes] = fold over the axes `over` (positions in from's shape) of the states `from`, in one step: registers,
// lanes, then warps through shared scratch. The fragments of `to` are distributed as from's projection; every thread
// that shares the kept coordinates gets the result.
struct Fold {
  Reducer reducer;
  std::vector<BufferRef> to;
  std::vector<BufferRef> from;
  std::vector<int> over;
};

enum class MmaKind : std::uint8_t { simt, mma_sync, wgmma };
// acc[i, j] += a[...i, k...] * b[...k, j...] for the constant-extent axes i, j, k. Operands are reads of shared
// buffers (or, for a, fragments) indexed by those axes. wgmma: `accumulate` false overwrites (scale-d).
struct Mma {
  MmaKind kind;
  Axis i, j, k;
  BufferRef acc;
  Expr a, b;
  Expr accumulate{};  // absent: true
};

// Warps lo..hi of the enclosing role, or of the block, run `body` with `registers` (0: as launched) each; warp and lane
// count from lo inside. In several equal `groups` of warps (such as warpgroups) each runs it by itself, with its number
// in the variable `group`. `elected`: one thread only, of each group. In tile form the intrinsic `barrier` is for all
// threads of the enclosing role, or of their group.
struct Role {
  std::string name;
  int lo = 0, hi = 0;
  int registers = 0;
  bool elected = false;
  Stmt body;
  int groups = 1;
  VarRef group{};  // null: there is one
};

struct StmtNode {
  std::variant<Block, Alloc, For, If, Let, Store, Move, Intrinsic, Map, Fold, Mma, Role> value;
  int line = 0;  // of the text that it was read from; 0: of none. No part of its meaning.
};

template <typename T>
Stmt make_stmt(T value) {
  return std::make_shared<const StmtNode>(StmtNode{std::move(value)});
}
template <typename T>
const T* get_if(const Stmt& stmt) {
  return stmt ? std::get_if<T>(&stmt->value) : nullptr;
}
Stmt block(std::vector<Stmt> body);  // flattens nested blocks that declare nothing

enum class Form : std::uint8_t { tile, thread };

// A tensor map (CUDA TMA descriptor) of a global buffer: base/plan.h's TensorMapParameter, field by field, with the
// buffer for its pointer and expressions over the kernel's symbols for its numbers. The copy intrinsics name it by its
// index in Kernel::maps.
struct TensorMapParam {
  using Map = TensorMapParameter;
  std::string name;  // hint of the parameter's name
  BufferRef buffer;
  Expr byte_offset;  // of the first element from the buffer's pointer; absent: 0
  Map::Mode mode = Map::Mode::tiled;
  std::vector<Expr> dims;            // elements, innermost first
  std::vector<Expr> byte_strides;    // of axes 1 and up
  std::vector<int> element_strides;  // empty: all 1
  std::vector<int> box;              // tiled
  std::vector<Expr> lower_corner;    // im2col
  std::vector<Expr> upper_corner;
  int channels = 0;
  int pixels = 0;
  Map::Swizzle swizzle = Map::Swizzle::none;
  Map::Fill fill = Map::Fill::zero;
  Map::L2Promotion l2_promotion = Map::L2Promotion::b128;
};

// One launch.
struct Kernel {
  std::string name;
  // Printed above the kernel: the tensor program and the schedule. A strategy leaves here what the kernel does
  // otherwise than its schedule says.
  std::string comment;
  Form form = Form::tile;
  std::vector<BufferRef> params;      // global buffers, in the order of the launch
  std::vector<VarRef> symbols;        // scalar parameters after the buffers
  std::vector<TensorMapParam> maps;   // tensor maps, parameters after the symbols
  std::vector<Fact> facts;            // what this variant may rely on
  std::vector<BufferRef> shared;      // shared buffers and mbarriers, packed in this order
  std::vector<Expr> grid;             // 1 to 3 extents, over symbols
  std::vector<VarRef> block;          // their variables, as many
  std::vector<std::int64_t> cluster;  // empty: none
  int warps = 1;
  int lanes = 32;             // per warp; on the CPU the vector's width in elements of 4 bytes
  int min_blocks_per_sm = 0;  // launch bound, 0: none
  VarRef warp, lane;          // the thread's place (thread form)
  Stmt body;
};

}  // namespace quern::ir
