#pragma once
// Scalar expressions: what the element of a tensor is computed from, and what kernels compute with.
//
// Semantics (docs/language.md is the reference; both languages share it)
//   floats        IEEE 754, round to nearest even, in their dtype; denormals kept; a*b+c may be fused unless `exact`
//   casts         float -> narrower float: nearest even; to f8: saturates to the largest finite, NaN stays;
//                 float -> int: truncates, saturates, NaN gives 0; int -> int wraps; bool <-> number: 0 and 1
//   integers      wrap; floor division, modulo with the divisor's sign; division by zero gives 0
//   min, max      a NaN operand gives NaN; max(-0, +0) is either
//   comparisons   with NaN are false, except !=
//   select        only the chosen side is evaluated: a read on the other side does not happen
//   reads         outside the tensor: the fill where one is given, else undefined (an error where provable)
//   reductions    over nothing give the reducer's identity
//
// Nodes are immutable and shared; building one checks its types and throws InternalError on a mismatch (front
// ends check the user's text first). Variables have identity, their names are hints. Thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/reducers.h"
#include "ir/scalar_functions.h"
#include "quern/dtype.h"

namespace quern::ir {

struct Node;
struct Tensor;

// A named integer (axis, symbol, loop counter, thread index) or scalar of any dtype (let). Identity is the address.
struct Variable {
  std::string name;
  DType dtype = DType::i64;
};
using VarRef = std::shared_ptr<const Variable>;
using TensorRef = std::shared_ptr<const Tensor>;

VarRef make_var(std::string name, DType dtype = DType::i64);

// A shared, immutable expression. Default-constructed: absent (tests false).
class Expr {
 public:
  Expr() = default;
  Expr(std::int64_t value);  // NOLINT: an i64 constant, so that index arithmetic reads like arithmetic
  Expr(int value) : Expr(static_cast<std::int64_t>(value)) {}  // NOLINT
  Expr(const VarRef& var);                                     // NOLINT: the variable's value
  explicit Expr(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

  explicit operator bool() const { return node_ != nullptr; }
  const Node& operator*() const { return *node_; }
  const Node* operator->() const { return node_.get(); }
  const Node* get() const { return node_.get(); }
  bool same(const Expr& other) const { return node_ == other.node_; }
  // Has other owners: only such a node can be met twice on a walk.
  bool is_shared() const { return node_.use_count() > 1; }

 private:
  std::shared_ptr<const Node> node_;
};

// An axis with its half-open range lo..hi.
struct Axis {
  VarRef var;
  Expr lo;
  Expr hi;
};

enum class Grade : std::uint8_t { exact, f32, tf32 };  // how products may be formed
enum class Order : std::uint8_t { any, fixed };        // of a reduction

// The numerics contract of one reduction. An absent accumulator: the dtype of the reduced expression.
struct Contract {
  std::optional<DType> accumulator;
  Grade grade = Grade::exact;
  Order order = Order::any;
  bool operator==(const Contract&) const = default;
};

struct ReduceInfo {
  Reducer reducer;
  std::vector<Axis> axes;
  Contract contract;
};

enum class ExprKind : std::uint8_t {
  constant,  // integer or real
  variable,  // var
  call,      // op(args...)
  cast,      // dtype(args[0])
  read,      // tensor[args...] else fill
  reduce,    // reduce->reducer over reduce->axes where `where` of args...
};

struct Node {
  ExprKind kind;
  DType dtype;
  std::vector<Expr> args;
  std::int64_t integer = 0;  // constant of an integer dtype or bool
  double real = 0;           // constant of a float dtype
  Op op{};                   // call
  VarRef var{};              // variable
  TensorRef tensor{};        // read
  Expr fill{};               // read: the value outside, absent without `else`
  std::shared_ptr<const ReduceInfo> reduce{};
  Expr where{};             // reduce: condition, absent when everything counts
  std::uint32_t depth = 1;  // of the tree; front ends refuse programs deeper than kMaxDepth
};

inline constexpr std::uint32_t kMaxDepth = 400;

// Factories. Each checks types; calls follow the type rule of their row. Constants hold `value` rounded or wrapped to
// their dtype, so that equal values are equal expressions; every NaN is one.
Expr constant(DType dtype, std::int64_t value);
Expr constant(DType dtype, double value);
Expr boolean(bool value);
Expr call(Op op, std::vector<Expr> args);
Expr cast(DType dtype, Expr value);  // `value` itself if it has the dtype
Expr read(TensorRef tensor, std::vector<Expr> index, Expr fill = {});
Expr reduce(Reducer reducer, std::vector<Axis> axes, std::vector<Expr> args, Expr where = {}, Contract contract = {});

// The same node with other children; returns `e` itself when nothing changed.
Expr with_children(const Expr& e, std::vector<Expr> args, Expr fill, Expr where);

// Index arithmetic and the like, as in the language: / is true division of floats, div and mod round down.
Expr operator+(const Expr& a, const Expr& b);
Expr operator-(const Expr& a, const Expr& b);
Expr operator*(const Expr& a, const Expr& b);
Expr operator-(const Expr& a);
Expr div(const Expr& a, const Expr& b);
Expr mod(const Expr& a, const Expr& b);
Expr ceil_div(const Expr& a, const Expr& b);
Expr min(const Expr& a, const Expr& b);
Expr max(const Expr& a, const Expr& b);
Expr less(const Expr& a, const Expr& b);
Expr less_equal(const Expr& a, const Expr& b);
Expr equals(const Expr& a, const Expr& b);
Expr both(const Expr& a, const Expr& b);    // logical and; an absent side counts as true
Expr either(const Expr& a, const Expr& b);  // logical or
Expr negate(const Expr& a);                 // logical not
Expr select(const Expr& condition, const Expr& a, const Expr& b);

// Inspection
bool is_constant(const Expr& e);
std::optional<std::int64_t> as_integer(const Expr& e);  // the value of an integer (or bool) constant
bool is_integer(const Expr& e, std::int64_t value);
bool is_variable(const Expr& e, const VarRef& var);
bool is_call(const Expr& e, Op op);
bool uses(const Expr& e, const VarRef& var);  // occurs free in e
bool reads(const Expr& e, const Tensor& tensor);

// Structural equality: variables by identity, or through `renaming` (pairs a -> b bound so far). Bound axes of
// reductions are matched up to renaming. Tensors by identity.
bool equal(const Expr& a, const Expr& b);
std::size_t structural_hash(const Expr& e);

}  // namespace quern::ir
