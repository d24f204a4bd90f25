// Maps of expand_tiles: an elementwise body over a distributed tile, or a hardware copy of one.

#include <algorithm>

#include "base/error.h"
#include "compiler/expander.h"
#include "compiler/vectorize.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kMaxVector = 16;     // elements of one wide access
constexpr std::int64_t kMaxCopyBytes = 16;  // of one cp_async

bool is_vector_extent(std::int64_t extent) {
  return extent > 1 && extent <= kMaxVector && (extent & (extent - 1)) == 0;
}

Expr digit_value(const Expr& place, const Digit& digit) {
  return mod(digit.stride == 1 ? place : div(place, Expr(digit.stride)), Expr(digit.extent));
}

// Whether a body writes what more than one thread sees.
bool stores_outside_registers(const Stmt& stmt) {
  if (const Store* store = get_if<Store>(stmt)) return as_buffer(*store->buffer).space != Space::fragment;
  if (const If* branch = get_if<If>(stmt)) {
    return stores_outside_registers(branch->then) || (branch->otherwise && stores_outside_registers(branch->otherwise));
  }
  if (const Block* node = get_if<Block>(stmt)) {
    return std::any_of(node->body.begin(), node->body.end(), stores_outside_registers);
  }
  return false;
}

// The condition that the part of `place` (0 .. count) that no digit uses is 0; absent where all is used.
Expr first_of_replicas(const Layout& layout, Place which, const Expr& place, std::int64_t count) {
  std::vector<Digit> digits;
  for (const Mode& mode : layout.modes) {
    for (const Digit& digit : mode) {
      if (digit.place == which && digit.extent > 1) digits.push_back(digit);
    }
  }
  std::sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) { return a.stride < b.stride; });
  digits.push_back({1, which, count});
  Expr condition;
  std::int64_t reached = 1;
  for (const Digit& digit : digits) {
    if (digit.stride > reached) {
      condition = both(condition, equals(digit_value(place, {digit.stride / reached, which, reached}), 0));
    }
    reached = digit.stride * digit.extent;
  }
  return condition;
}

}  // namespace

Distributed Expander::distribute(const Layout& layout) {
  Distributed result;
  for (const Mode& mode : layout.modes) {
    std::vector<Expr> values;
    Expr coordinate = 0;
    std::int64_t weight = 1;
    for (const Digit& digit : mode) {
      if (digit.extent == 1) continue;
      Expr value;
      if (digit.place == Place::reg) {
        const VarRef var = make_var(fmt::format("r{}", result.registers.size()));
        result.registers.push_back({var, digit.extent, digit.stride, weight == 1});
        assumptions_ = assumptions_.with(Axis{var, 0, digit.extent});
        value = var;
      } else {
        ensure(digit.place == Place::lane || digit.place == Place::warp, "a distribution places threads and registers");
        value = digit_value(digit.place == Place::lane ? scope_.lane : scope_.warp, digit);
      }
      values.push_back(value);
      coordinate = coordinate + value * weight;
      weight *= digit.extent;
    }
    result.digits.push_back(std::move(values));
    result.coordinates.push_back(simplify(coordinate, assumptions_));
  }
  std::sort(result.registers.begin(), result.registers.end(),
            [](const RegisterDigit& a, const RegisterDigit& b) { return a.stride > b.stride; });
  return result;
}

Stmt Expander::loop_over(const std::vector<RegisterDigit>& digits, Stmt body, bool vector) {
  for (std::size_t i = digits.size(); i-- > 0;) {
    const RegisterDigit& digit = digits[i];
    const bool innermost = i + 1 == digits.size();
    const bool wide = vector && innermost && digit.neighbours && is_vector_extent(digit.extent);
    const For loop{digit.var, 0, digit.extent, 1, ForKind::unroll, body};
    body = wide ? vectorize(loop, assumptions_) : make_stmt(loop);
  }
  return body;
}

// The condition that of all threads to which the distribution gives the same elements this is the first; absent where
// there is one.
Expr Expander::first_replica(const Layout& distribution) const {
  return both(first_of_replicas(distribution, Place::lane, scope_.lane, scope_.lanes),
              first_of_replicas(distribution, Place::warp, scope_.warp, scope_.warps));
}

