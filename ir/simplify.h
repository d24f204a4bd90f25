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
  // Sizes are at least 0; the facts hold.
  explicit Assumptions(const Program& program);
  // The same; blocks lie in the grid, warp and lane in the block.
  explicit Assumptions(const Kernel& kernel);

  // In the scope of an axis (range lo .. hi - 1 over what is known so far), of several, under a condition.
  Assumptions with(const Axis& axis) const;
  Assumptions with(std::span<const Axis> axes) const;
  Assumptions with(const Expr& condition) const;
  // A variable that stands for a value, as of a Let.
  Assumptions with(const VarRef& var, const Expr& value) const;
  // `divisor` divides the variable.
  Assumptions with_divisor(const VarRef& var, std::int64_t divisor) const;

  class Scope;
  const std::shared_ptr<Scope>& scope() const { return scope_; }  // for ir/

 private:
  explicit Assumptions(std::shared_ptr<Scope> scope) : scope_(std::move(scope)) {}
  Assumptions with(std::span<const Fact> facts) const;

  std::shared_ptr<Scope> scope_;
};

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
