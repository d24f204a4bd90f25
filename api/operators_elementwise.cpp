// Elementwise functions, reductions, softmax and norms.

#include <algorithm>
#include <utility>

#include "api/expr.h"
#include "api/operators.h"
#include "base/error.h"

namespace quern {
namespace {

using api::axes_over;
using api::broadcast;
using api::broadcast_index;
using api::common_state;
using api::compute_dtype;
using api::define;
using api::dimension;
using api::indices_of;
using api::provably_equal;
using api::simplified;
using api::sum_dtype;
using api::widened;

std::string described(const std::vector<Tensor>& tensors) {
  std::string text;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    text += t == 0 ? "" : t + 1 == tensors.size() ? " and " : ", ";
    text += api::described(tensors[t]);
  }
  return text;
}

// The number of elements along the axes, in a float dtype.
Expr count_of(const std::vector<Axis>& axes, DType dtype) {
  Dim count = 1;
  for (const Axis& axis : axes) count = simplified(count * axis.hi());
  return cast(dtype, count);
}

// A number divides and multiplies by itself, a size by its cast.
Expr mean_over(const std::vector<Axis>& axes, const Expr& element, const ReduceOptions& options) {
  const std::optional<std::int64_t> count = count_of(axes, DType::i64).as_integer();
  const Expr total = sum(axes, element, options);
  return count ? total / Expr(*count) : total / count_of(axes, element.dtype());
}

// An element in the dtype in which it is reduced; order and logic need no wider one than it has.
Expr reducible(std::string_view reducer, const Expr& element) {
  const DType dtype = element.dtype();
  if (reducer == "mean") return cast(is_float(dtype) ? compute_dtype(dtype) : DType::f32, element);
  if (reducer == "sum" || reducer == "prod") return cast(sum_dtype(dtype), element);
  return reducer == "logsumexp" || reducer == "welford" ? widened(element) : element;
}

void check_last(const Tensor& x, const std::optional<Tensor>& vector, std::string_view what) {
  if (!vector) return;
  if (vector->rank() != 1 || !provably_equal(vector->shape()[0], x.shape().back())) {
    fail("the {} {} does not fit the last dimension of {}", what, api::described(*vector), api::described(x));
  }
}

// The axes of a tensor of rows: those of the rows, then that within one.
struct Rows {
  std::vector<Axis> outer;
  Axis inner;
  // An axis over the same elements, for another reduction of them.
  Axis again() const { return {inner.name(), inner.hi()}; }
};

Rows rows_of(const Tensor& x, std::string_view what) {
  if (x.rank() == 0) fail("{} works along the last dimension; {} has none", what, api::described(x));
  std::vector<Axis> axes = axes_over(x.shape());
  const Axis inner = axes.back();
  axes.pop_back();
  return {std::move(axes), inner};
}

// The axes of `rows` made anew, for a definition of its own.
Rows fresh(const Rows& rows) {
  std::vector<Axis> outer;
  outer.reserve(rows.outer.size());
  for (const Axis& axis : rows.outer) outer.emplace_back(axis.name(), axis.hi());
  return {std::move(outer), rows.again()};
}

std::vector<Axis> all(const Rows& rows) {
  std::vector<Axis> axes = rows.outer;
  axes.push_back(rows.inner);
  return axes;
}

// centred * scale, weighted and shifted where asked for, as y.
Tensor normalized(const Tensor& x, const NormOptions& options, const Rows& rows, const Expr& element) {
  Expr value = element;
  if (options.weight) value = value * cast(value.dtype(), (*options.weight)(rows.inner));
  if (options.bias) value = value + cast(value.dtype(), (*options.bias)(rows.inner));
  return define(x.state(), options.name, all(rows), cast(options.dtype.value_or(x.dtype()), value));
}

std::vector<Tensor> operands_of(const Tensor& x, const NormOptions& options) {
  std::vector<Tensor> tensors = {x};
  if (options.weight) tensors.push_back(*options.weight);
  if (options.bias) tensors.push_back(*options.bias);
  return tensors;
}

void check_norm(const Tensor& x, const NormOptions& options, std::string_view what) {
  common_state(operands_of(x, options));
  if (!is_float(x.dtype())) fail("{} takes floats; {} holds {}", what, x.name(), name(x.dtype()));
  check_last(x, options.weight, "weight");
  check_last(x, options.bias, "bias");
}

}  // namespace

Tensor elementwise(const std::vector<Tensor>& operands, const std::function<Expr(const std::vector<Expr>&)>& function,
                   std::optional<DType> dtype, const std::string& name) {
  const auto& state = common_state(operands);
  std::vector<std::vector<Dim>> shapes;
  shapes.reserve(operands.size());
  for (const Tensor& operand : operands) shapes.push_back(operand.shape());
  const std::vector<Axis> axes = axes_over(broadcast(shapes, described(operands)));
  std::vector<Expr> elements;
  elements.reserve(operands.size());
  for (const Tensor& operand : operands) {
    elements.push_back(widened(operand.at(broadcast_index(operand.shape(), indices_of(axes)))));
  }
  const Expr value = function(elements);
  // A function that leaves the operands' dtypes (a comparison) decides its own.
  const DType natural = value.dtype() == elements[0].dtype() ? operands[0].dtype() : value.dtype();
  return define(state, name, axes, cast(dtype.value_or(natural), value));
}

