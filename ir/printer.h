#pragma once
// Expressions and tensor programs as text. parse_program(to_string(p)) equals p; parentheses stand only where the
// precedences of the function table ask for them. Pure functions; a Names is for one thread.

#include <cstdint>
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
  // Names an object after another hint than its own, before its first use.
  const std::string& give(const void* object, std::string_view hint);
  // A name like `hint` that nobody has, now taken.
  std::string fresh(std::string_view hint);
  // Takes the name of a variable or tensor back, where its scope ends.
  void release(const VarRef& var) { release(static_cast<const void*>(var.get())); }
  void release(const TensorRef& tensor) { release(static_cast<const void*>(tensor.get())); }

 private:
  void release(const void* object);

  std::unordered_map<const void*, std::string> names_;
  std::unordered_set<std::string> taken_;
};

// The expression, every reduced axis with its range. Names given on the way stay in `names`, save those of reduced
// axes. The text reads back as the same expression where `expected` is given to parse_expr too.
std::string to_string(const Expr& e, Names& names, std::optional<DType> expected = std::nullopt);
std::string to_string(const Expr& e);  // with names of its own, for messages

enum class ProgramStyle : std::uint8_t {
  readable,   // names from hints; ranges and dtypes left out where they would be inferred
  canonical,  // names from places alone, every range and dtype written; for canonical.h
};
std::string to_string(const Program& program, ProgramStyle style = ProgramStyle::readable);

// A scalar constant as the literal that reads back as the same value of its dtype: "0.5", "-3", "true".
std::string literal(const Node& constant);

// What is left out or named otherwise.
struct ExprStyle {
  const std::unordered_set<const Variable*>* without_range = nullptr;  // reduced axes whose range is inferred
  std::string_view axis_hint;                                          // for reduced axes, instead of their own
};
std::string to_string(const Expr& e, Names& names, std::optional<DType> expected, const ExprStyle& style);

// Whether `e` is made of number literals alone, and so takes the dtype that it meets when it is read back.
bool is_untyped(const Expr& e);

// A shape as it is written: "[m, k + 1]".
std::string to_string(std::span<const Expr> shape, Names& names);

}  // namespace quern::ir
