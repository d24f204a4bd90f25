#pragma once
// Which integers of a kernel are index arithmetic. The language's integers wrap, C++'s signed ones must not overflow;
// offsets and loop counters never do, and written plainly they read well and let the compiler widen them. Everything
// that depends on the contents of tensors may overflow and is wrapped explicitly.

#include <unordered_set>

#include "ir/kernel.h"

namespace quern::codegen {

// For one kernel in thread form. Thread-safe while nothing is added.
class IndexMath {
 public:
  explicit IndexMath(const ir::Kernel& kernel);

  // Counts a variable that no statement binds among those that hold data.
  void add_data(const ir::VarRef& var) { data_.insert(var.get()); }

  // Whether the integer `e` is made of loop counters, symbols, constants and registers that hold such values.
  bool is_index(const ir::Expr& e) const;

 private:
  std::unordered_set<const void*> data_;  // let variables and registers that hold data
};

}  // namespace quern::codegen
