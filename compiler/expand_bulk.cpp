// Maps of expand_tiles that one thread issues: bulk copies through tensor maps (TMA), of tiles and of the pixels of a
// convolution.

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compiler/expander.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

using Descriptor = TensorMapParam::Map;

constexpr std::int64_t kMaxBox = 256;      // elements of a tensor map's box along one axis
constexpr std::int64_t kMaxPixels = 1024;  // of an im2col map's column
constexpr std::int64_t kUnitBytes = 16;    // that a swizzle moves together

std::int64_t extent_of(const Axis& axis) { return *as_integer(simplify(axis.hi - axis.lo)); }

// The bytes of the rows that the hardware's swizzle permutes within.
int swizzle_bytes(const Buffer& shared) {
  const Swizzle& swizzle = shared.layout.swizzle;
  if (swizzle.bits == 0) return 0;
  ensure(swizzle.bits <= 3 && swizzle.shift == 3 &&
             (std::int64_t{1} << swizzle.base) * byte_size(shared.dtype) == kUnitBytes,
         fmt::format("a tensor map swizzles as {} does not", to_string(shared.layout)));
  return 16 << swizzle.bits;
}

Descriptor::Swizzle map_swizzle(int bytes) {
  using Mode = Descriptor::Swizzle;
  return bytes == 0 ? Mode::none : bytes == 32 ? Mode::b32 : bytes == 64 ? Mode::b64 : Mode::b128;
}

// What the hardware puts in place of elements outside.
Descriptor::Fill fill_of(const Expr& value) {
  if (value->kind != ExprKind::read || !value->fill) return Descriptor::Fill::zero;
  const Expr fill = simplify(value->fill);
  ensure(is_constant(fill), "a bulk copy fills with a constant");
  const double number = is_float(fill->dtype) ? fill->real : static_cast<double>(fill->integer);
  ensure(number == 0 || std::isnan(number), "a bulk copy fills with zeros or NaN");
  return number == 0 ? Descriptor::Fill::zero : Descriptor::Fill::nan;
}

// The tensor of a map, innermost axis first, before the mode's own fields.
TensorMapParam map_of(const Buffer& global, BufferRef flat, int swizzle) {
  TensorMapParam map;
  map.buffer = std::move(flat);
  map.name = global.name + "_map";
  map.swizzle = map_swizzle(swizzle);
  const std::vector<Expr> strides = element_strides(global);
  for (std::size_t d = global.rank(); d-- > 0;) {
    map.dims.push_back(global.shape[d]);
    if (d + 1 < global.rank()) map.byte_strides.push_back(strides[d] * byte_size(global.dtype));
  }
  return map;
}

bool same(const TensorMapParam& a, const TensorMapParam& b) {
  const auto alike = [](const Expr& x, const Expr& y) { return equal(x, y); };
  return a.buffer == b.buffer && a.mode == b.mode && a.box == b.box && a.swizzle == b.swizzle && a.fill == b.fill &&
         a.element_strides == b.element_strides && a.channels == b.channels && a.pixels == b.pixels &&
         std::ranges::equal(a.lower_corner, b.lower_corner, alike) &&
         std::ranges::equal(a.upper_corner, b.upper_corner, alike);
}

// The remainder in an index that says where the pixel lies along its axis; absent where the axis has one position.
Expr position_in(const Expr& index, const VarRef& pixel) {
  Expr found;
  visit(index, [&](const Expr& e) {
    if (!uses(e, pixel)) return false;
    if (!is_call(e, Op::mod)) return true;
    ensure(!found, "an index of a convolution holds one position");
    found = e;
    return false;
  });
  ensure(found || !uses(index, pixel), "a pixel's position along an axis is the remainder of its number");
  return found;
}

}  // namespace

// The number of the launch's tensor map that equals `map`; a new one where there is none yet.
int Expander::tensor_map(TensorMapParam map) {
  const auto known = std::ranges::find_if(kernel_.maps, [&](const TensorMapParam& other) { return same(map, other); });
  const auto number = known - kernel_.maps.begin();
  if (known == kernel_.maps.end()) kernel_.maps.push_back(std::move(map));
  return static_cast<int>(number);
}

// A tile in shared memory, as boxes side by side along its innermost axis, each as wide as its swizzle.
struct Expander::Boxes {
  VarRef box;
  std::int64_t count = 1;
  std::int64_t width;  // elements of one along the innermost axis
  int swizzle;         // bytes
  Expr place;          // of the box's first element
};

