#pragma once
// Intrinsics as CUDA C statements: calls of the prelude, whose template arguments are the operands that are known when
// compiling, or of a function that is printed from the instruction's shape.

#include <map>
#include <string>
#include <vector>

#include "codegen/cuda/expr.h"
#include "ir/kernel.h"

namespace quern::codegen {

// Intrinsics that give a value to their first operand, which is assigned.
bool gives_value(ir::IntrinsicId id);

// For one kernel. `expressions` prints operands; `maps` are the names of the tensor maps.
class IntrinsicPrinter {
 public:
  IntrinsicPrinter(ExprPrinter& expressions, const std::vector<std::string>& maps)
      : expressions_(expressions), maps_(maps) {}

  // The statement, without semicolon: "mbarrier_wait(&full[stage], phase)".
  std::string print(const ir::Intrinsic& intrinsic);
  // The right side of the assignment that it is: "shuffle_xor(sum, 16)".
  std::string value(const ir::Intrinsic& intrinsic);

  // Texts of the functions for matrix products printed so far, in the order of their names.
  const std::map<std::string, std::string>& matrix_functions() const { return matrix_functions_; }

 private:
  std::string print_matrix_product(const ir::Intrinsic& intrinsic);

  ExprPrinter& expressions_;
  const std::vector<std::string>& maps_;
  std::map<std::string, std::string> matrix_functions_;
};

}  // namespace quern::codegen
