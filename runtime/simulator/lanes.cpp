#include "runtime/simulator/lanes.h"

#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/scalar.h"

namespace quern::runtime::simulator {
namespace {

using ir::Op;

enum class Held : std::uint8_t { integer, single, real };

Held held(DType dtype) {
  if (!is_float(dtype)) return Held::integer;
  return dtype == DType::f64 ? Held::real : Held::single;
}

float to_f32(DType dtype, float value) {
  return dtype == DType::f32 ? value : static_cast<float>(ir::fit_real(dtype, value));
}

// The lanes that are masked off are computed too where that is safe: whole vectors.
template <typename Function>
void map(std::array<std::int64_t, kLanes>& result, DType dtype, const Function& function) {
  if (dtype == DType::i64) {
    for (int lane = 0; lane < kLanes; ++lane) result[lane] = static_cast<std::int64_t>(function(lane));
  } else if (dtype == DType::i32) {
    for (int lane = 0; lane < kLanes; ++lane) result[lane] = static_cast<std::int32_t>(function(lane));
  } else {
    for (int lane = 0; lane < kLanes; ++lane) {
      result[lane] = wrap_integer(dtype, static_cast<std::int64_t>(function(lane)));
    }
  }
}

bool apply_integer(Op op, DType dtype, std::span<const Lanes> x, Lanes& result) {
  const auto a = [&](int lane) { return static_cast<std::uint64_t>(x[0].i[lane]); };
  const auto b = [&](int lane) { return static_cast<std::uint64_t>(x[1].i[lane]); };
  const bool is_signed = dtype != DType::u64;
  switch (op) {
    case Op::add:
      return map(result.i, dtype, [&](int lane) { return a(lane) + b(lane); }), true;
    case Op::sub:
      return map(result.i, dtype, [&](int lane) { return a(lane) - b(lane); }), true;
    case Op::mul:
      return map(result.i, dtype, [&](int lane) { return a(lane) * b(lane); }), true;
    case Op::lt:
      if (!is_signed) return false;
      return map(result.i, DType::i64, [&](int lane) { return x[0].i[lane] < x[1].i[lane]; }), true;
    case Op::le:
      if (!is_signed) return false;
      return map(result.i, DType::i64, [&](int lane) { return x[0].i[lane] <= x[1].i[lane]; }), true;
    case Op::eq:
      return map(result.i, DType::i64, [&](int lane) { return a(lane) == b(lane); }), true;
    default:
      return false;
  }
}

bool apply_single(Op op, DType dtype, std::span<const Lanes> x, Lanes& result) {
  switch (op) {
    case Op::add:
      for (int lane = 0; lane < kLanes; ++lane) result.f[lane] = x[0].f[lane] + x[1].f[lane];
      break;
    case Op::sub:
      for (int lane = 0; lane < kLanes; ++lane) result.f[lane] = x[0].f[lane] - x[1].f[lane];
      break;
    case Op::mul:
      for (int lane = 0; lane < kLanes; ++lane) result.f[lane] = x[0].f[lane] * x[1].f[lane];
      break;
    default:
      return false;
  }
  if (dtype != DType::f32) {
    for (int lane = 0; lane < kLanes; ++lane) result.f[lane] = to_f32(dtype, result.f[lane]);
  }
  return true;
}

}  // namespace

ir::Scalar scalar_of(DType dtype, const Lanes& lanes, int lane) {
  switch (held(dtype)) {
    case Held::integer:
      return {.integer = lanes.i[lane]};
    case Held::single:
      return {.real = lanes.f[lane]};
    case Held::real:
      return {.real = lanes.d[lane]};
  }
  unreachable("a way to hold a dtype");
}

void set_scalar(DType dtype, Lanes& lanes, int lane, ir::Scalar value) {
  switch (held(dtype)) {
    case Held::integer:
      lanes.i[lane] = value.integer;
      return;
    case Held::single:
      lanes.f[lane] = static_cast<float>(value.real);
      return;
    case Held::real:
      lanes.d[lane] = value.real;
      return;
  }
}

Lanes broadcast(DType dtype, ir::Scalar value) {
  Lanes lanes;
  for (int lane = 0; lane < kLanes; ++lane) set_scalar(dtype, lanes, lane, value);
  return lanes;
}

void apply(Op op, DType dtype, DType result_type, std::span<const Lanes> operands, Mask mask, Lanes& result) {
  const Held how = held(dtype);
  if (how == Held::integer && apply_integer(op, dtype, operands, result)) return;
  if (how == Held::single && apply_single(op, dtype, operands, result)) return;
  const ir::ScalarFunction& function = ir::row(op);
  std::array<ir::Scalar, 3> scalars;
  each_lane(mask, [&](int lane) {
    for (std::size_t n = 0; n < operands.size(); ++n) scalars[n] = scalar_of(dtype, operands[n], lane);
    const ir::Scalar value = function.reference(dtype, std::span(scalars.data(), operands.size()));
    set_scalar(result_type, result, lane, ir::fit(result_type, value));
  });
}

void cast(DType to, DType from, const Lanes& value, Mask mask, Lanes& result) {
  if (held(from) == Held::integer && (to == DType::i64 || to == DType::i32)) {
    return map(result.i, to, [&](int lane) { return value.i[lane]; });
  }
  if (to == DType::f32 && held(from) == Held::single) {
    result = value;
    return;
  }
  each_lane(mask, [&](int lane) { set_scalar(to, result, lane, ir::convert(to, from, scalar_of(from, value, lane))); });
}

void load_lane(DType dtype, const std::byte* from, Lanes& lanes, int lane) {
  switch (dtype) {
    case DType::f32:
      std::memcpy(&lanes.f[lane], from, sizeof(float));
      return;
    case DType::bf16: {
      std::uint32_t bits = 0;
      std::memcpy(reinterpret_cast<std::byte*>(&bits) + 2, from, 2);
      std::memcpy(&lanes.f[lane], &bits, sizeof bits);
      return;
    }
    case DType::i32: {
      std::int32_t value;
      std::memcpy(&value, from, sizeof value);
      lanes.i[lane] = value;
      return;
    }
    default:
      set_scalar(dtype, lanes, lane, ir::load(dtype, from));
  }
}

void store_lane(DType dtype, std::byte* to, const Lanes& lanes, int lane) {
  if (dtype == DType::f32) {
    std::memcpy(to, &lanes.f[lane], sizeof(float));
  } else {
    ir::store(dtype, to, scalar_of(dtype, lanes, lane));
  }
}

void load_row(DType dtype, const std::byte* from, Mask mask, Lanes& lanes) {
  if (dtype == DType::f32) {
    std::memcpy(lanes.f.data(), from, kLanes * sizeof(float));
    return;
  }
  const int bytes = byte_size(dtype);
  each_lane(mask, [&](int lane) { load_lane(dtype, from + lane * bytes, lanes, lane); });
}

void store_row(DType dtype, std::byte* to, Mask mask, const Lanes& lanes) {
  if (dtype == DType::f32 && mask == kAllLanes) {
    std::memcpy(to, lanes.f.data(), kLanes * sizeof(float));
    return;
  }
  const int bytes = byte_size(dtype);
  each_lane(mask, [&](int lane) { store_lane(dtype, to + lane * bytes, lanes, lane); });
}

}  // namespace quern::runtime::simulator
