#pragma once
// Named operators over the tensors of a ProgramBuilder. Each adds ordinary definitions to the program and returns what
// they compute; there are no operator nodes, and what follows fuses where it can.
//
// Elements of f16, bf16 and f8 are computed in f32, 8- and 16-bit integers that are summed in i32, and rounded once at
// the end. `dtype` is that of the result; absent, it is the first operand's, or i32 for sums of narrower integers.
// Sums, quotients and functions of floats take f64 where the operands are f64. Shapes that don't fit throw Error with
// both shapes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quern/builder.h"
#include "quern/dtype.h"
#include "quern/export.h"
#include "quern/expr.h"

namespace quern {

// `function` of the operands' elements, broadcast as NumPy does: shapes are aligned at their last dimensions, and a
// dimension of 1 meets any. The function gets one expression per operand, in f32 where the operand is a narrower float.
QUERN_API Tensor elementwise(const std::vector<Tensor>& operands,
                             const std::function<Expr(const std::vector<Expr>&)>& function,
                             std::optional<DType> dtype = std::nullopt, const std::string& name = "y");

// The scalar function of that name ("add", "gelu") of the operands' elements, broadcast.
QUERN_API Tensor elementwise(std::string_view function, const std::vector<Tensor>& operands,
                             std::optional<DType> dtype = std::nullopt, const std::string& name = "y");

// What becomes of a product before it is rounded: `epilogue` gets the sum and the indices of the result.
using Epilogue = std::function<Expr(const Expr& sum, const std::vector<Expr>& index)>;

struct ProductOptions {
  std::optional<DType> dtype = {};
  Grade grade = Grade::exact;
  Order order = Order::any;
  Epilogue epilogue = {};  // absent: the sum itself
  std::string name = "y";
};

// How a matrix operand's two last dimensions are written: row is [rows, columns], col its transposition.
enum class MatrixLayout : std::uint8_t { row, col };

struct MatmulOptions {
  MatrixLayout a = MatrixLayout::row;  // [m, k], or [k, m]
  MatrixLayout b = MatrixLayout::row;  // [k, n], or [n, k]
  ProductOptions product = {};
};

// y[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]; leading dimensions are batches, broadcast as NumPy does. An
// operand of one dimension is a vector: the result lacks its m or n.
QUERN_API Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options = {});

// Einstein's summation as NumPy writes it: "bij,bjk->bik"; letters that the result lacks are summed over, a letter
// repeated in one operand is its diagonal. Without "->" the result has the letters that occur once, in order. No
// ellipsis.
QUERN_API Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands,
                        const ProductOptions& options = {});

// nchw: x [n, c, h, w], f [k, c / groups, r, s], y [n, k, p, q]; nhwc: x [n, h, w, c], f [k, r, s, c / groups],
// y [n, p, q, k].
enum class ImageLayout : std::uint8_t { nchw, nhwc };

struct Conv2dOptions {
  std::array<std::int64_t, 2> stride = {1, 1};         // rows, columns
  std::array<std::int64_t, 4> padding = {0, 0, 0, 0};  // elements of value 0: top, bottom, left, right
  std::array<std::int64_t, 2> dilation = {1, 1};
  std::int64_t groups = 1;
  ImageLayout layout = ImageLayout::nchw;
  ProductOptions product = {};
};

// The cross-correlation of images with filters.
QUERN_API Tensor conv2d(const Tensor& x, const Tensor& f, const Conv2dOptions& options = {});

struct AxesOptions {
  std::vector<int> axes = {};  // dimensions, negative from the end; empty: all of them
  bool keepdims = false;       // reduced dimensions stay, of size 1
  std::optional<DType> dtype = {};
  Order order = Order::any;
  std::string name = "y";
};

// The reducer of that name over some dimensions: "sum", "max", "argmax" (i64), "welford" (population variance), and
// "mean".
QUERN_API Tensor reduce(std::string_view reducer, const Tensor& x, const AxesOptions& options = {});

// exp(x - max) / sum(exp(x - max)) along one dimension.
QUERN_API Tensor softmax(const Tensor& x, int axis = -1, std::optional<DType> dtype = std::nullopt,
                         const std::string& name = "y");

struct AttentionOptions {
  bool causal = false;               // query i sees the keys j <= i
  std::optional<double> scale = {};  // of the scores; absent: 1 / sqrt(d)
  std::string name = "y";
};

// softmax(scale * q k^T) v for q [..., i, d], k [..., j, d], v [..., j, e] of one float dtype, which is the result's
// [..., i, e] too. Scores and sums are of f32; the softmax's numerators are rounded to the dtype before they meet v.
QUERN_API Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});

struct NormOptions {
  double epsilon = 1e-5;
  std::optional<Tensor> weight = {};  // [d], d the last dimension: multiplied in after the division
  std::optional<Tensor> bias = {};    // [d]: added last (layer_norm alone)
  std::optional<DType> dtype = {};
  std::string name = "y";
};

// (x - mean) / sqrt(variance + epsilon) over the last dimension; the variance is the population's.
QUERN_API Tensor layer_norm(const Tensor& x, const NormOptions& options = {});

// x / sqrt(mean of squares + epsilon) over the last dimension.
QUERN_API Tensor rms_norm(const Tensor& x, const NormOptions& options = {});

// y[..., i, ...] = x with its dimensions permuted: dimension d of y is dimension order[d] of x; empty: reversed.
QUERN_API Tensor transpose(const Tensor& x, std::vector<int> order = {}, const std::string& name = "y");

// The same elements, in row-major order, under another shape. One size may be -1: what is left. Sizes that are not
// numbers must agree one by one.
QUERN_API Tensor reshape(const Tensor& x, const std::vector<Dim>& shape, const std::string& name = "y");

// Elements begin, begin + step, ... before end of one dimension; steps may be negative. An absent begin is the first
// element in the step's direction, an absent end lies behind the last.
struct SliceRange {
  std::optional<Dim> begin = {};
  std::optional<Dim> end = {};
  std::int64_t step = 1;
};
QUERN_API Tensor slice(const Tensor& x, const std::vector<SliceRange>& ranges, const std::string& name = "y");

// `value` around the tensor: before[d] elements ahead of dimension d, after[d] behind it.
QUERN_API Tensor pad(const Tensor& x, const std::vector<Dim>& before, const std::vector<Dim>& after,
                     const Expr& value = 0, const std::string& name = "y");

// The tensors one after the other along `axis`; their other dimensions agree.
QUERN_API Tensor concat(const std::vector<Tensor>& parts, int axis, const std::string& name = "y");

}  // namespace quern
