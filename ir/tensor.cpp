#include "ir/tensor.h"

#include <algorithm>
#include <utility>

namespace quern::ir {

TensorRef make_tensor(std::string name, DType dtype, std::vector<Expr> shape, std::vector<Expr> strides,
                      bool constant) {
  auto tensor = std::make_shared<Tensor>();
  tensor->name = std::move(name);
  tensor->dtype = dtype;
  tensor->shape = std::move(shape);
  tensor->strides = std::move(strides);
  tensor->constant = constant;
  return tensor;
}

std::vector<Expr> element_strides(const Tensor& tensor) {
  if (!tensor.strides.empty()) return tensor.strides;
  std::vector<Expr> strides(tensor.rank());
  Expr stride = 1;
  for (std::size_t d = tensor.rank(); d-- > 0;) {
    strides[d] = stride;
    const auto extent = as_integer(tensor.shape[d]);
    const auto so_far = as_integer(stride);
    if (extent && so_far) {
      stride = Expr(*so_far * std::max<std::int64_t>(*extent, 1));
    } else {
      stride = is_integer(stride, 1) ? tensor.shape[d] : stride * tensor.shape[d];
    }
  }
  return strides;
}

Expr element_count(const Tensor& tensor) {
  Expr count = 1;
  for (const Expr& extent : tensor.shape) {
    const auto a = as_integer(count);
    const auto b = as_integer(extent);
    count = a && b ? Expr(*a * *b) : is_integer(count, 1) ? extent : count * extent;
  }
  return count;
}

bool is_input(const Program& program, const Tensor& tensor) {
  return std::any_of(program.inputs.begin(), program.inputs.end(),
                     [&](const TensorRef& input) { return input.get() == &tensor; });
}

bool is_output(const Program& program, const Tensor& tensor) {
  return std::any_of(program.outputs.begin(), program.outputs.end(),
                     [&](const Output& output) { return output.tensor.get() == &tensor; });
}

const Extern* extern_of(const Program& program, const Tensor& tensor) {
  for (const Extern& external : program.externs) {
    for (const TensorRef& written : external.writes) {
      if (written.get() == &tensor) return &external;
    }
  }
  return nullptr;
}

const Definition* definition_of(const Program& program, const Tensor& tensor) {
  const auto it = std::find_if(program.definitions.begin(), program.definitions.end(),
                               [&](const Definition& definition) { return definition.tensor.get() == &tensor; });
  return it == program.definitions.end() ? nullptr : &*it;
}

std::vector<TensorRef> arguments(const Program& program) {
  std::vector<TensorRef> all = program.inputs;
  for (const Output& output : program.outputs) all.push_back(output.tensor);
  return all;
}

}  // namespace quern::ir
