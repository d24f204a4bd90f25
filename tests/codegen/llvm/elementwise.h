#pragma once
// Runs y[i] = f(x0[i], x1[i], ...) as a CPU kernel over arrays of values of any dtype.

#include <functional>
#include <span>
#include <vector>

#include "base/target.h"
#include "ir/expr.h"

namespace quern::codegen {

using Formula = std::function<ir::Expr(std::span<const ir::Expr>)>;

// Elements as bytes in memory.
struct Elements {
  DType dtype;
  std::vector<std::byte> bytes;

  explicit Elements(DType type) : dtype(type) {}
  std::size_t size() const { return bytes.size() / static_cast<std::size_t>(byte_size(dtype)); }
  void push(ir::Scalar value);
  ir::Scalar at(std::size_t i) const;
};

// f of as many elements as each operand has. `uniform`: each element is computed as a scalar that all lanes share.
Elements run_elementwise(const Target& target, const Formula& f, std::span<const Elements> operands,
                         bool uniform = false);

// Values of a dtype: every one where there are at most 2^16, else special ones and `count` seeded ones of all sizes.
Elements samples(DType dtype, std::size_t count, std::uint64_t seed);

// The elements 0, step, 2 * step, ...
Elements every(std::size_t step, const Elements& elements);

}  // namespace quern::codegen
