#pragma once
// Expressions and tensor programs as text. parse_program(to_string(p)) equals p; parentheses stand only where the
// precedences of the function table ask for them. Pure functions; a Names is for one thread.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/expr.h"
#include "ir/tensor.h"

namespace quern::ir {

// One printable name per variable and tensor, made from its hint: unique, valid, not reserved.
class Names {
 public:
  // The name of a variable or tensor; a new one where it has none yet.
  const std::string& of(const VarRef& var);
  const std::string& of(const TensorRef& tensor);
  // Keeps `name` from being given.
  void reserve(std::string_view name) { taken_.emplace(name); }
  // A name like `hint` that nobody has, now taken.
  std::string fresh(std::string_view hint);
  // Gives the name of a variable back, where its scope ends.
  void release(const VarRef& var);

 private:
  const std::string& of(const void* object, std::string_view hint);

  std::unordered_map<const void*, std::string> names_;
  std::unordered_set<std::string> taken_;
};

// The expression, every reduced axis with its range. Names given on the way stay in `names`, save those of reduced
// axes. The text reads back as the same expression where `expected` is given to parse_expr too.
std::string to_string(const Expr& e, Names& names, std::optional<DType> expected = std::nullopt);
std::string to_string(const Expr& e);  // with names of its own, for messages

// Ranges are left out where they would be inferred.
std::string to_string(const Program& program);

// A shape as it is written: "[m, k + 1]".
std::string to_string(std::span<const Expr> shape, Names& names);

}  // namespace quern::ir
