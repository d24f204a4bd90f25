// The rules of tiles: who holds what, copies by hardware, folds and products.

#include <algorithm>
#include <array>

#include "base/error.h"
#include "ir/fragment_layouts.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/kernel_verifier.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"
#include "ir/wgmma_descriptor.h"

namespace quern::ir {
namespace {

// How each kind of map moves its one element. Via::threads has any body.
struct Way {
  Via via;
  Space from;
  Space to;
  bool distributed;  // by threads that each issue their part; else one thread issues the whole
  bool barrier;      // completes on an mbarrier; may be multicast
  bool adds;         // the store is an atomic sum
  bool converts;     // the value may be a cast of the read
};
constexpr auto kWays = std::to_array<Way>({
    {Via::cp_async, Space::global, Space::shared, true, false, false, false},
    {Via::tma_load, Space::global, Space::shared, false, true, false, false},
    {Via::tma_im2col, Space::global, Space::shared, false, true, false, false},
    {Via::tma_store, Space::shared, Space::global, false, false, false, false},
    {Via::tma_reduce, Space::shared, Space::global, false, false, true, false},
    {Via::ldmatrix, Space::shared, Space::fragment, true, false, false, false},
    {Via::stmatrix, Space::fragment, Space::shared, true, false, false, true},
});

// Operand and accumulator dtypes of the tensor-core products. f32 operands are multiplied as tf32.
struct Product {
  DType a, b, acc;
  bool mma_sync, wgmma;
};
constexpr auto kProducts = std::to_array<Product>({
    {DType::f16, DType::f16, DType::f32, true, true},
    {DType::f16, DType::f16, DType::f16, true, true},
    {DType::bf16, DType::bf16, DType::f32, true, true},
    {DType::f32, DType::f32, DType::f32, true, true},
    {DType::f8e4m3, DType::f8e4m3, DType::f32, true, true},
    {DType::f8e4m3, DType::f8e5m2, DType::f32, true, true},
    {DType::f8e5m2, DType::f8e4m3, DType::f32, true, true},
    {DType::f8e5m2, DType::f8e5m2, DType::f32, true, true},
    {DType::f8e4m3, DType::f8e4m3, DType::f16, false, true},
    {DType::f8e4m3, DType::f8e5m2, DType::f16, false, true},
    {DType::f8e5m2, DType::f8e4m3, DType::f16, false, true},
    {DType::f8e5m2, DType::f8e5m2, DType::f16, false, true},
    {DType::i8, DType::i8, DType::i32, true, true},
    {DType::i8, DType::u8, DType::i32, true, true},
    {DType::u8, DType::i8, DType::i32, true, true},
    {DType::u8, DType::u8, DType::i32, true, true},
});

constexpr std::int64_t kInstructionK = 32;    // bytes of k of one instruction
constexpr std::int64_t kBulkAlignment = 128;  // bytes, of the shared side of a TMA copy

// The digits as far as they say which thread holds a coordinate: neighbours that continue each other are one, and
// registers, wherever they are, one with their neighbours.
Mode threads_of(const Mode& mode) {
  Mode digits;
  for (Digit digit : mode) {
    if (digit.extent == 1) continue;
    if (digit.place == Place::reg) digit.stride = 0;
    Digit* last = digits.empty() || digits.back().place != digit.place ? nullptr : &digits.back();
    if (last && (digit.place == Place::reg || last->stride * last->extent == digit.stride)) {
      last->extent *= digit.extent;
    } else {
      digits.push_back(digit);
    }
  }
  return digits;
}

// Whether the same threads hold the same coordinates; their registers may be numbered otherwise.
bool alike(const Mode& a, const Mode& b) { return threads_of(a) == threads_of(b); }

bool only_registers(const Mode& mode) {
  return std::ranges::all_of(mode, [](const Digit& d) { return d.extent == 1 || d.place == Place::reg; });
}

// e - axis, where e is the axis or a sum with it as one term.
std::optional<Expr> without_axis(const Expr& e, const VarRef& axis) {
  if (is_variable(e, axis)) return Expr(0);
  if (!is_call(e, Op::add)) return std::nullopt;
  const int side = uses(e->args[0], axis) ? 0 : 1;
  if (uses(e->args[1 - side], axis)) return std::nullopt;
  const std::optional<Expr> rest = without_axis(e->args[side], axis);
  return rest ? std::optional(*rest + e->args[1 - side]) : std::nullopt;
}

const Store* only_store(const Stmt& body) {
  const std::vector<Stmt> list = statements(body);
  return list.size() == 1 ? get_if<Store>(list[0]) : nullptr;
}

// The one read of an operand, below casts and arithmetic.
Expr only_read(const Expr& e) {
  Expr found;
  int count = 0;
  visit(e, [&](const Expr& node) {
    if (node->kind != ExprKind::read) return true;
    found = node;
    ++count;
    return false;
  });
  return count == 1 ? found : Expr();
}

}  // namespace

std::int64_t KernelVerifier::constant_extent(const Axis& axis) const {
  const std::optional<std::int64_t> extent = as_integer(simplify(axis.hi - axis.lo));
  require(extent && *extent >= 1, "the axis {} has a constant extent", axis.var->name);
  return *extent;
}

void KernelVerifier::check_distribution(const Layout& distribution) {
  ir::check(distribution);
  if (!is_distribution(distribution) || !is_injective(distribution)) {
    refuse(to_string(distribution) + " does not give each element a place of its own, with registers without gaps");
  }
  const std::int64_t warps = span_of(distribution, Place::warp), lanes = span_of(distribution, Place::lane);
  require(warps <= threads_.warps && lanes <= threads_.lanes,
          "a distribution over {} warps of {} lanes does not fit {} of {}", warps, lanes, threads_.warps,
          threads_.lanes);
}

void KernelVerifier::check_node(const Map& node) {
  require(map_ == nullptr, "a map's body holds no tiles");
  std::vector<std::int64_t> shape;
  for (const Axis& axis : node.axes) {
    check_index(axis.lo);
    check_index(axis.hi);
    shape.push_back(constant_extent(axis));
  }
  const auto way = std::ranges::find(kWays, node.via, &Way::via);
  const bool distributed = way == kWays.end() || way->distributed;
  if (distributed) {
    check_distribution(node.distribution);
    require(extents(node.distribution) == shape, "a map is distributed by a layout of its axes' extents");
  } else {
    require(node.distribution.modes.empty(), "what one thread issues is not distributed");
  }
  const bool on_barrier = way != kWays.end() && way->barrier;
  require(static_cast<bool>(node.barrier) == on_barrier, "a bulk load completes on an mbarrier, no other map does");
  if (on_barrier) check_operand('b', node.barrier);
  require(node.multicast == 0 || (on_barrier && !kernel_.cluster.empty()), "a bulk load is multicast in a cluster");
  nested([&] {
    for (const Axis& axis : node.axes) declare(axis.var);
    if (node.where) {
      check_expr(node.where);
      require(is_bool(node.where->dtype), "a condition is a bool");
    }
    if (distributed) map_ = &node;
    check_list(node.body);
    if (way != kWays.end()) check_copy(node);
  });
}

void KernelVerifier::check_copy(const Map& node) {
  const Way& way = *std::ranges::find(kWays, node.via, &Way::via);
  const Store* store = only_store(node.body);
  require(store != nullptr, "a map via {} is one store", name(node.via));
  const Expr& value = store->value;
  const Expr source = way.converts && value->kind == ExprKind::cast ? value->args[0] : value;
  require(source->kind == ExprKind::read, "a map via {} stores a read", name(node.via));
  require(as_buffer(*source->tensor).space == way.from && as_buffer(*store->buffer).space == way.to,
          "a map via {} copies between its two spaces", name(node.via));
  const Buffer& shared = as_buffer(way.to == Space::shared ? *store->buffer : *source->tensor);
  require(way.distributed || shared.alignment >= kBulkAlignment, "a bulk copy of {} needs it aligned to {} bytes",
          shared.name, kBulkAlignment);
  if (node.via == Via::ldmatrix) {
    const int bytes = byte_size(shared.dtype);
    require(bytes <= 4 && node.axes.size() == 2 && is_made_of(node.distribution, matrix_8x8(bytes)),
            "ldmatrix fills fragments made of 8 x 8 matrices of 16-byte rows");
    require(source->args.size() >= 2 && !source->fill, "ldmatrix reads a tile without fill");
  }
  if (node.via == Via::stmatrix) {
    require(byte_size(shared.dtype) == 2 && is_stored_as_matrices(node.distribution),
            "stmatrix stores two-byte elements distributed as accumulators, an even number of them side by side");
  }
  require(store->atomic == (way.adds ? std::optional(Reducer::sum) : std::nullopt), "a map via {} {}", name(node.via),
          way.adds ? "adds" : "overwrites");
}

void KernelVerifier::check_fragment_access(const Buffer& fragment, const std::vector<Expr>& index, bool stored) {
  bool threads = false;  // whether places of the fragment depend on the thread
  std::vector<bool> covered(map_ ? map_->axes.size() : 0);
  for (std::size_t m = 0; m < index.size(); ++m) {
    const Mode& mode = fragment.layout.modes[m];
    threads = threads || !only_registers(mode);
    std::size_t axis = 0;
    while (map_ && axis < map_->axes.size() && !uses(index[m], map_->axes[axis].var)) ++axis;
    if (!map_ || axis == map_->axes.size()) {
      require(only_registers(mode), "the mode {} of {} is indexed by an axis of a map", m, fragment.name);
      continue;
    }
    covered[axis] = true;
    const Mode& held = map_->distribution.modes[axis];
    const std::optional<Expr> rest = without_axis(index[m], map_->axes[axis].var);
    require(rest.has_value(), "{} is indexed by axes and slices of them", fragment.name);
    const std::optional<Layout> split = divide(Layout{{mode}, {}}, 0, extent(held));
    require(split && alike(split->modes[1], held), "{} is distributed like the map along {}", fragment.name,
            map_->axes[axis].var->name);
    require(only_registers(split->modes[0]), "a slice of {} is one of registers", fragment.name);
    const Expr offset = simplify(*rest + map_->axes[axis].lo);
    require(divisor(offset, Assumptions()) % extent(held) == 0, "a slice of {} starts at a multiple of its extent",
            fragment.name);
  }
  require(!threads || buffers_.at(&fragment) == threads_.role, "{} is used by the threads that it is spread over",
          fragment.name);
  for (std::size_t a = 0; stored && a < covered.size(); ++a) {
    require(covered[a] || only_registers(map_->distribution.modes[a]),
            "threads that differ along {} do not store to one element of {}", map_->axes[a].var->name, fragment.name);
  }
}

void KernelVerifier::check_node(const Fold& node) {
  require(map_ == nullptr, "a map's body holds no tiles");
  require(!node.from.empty() && node.from.size() == node.to.size(), "a fold has as many states before as after");
  for (const auto* list : {&node.from, &node.to}) {
    for (const BufferRef& part : *list) {
      require(visible(*part).space == Space::fragment && buffers_.at(part.get()) == threads_.role,
              "{} is a fragment of the threads that fold", part->name);
    }
  }
  std::vector<DType> parts;
  for (const BufferRef& part : node.from) parts.push_back(part->dtype);
  require(accumulator_of(node.reducer, parts).has_value(), "the {} parts are no state of {}", parts.size(),
          row(node.reducer).name);
  const int rank = static_cast<int>(node.from[0]->rank());
  require(!node.over.empty() && std::ranges::is_sorted(node.over, std::less_equal<>()) && node.over.front() >= 0 &&
              node.over.back() < rank,
          "a fold goes over ascending positions of its shape");
  std::vector<int> kept;
  for (int m = 0; m < rank; ++m) {
    if (std::ranges::find(node.over, m) == node.over.end()) kept.push_back(m);
  }
  const Layout projected = project(node.from[0]->layout, kept);
  for (std::size_t p = 0; p < parts.size(); ++p) {
    require(node.to[p]->dtype == parts[p], "part {} of the state is {}", p, name(parts[p]));
    require(node.from[p]->layout == node.from[0]->layout, "the parts of a state are distributed alike");
    require(std::ranges::equal(node.to[p]->layout.modes, projected.modes, alike),
            "{} is distributed like the axes kept, {}", node.to[p]->name, to_string(projected));
  }
}

void KernelVerifier::check_node(const Mma& node) {
  require(map_ == nullptr, "a map's body holds no tiles");
  for (const Axis* axis : {&node.i, &node.j, &node.k}) {
    // Ordinary arithmetic may walk any depth; matrix instructions have a fixed one.
    const bool any = axis == &node.k && node.kind == MmaKind::simt;
    require(is_integer(axis->lo, 0) && (any || as_integer(axis->hi).value_or(0) >= 1),
            "an axis of a product is 0..constant");
  }
  const Buffer& acc = visible(*node.acc);
  require(acc.space == Space::fragment && buffers_.at(&acc) == threads_.role,
          "the accumulator is a fragment of the threads that multiply");
  require(extents(acc.layout) == std::vector{*as_integer(node.i.hi), *as_integer(node.j.hi)},
          "the accumulator's shape is i by j");
  if (node.accumulate) {
    check_expr(node.accumulate);
    require(is_bool(node.accumulate->dtype), "accumulate is a bool");
  }
  nested([&] {
    for (const Axis* axis : {&node.i, &node.j, &node.k}) declare(axis->var);
    check_mma_operand(node, node.a, node.i, node.j);
    check_mma_operand(node, node.b, node.j, node.i);
  });
  check_mma_types(node, node.a->dtype, node.b->dtype);
  if (node.kind != MmaKind::simt) check_mma_shape(node, byte_size(node.a->dtype));
}

void KernelVerifier::check_mma_types(const Mma& node, DType a, DType b) {
  const DType acc = node.acc->dtype;
  const bool legal = node.kind == MmaKind::simt
                         ? a == b && !is_bool(a) && !is_bool(acc)
                         : std::ranges::any_of(kProducts, [&](const Product& p) {
                             const bool offered = node.kind == MmaKind::wgmma ? p.wgmma : p.mma_sync;
                             return offered && p.a == a && p.b == b && p.acc == acc;
                           });
  require(legal, "{} multiplies no {} by {} into {}", name(node.kind), name(a), name(b), name(acc));
}

void KernelVerifier::check_mma_shape(const Mma& node, int element_bytes) {
  require(threads_.lanes == 32 && !threads_.elected, "tensor-core products are for whole warps");
  const std::int64_t k = *as_integer(node.k.hi);
  require(k * element_bytes % kInstructionK == 0, "k is a multiple of 32 bytes, here {}", k);
  if (node.kind == MmaKind::mma_sync) {
    require(is_made_of(node.acc->layout, mma_sync_c()), "the accumulator is made of 16 x 8 fragments");
    const Buffer &a = as_buffer(*node.a->tensor), &b = as_buffer(*node.b->tensor);
    require(a.space != Space::fragment || is_made_of(a.layout, mma_sync_a(element_bytes)),
            "operand a in registers is made of 16 x 32 byte fragments");
    require(b.space != Space::fragment || is_made_of(b.layout, mma_sync_b(element_bytes)),
            "operand b in registers is made of 8 x 32 byte fragments");
    return;
  }
  require(threads_.warps % 4 == 0, "wgmma is for warpgroups");
  const bool integer = is_integer(node.acc->dtype);
  const std::optional<std::int64_t> columns = wgmma_columns(node.acc->layout, integer);
  if (!columns) refuse(fmt::format("{} is not made of 64 x n wgmma accumulators", to_string(node.acc->layout)));
  constexpr std::int64_t kRows = 64;
  if (as_buffer(*node.a->tensor).space == Space::fragment) {
    require(is_made_of(as_buffer(*node.a->tensor).layout, wgmma_a(element_bytes)),
            "operand a in registers is made of 64 x 32 byte fragments");
  } else {
    check_wgmma_place(node, node.a, node.i, kRows);
  }
  check_wgmma_place(node, node.b, node.j, *columns);
}

void KernelVerifier::check_mma_operand(const Mma& node, const Expr& operand, const Axis& own, const Axis& other) {
  const Expr source = only_read(operand);
  require(static_cast<bool>(source), "an operand reads one buffer");
  const auto indexed = [&](const Axis& axis) { return uses(source, axis.var) || is_integer(axis.hi, 1); };
  require(indexed(own) && indexed(node.k) && !uses(operand, other.var),
          "operand a is indexed by i and k, operand b by k and j");
  const Buffer& buffer = visible(*source->tensor);
  if (node.kind == MmaKind::simt) {
    check_expr(operand);
    require(buffer.space != Space::fragment, "simt operands are in memory");
    return;
  }
  require(operand->kind == ExprKind::read && !operand->fill, "a tensor-core operand is a read without fill");
  const bool registers = buffer.space == Space::fragment;
  require(buffer.space == Space::shared || (registers && (node.kind == MmaKind::mma_sync || operand.same(node.a))),
          "tensor-core operands are in shared memory; those of mma_sync and operand a may be fragments");
  require(!registers || buffers_.at(&buffer) == threads_.role, "an operand is a fragment of the threads that multiply");
  for (const Expr& index : source->args) check_index(index);
}

// A shared operand is one that a descriptor can express.
void KernelVerifier::check_wgmma_place(const Mma& node, const Expr& operand, const Axis& own, std::int64_t rows) {
  const Buffer& buffer = as_buffer(*operand->tensor);
  int row_mode = -1, k_mode = -1;
  for (std::size_t m = 0; m < operand->args.size(); ++m) {
    const bool of_rows = uses(operand->args[m], own.var), of_k = uses(operand->args[m], node.k.var);
    if (!of_rows && !of_k) continue;
    require(of_rows != of_k && without_axis(operand->args[m], of_rows ? own.var : node.k.var).has_value(),
            "{} is indexed by its axes, or by sums with one of them", buffer.name);
    int& mode = of_rows ? row_mode : k_mode;
    require(mode < 0, "{} has one index with each axis", buffer.name);
    mode = static_cast<int>(m);
  }
  const auto described = describe_wgmma_operand(buffer.layout, byte_size(buffer.dtype), row_mode, k_mode,
                                                *as_integer(own.hi), *as_integer(node.k.hi), rows);
  if (const auto* reason = std::get_if<std::string>(&described)) {
    refuse(fmt::format("no descriptor expresses {}: {}", buffer.name, *reason));
  }
  const int swizzle = std::get<WgmmaDescriptor>(described).swizzle;
  require(buffer.alignment >= 8 * swizzle, "{} is aligned to {} bytes, its swizzle needs {}", buffer.name,
          buffer.alignment, 8 * swizzle);
}

}  // namespace quern::ir
