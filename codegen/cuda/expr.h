#pragma once
// Scalar expressions as CUDA C. One operation of the language becomes one operation of C++ wherever they mean the same;
// otherwise a function of the prelude. Parentheses stand where C++ needs them, and around shifts and bit operations.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "codegen/cuda/index_math.h"
#include "ir/expr.h"
#include "ir/printer.h"
#include "ir/simplify.h"

namespace quern::codegen {

// How tightly an expression binds, loosest first.
enum class Binding : std::uint8_t {
  conditional,
  logical_or,
  logical_and,
  bit_or,
  bit_xor,
  bit_and,
  equality,
  relational,
  shift,
  additive,
  multiplicative,
  prefix,
  primary,
};

// A printed expression. Its value is the expression's; its C++ type is that of `type`, which may be a narrower integer
// type than the expression's dtype: int for an i64 literal or for bytes after promotion.
struct Text {
  std::string text;
  Binding binding = Binding::primary;
  DType type{};
};

// Prints with the names and under the assumptions that hold where the expression stands. For one thread.
class ExprPrinter {
 public:
  ExprPrinter(ir::Names& names, const IndexMath& index_math) : names_(names), index_math_(index_math) {}

  // The expression where its value is converted to its dtype's type anyway: initialisers, assignments, indices, and
  // arguments of functions that are no templates.
  std::string value(const ir::Expr& e);
  // The expression with exactly its dtype's type, for template arguments' sake.
  std::string exact(const ir::Expr& e);
  // The operand of a larger text that needs at least this binding.
  std::string operand(const ir::Expr& e, Binding least);

  // `buffer[index]`; a register array of one element is a variable.
  std::string place(const ir::TensorRef& buffer, const ir::Expr& index);
  // Its address.
  std::string address(const ir::TensorRef& buffer, const ir::Expr& index);
  std::string address(const ir::Expr& read) { return address(read->tensor, read->args[0]); }

  // What may be relied on; the statement printer keeps it.
  ir::Assumptions assumptions;
  // That the integer `var` stands for `value` from here on.
  void learn(const ir::VarRef& var, const ir::Expr& value);

 private:
  Text print(const ir::Expr& e);
  Text print_exact(const ir::Expr& e);
  Text print_cast(const ir::Expr& e);
  Text print_call(const ir::Expr& e);
  Text print_select(const ir::Expr& e, Text (ExprPrinter::*side)(const ir::Expr&), DType type);
  Text print_comparison(const ir::Expr& e);
  Text print_integer(const ir::Expr& e);
  Text print_division(const ir::Expr& e);
  Text print_shift(const ir::Expr& e);
  Text print_bits(const ir::Expr& e);
  Text print_float(const ir::Expr& e, Text (ExprPrinter::*side)(const ir::Expr&), DType type);
  Text print_spelling(std::string_view spelling, const ir::Expr& e, Text (ExprPrinter::*side)(const ir::Expr&),
                      DType type);
  // The value as a float (of narrow floats: widened; of f32 itself).
  Text widened(const ir::Expr& e);
  Text call(std::string_view function, const ir::Expr& e, DType type);
  Text infix(const Text& a, std::string_view symbol, const Text& b, Binding binding, DType type);
  Text function(std::string_view name, const std::string& argument, DType type);
  // Both operands, of one C++ type after the usual conversions, which is at least as wide as `least`.
  std::pair<Text, Text> unified(const ir::Expr& a, const ir::Expr& b, DType least);

  bool stays_in_range(const ir::Expr& e) const;
  bool is_nonnegative(const ir::Expr& e) const;
  bool is_positive(const ir::Expr& e) const;
  bool grows(const ir::Expr& e) const;

  ir::Names& names_;
  const IndexMath& index_math_;
};

// Integer types that C++ promotes to int: an int holds all their values, so they mix freely.
bool promotes_to_int(DType dtype);

// Whether the buffer is a register array of one element, which prints as a plain variable.
bool is_scalar(const ir::Tensor& buffer);

// `text`, in parentheses where it binds looser than `least`.
std::string parenthesised(const Text& text, Binding least);

}  // namespace quern::codegen
