// Maps of expand_tiles that hardware moves: bulk copies through tensor maps (TMA), and matrix stores to shared memory.

#include <algorithm>

#include "base/error.h"
#include "compiler/expander.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kMaxBox = 256;  // elements of a tensor map's box along one axis

// The bytes of the rows that a swizzle of 16-byte units permutes within.
int swizzle_bytes(const Swizzle& swizzle) { return swizzle.bits == 0 ? 0 : 16 << swizzle.bits; }

TensorMapParam::Map::Swizzle map_swizzle(int bytes) {
  using Mode = TensorMapParam::Map::Swizzle;
  switch (bytes) {
    case 0:
      return Mode::none;
    case 32:
      return Mode::b32;
    case 64:
      return Mode::b64;
    case 128:
      return Mode::b128;
    default:
      throw InternalError(fmt::format("a tensor map swizzles 32, 64 or 128 bytes, not {}", bytes));
  }
}

}  // namespace

// The number of the launch's tensor map with this box on a global buffer; a new one where there is none yet.
int Expander::tensor_map(const Buffer& global, const std::vector<int>& box, int swizzle) {
  TensorMapParam map;
  map.buffer = std::static_pointer_cast<const Buffer>(flat(global));
  map.name = global.name + "_map";
  const std::vector<Expr> strides = element_strides(global);
  for (std::size_t d = global.rank(); d-- > 0;) {
    map.dims.push_back(global.shape[d]);
    map.box.push_back(box[d]);
    if (d + 1 < global.rank()) map.byte_strides.push_back(strides[d] * byte_size(global.dtype));
  }
  map.swizzle = map_swizzle(swizzle);
  for (std::size_t m = 0; m < kernel_.maps.size(); ++m) {
    const TensorMapParam& known = kernel_.maps[m];
    if (known.buffer == map.buffer && known.box == map.box && known.swizzle == map.swizzle) return static_cast<int>(m);
  }
  kernel_.maps.push_back(std::move(map));
  return static_cast<int>(kernel_.maps.size()) - 1;
}

// One bulk copy of a whole tile between shared memory and the box of a tensor map, issued by the thread at hand.
Stmt Expander::expand_bulk(const Map& map) {
  const Store* store = sole_store(map.body);
  ensure(store != nullptr && store->value->kind == ExprKind::read, "a bulk copy moves one read");
  const bool loads = map.via == Via::tma_load;
  const Buffer& shared = as_buffer(loads ? *store->buffer : *store->value->tensor);
  const Buffer& global = as_buffer(loads ? *store->value->tensor : *store->buffer);
  const std::vector<Expr>& shared_index = loads ? store->index : store->value->args;
  const std::vector<Expr>& global_index = loads ? store->value->args : store->index;
  ensure(shared.space == Space::shared && global.space == Space::global,
         "a bulk copy is between shared and global memory");

  // The box: how far the tile's axes reach along each dimension of the tensor.
  std::vector<int> box;
  for (const Expr& i : global_index) {
    std::int64_t reach = 1;
    for (const Axis& axis : map.axes) {
      if (!uses(i, axis.var)) continue;
      const auto stride = coefficient(i, axis.var, assumptions_);
      ensure(stride && is_integer(*stride, 1) && reach == 1, "an axis of a bulk copy walks one dimension by one");
      reach = *as_integer(axis.hi);
    }
    ensure(reach <= kMaxBox, fmt::format("a box has at most {} elements along an axis, here {}", kMaxBox, reach));
    box.push_back(static_cast<int>(reach));
  }
  const int swizzle = swizzle_bytes(shared.layout.swizzle);
  ensure(swizzle == 0 || box.back() * byte_size(global.dtype) <= swizzle, "a box's rows fit the swizzle");
  const int number = tensor_map(global, box, swizzle);

  for (const Axis& axis : map.axes) substitution_[axis.var.get()] = simplified(axis.lo);
  // The hardware swizzles addresses itself: the tile begins where its plain layout says.
  Layout plain = shared.layout;
  plain.swizzle = {};
  const Expr first = simplify(apply(plain, Place::address, placed(shared, shared_index)), assumptions_);
  const Expr place = read(flat(shared), {first});
  std::vector<Expr> coordinates;
  for (std::size_t d = global_index.size(); d-- > 0;) coordinates.push_back(simplified(global_index[d]));
  std::vector<Expr> args;
  if (loads) {
    args = {place, Expr(number), rewrite(map.barrier), Expr(static_cast<std::int64_t>(map.multicast))};
  } else {
    args = {Expr(number), place};
  }
  args.insert(args.end(), coordinates.begin(), coordinates.end());
  const IntrinsicId id = loads                        ? IntrinsicId::tma_load
                         : map.via == Via::tma_reduce ? IntrinsicId::tma_reduce_add
                                                      : IntrinsicId::tma_store;
  return make_stmt(Intrinsic{id, std::move(args)});
}

