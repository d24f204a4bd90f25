// The warp's matrix instructions: ldmatrix and stmatrix between fragments and shared memory, and products by mma.sync
// on such fragments. All work in 8x8 matrices of 16-byte rows, of which a lane holds 4 bytes (ir/fragment_layouts.h).

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "compiler/expander.h"
#include "ir/fragment_layouts.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kRowBytes = 16;  // of a matrix
constexpr std::int64_t kRows = 8;

// A register digit that counts matrices, least significant first.
struct MatrixDigit {
  int mode;
  std::int64_t weight;  // of the coordinate
  std::int64_t extent;
  std::int64_t stride;  // of the fragment's registers
};

// The value of each digit in the number of a matrix.
std::vector<Expr> unravel(const Expr& number, const std::vector<MatrixDigit>& digits) {
  std::vector<Expr> values;
  std::int64_t below = 1;
  for (const MatrixDigit& digit : digits) {
    values.push_back(mod(div(number, below), digit.extent));
    below *= digit.extent;
  }
  return values;
}

// Whether two digits hold the same coordinates in the same threads.
bool is_alike(const Digit& a, const Digit& b) {
  return a.extent == b.extent && a.place == b.place && (a.place == Place::reg || a.stride == b.stride);
}

// How many matrices one instruction loads: those that follow each other in the fragment's registers.
std::int64_t matrices_at_once(const std::vector<MatrixDigit>& digits, std::int64_t packed) {
  std::int64_t run = 1;
  for (const MatrixDigit& digit : digits) {
    if (digit.stride != packed * run) break;
    run *= digit.extent;
  }
  return std::gcd(run, std::int64_t{4});
}

Stmt unrolled(const VarRef& var, std::int64_t extent, Stmt body) {
  return make_stmt(For{var, 0, extent, 1, ForKind::unroll, std::move(body)});
}

// The fragment of one operand for one step of k: its atom, repeated as the accumulator's tiles are along its own axis.
Layout operand_layout(Layout atom, const Mode& tiles) {
  std::int64_t registers = span_of(atom, Place::reg);
  for (Digit digit : tiles) {
    if (digit.place == Place::reg) {
      digit.stride = registers;
      registers *= digit.extent;
    }
    atom.modes[0].push_back(digit);
  }
  return atom;
}

}  // namespace

// Whether the 16-byte rows of matrices [own axis, k] of a shared tile lie along its own axis rather than along k;
// nothing where they lie along neither, or cannot be transposed on the way.
std::optional<bool> Expander::is_transposed(const Expr& source, const VarRef& own, const VarRef& k) {
  const Buffer& shared = as_buffer(*source->tensor);
  const std::int64_t elements = kRowBytes / byte_size(shared.dtype);
  const Swizzle& swizzle = shared.layout.swizzle;
  if (shared.alignment % kRowBytes != 0 || (swizzle.bits != 0 && (1 << swizzle.base) % elements != 0)) return {};
  const auto lies_along = [&](const VarRef& axis, const VarRef& across) {
    return nested([&] {
      const VarRef row = make_var("row"), next = make_var("next"), other = make_var("other");
      const std::int64_t rows = size(shared.layout);  // any bound will do
      assumptions_ = assumptions_.with(Axis{row, 0, rows}).with(Axis{next, 0, elements}).with(Axis{other, 0, rows});
      substitution_[axis.get()] = Expr(row) * elements + next;
      substitution_[across.get()] = Expr(other);
      Layout plain = shared.layout;
      plain.swizzle = {};
      const Expr address = simplify(apply(plain, Place::address, placed(shared, source->args)), assumptions_);
      const auto along = coefficient(address, next, assumptions_);
      const Expr start = simplify(substitute(address, {{next, Expr(0)}}), assumptions_);
      return along && is_integer(*along, 1) && divisor(start, assumptions_) % elements == 0;
    });
  };
  if (lies_along(k, own)) return false;
  if (byte_size(shared.dtype) == 2 && lies_along(own, k)) return true;
  return {};
}