Stmt Expander::expand(const Map& map) {
  return nested([&] {
    if (map.via == Via::tma_im2col) return expand_im2col(map);
    if (map.via == Via::tma_load || map.via == Via::tma_store || map.via == Via::tma_reduce) return expand_bulk(map);
    const Distributed values = distribute(map.distribution);
    for (std::size_t a = 0; a < map.axes.size(); ++a) {
      const Expr lo = simplified(map.axes[a].lo);
      substitution_[map.axes[a].var.get()] = simplify(lo + values.coordinates[a], assumptions_);
    }
    tile_ = Tile{&map.axes, &map.distribution, &values};
    if (map.via == Via::cp_async) return expand_cp_async(map, values.registers);
    if (map.via == Via::stmatrix) return expand_stmatrix(map, values);
    if (map.via == Via::ldmatrix) return expand_ldmatrix(map, values);
    Expr where = map.where ? simplified(map.where) : Expr();
    if (stores_outside_registers(map.body)) {
      if (const Expr first = first_replica(map.distribution)) where = simplify(both(where, first), assumptions_);
    }
    if (where && !is_integer(where, 1)) {
      // The condition is known in the body alone, not in the loops around it.
      const Assumptions outer = assumptions_;
      assumptions_ = assumptions_.with(where);
      Stmt guarded = make_stmt(If{where, expand(map.body)});
      assumptions_ = outer;
      return loop_over(values.registers, std::move(guarded), true);
    }
    return loop_over(values.registers, expand(map.body), true);
  });
}

// Up to 16 bytes of one vector digit go in one copy, where its condition holds for all of them or for none.
Stmt Expander::expand_cp_async(const Map& map, std::vector<RegisterDigit> loops) {
  const Store* store = sole_store(map.body);
  ensure(store != nullptr && store->value->kind == ExprKind::read, "cp_async copies one read");
  std::int64_t width = 1;
  Expr where = map.where ? simplified(map.where) : Expr();
  const Expr source = store->value;
  const std::vector<Expr> from = placed(as_buffer(*source->tensor), source->args);
  if (source->fill) where = both(where, inside(*source->tensor, from));
  if (where) where = simplify(where, assumptions_);
  const Buffer& shared = as_buffer(*store->buffer);
  Expr to_index = flat_index(shared, placed(shared, store->index));
  Expr from_index = flat_index(as_buffer(*source->tensor), from);

  // Neighbours in the tile are moved together where memory holds them side by side too.
  const auto are_together = [&](const RegisterDigit& digit) {
    Layout plain = shared.layout;
    plain.swizzle = {};
    const Expr to = simplify(apply(plain, Place::address, placed(shared, store->index)), assumptions_);
    const auto along_to = coefficient(to, digit.var, assumptions_);
    const auto along_from = coefficient(from_index, digit.var, assumptions_);
    return along_to && along_from && is_integer(*along_to, 1) && is_integer(*along_from, 1);
  };
  if (!loops.empty() && loops.back().neighbours && is_vector_extent(loops.back().extent) &&
      (!where || !uses(where, loops.back().var)) && are_together(loops.back())) {
    const RegisterDigit digit = loops.back();
    loops.pop_back();
    width = std::min<std::int64_t>(digit.extent, kMaxCopyBytes / byte_size(source->dtype));
    substitution_.clear();
    substitution_[digit.var.get()] = 0;
    if (const std::int64_t copies = digit.extent / width; copies > 1) {
      const VarRef part = make_var(digit.var->name);
      assumptions_ = assumptions_.with(Axis{part, 0, copies});
      loops.push_back({part, copies, digit.stride * width, false});
      substitution_[digit.var.get()] = Expr(part) * width;
    }
    to_index = simplified(to_index);
    from_index = simplified(from_index);
  }
  const std::int64_t bytes = width * byte_size(source->dtype);
  ensure(bytes == 4 || bytes == 8 || bytes == 16, "cp_async moves 4, 8 or 16 bytes");
  const Expr known = where && !is_integer(where, 1) ? select(where, Expr(bytes), Expr(0)) : Expr(bytes);
  Stmt copy = make_stmt(Intrinsic{
      IntrinsicId::cp_async,
      {read(flat(*store->buffer), {to_index}), read(flat(*source->tensor), {from_index}), Expr(bytes), known}});
  copy = loop_over(loops, std::move(copy), false);
  const Expr first = first_replica(map.distribution);
  return first ? make_stmt(If{simplify(first, assumptions_), std::move(copy)}) : copy;
}

}  // namespace quern::compiler
