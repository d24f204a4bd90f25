#pragma once
// What the named operators share.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/builder.h"
#include "quern/operators.h"

namespace quern::api {

// The dtype in which functions of `dtype` are computed, and sums of it are formed.
DType compute_dtype(DType dtype);
DType sum_dtype(DType dtype);

// `read` in the dtype in which it is computed.
Expr widened(const Expr& read);

// Simplified, as sizes print and compare best. Error where a part of it leaves 64 bits.
Dim simplified(const Dim& size);

bool provably_equal(const Dim& a, const Dim& b);
bool is_number(const Dim& size, std::int64_t value);

// Axes of the shape, named i, j, k, l, ...
std::vector<Axis> axes_over(const std::vector<Dim>& shape);
std::vector<Expr> indices_of(const std::vector<Axis>& axes);

// The shape that all of `shapes` broadcast to, as NumPy does; `what` names them in the error.
std::vector<Dim> broadcast(const std::vector<std::vector<Dim>>& shapes, const std::string& what);

// The place in a tensor of `shape` that meets `index` of the broadcast shape, aligned at the last dimension.
std::vector<Expr> broadcast_index(const std::vector<Dim>& shape, const std::vector<Expr>& index);

// The state that all the tensors share. Error where two belong to different builders.
const std::shared_ptr<BuilderState>& common_state(const std::vector<Tensor>& tensors);

// Dimension `axis` of `rank`, negative from the end. Error outside; `what` names the tensor.
std::size_t dimension(int axis, int rank, const std::string& what);

// "x f32[3, 4]"
std::string described(const Tensor& tensor);

}  // namespace quern::api
