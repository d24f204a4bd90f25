#pragma once
// The iteration space of a kernel and how it is spread over threads.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compiler/analysis.h"
#include "ir/kernel.h"
#include "ir/simplify.h"

namespace quern::compiler {

// What is known inside a kernel of `program` for which `facts` hold, within the ranges of `axes`.
ir::Assumptions known_in(const ir::Program& program, std::span<const ir::Fact> facts,
                         const std::vector<ir::Axis>& axes = {});

// The constant stride of `offset` along `var`, where it has one.
std::optional<std::int64_t> stride_along(const ir::Expr& offset, const ir::VarRef& var,
                                         const ir::Assumptions& assumptions);

// Axes merged where every access stays affine: (i, j) becomes one axis where all tensors walk it in one stride.
// `place` says where each original axis lies in the merged ones.
struct MergedSpace {
  std::vector<ir::Axis> axes;  // from 0
  AxisMap place;
};
// `accesses` are reads (or read-shaped places of stores) in terms of `axes`.
MergedSpace merge_axes(const std::vector<ir::Axis>& axes, const std::vector<ir::Expr>& accesses,
                       const ir::Assumptions& assumptions);

// Values of several axes out of one row-major index over all of them, each below its extent.
std::vector<ir::Expr> unravel(const ir::Expr& index, const std::vector<ir::Axis>& axes);
ir::Expr extent_product(const std::vector<ir::Axis>& axes);

// Flat element offset of an access.
ir::Expr flat_offset(const ir::Expr& access);

// The most neighbours along `var`, a power of two up to `wanted`, that the accesses which walk it by one may move in
// wide accesses, as far as `facts` tell of pointers: where rows begin at odd places a thread had better take elements
// that lie apart, so that neighbouring lanes read neighbouring ones.
std::int64_t aligned_vector(std::int64_t wanted, const std::vector<ir::Expr>& accesses, const ir::VarRef& var,
                            const ir::Assumptions& assumptions, std::span<const ir::Fact> facts);

// A distribution being filled: threads are handed out, lanes first, then warps.
class ThreadPool {
 public:
  ThreadPool(int lanes, int warps) : lanes_(lanes), warps_(warps) {}

  // Digits for up to `wanted` threads (a power of two); fewer where fewer are left.
  ir::Mode take(std::int64_t wanted);
  std::int64_t left() const { return (lanes_ / lane_stride_) * (warps_ / warp_stride_); }

 private:
  std::int64_t lanes_, warps_;
  std::int64_t lane_stride_ = 1, warp_stride_ = 1;
};

// A tile of `fast` x `slow` elements (powers of two) over all threads: `vec` neighbours along fast per thread and
// access, lanes along fast first; what the threads do not reach is left to registers.
struct Spread {
  ir::Mode fast, slow;
};
Spread spread(std::int64_t fast, std::int64_t slow, std::int64_t vec, int lanes, int warps);

// Smallest power of two that is at least n (1 for n <= 1).
std::int64_t ceil_power_of_two(std::int64_t n);

}  // namespace quern::compiler