// Leaves each axis standing for the box's first coordinate along it.
Expander::Boxes Expander::boxes_of(const Buffer& shared, const std::vector<Expr>& index,
                                   const std::vector<const Axis*>& inner_first) {
  Boxes boxes{
      .box = make_var("box"), .width = extent_of(*inner_first[0]), .swizzle = swizzle_bytes(shared), .place = {}};
  if (boxes.swizzle != 0) {
    const std::int64_t row = boxes.swizzle / byte_size(shared.dtype);
    boxes.count = std::max<std::int64_t>(1, boxes.width / row);
    boxes.width /= boxes.count;
    ensure(boxes.width <= row, "a tile's rows are whole rows of the swizzle");
  }
  assumptions_ = assumptions_.with(Axis{boxes.box, 0, boxes.count});
  std::vector<std::pair<VarRef, std::int64_t>> within;
  ir::Substitution start;
  for (std::size_t d = 0; d < inner_first.size(); ++d) {
    const Axis& axis = *inner_first[d];
    within.emplace_back(make_var(axis.var->name), d == 0 ? boxes.width : extent_of(axis));
    assumptions_ = assumptions_.with(Axis{within[d].first, 0, within[d].second});
    start[within[d].first] = Expr(0);
    const Expr box_start = d == 0 ? Expr(boxes.box) * boxes.width : Expr(0);
    substitution_[axis.var.get()] = simplified(axis.lo) + box_start + within[d].first;
  }
  // The hardware swizzles addresses itself: the tile begins where its plain layout says.
  Layout plain = shared.layout;
  plain.swizzle = {};
  const Expr address = simplify(apply(plain, Place::address, placed(shared, index)), assumptions_);
  std::int64_t stride = 1;
  for (const auto& [var, extent] : within) {
    if (extent == 1) continue;
    const auto along = coefficient(address, var, assumptions_);
    ensure(along && is_integer(*along, stride),
           fmt::format("a box fills {} without gaps, innermost axis first", shared.name));
    stride *= extent;
  }
  boxes.place = read(flat(shared), {simplify(substitute(address, start), assumptions_)});
  for (const Axis* axis : inner_first) {
    Expr& value = substitution_[axis->var.get()];
    value = simplify(substitute(value, start), assumptions_);
  }
  return boxes;
}

Stmt Expander::for_each_box(const Boxes& boxes, Intrinsic intrinsic) {
  const Stmt copy = make_stmt(std::move(intrinsic));
  return boxes.count == 1 ? copy : make_stmt(For{boxes.box, 0, boxes.count, 1, ForKind::unroll, copy});
}

// A whole tile between shared memory and the boxes of a tensor map.
Stmt Expander::expand_bulk(const Map& map) {
  const Store& store = *sole_store(map.body);
  const bool loads = map.via == Via::tma_load;
  const Buffer& shared = as_buffer(loads ? *store.buffer : *store.value->tensor);
  const Buffer& global = as_buffer(loads ? *store.value->tensor : *store.buffer);
  const std::vector<Expr>& shared_index = loads ? store.index : store.value->args;
  const std::vector<Expr>& global_index = loads ? store.value->args : store.index;

  // The box: how far the tile's axes reach along each dimension of the tensor.
  std::vector<const Axis*> inner_first;
  std::vector<int> box;
  for (std::size_t d = global.rank(); d-- > 0;) {
    std::int64_t reach = 1;
    for (const Axis& axis : map.axes) {
      if (!uses(global_index[d], axis.var)) continue;
      const auto stride = coefficient(global_index[d], axis.var, assumptions_);
      ensure(stride && is_integer(*stride, 1) && reach == 1, "an axis of a bulk copy walks one dimension by one");
      reach = extent_of(axis);
      inner_first.push_back(&axis);
    }
    box.push_back(static_cast<int>(reach));
  }
  ensure(!inner_first.empty() && uses(global_index.back(), inner_first[0]->var),
         fmt::format("a bulk copy walks the innermost axis of {}", global.name));
  const Boxes boxes = boxes_of(shared, shared_index, inner_first);
  box[0] = static_cast<int>(boxes.width);
  const auto largest = *std::ranges::max_element(box);
  ensure(largest <= kMaxBox, fmt::format("a box has at most {} elements along an axis, here {}", kMaxBox, largest));
  TensorMapParam param = map_of(global, std::static_pointer_cast<const Buffer>(flat(global)), boxes.swizzle);
  param.box = box;
  param.fill = loads ? fill_of(store.value) : Descriptor::Fill::zero;
  const Expr number = tensor_map(std::move(param));

  std::vector<Expr> args{number, boxes.place};
  if (loads) args = {boxes.place, number, rewrite(map.barrier), Expr(static_cast<std::int64_t>(map.multicast))};
  for (std::size_t d = global.rank(); d-- > 0;) args.push_back(simplified(global_index[d]));
  const IntrinsicId id = loads                        ? IntrinsicId::tma_load
                         : map.via == Via::tma_reduce ? IntrinsicId::tma_reduce_add
                                                      : IntrinsicId::tma_store;
  return for_each_box(boxes, Intrinsic{id, std::move(args)});
}

