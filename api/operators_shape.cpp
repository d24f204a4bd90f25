// Operators that move elements: transpose, reshape, slice, pad, concat.

#include <algorithm>
#include <limits>
#include <utility>

#include "api/expr.h"
#include "api/operators.h"
#include "base/error.h"

namespace quern {
namespace {

using api::axes_over;
using api::common_state;
using api::define;
using api::described;
using api::dimension;
using api::indices_of;
using api::is_number;
using api::provably_equal;
using api::simplified;

// Runs of dimensions of the old and the new shape that hold the same elements.
struct Run {
  std::size_t old_begin = 0, old_end = 0;
  std::size_t new_begin = 0, new_end = 0;
};

std::string text_of(const std::vector<Dim>& shape) {
  std::string text = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) text += (d == 0 ? "" : ", ") + shape[d].text();
  return text + "]";
}

[[noreturn]] void fail_reshape(const Tensor& x, const std::vector<Dim>& shape) {
  fail("reshape: {} does not become {}; the element counts differ, or a size that is no number has no partner",
       described(x), text_of(shape));
}

// Pairs equal sizes one by one and numbers by their products.
std::vector<Run> pair_dimensions(const Tensor& x, const std::vector<Dim>& shape) {
  const std::vector<Dim>& old = x.shape();
  std::vector<Run> runs;
  std::size_t i = 0;
  std::size_t j = 0;
  const auto number = [&](const std::vector<Dim>& sizes, std::size_t d) -> std::int64_t {
    if (d >= sizes.size() || !sizes[d].as_integer()) fail_reshape(x, shape);
    return *sizes[d].as_integer();
  };
  while (i < old.size() || j < shape.size()) {
    Run run{i, i, j, j};
    if (i < old.size() && j < shape.size() && provably_equal(old[i], shape[j])) {
      ++i;
      ++j;
    } else if (i < old.size() && is_number(old[i], 1)) {
      ++i;
    } else if (j < shape.size() && is_number(shape[j], 1)) {
      ++j;
    } else {
      std::int64_t a = number(old, i++);
      std::int64_t b = number(shape, j++);
      while (a != b) a < b ? a *= number(old, i++) : b *= number(shape, j++);
    }
    run.old_end = i;
    run.new_end = j;
    runs.push_back(run);
  }
  return runs;
}

// The shape with -1 replaced by what is left of the element count.
std::vector<Dim> completed(const Tensor& x, std::vector<Dim> shape) {
  const auto unknown = [](const Dim& size) { return is_number(size, -1); };
  const auto hole = std::find_if(shape.begin(), shape.end(), unknown);
  if (hole == shape.end()) return shape;
  if (std::count_if(shape.begin(), shape.end(), unknown) > 1) {
    fail("reshape: {} has more than one -1; one size follows from the others", text_of(shape));
  }
  // Sizes that stand on both sides cancel.
  std::vector<Dim> left = x.shape();
  std::int64_t divisor = 1;
  for (const Dim& size : shape) {
    if (unknown(size)) continue;
    const auto partner = std::find_if(left.begin(), left.end(), [&](const Dim& d) { return provably_equal(d, size); });
    if (partner != left.end()) {
      left.erase(partner);
    } else if (size.as_integer()) {
      divisor *= *size.as_integer();
    } else {
      fail_reshape(x, shape);
    }
  }
  Dim rest = 1;
  for (const Dim& size : left) rest = simplified(rest * size);
  if (divisor == 0 || !is_number(simplified(rest % divisor), 0)) fail_reshape(x, shape);
  *hole = simplified(floor_div(rest, divisor));
  return shape;
}

std::int64_t number_of(const Dim& size) { return *size.as_integer(); }

// The indices of the old dimensions of a run, from those of the new.
void place(const Run& run, const std::vector<Dim>& old, const std::vector<Dim>& shape, const std::vector<Expr>& index,
           std::vector<Expr>& places) {
  const std::size_t from = run.new_end - run.new_begin;
  const std::size_t to = run.old_end - run.old_begin;
  if (to == 0) return;
  if (from == 0) {
    places.emplace_back(0);
    return;
  }
  if (from == 1 && to == 1) {
    places.push_back(index[run.new_begin]);
    return;
  }
  Expr flat = index[run.new_begin];
  for (std::size_t d = run.new_begin + 1; d < run.new_end; ++d) flat = flat * number_of(shape[d]) + index[d];
  std::int64_t stride = 1;
  for (std::size_t d = run.old_begin + 1; d < run.old_end; ++d) stride *= number_of(old[d]);
  for (std::size_t d = run.old_begin; d < run.old_end; ++d) {
    const Expr digit = stride == 1 ? flat : floor_div(flat, stride);
    places.push_back(d == run.old_begin ? digit : digit % number_of(old[d]));
    if (d + 1 < run.old_end) stride /= number_of(old[d + 1]);
  }
}

bool is_empty(const Tensor& x) {
  return std::any_of(x.shape().begin(), x.shape().end(), [](const Dim& size) { return is_number(size, 0); });
}

// begin and extent of one dimension of a slice.
struct Cut {
  Dim begin = 0;
  Dim extent = 0;
};

Cut cut(const Tensor& x, std::size_t d, const SliceRange& range) {
  const Dim& size = x.shape()[d];
  if (range.step == 0) fail("slice: the step of dimension {} of {} is 0", d, described(x));
  if (range.step == std::numeric_limits<std::int64_t>::min()) {
    fail("slice: the step of dimension {} of {} is {}, whose opposite is no i64", d, described(x), range.step);
  }
  const bool forward = range.step > 0;
  const Dim begin = range.begin.value_or(forward ? Dim(0) : simplified(size - 1));
  const Dim end = range.end.value_or(forward ? size : Dim(-1));
  const std::int64_t step = forward ? range.step : -range.step;
  const Dim length = simplified(forward ? end - begin : begin - end);
  const Dim extent = step == 1 ? length : simplified(floor_div(length + (step - 1), step));
  if (extent.as_integer() && *extent.as_integer() < 0) {
    fail("slice: dimension {} of {} from {} to {} by {} holds nothing; its end lies before its begin", d, described(x),
         begin.text(), end.text(), range.step);
  }
  return {begin, extent};
}

}  // namespace

