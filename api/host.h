#pragma once
// Sizes of a program's tensors as numbers, and what a check of a run consists of.

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/bounds.h"
#include "ir/scalar_functions.h"
#include "ir/tensor.h"
#include "quern/host.h"
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

// Error where the array's data is shorter or longer than its shape says; `what` names the array.
void require_data(const HostArray& array, std::string_view what);

// Whether a check of the program at these sizes compares every element with the reference.
bool checks_everything(const ir::Program& program, const SymbolValues& symbols);

// Error naming the element of an input, its value, and the fact of the program that it breaks, a range or an order, or
// the dimension that it indexes and leaves: a kernel might crash there. Indices that a condition may leave out, that a
// program computes, or that it takes from a part of an input are not looked at.
void check_inputs(const ir::Program& program, const SymbolValues& symbols, std::span<const HostArray> inputs);

// What one output is where it is checked.
struct Expected {
  std::vector<std::int64_t> places;  // of elements in row-major order, ascending
  std::vector<ir::Checked> values;
};

// Of each output, of all elements or of chosen ones. Error where a read without a fill leaves its tensor: a kernel
// might crash there, so this comes first.
std::vector<Expected> expect_outputs(const ir::Program& program, const SymbolValues& symbols,
                                     std::span<const HostArray> inputs, std::uint64_t seed, bool all);

// As quern::check_outputs, against these.
std::vector<OutputCheck> compare_outputs(const ir::Program& program, const SymbolValues& symbols,
                                         std::span<const HostArray> inputs, std::span<const HostArray> outputs,
                                         std::span<const Expected> expected, std::span<const HostArray> others);

}  // namespace quern::api
