#pragma once
// Simplification of expressions and proofs about integers.
//
// Every rewrite keeps the value bit for bit, under two premises. First, variables are of places: a variable whose
// range is unknown is far from the limits of its dtype, so that arithmetic on places does not wrap (elements of
// tensors may be anything their dtype holds). Second, a scope is entered: the ranges of its variables are not empty.
//
// Normal forms. Sums of integers are sorted polynomials with equal terms merged. A quotient or remainder by a constant
// keeps only what the divisor does not divide; nested digits are (x // a) % b. Comparisons of integers carry no common
// terms, `<` and `<=` only, nothing subtracted. Booleans are flat in meaning: no side repeats what the other implies.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ir/expr.h"
#include "ir/tensor.h"

namespace quern::ir {

struct Kernel;

// The values that an integer can take, both ends included; absent: unknown.
struct Interval {
  std::optional<std::int64_t> lo;
  std::optional<std::int64_t> hi;
  bool operator==(const Interval&) const = default;
};

// What is known of the integers of a scope. A value: copies share what was learnt, extending one leaves it as it was
// and takes constant time. One assumption and all that extend it belong to one thread at a time.
class Assumptions {
 public:
  Assumptions();

  // In the scope of an axis: a variable from lo to below hi (absent: unbounded), from lo in steps of a constant.
  Assumptions with(const Axis& axis) const;
  Assumptions with(const Axis& axis, const Expr& step) const;
  // Where the condition holds.
  Assumptions with(const Expr& condition) const;
  // In the scope of a variable that stands for a value, as of a Let.
  Assumptions with_value(const VarRef& var, const Expr& value) const;
  Assumptions with_at_least(const VarRef& var, std::int64_t least) const;
  Assumptions with(const Fact& fact) const;

  class Scope;  // for ir/
  explicit Assumptions(std::shared_ptr<Scope> scope) : scope_(std::move(scope)) {}
  const std::shared_ptr<Scope>& scope() const { return scope_; }

 private:
  std::shared_ptr<Scope> scope_;
};

// The facts hold.
Assumptions assumptions_of(std::span<const Fact> facts);
// Symbols that are sizes of arguments are at least 0, and the facts hold.
Assumptions assumptions_of(const Program& program);
// The same; blocks lie in the grid, warps and lanes in the block.
Assumptions assumptions_of(const Kernel& kernel);

Expr simplify(const Expr& e, const Assumptions& assumptions = {});

// Of an integer or bool expression.
Interval range(const Expr& e, const Assumptions& assumptions);

// The largest known constant that divides the value of an integer expression; 0 for the constant 0, which all divide.
std::int64_t divisor(const Expr& e, const Assumptions& assumptions);

// Whether the condition always or never holds; nothing where neither is known.
std::optional<bool> prove(const Expr& condition, const Assumptions& assumptions);

// e = sum of coefficients[i] * vars[i] + rest, none of which uses the variables.
struct Linear {
  std::vector<Expr> coefficients;
  Expr rest;
};
// Nothing where `e`, an integer, is not affine in the variables together. In i64.
std::optional<Linear> linear(const Expr& e, std::span<const VarRef> vars, const Assumptions& assumptions = {});

// The coefficient of one variable in an expression that is affine in it: a stride.
std::optional<Expr> coefficient(const Expr& e, const VarRef& var, const Assumptions& assumptions = {});

}  // namespace quern::ir
