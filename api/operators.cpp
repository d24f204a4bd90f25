#include "api/operators.h"

#include <algorithm>

#include "api/expr.h"
#include "base/error.h"
#include "ir/bind.h"
#include "ir/simplify.h"

namespace quern::api {

DType compute_dtype(DType dtype) { return is_float(dtype) && byte_size(dtype) < 4 ? DType::f32 : dtype; }

DType sum_dtype(DType dtype) { return is_integer(dtype) && byte_size(dtype) < 4 ? DType::i32 : compute_dtype(dtype); }

Expr widened(const Expr& read) { return cast(compute_dtype(read.dtype()), read); }

Dim simplified(const Dim& size) {
  bool wraps = false;
  ir::exact_size(unwrap(size), wraps);
  if (wraps) fail("the size {} leaves 64 bits; use smaller sizes", size.text());
  return wrap(ir::simplify(unwrap(size)));
}

bool provably_equal(const Dim& a, const Dim& b) {
  return ir::prove(ir::equals(unwrap(a), unwrap(b)), ir::Assumptions()) == true;
}

bool is_number(const Dim& size, std::int64_t value) { return size.as_integer() == value; }

std::vector<Axis> axes_over(const std::vector<Dim>& shape) {
  constexpr std::string_view kLetters = "ijkl";
  std::vector<Axis> axes;
  axes.reserve(shape.size());
  for (std::size_t d = 0; d < shape.size(); ++d) {
    axes.emplace_back(d < kLetters.size() ? std::string(1, kLetters[d]) : fmt::format("i{}", d), shape[d]);
  }
  return axes;
}

std::vector<Expr> indices_of(const std::vector<Axis>& axes) { return {axes.begin(), axes.end()}; }

std::vector<Dim> broadcast(const std::vector<std::vector<Dim>>& shapes, const std::string& what) {
  std::size_t rank = 0;
  for (const auto& shape : shapes) rank = std::max(rank, shape.size());
  std::vector<Dim> result(rank, Dim(1));
  for (const auto& shape : shapes) {
    for (std::size_t d = 0; d < shape.size(); ++d) {
      Dim& size = result[rank - shape.size() + d];
      if (is_number(shape[d], 1) || provably_equal(shape[d], size)) continue;
      if (!is_number(size, 1)) {
        fail("{} do not broadcast: {} meets {}; sizes agree or one of them is 1", what, size.text(), shape[d].text());
      }
      size = shape[d];
    }
  }
  return result;
}

std::vector<Expr> broadcast_index(const std::vector<Dim>& shape, const std::vector<Expr>& index) {
  std::vector<Expr> place;
  place.reserve(shape.size());
  for (std::size_t d = 0; d < shape.size(); ++d) {
    place.push_back(is_number(shape[d], 1) ? Expr(0) : index[index.size() - shape.size() + d]);
  }
  return place;
}

const std::shared_ptr<BuilderState>& common_state(const std::vector<Tensor>& tensors) {
  if (tensors.empty()) fail("an operator needs at least one tensor");
  for (const Tensor& tensor : tensors) {
    if (tensor.state() != tensors[0].state()) {
      fail("{} and {} belong to different builders, {} and {}", tensors[0].name(), tensor.name(),
           tensors[0].state()->name, tensor.state()->name);
    }
  }
  return tensors[0].state();
}

std::size_t dimension(int axis, int rank, const std::string& what) {
  if (axis < -rank || axis >= rank) {
    fail("{} has no dimension {}; it has {}, from {} to {}", what, axis, rank, -rank, rank - 1);
  }
  return static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
}

std::string described(const Tensor& tensor) { return tensor.name() + " " + type_of(tensor); }

}  // namespace quern::api
