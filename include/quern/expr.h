#pragma once
// Scalar expressions: what the element of a tensor is computed from. Their meaning (rounding, integers, NaN, reads
// outside) is that of the language (docs/language.md).
//
// Values: copies share their immutable contents, so everything here is thread-safe. What cannot be built throws Error
// naming the operand, its dtype and what would fit.

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quern/dtype.h"
#include "quern/export.h"

namespace quern {

namespace ir {
class Expr;
struct Variable;
}  // namespace ir

// An expression of one dtype, or a number without one, which takes the dtype that it meets: in `x * 0.5` that of x.
// Integers that meet nothing are i64, other numbers f32; an integer of 2^63 or more is of dtype u64.
class QUERN_API Expr {
 public:
  // Numbers are expressions; a bool is one of dtype bool. Nothing else converts.
  template <std::same_as<bool> T>
  Expr(T value) : Expr(boolean(value)) {}  // NOLINT
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Expr(T value) : Expr(whole(value)) {}  // NOLINT
  template <std::floating_point T>
  Expr(T value) : Expr(real(static_cast<double>(value))) {}  // NOLINT

  DType dtype() const;
  // The value of an integer without variables; nothing for all else.
  std::optional<std::int64_t> as_integer() const;
  // As the language writes it.
  std::string text() const;

  // Below is the way between this and the library's own form.
  Expr(std::shared_ptr<const ir::Expr> expr, bool untyped) : expr_(std::move(expr)), untyped_(untyped) {}
  const ir::Expr& ir() const { return *expr_; }
  bool untyped() const { return untyped_; }

 private:
  static Expr boolean(bool value);
  template <std::integral T>
  static Expr whole(T value) {
    const auto bits = static_cast<std::uint64_t>(value);
    return std::unsigned_integral<T> && bits >> 63 != 0 ? natural(bits) : integer(static_cast<std::int64_t>(value));
  }
  static Expr integer(std::int64_t value);
  static Expr natural(std::uint64_t value);
  static Expr real(double value);

  std::shared_ptr<const ir::Expr> expr_;
  bool untyped_ = false;
};

// A size: an i64 expression over integers and symbols.
using Dim = Expr;

// A read of a tensor's element (Tensor::at). Outside the tensor its value is undefined, unless one is given.
class QUERN_API Read : public Expr {
 public:
  explicit Read(Expr read);
  // The same read, with a value outside the tensor: what padding is.
  Read or_else(const Expr& fill) const;
};

// An index that runs over lo..hi (half open, from 0 where lo is left out). Copies are the same axis; two axes are never
// the same, even where their names agree.
class QUERN_API Axis {
 public:
  Axis(std::string name, Dim extent) : Axis(std::move(name), 0, std::move(extent)) {}
  Axis(std::string name, Dim lo, Dim hi);

  operator Expr() const;  // NOLINT: an axis is its index, an i64
  const std::string& name() const;
  const Dim& lo() const { return lo_; }
  const Dim& hi() const { return hi_; }
  const std::shared_ptr<const ir::Variable>& variable() const { return variable_; }