Tensor elementwise(std::string_view function, const std::vector<Tensor>& operands, std::optional<DType> dtype,
                   const std::string& name) {
  return elementwise(
      operands, [&](const std::vector<Expr>& elements) { return call(function, elements); }, dtype, name);
}

Tensor reduce(std::string_view reducer, const Tensor& x, const AxesOptions& options) {
  std::vector<bool> reduced(static_cast<std::size_t>(x.rank()), options.axes.empty());
  for (const int axis : options.axes) {
    const std::size_t d = dimension(axis, x.rank(), api::described(x));
    if (reduced[d]) fail("dimension {} of {} is reduced twice", axis, api::described(x));
    reduced[d] = true;
  }
  const std::vector<Axis> axes = axes_over(x.shape());
  std::vector<Axis> kept;
  std::vector<Axis> summed;
  for (std::size_t d = 0; d < axes.size(); ++d) {
    (reduced[d] ? summed : kept).push_back(axes[d]);
    if (reduced[d] && options.keepdims) kept.emplace_back(fmt::format("{}1", axes[d].name()), 1);
  }
  if (summed.empty()) fail("{} of {} reduces over no dimension", reducer, api::described(x));
  const Expr element = reducible(reducer, x.at(indices_of(axes)));
  const ReduceOptions contract{.order = options.order};
  const Expr value =
      reducer == "mean" ? mean_over(summed, element, contract) : reduce(reducer, summed, element, contract);
  const DType natural = is_float(value.dtype()) && is_float(x.dtype()) ? x.dtype() : value.dtype();
  return define(x.state(), options.name, kept, cast(options.dtype.value_or(natural), value));
}

Tensor softmax(const Tensor& x, int axis, std::optional<DType> dtype, const std::string& name) {
  if (!is_float(x.dtype())) fail("softmax takes floats; {} holds {}", x.name(), quern::name(x.dtype()));
  const std::size_t along = dimension(axis, x.rank(), api::described(x));
  // The place in x, or without `along` in what belongs to one row.
  const auto split = [&](const std::vector<Axis>& axes) {
    std::vector<Axis> outer = axes;
    outer.erase(outer.begin() + static_cast<std::ptrdiff_t>(along));
    return outer;
  };
  const auto& state = x.state();
  const std::vector<Axis> a = axes_over(x.shape());
  const Tensor largest = define(state, "largest", split(a), reduce("max", {a[along]}, widened(x.at(indices_of(a)))));
  const std::vector<Axis> b = axes_over(x.shape());
  const Tensor e = define(state, "e", b, exp(widened(x.at(indices_of(b))) - largest.at(indices_of(split(b)))));
  const std::vector<Axis> c = axes_over(x.shape());
  const Tensor total = define(state, "total", split(c), sum({c[along]}, e.at(indices_of(c))));
  const std::vector<Axis> d = axes_over(x.shape());
  return define(state, name, d, cast(dtype.value_or(x.dtype()), e.at(indices_of(d)) / total.at(indices_of(split(d)))));
}

Tensor layer_norm(const Tensor& x, const NormOptions& options) {
  check_norm(x, options, "layer_norm");
  const Rows a = rows_of(x, "layer_norm");
  const Tensor mean = define(x.state(), "mean", a.outer, mean_over({a.inner}, widened(x.at(indices_of(all(a)))), {}));
  const Rows b = fresh(a);
  const Tensor centred =
      define(x.state(), "centred", all(b), widened(x.at(indices_of(all(b)))) - mean.at(indices_of(b.outer)));
  const Rows c = fresh(a);
  const Read deviation = centred.at(indices_of(all(c)));
  const Tensor variance = define(x.state(), "variance", c.outer, mean_over({c.inner}, deviation * deviation, {}));
  const Rows d = fresh(a);
  const Expr scale = rsqrt(variance.at(indices_of(d.outer)) + options.epsilon);
  return normalized(x, options, d, centred.at(indices_of(all(d))) * scale);
}

Tensor rms_norm(const Tensor& x, const NormOptions& options) {
  if (options.bias) fail("rms_norm has no bias; add {} to its result", options.bias->name());
  check_norm(x, options, "rms_norm");
  const Rows a = rows_of(x, "rms_norm");
  const Expr element = widened(x.at(indices_of(all(a))));
  const Tensor squares = define(x.state(), "mean_square", a.outer, mean_over({a.inner}, element * element, {}));
  const Rows b = fresh(a);
  const Expr scale = rsqrt(squares.at(indices_of(b.outer)) + options.epsilon);
  return normalized(x, options, b, widened(x.at(indices_of(all(b)))) * scale);
}

}  // namespace quern
