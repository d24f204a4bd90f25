#include "compiler/strategies/space.h"

#include <algorithm>
#include <bit>

#include "compiler/strategies/emitter.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

bool affine(const Expr& access, const VarRef& var, const Assumptions& assumptions) {
  return coefficient(flat_offset(access), var, assumptions).has_value();
}

// Whether the fill's condition stays a condition on whole axes: an access with a fill is not merged along its indices.
bool guarded_by(const Expr& access, const VarRef& var) { return access->fill && uses(access, var); }

}  // namespace

Assumptions known_in(const Program& program, std::span<const Fact> facts, const std::vector<Axis>& axes) {
  Assumptions known = assumptions_of(facts);
  for (const VarRef& symbol : program.symbols) known = known.with_at_least(symbol, 0);
  for (const Axis& axis : axes) known = known.with(axis);
  return known;
}

std::optional<std::int64_t> stride_along(const Expr& offset, const VarRef& var, const Assumptions& assumptions) {
  const auto stride = coefficient(offset, var, assumptions);
  return stride ? as_integer(*stride) : std::nullopt;
}

Expr flat_offset(const Expr& access) {
  const std::vector<Expr> strides = element_strides(*access->tensor);
  Expr offset = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) offset = offset + cast(DType::i64, access->args[d]) * strides[d];
  return offset;
}

MergedSpace merge_axes(const std::vector<Axis>& axes, const std::vector<Expr>& accesses,
                       const Assumptions& assumptions) {
  MergedSpace space;
  for (const Axis& axis : axes) {
    const VarRef own = make_var(axis.var->name);
    if (!space.axes.empty()) {
      const Axis& last = space.axes.back();
      // Not under what holds within the axes: they may be empty.
      const Axis merged{make_var(last.var->name), 0, simplify(last.hi * axis.hi, Assumptions())};
      const Assumptions inside = assumptions.with(merged);
      AxisMap trial;
      const Expr row = div(merged.var, axis.hi), column = mod(merged.var, axis.hi);
      for (const auto& [original, value] : space.place) trial[original] = substitute(value, {{last.var, row}});
      trial[axis.var] = column;
      const bool walks_on = std::all_of(accesses.begin(), accesses.end(), [&](const Expr& access) {
        if (guarded_by(access, axis.var)) return false;
        return affine(substitute(access, trial), merged.var, inside);
      });
      if (walks_on) {
        space.axes.back() = merged;
        space.place = std::move(trial);
        continue;
      }
    }
    space.axes.push_back({own, 0, axis.hi});
    space.place[axis.var] = Expr(own);
  }
  return space;
}

std::vector<Expr> unravel(const Expr& index, const std::vector<Axis>& axes) {
  std::vector<Expr> values(axes.size());
  Expr rest = index;
  for (std::size_t d = axes.size(); d-- > 0;) {
    if (d == 0) {
      values[d] = rest;
    } else {
      values[d] = mod(rest, axes[d].hi);
      rest = div(rest, axes[d].hi);
    }
  }
  return values;
}

Expr extent_product(const std::vector<Axis>& axes) {
  Expr product = 1;
  for (const Axis& axis : axes) product = product * axis.hi;
  return simplify(product, Assumptions());
}

std::int64_t aligned_vector(std::int64_t wanted, const std::vector<Expr>& accesses, const VarRef& var,
                            const Assumptions& assumptions, std::span<const Fact> facts) {
  constexpr std::int64_t kAccessBytes = 16;
  std::int64_t vector = wanted;
  for (const Expr& access : accesses) {
    const Expr offset = simplify(flat_offset(access), assumptions);
    if (stride_along(offset, var, assumptions) != 1) continue;
    const std::int64_t size = byte_size(access->dtype), alignment = alignment_of(*access->tensor, facts);
    const std::int64_t start = divisor(simplify(substitute(offset, {{var, Expr(0)}}), assumptions), assumptions);
    const auto fits = [&](std::int64_t elements) {
      const std::int64_t bytes = std::min(elements * size, kAccessBytes);
      return alignment % bytes == 0 && start % std::max<std::int64_t>(1, bytes / size) == 0;
    };
    while (vector > 1 && !fits(vector)) vector /= 2;
  }
  return vector;
}

Mode ThreadPool::take(std::int64_t wanted) {
  Mode digits;
  const std::int64_t lanes = std::min(wanted, lanes_ / lane_stride_);
  if (lanes > 1) {
    digits.push_back({lanes, Place::lane, lane_stride_});
    lane_stride_ *= lanes;
  }
  const std::int64_t warps = std::min(wanted / lanes, warps_ / warp_stride_);
  if (warps > 1) {
    digits.push_back({warps, Place::warp, warp_stride_});
    warp_stride_ *= warps;
  }
  return digits;
}

Spread spread(std::int64_t fast, std::int64_t slow, std::int64_t vec, int lanes, int warps) {
  ThreadPool pool(lanes, warps);
  Spread result{{{vec, Place::reg, 1}}, {}};
  for (const Digit& digit : pool.take(fast / vec)) result.fast.push_back(digit);
  result.slow = pool.take(std::min(slow, pool.left()));
  const std::int64_t fast_left = fast / extent(result.fast), slow_left = slow / extent(result.slow);
  if (fast_left > 1) result.fast.push_back({fast_left, Place::reg, vec});
  if (slow_left > 1) result.slow.push_back({slow_left, Place::reg, vec * fast_left});
  return result;
}

std::int64_t ceil_power_of_two(std::int64_t n) {
  return n <= 1 ? 1 : static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
}

}  // namespace quern::compiler