 private:
  std::shared_ptr<const ir::Variable> variable_;
  Dim lo_;
  Dim hi_;
};

// How the products of a reduction may be formed: in the operands' dtype; by any scheme within 2 ulp of an f32 product;
// by one tf32 product of f32 operands.
enum class Grade : std::uint8_t { exact, f32, tf32 };

// In which order a reduction adds: any tree, or one that is bitwise the same for every schedule of one numerics class.
enum class Order : std::uint8_t { any, fixed };

// The condition and the numerics contract of a reduction.
struct ReduceOptions {
  std::optional<Expr> where = {};         // bool: what counts; absent: everything
  std::optional<DType> accumulator = {};  // absent: the dtype of the reduced expression
  Grade grade = Grade::exact;
  Order order = Order::any;
};

// The reducer of that name (sum, prod, max, min, any, all, argmax, argmin, logsumexp, welford) of `e` over `axes`.
QUERN_API Expr reduce(std::string_view reducer, const std::vector<Axis>& axes, const Expr& e,
                      const ReduceOptions& options = {});
QUERN_API Expr sum(const std::vector<Axis>& axes, const Expr& e, const ReduceOptions& options = {});

// The scalar function of that name, for every row of the language's table: "gelu", "clamp", "add".
QUERN_API Expr call(std::string_view function, const std::vector<Expr>& operands);

// `e` in `dtype`; itself where it has it.
QUERN_API Expr cast(DType dtype, const Expr& e);

// yes where the condition, a bool, holds, else no; only the chosen side's reads happen.
QUERN_API Expr select(const Expr& condition, const Expr& yes, const Expr& no);

// Arithmetic: both operands have one dtype. `/` is the true division of floats; floor_div rounds down, and `%` has the
// divisor's sign.
QUERN_API Expr operator+(const Expr& a, const Expr& b);
QUERN_API Expr operator-(const Expr& a, const Expr& b);
QUERN_API Expr operator*(const Expr& a, const Expr& b);
QUERN_API Expr operator/(const Expr& a, const Expr& b);
QUERN_API Expr operator%(const Expr& a, const Expr& b);
QUERN_API Expr operator-(const Expr& a);
QUERN_API Expr floor_div(const Expr& a, const Expr& b);

// Comparisons give bool; logic takes and gives bool. Nothing is short-circuited: these build expressions.
QUERN_API Expr operator==(const Expr& a, const Expr& b);
QUERN_API Expr operator!=(const Expr& a, const Expr& b);
QUERN_API Expr operator<(const Expr& a, const Expr& b);
QUERN_API Expr operator<=(const Expr& a, const Expr& b);
QUERN_API Expr operator>(const Expr& a, const Expr& b);
QUERN_API Expr operator>=(const Expr& a, const Expr& b);
QUERN_API Expr operator&&(const Expr& a, const Expr& b);
QUERN_API Expr operator||(const Expr& a, const Expr& b);
QUERN_API Expr operator!(const Expr& a);

// Bits of integers; & and | of bools too.
QUERN_API Expr operator&(const Expr& a, const Expr& b);
QUERN_API Expr operator|(const Expr& a, const Expr& b);
QUERN_API Expr operator^(const Expr& a, const Expr& b);
QUERN_API Expr operator~(const Expr& a);
QUERN_API Expr operator<<(const Expr& a, const Expr& b);
QUERN_API Expr operator>>(const Expr& a, const Expr& b);

// Functions of numbers of one dtype.
QUERN_API Expr min(const Expr& a, const Expr& b);
QUERN_API Expr max(const Expr& a, const Expr& b);
QUERN_API Expr clamp(const Expr& x, const Expr& low, const Expr& high);
QUERN_API Expr abs(const Expr& x);
QUERN_API Expr sign(const Expr& x);
QUERN_API Expr relu(const Expr& x);

// Functions of floats.
QUERN_API Expr floor(const Expr& x);
QUERN_API Expr ceil(const Expr& x);
QUERN_API Expr round(const Expr& x);
QUERN_API Expr exp(const Expr& x);
QUERN_API Expr exp2(const Expr& x);
QUERN_API Expr exp2_flush(const Expr& x);  // 0 below 2^-126
QUERN_API Expr log(const Expr& x);
QUERN_API Expr log1p(const Expr& x);
QUERN_API Expr expm1(const Expr& x);
QUERN_API Expr sqrt(const Expr& x);
QUERN_API Expr rsqrt(const Expr& x);
QUERN_API Expr rcp_flush(const Expr& x);  // 1 / x, 0 below 2^-126
QUERN_API Expr pow(const Expr& x, const Expr& y);
QUERN_API Expr sin(const Expr& x);
QUERN_API Expr cos(const Expr& x);
QUERN_API Expr tanh(const Expr& x);
QUERN_API Expr erf(const Expr& x);
QUERN_API Expr sigmoid(const Expr& x);
QUERN_API Expr gelu(const Expr& x);
QUERN_API Expr gelu_tanh(const Expr& x);
QUERN_API Expr silu(const Expr& x);
QUERN_API Expr softplus(const Expr& x);

}  // namespace quern
