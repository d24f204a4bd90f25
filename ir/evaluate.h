#pragma once
// The reference evaluator of tensor programs: plain loops over what the definitions say, sums in double. It is the
// oracle of every other way to run a program.
//
// Casts round as written. Every operation of floats is computed in double and rounded to its dtype. Reductions in a
// float accumulator run in double, in row-major order, and are rounded once, to the result's dtype; integer ones wrap
// in their accumulator. Elements of intermediates and of reductions inside expressions are computed when first asked
// for and kept, so that one element of a softmax costs its row, and the row once.

#include <cstdint>
#include <span>
#include <vector>

#include "ir/scalar_functions.h"
#include "ir/tensor.h"

namespace quern::ir {

// A tensor in host memory. Strides are in elements, may be 0 or negative for inputs; empty: dense.
struct HostTensor {
  DType dtype{};
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  void* data = nullptr;
};

using Coordinate = std::vector<std::int64_t>;

// Computes all outputs. `symbols` are the values of program.symbols, `inputs` and `outputs` stand as in the program.
// Outputs may be the memory of the inputs that they update. Throws Error where a read without a fill leaves its tensor
// and where a tensor's dtype or shape is not the program's; the program must have no extern. Thread-safe.
void evaluate(const Program& program, std::span<const std::int64_t> symbols, std::span<const HostTensor> inputs,
              std::span<const HostTensor> outputs);

// The chosen elements of one output, by its position in program.outputs.
std::vector<Scalar> evaluate_elements(const Program& program, std::span<const std::int64_t> symbols,
                                      std::span<const HostTensor> inputs, std::size_t output,
                                      std::span<const Coordinate> coordinates);

// The value of a scalar expression that reads no definitions, at values of its free variables.
Scalar evaluate_scalar(const Expr& e, std::span<const std::pair<VarRef, Scalar>> variables,
                       std::span<const std::pair<TensorRef, HostTensor>> tensors = {});

}  // namespace quern::ir