// One tap of a convolution for consecutive output pixels: x[image, ..., position * stride + tap, channel], where the
// positions are the digits of the pixel's number, the last spatial axis the least significant. The map's corners hold
// the least tap along each axis, the instruction's offsets what a tap is more (PTX ISA, im2col mode).
Stmt Expander::expand_im2col(const Map& map) {
  const Store& store = *sole_store(map.body);
  const Expr& source = store.value;
  const Buffer& shared = as_buffer(*store.buffer);
  const Buffer& global = as_buffer(*source->tensor);
  const std::vector<Expr>& index = source->args;
  const std::size_t rank = index.size();
  ensure(rank >= 3 && rank <= 5 && map.axes.size() == 2, "im2col copies pixels by channels of 1 to 3 spatial axes");
  const bool pixels_first = uses(index.back(), map.axes[1].var);
  const Axis &pixel = map.axes[pixels_first ? 0 : 1], &channel = map.axes[pixels_first ? 1 : 0];
  const auto along = coefficient(index.back(), channel.var, assumptions_);
  ensure(along && is_integer(*along, 1) && !uses(index.back(), pixel.var), "channels are walked one by one");
  const Boxes boxes = boxes_of(shared, store.index, {&channel, &pixel});
  TensorMapParam param = map_of(global, std::static_pointer_cast<const Buffer>(flat(global)), boxes.swizzle);
  param.mode = Descriptor::Mode::im2col;
  param.fill = fill_of(source);
  param.channels = static_cast<int>(boxes.width);
  param.pixels = static_cast<int>(extent_of(pixel));
  ensure(boxes.width <= kMaxBox && extent_of(pixel) <= kMaxPixels, "a column has at most 1024 pixels of 256 channels");
  param.element_strides.assign(rank, 1);

  constexpr std::int64_t kMostOffset[] = {65535, 255, 31};  // by spatial axes
  std::vector<Expr> coordinates{simplified(index.back())}, offsets;
  Expr number, below = 1;
  for (std::size_t d = rank - 2; d >= 1; --d) {
    const Expr position = position_in(index[d], pixel.var);
    Expr extent = 1, tap = simplified(index[d]);
    std::optional<Expr> stride = Expr(1);
    if (position) {
      if (!number) number = position->args[0];
      ensure(equal(simplified(position->args[0]), simplified(div(number, below))),
             "positions are a pixel number's digits");
      below = below * position->args[1];
      extent = simplified(position->args[1]);
    }
    if (!is_integer(extent, 1)) {
      const VarRef at = make_var("at");
      assumptions_ = assumptions_.with(Axis{at, 0, extent});
      const Expr placed_at =
          simplified(transform(index[d], [&](const Expr& e) { return e.same(position) ? Expr(at) : e; }));
      stride = coefficient(placed_at, at, assumptions_);
      ensure(stride && as_integer(*stride), "a convolution's stride is a constant");
      tap = simplify(placed_at - Expr(at) * *stride, assumptions_);
    }
    const Interval taps = range(tap, assumptions_);
    ensure(taps.lo && taps.hi && *taps.hi - *taps.lo <= kMostOffset[rank - 3], "the range of a tap is known and small");
    param.element_strides[rank - 1 - d] = static_cast<int>(*as_integer(*stride));
    param.lower_corner.push_back(Expr(*taps.lo));
    param.upper_corner.push_back(
        simplify(Expr(*taps.lo) + (extent - 1) * *stride - (global.shape[d] - 1), assumptions_));
    const Expr first = position ? simplified(position) * *stride : Expr(0);
    coordinates.push_back(simplify(first + *taps.lo, assumptions_));
    offsets.push_back(simplify(tap - *taps.lo, assumptions_));
  }
  if (!number) number = index[0];
  ensure(equal(simplified(index[0]), simplified(div(number, below))), "an image is the last digit of a pixel's number");
  coordinates.push_back(simplified(index[0]));

  std::vector<Expr> args{boxes.place, tensor_map(std::move(param)), rewrite(map.barrier),
                         Expr(static_cast<std::int64_t>(map.multicast))};
  args.insert(args.end(), coordinates.begin(), coordinates.end());
  args.insert(args.end(), offsets.begin(), offsets.end());
  return for_each_box(boxes, Intrinsic{IntrinsicId::tma_im2col, std::move(args)});
}

}  // namespace quern::compiler
