#pragma once
// What functions and conversions are tested with, whatever runs them: values of every dtype, and whether a result is
// within its row's bound.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ir/scalar.h"
#include "ir/scalar_functions.h"

namespace quern::codegen {

// Elements as bytes in memory.
struct Elements {
  DType dtype;
  std::vector<std::byte> bytes;

  explicit Elements(DType type) : dtype(type) {}
  std::size_t size() const { return bytes.size() / static_cast<std::size_t>(byte_size(dtype)); }
  void push(ir::Scalar value);
  ir::Scalar at(std::size_t i) const;
};

// Values of a dtype: every one where there are at most 2^16, else special ones and `count` seeded ones of all sizes.
Elements samples(DType dtype, std::size_t count, std::uint64_t seed);

// The elements 0, step, 2 * step, ...
Elements every(std::size_t step, const Elements& elements);

// Operands on which to test a row in a dtype, as many as its arity: one in `step` of the values of a whole test.
std::vector<Elements> operands_of(const ir::ScalarFunction& row, DType dtype, std::size_t step);

// The dtype of the row's result; nothing where it does not take the dtype.
std::optional<DType> result_of(const ir::ScalarFunction& row, DType dtype);

// Empty where element `i` of `got` is what the row gives for element `i` of its operands, within the row's bound; else
// what was wrong.
std::string deviation(const ir::ScalarFunction& row, const std::vector<Elements>& operands, const Elements& got,
                      std::size_t i);

// The same for a conversion, which is exact.
std::string deviation(const Elements& from, const Elements& got, std::size_t i);

// "0.5 (0x1p-1)", "-3".
std::string text_of(DType dtype, ir::Scalar value);

}  // namespace quern::codegen
