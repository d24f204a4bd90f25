#pragma once
// Sizes of a program's tensors as numbers.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ir/scalar_functions.h"
#include "ir/tensor.h"
#include "quern/program.h"

namespace quern::api {

// The values of a program's symbols. Error for a symbol without one, or a negative dimension.
class SymbolValues {
 public:
  SymbolValues(const ir::Program& program, const Sizes& sizes);

  // Of a size, an expression over the symbols.
  std::int64_t value(const ir::Expr& size) const;
  std::vector<std::int64_t> shape(const ir::Tensor& tensor) const;
  // In the order of the program's symbols.
  std::span<const std::int64_t> values() const { return values_; }

 private:
  std::vector<std::pair<ir::VarRef, ir::Scalar>> variables_;
  std::vector<std::int64_t> values_;
};

// Whether a check of the program at these sizes compares every element with the reference.
bool checks_everything(const ir::Program& program, const SymbolValues& symbols);

}  // namespace quern::api
