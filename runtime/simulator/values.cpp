// Expressions in the lanes of a warp.

#include <array>
#include <cstring>

#include "base/error.h"
#include "ir/scalar.h"
#include "runtime/simulator/team.h"

namespace quern::runtime::simulator {

using ir::Op;
using ir::Scalar;

// The common kinds of index arithmetic in the shortest way.
std::int64_t Team::number(const Warp& warp, std::uint32_t which) const {
  const Value& value = code.values[which];
  using enum Value::Kind;
  switch (value.kind) {
    case constant:
      return value.constant.integer;
    case variable:
      return warp.numbers[value.slot.number];
    case cast:
      return ir::convert(value.dtype, value.from, {.integer = number(warp, value.args[0])}).integer;
    case select:
      return number(warp, value.args[number(warp, value.args[0]) != 0 ? 1 : 2]);
    case both:
      return number(warp, value.args[0]) != 0 ? number(warp, value.args[1]) : 0;
    case either:
      return number(warp, value.args[0]) != 0 ? 1 : number(warp, value.args[1]);
    case call:
      break;
    case read:
      unreachable("what is read differs from lane to lane");
  }
  const bool is_plain = value.dtype == DType::i32 || value.dtype == DType::i64;
  if (is_plain && (value.op == Op::add || value.op == Op::mul)) {
    const auto a = static_cast<std::uint64_t>(number(warp, value.args[0]));
    const auto b = static_cast<std::uint64_t>(number(warp, value.args[1]));
    const auto result = static_cast<std::int64_t>(value.op == Op::add ? a + b : a * b);
    return value.dtype == DType::i32 ? static_cast<std::int32_t>(result) : result;
  }
  std::array<Scalar, 3> operands;
  for (std::size_t n = 0; n < value.count; ++n) operands[n].integer = number(warp, value.args[n]);
  const Scalar result = ir::row(value.op).reference(value.from, std::span(operands.data(), value.count));
  return ir::fit(value.dtype, result).integer;
}

namespace {

Mask nonzero(const Lanes& lanes, Mask mask) {
  Mask result = 0;
  each_lane(mask, [&](int lane) {
    if (lanes.i[static_cast<std::size_t>(lane)] != 0) result |= Mask{1} << lane;
  });
  return result;
}

void merge(const Lanes& from, Mask mask, bool is_single, Lanes& to) {
  each_lane(mask, [&](int lane) {
    const auto l = static_cast<std::size_t>(lane);
    if (is_single) {
      to.f[l] = from.f[l];
    } else {
      to.i[l] = from.i[l];
    }
  });
}

bool is_single(DType dtype) { return is_float(dtype) && dtype != DType::f64; }

}  // namespace

void Team::evaluate(Warp& warp, std::uint32_t which, Mask mask, Lanes& result) {
  const Value& value = code.values[which];
  using Kind = Value::Kind;
  if (value.uniform) {
    result.i.fill(number(warp, which));
    return;
  }
  switch (value.kind) {
    case Kind::constant:
      result = broadcast(value.dtype, value.constant);
      return;
    case Kind::variable:
      result = warp.vectors[value.slot.number];
      return;
    case Kind::cast: {
      Lanes operand;
      evaluate(warp, value.args[0], mask, operand);
      return cast(value.dtype, value.from, operand, mask, result);
    }
    case Kind::select:
    case Kind::both:
    case Kind::either: {
      // Only the chosen side is evaluated, lane by lane.
      Lanes condition, side;
      evaluate(warp, value.args[0], mask, condition);
      const Mask holds = nonzero(condition, mask);
      const bool is_select = value.kind == Kind::select;
      const Mask first = is_select || value.kind == Kind::both ? holds : mask & ~holds;
      if (!is_select) result.i.fill(value.kind == Kind::either ? 1 : 0);
      if (first != 0) {
        evaluate(warp, value.args[1], first, side);
        merge(side, first, is_single(value.dtype), result);
      }
      if (is_select && (mask & ~holds) != 0) {
        evaluate(warp, value.args[2], mask & ~holds, side);
        merge(side, mask & ~holds, is_single(value.dtype), result);
      }
      return;
    }
    case Kind::call: {
      std::array<Lanes, 3> operands;
      for (std::size_t n = 0; n < value.count; ++n) evaluate(warp, value.args[n], mask, operands[n]);
      return apply(value.op, value.from, value.dtype, std::span(operands.data(), value.count), mask, result);
    }
    case Kind::read:
      return read(warp, value, mask, result);
  }
}

// The places of an access in each lane, in elements.
void Team::places(Warp& warp, std::uint32_t index, Mask mask, std::array<std::int64_t, kLanes>& elements) {
  if (code.values[index].uniform) {
    elements.fill(number(warp, index));
  } else {
    Lanes lanes;
    evaluate(warp, index, mask, lanes);
    elements = lanes.i;
  }
}

void Team::read(Warp& warp, const Value& value, Mask mask, Lanes& result) {
  const BufferCode& buffer = code.buffers[value.buffer];
  std::array<std::int64_t, kLanes> elements;
  places(warp, value.args[0], mask, elements);
  if (buffer.space == ir::Space::fragment) {
    if (code.values[value.args[0]].uniform) {
      if (!touch_registers(warp, mask, buffer, elements[0], 1, false)) return;
      return load_row(value.dtype, register_at(warp, value.buffer, elements[0], 0), mask, result);
    }
    each_lane(mask, [&](int lane) {
      const std::int64_t element = elements[static_cast<std::size_t>(lane)];
      if (!touch_registers(warp, Mask{1} << lane, buffer, element, 1, false)) return;
      load_lane(value.dtype, register_at(warp, value.buffer, element, lane), result, lane);
    });
    return;
  }
  Window& window = window_of(warp, buffer);
  for (std::int64_t& element : elements) element = byte_offset(element, buffer.element_bytes, window.origin);
  touch(warp, window, elements, buffer.element_bytes, {}, mask);
  each_lane(mask, [&](int lane) {
    load_lane(value.dtype, window.data + elements[static_cast<std::size_t>(lane)], result, lane);
  });
}

}  // namespace quern::runtime::simulator