// Lane l names row l % 8 of the instruction's matrix l / 8 (PTX ISA, ldmatrix).
Stmt Expander::expand_ldmatrix(const Map& map, const Distributed& values) {
  const Store& store = *sole_store(map.body);
  const Expr& source = store.value;
  const Buffer& shared = as_buffer(*source->tensor);
  const std::int64_t packed = 4 / byte_size(shared.dtype);
  const std::optional<bool> transposed = is_transposed(source, map.axes[0].var, map.axes[1].var);
  ensure(transposed.has_value(), fmt::format("16-byte rows of {} lie along an axis of the fragment", shared.name));

  const Expr offset = register_index(as_buffer(*store.buffer), store.index);
  std::vector<MatrixDigit> digits;
  Expr place[2] = {0, 0};  // of a row, along both axes
  place[*transposed ? 1 : 0] = mod(scope_.lane, kRows);
  for (int m = 0; m < 2; ++m) {
    std::int64_t weight = 1;
    std::size_t next = 0;
    for (const Digit& digit : map.distribution.modes[static_cast<std::size_t>(m)]) {
      if (digit.extent == 1) continue;
      const Expr& value = values.digits[static_cast<std::size_t>(m)][next++];
      const bool within = weight * digit.extent <= (m == 0 ? kRows : 4 * packed);
      if (digit.place == Place::warp) place[m] = place[m] + value * weight;
      if (digit.place == Place::reg && !within) {
        const auto stride = coefficient(offset, value->var, assumptions_);
        ensure(stride && as_integer(*stride), "registers of a fragment are strided");
        digits.push_back({m, weight, digit.extent, *as_integer(*stride)});
      }
      weight *= digit.extent;
    }
  }
  std::ranges::sort(digits, {}, &MatrixDigit::stride);
  const std::int64_t count = matrices_at_once(digits, packed);
  std::int64_t matrices = 1;
  for (const MatrixDigit& digit : digits) matrices *= digit.extent;

  const VarRef load = make_var("load");
  assumptions_ = assumptions_.with(Axis{load, 0, matrices / count});
  const Expr named = Expr(load) * count + mod(div(scope_.lane, kRows), count);
  const std::vector<Expr> named_digits = unravel(named, digits), held = unravel(Expr(load) * count, digits);
  ir::Substitution none;
  for (const RegisterDigit& digit : values.registers) none[digit.var] = Expr(0);
  Expr to = substitute(offset, none);
  for (std::size_t d = 0; d < digits.size(); ++d) {
    place[digits[d].mode] = place[digits[d].mode] + named_digits[d] * digits[d].weight;
    to = to + held[d] * digits[d].stride;
  }
  for (std::size_t m = 0; m < 2; ++m) {
    substitution_[map.axes[m].var.get()] = simplify(simplified(map.axes[m].lo) + place[m], assumptions_);
  }
  const Expr from = read(flat(shared), {flat_index(shared, placed(shared, source->args))});
  const Expr registers = read(flat(*store.buffer), {simplify(to, assumptions_)});
  return unrolled(
      load, matrices / count,
      make_stmt(Intrinsic{IntrinsicId::ldmatrix, {registers, from, Expr(count), Expr(*transposed ? 1 : 0)}}));
}

// Four 8x8 matrices of 2-byte elements at a time, from accumulator fragments: each lane holds two neighbours in two
// rows of a group of eight columns, and names one row of one matrix (PTX ISA, stmatrix).
Stmt Expander::expand_stmatrix(const Map& map, const Distributed& values) {
  const Store* store = sole_store(map.body);
  const Mode& rows = map.distribution.modes[0];
  const Mode& columns = map.distribution.modes[1];
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
    row = row + values.digits[0][g] * weight;
    weight *= rows[g].extent;
  }
  substitution_[map.axes[0].var.get()] = simplify(row, assumptions_);
  substitution_[map.axes[1].var.get()] = simplify(Expr(pair) * 16 + div(lane, 16) * 8, assumptions_);
  const Buffer& shared = as_buffer(*store->buffer);
  const Expr place = read(flat(shared), {flat_index(shared, placed(shared, store->index))});
  const Stmt send = make_stmt(Intrinsic{IntrinsicId::stmatrix, {place, element(eight, 0), Expr(4), Expr(0)}});
  const Stmt stored = unrolled(pair, columns[2].extent / 2, block({make_stmt(Alloc{eight}), fill, send}));
  // Groups of rows that the thread holds too.
  std::vector<RegisterDigit> groups;
  for (const RegisterDigit& digit : values.registers) {
    if (!registers.contains(digit.var)) groups.push_back(digit);
  }
  return loop_over(groups, stored, false);
}