Tensor transpose(const Tensor& x, std::vector<int> order, const std::string& name) {
  const auto rank = static_cast<std::size_t>(x.rank());
  if (order.empty()) {
    for (std::size_t d = rank; d-- > 0;) order.push_back(static_cast<int>(d));
  }
  if (order.size() != rank) {
    fail("transpose: an order of {} dimensions for {}", order.size(), described(x));
  }
  const std::vector<Axis> old = axes_over(x.shape());
  std::vector<Axis> axes;
  std::vector<bool> taken(rank, false);
  for (const int axis : order) {
    const std::size_t d = dimension(axis, x.rank(), described(x));
    if (taken[d]) fail("transpose: dimension {} of {} is taken twice", axis, described(x));
    taken[d] = true;
    axes.push_back(old[d]);
  }
  return define(x.state(), name, axes, x.at(indices_of(old)));
}

Tensor reshape(const Tensor& x, const std::vector<Dim>& shape, const std::string& name) {
  const std::vector<Dim> full = completed(x, shape);
  const std::vector<Axis> axes = axes_over(full);
  const std::vector<Expr> index = indices_of(axes);
  std::vector<Expr> places;
  if (is_empty(x)) {
    if (std::none_of(full.begin(), full.end(), [](const Dim& size) { return is_number(size, 0); })) {
      fail_reshape(x, full);
    }
    places.assign(x.shape().size(), Expr(0));
    return define(x.state(), name, axes, x.at(places).or_else(cast(x.dtype(), Expr(0))));
  }
  for (const Run& run : pair_dimensions(x, full)) place(run, x.shape(), full, index, places);
  return define(x.state(), name, axes, x.at(places));
}

Tensor slice(const Tensor& x, const std::vector<SliceRange>& ranges, const std::string& name) {
  if (ranges.size() != x.shape().size()) {
    fail("slice: {} ranges for {}; there is one per dimension", ranges.size(), described(x));
  }
  std::vector<Cut> cuts;
  std::vector<Dim> shape;
  for (std::size_t d = 0; d < ranges.size(); ++d) {
    cuts.push_back(cut(x, d, ranges[d]));
    shape.push_back(cuts.back().extent);
  }
  const std::vector<Axis> axes = axes_over(shape);
  std::vector<Expr> places;
  for (std::size_t d = 0; d < ranges.size(); ++d) {
    const std::int64_t step = ranges[d].step;
    const Expr& begin = cuts[d].begin;
    const Expr steps = step == 1 || step == -1 ? Expr(axes[d]) : axes[d] * (step > 0 ? step : -step);
    if (step < 0) {
      places.push_back(begin - steps);
    } else {
      places.push_back(is_number(begin, 0) ? steps : steps + begin);
    }
  }
  return define(x.state(), name, axes, x.at(places));
}

Tensor pad(const Tensor& x, const std::vector<Dim>& before, const std::vector<Dim>& after, const Expr& value,
           const std::string& name) {
  const std::vector<Dim>& old = x.shape();
  if (before.size() != old.size() || after.size() != old.size()) {
    fail("pad: {} sizes before and {} after for {}; there is one per dimension", before.size(), after.size(),
         described(x));
  }
  std::vector<Dim> shape;
  shape.reserve(old.size());
  for (std::size_t d = 0; d < old.size(); ++d) shape.push_back(simplified(before[d] + old[d] + after[d]));
  const std::vector<Axis> axes = axes_over(shape);
  std::vector<Expr> places;
  places.reserve(old.size());
  for (std::size_t d = 0; d < old.size(); ++d) {
    places.push_back(is_number(before[d], 0) ? Expr(axes[d]) : axes[d] - before[d]);
  }
  return define(x.state(), name, axes, x.at(places).or_else(value));
}

Tensor concat(const std::vector<Tensor>& parts, int axis, const std::string& name) {
  const auto& state = common_state(parts);
  const Tensor& first = parts[0];
  const std::size_t along = dimension(axis, first.rank(), described(first));
  std::vector<Dim> begins;
  Dim total = 0;
  for (const Tensor& part : parts) {
    bool fits = part.rank() == first.rank() && part.dtype() == first.dtype();
    for (std::size_t d = 0; fits && d < part.shape().size(); ++d) {
      fits = d == along || provably_equal(part.shape()[d], first.shape()[d]);
    }
    if (!fits) fail("concat: {} does not continue {} along dimension {}", described(part), described(first), along);
    begins.push_back(total);
    total = simplified(total + part.shape()[along]);
  }
  std::vector<Dim> shape = first.shape();
  shape[along] = total;
  const std::vector<Axis> axes = axes_over(shape);
  const auto element = [&](std::size_t t) -> Expr {
    std::vector<Expr> index = indices_of(axes);
    if (t > 0) index[along] = axes[along] - begins[t];
    return parts[t].at(index);
  };
  Expr value = element(parts.size() - 1);
  for (std::size_t t = parts.size() - 1; t-- > 0;) value = select(axes[along] < begins[t + 1], element(t), value);
  return define(state, name, axes, value);
}

}  // namespace quern
