#pragma once
// Kernels that compute scalar functions and conversions elementwise, for the tests of generated CUDA C.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/kernel.h"
#include "tests/codegen/function_values.h"

namespace quern::codegen::test {

// One result y[i] = value(x0[i], x1[i], ...), i below the operands' size.
struct Computation {
  std::vector<Elements> operands;
  DType result;
  std::function<ir::Expr(std::span<const ir::Expr>)> value;
  std::function<std::string(const Elements& got, std::size_t i)> deviation;  // empty: right
};

// Every row of the function table that takes `dtype`; one in `step` of a whole test's values.
std::vector<Computation> functions_of(DType dtype, std::size_t step);

// From `dtype` to every other one.
std::vector<Computation> conversions_of(DType dtype, std::size_t step);

// A kernel that does them all. Its parameters: each computation's operands, then its result; it has no symbols.
ir::Kernel kernel_of(std::span<const Computation> computations);

}  // namespace quern::codegen::test
