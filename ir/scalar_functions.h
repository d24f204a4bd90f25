#pragma once
// The one table of scalar functions: name, notation, types, derivative, error bound, spellings, reference. A new
// function is one enumerator here and one row in scalar_functions.cpp.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "quern/dtype.h"

namespace quern::ir {

class Expr;

enum class Op : std::uint8_t {
  // arithmetic; div is true division of floats, floor_div and mod round down
  add,
  sub,
  mul,
  div,
  floor_div,
  mod,
  neg,
  // comparisons and logic
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  logical_and,
  logical_or,
  logical_not,
  select,
  // order and rounding
  min,
  max,
  abs,
  sign,
  floor,
  ceil,
  round,
  clamp,
  // exponentials
  exp,
  exp2,
  exp2_flush,
  log,
  log1p,
  expm1,
  sqrt,
  rsqrt,
  rcp_flush,
  pow,
  // trigonometric and error function
  sin,
  cos,
  tanh,
  erf,
  // activations: each expands to the rows above
  sigmoid,
  relu,
  gelu,
  gelu_tanh,
  silu,
  softplus,
  // bits
  bit_and,
  bit_or,
  bit_xor,
  bit_not,
  shift_left,
  shift_right,
};
inline constexpr int kOpCount = static_cast<int>(Op::shift_right) + 1;

// Which operand types a function takes and what it gives.
enum class TypeRule : std::uint8_t {
  numeric,           // all operands one number dtype, result the same
  floating,          // all operands one float dtype, result the same
  integral,          // all operands one integer dtype, result the same
  integral_or_bool,  // as integral, bool allowed
  comparison,        // all operands one dtype, result bool
  logical,           // bool, result bool
  select,            // bool, then two of one dtype, result that dtype
};

// How the value follows each operand while the others stay.
enum class Trend : std::uint8_t { none, increasing, decreasing };

// The value of a scalar of any dtype: floats in `real`, everything else in `integer` (u64 as its bit pattern).
struct Scalar {
  std::int64_t integer = 0;
  double real = 0;
};

struct ScalarFunction {
  Op op;
  std::string_view name;      // as written in programs where no notation serves: "gelu"
  std::string_view notation;  // infix or prefix operator, or empty: "+", "//"
  int precedence;             // of the notation; higher binds tighter; 0 without notation
  int arity;
  TypeRule types;
  // Error bound in units in the last place of the f32 result of our spellings, relative to the exact result of the
  // rounded operands; of f64 operands in units of f64; narrower floats add their own rounding. 0: exact, 0.5:
  // correctly rounded. 0 where neither notation nor `cuda` spells the row: its bound is its expansion's.
  double ulp;
  // What error bounds are propagated by: the trend in every operand, or a bound of |derivative| (0: none is known).
  Trend trend;
  double slope;
  // The exact meaning, computed in double (floats) or wrapping 64-bit integers; the caller rounds to `dtype` (the
  // operands' dtype).
  Scalar (*reference)(DType dtype, std::span<const Scalar> operands);
  // d result / d operand[i] as an expression of the operands; null where it is zero or undefined (integers, logic),
  // absent for an operand that is not differentiable (the condition of select).
  Expr (*derivative)(std::span<const Expr> operands, int i);
  // The same value through other rows, for code generators that have no spelling; null for the primitives.
  Expr (*expansion)(std::span<const Expr> operands);
  // CUDA C of an f32 operand (or of any dtype where the operator is polymorphic), "{0}", "{1}" standing for the
  // operands; other float dtypes compute in f32 and round, f64 uses `cuda_f64`. Empty: notation serves.
  std::string_view cuda;
  std::string_view cuda_f64;
  // CPU: an LLVM intrinsic ("llvm.sqrt") or a libm name ("expf" without its suffix: "exp"); empty: an instruction.
  std::string_view cpu;
};

const ScalarFunction& row(Op op);
std::span<const ScalarFunction> scalar_functions();
std::optional<Op> parse_function(std::string_view name);

// The dtype of op(operands), or nothing where the row's type rule refuses them.
std::optional<DType> result_type(Op op, std::span<const DType> operands);

}  // namespace quern::ir
