#pragma once
// The values of one expression in the 32 lanes of a warp, and arithmetic on them. Integers and bools of every dtype are
// held in 64 bits, f32 and narrower floats as floats of exactly their values, f64 as doubles.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ir/scalar_functions.h"
#include "quern/dtype.h"

namespace quern::runtime::simulator {

inline constexpr int kLanes = 32;
using Mask = std::uint32_t;
inline constexpr Mask kAllLanes = ~Mask{0};

struct alignas(64) Lanes {
  union {
    std::array<std::int64_t, kLanes> i;
    std::array<float, kLanes> f;
    std::array<double, kLanes> d;
  };
};

// Calls body(lane) for the lanes of a mask.
template <typename Body>
void each_lane(Mask mask, const Body& body) {
  if (mask == kAllLanes) {
    for (int lane = 0; lane < kLanes; ++lane) body(lane);
    return;
  }
  for (; mask != 0; mask &= mask - 1) body(__builtin_ctz(mask));
}

// One lane's value of `dtype`, as the reference of scalar functions takes and gives it.
ir::Scalar scalar_of(DType dtype, const Lanes& lanes, int lane);
void set_scalar(DType dtype, Lanes& lanes, int lane, ir::Scalar value);

// Every lane the same.
Lanes broadcast(DType dtype, ir::Scalar value);

// result = op(operands) of `dtype` operands into `result` dtype, in the lanes of the mask; the others hold anything.
// No operation traps. Not for select, && and ||, whose sides are evaluated by need.
void apply(ir::Op op, DType dtype, DType result_type, std::span<const Lanes> operands, Mask mask, Lanes& result);

void cast(DType to, DType from, const Lanes& value, Mask mask, Lanes& result);

// One element in memory as a lane's value, and back.
void load_lane(DType dtype, const std::byte* from, Lanes& lanes, int lane);
void store_lane(DType dtype, std::byte* to, const Lanes& lanes, int lane);
// The same of all lanes' elements, which lie side by side.
void load_row(DType dtype, const std::byte* from, Mask mask, Lanes& lanes);
void store_row(DType dtype, std::byte* to, Mask mask, const Lanes& lanes);

}  // namespace quern::runtime::simulator
