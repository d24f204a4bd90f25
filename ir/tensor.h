#pragma once
// Tensor programs: what to compute. One definition form, an output tensor over named axes whose element is a scalar
// expression (ir/expr.h) that may read tensors and reduce over further axes. The only other form is Extern. matmul,
// convolution, softmax are builders of such definitions; structure is recovered by analysis. Values: copy freely.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ir/expr.h"

namespace quern::ir {

// A tensor's name hint, element type, shape and strides (in elements; empty: dense, last axis fastest). Dimensions
// and strides are integer expressions over symbols. Identity is the address. Kernel programs derive Buffer from it.
struct Tensor {
  std::string name;
  DType dtype{};
  std::vector<Expr> shape;
  std::vector<Expr> strides;
  bool constant = false;  // an input with the same contents over calls: may be repacked once

  virtual ~Tensor() = default;
  std::size_t rank() const { return shape.size(); }
};

TensorRef make_tensor(std::string name, DType dtype, std::vector<Expr> shape, std::vector<Expr> strides = {},
                      bool constant = false);

// The strides in elements, written or dense (an extent of 0 counts as 1).
std::vector<Expr> element_strides(const Tensor& tensor);
Expr element_count(const Tensor& tensor);

// tensor[axes] = value, for every point of the axes' ranges, which together cover the tensor.
struct Definition {
  TensorRef tensor;
  std::vector<Axis> axes;
  Expr value;
};

// A user's own CUDA kernel with declared reads and writes.
struct Extern {
  std::string name;
  std::vector<TensorRef> reads;
  std::vector<TensorRef> writes;
  std::string cuda;  // source text
};

struct Output {
  TensorRef tensor;
  TensorRef updates;  // the input whose contents the output starts as, in place; absent otherwise
};

// What kernels may specialise on.
struct Fact {
  enum class Kind : std::uint8_t { condition, aligned, nondecreasing, range, exact };
  Kind kind{};
  Expr condition;    // condition over symbols
  TensorRef tensor;  // aligned (to `bytes`), nondecreasing, range of the tensor's integer elements
  VarRef symbol;     // range of a symbol
  std::int64_t bytes = 0;
  Expr lo, hi;  // range: lo..hi, half open
};

struct Program {
  std::string name;
  std::vector<VarRef> symbols;  // in the order of their first use
  std::vector<TensorRef> inputs;
  std::vector<Output> outputs;
  std::vector<Fact> facts;
  std::vector<Definition> definitions;  // in an order in which each reads only inputs and earlier ones
  std::vector<Extern> externs;
};

bool is_input(const Program& program, const Tensor& tensor);
bool is_output(const Program& program, const Tensor& tensor);
const Definition* definition_of(const Program& program, const Tensor& tensor);  // null for inputs
const Extern* extern_of(const Program& program, const Tensor& tensor);          // that writes it, or null

// All arguments in the order of launching: inputs, then outputs.
std::vector<TensorRef> arguments(const Program& program);

}  // namespace quern::ir