// Four 8x8 matrices of 2-byte elements at a time, from accumulator fragments: each lane holds two neighbours in two
// rows of a group of eight columns, and names one row of one matrix (PTX ISA, stmatrix).
Stmt Expander::expand_stmatrix(const Map& map, const Distributed& values) {
  const Store* store = sole_store(map.body);
  ensure(store != nullptr && map.axes.size() == 2 && byte_size(store->buffer->dtype) == 2,
         "a matrix store moves a tile of two-byte elements");
  const Mode& rows = map.distribution.modes[0];
  const Mode& columns = map.distribution.modes[1];
  const bool fits = rows.size() >= 2 && columns.size() == 3 && rows[0] == Digit{8, Place::lane, 4} &&
                    rows[1] == Digit{2, Place::reg, 2} && columns[0] == Digit{2, Place::reg, 1} &&
                    columns[1] == Digit{4, Place::lane, 1} && columns[2].place == Place::reg &&
                    columns[2].stride == 4 && columns[2].extent % 2 == 0;
  ensure(fits, "a matrix store takes the accumulator's distribution");

  // Registers in their own order are those of the matrices: two columns, two rows of eight, then the next eight
  // columns.
  const VarRef pair = make_var("pair"), e = make_var("e");
  assumptions_ = assumptions_.with(Axis{pair, 0, columns[2].extent / 2}).with(Axis{e, 0, 8});
  const Expr held[3] = {mod(Expr(e), 2), mod(div(Expr(e), 2), 2), Expr(pair) * 2 + div(Expr(e), 4)};
  const ir::Substitution registers{
      {values.digits[1][0]->var, held[0]}, {values.digits[0][1]->var, held[1]}, {values.digits[1][2]->var, held[2]}};
  const BufferRef eight = declare("eight", store->buffer->dtype, Space::fragment, 8);
  const Expr value = simplify(substitute(rewrite(store->value), registers), assumptions_);
  const Stmt fill = make_stmt(For{e, 0, 8, 1, ForKind::unroll, assign(eight, Expr(e), value)});

  // The row that this lane names: matrix lane / 8, its row lane % 8.
  const Expr lane = scope_.lane;
  Expr row = mod(lane, 8) + mod(div(lane, 8), 2) * 8;
  std::int64_t weight = 16;
  for (std::size_t g = 2; g < rows.size(); ++g) {
    ensure(rows[g].place == Place::warp, "further rows are in further warps");
    row = row + values.digits[0][g] * weight;
    weight *= rows[g].extent;
  }
  substitution_[map.axes[0].var.get()] = simplify(row, assumptions_);
  substitution_[map.axes[1].var.get()] = simplify(Expr(pair) * 16 + div(lane, 16) * 8, assumptions_);
  const Buffer& shared = as_buffer(*store->buffer);
  const Expr place = read(flat(shared), {flat_index(shared, placed(shared, store->index))});
  const Stmt send = make_stmt(Intrinsic{IntrinsicId::stmatrix, {place, element(eight, 0), Expr(4), Expr(0)}});
  return make_stmt(
      For{pair, 0, columns[2].extent / 2, 1, ForKind::unroll, block({make_stmt(Alloc{eight}), fill, send})});
}

}  // namespace quern::compiler