// A fragment that is there already, or one that each step of k fills from shared memory.
Fragment Expander::prepare_fragment(const Expr& operand, const Axis& own, const Axis& k, const Layout& atom,
                                    const Mode& tiles, const Expr& step) {
  const std::int64_t depth = extent(atom.modes[1]);
  const Buffer& buffer = as_buffer(*operand->tensor);
  Fragment fragment;
  if (buffer.space == Space::fragment) {
    const Layout block = *untile(buffer.layout, atom);
    fragment.registers = flat_.at(&buffer);
    fragment.tiles = block.modes[0];
    ensure(std::ranges::equal(significant(tiles), significant(fragment.tiles), is_alike),
           "an operand in registers is distributed as the accumulator");
    const Expr first = simplified(operand->args[1] - Expr(k.var));
    ensure(is_variable(operand->args[0], own.var) && divisor(first, assumptions_) % depth == 0,
           "an operand in registers is indexed by its own axis and by whole steps of k");
    Expr rest = simplify(div(first, depth) + step, assumptions_);
    for (const Digit& digit : block.modes[1]) {
      ensure(digit.place == Place::reg, "all of k is in the thread's registers");
      fragment.slice = fragment.slice + mod(rest, digit.extent) * digit.stride;
      rest = div(rest, digit.extent);
    }
    return fragment;
  }
  const Layout layout = operand_layout(atom, tiles);
  fragment.tiles.assign(layout.modes[0].begin() + static_cast<std::ptrdiff_t>(atom.modes[0].size()),
                        layout.modes[0].end());
  const BufferRef held = make_buffer(buffer.name + "_r", buffer.dtype, Space::fragment, layout);
  const VarRef i = make_var(own.var->name), p = make_var(k.var->name);
  const Expr source = substitute(operand, {{own.var, Expr(i)}, {k.var, step * depth + Expr(p)}});
  const Store store{.buffer = held, .index = {Expr(i), Expr(p)}, .value = source};
  fragment.load.push_back(expand(Alloc{held}));
  fragment.load.push_back(expand(Map{.axes = {{i, 0, extent(layout.modes[0])}, {p, 0, depth}},
                                     .distribution = layout,
                                     .body = make_stmt(store),
                                     .via = is_transposed(source, i, p) ? Via::ldmatrix : Via::threads}));
  fragment.registers = flat_.at(held.get());
  return fragment;
}

Stmt Expander::expand_mma_sync(const Mma& mma) {
  return nested([&] {
    const int bytes = byte_size(mma.a->dtype);
    const Layout tiles = *untile(mma.acc->layout, mma_sync_c());
    const std::int64_t depth = extent(mma_sync_a(bytes).modes[1]);
    const std::int64_t steps = *as_integer(mma.k.hi) / depth;
    const VarRef step = make_var("slice");
    assumptions_ = assumptions_.with(Axis{step, 0, steps});
    const Fragment a = prepare_fragment(mma.a, mma.i, mma.k, mma_sync_a(bytes), tiles.modes[0], step);
    const Fragment b = prepare_fragment(mma.b, mma.j, mma.k, mma_sync_b(bytes), tiles.modes[1], step);

    // All tiles of the accumulator that this warp holds.
    Expr acc = 0, place[2] = {a.slice, b.slice};
    std::vector<RegisterDigit> loops;
    for (std::size_t side = 0; side < 2; ++side) {
      const Mode of_acc = significant(tiles.modes[side]), own = significant(side == 0 ? a.tiles : b.tiles);
      for (std::size_t d = 0; d < of_acc.size(); ++d) {
        if (own[d].place != Place::reg) continue;
        const VarRef var = make_var(fmt::format("{}{}", side == 0 ? mma.i.var->name : mma.j.var->name, loops.size()));
        assumptions_ = assumptions_.with(Axis{var, 0, own[d].extent});
        loops.push_back({var, own[d].extent, of_acc[d].stride, false});
        acc = acc + Expr(var) * of_acc[d].stride;
        place[side] = place[side] + Expr(var) * own[d].stride;
      }
    }
    const auto code = [](DType dtype) { return Expr(static_cast<std::int64_t>(dtype)); };
    const auto at = [&](const BufferRef& registers, const Expr& index) {
      return element(registers, simplify(index, assumptions_));
    };
    Stmt product =
        make_stmt(Intrinsic{IntrinsicId::mma_sync,
                            {at(flat_.at(mma.acc.get()), acc), at(a.registers, place[0]), at(b.registers, place[1]), 16,
                             8, Expr(depth), code(mma.a->dtype), code(mma.b->dtype), code(mma.acc->dtype)}});
    std::vector<Stmt> body = a.load;
    body.insert(body.end(), b.load.begin(), b.load.end());
    body.push_back(loop_over(loops, std::move(product), false));
    return unrolled(step, steps, block(std::move(body)));
  });
}

}  // namespace quern::compiler
