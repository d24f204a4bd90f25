#pragma once
// The one table of reducers. A reducer folds elements into a state tuple: state = combine(state, lift(element)),
// starting from the identity; finish turns the state into the result. A new one is one enumerator and one row.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "quern/dtype.h"

namespace quern::ir {

class Expr;

enum class Reducer : std::uint8_t {
  sum,
  prod,
  max,
  min,
  any,
  all,
  argmax,
  argmin,     // i64 index within the reduced axes, row-major where they are several
  logsumexp,  // log(sum(exp(x))), state (max, sum of exp(x - max))
  welford,    // population variance, state (i64 count, mean, sum of squared deviations)
};
inline constexpr int kReducerCount = static_cast<int>(Reducer::welford) + 1;

struct ReducerRow {
  Reducer reducer;
  std::string_view name;
  int arity;                       // operands: 1
  bool ordered;                    // depends on the element's index (argmax, argmin)
  bool (*accepts)(DType element);  // the element dtypes it reduces
  // Dtypes of the state for an accumulator of dtype `acc`.
  std::vector<DType> (*state)(DType acc);
  // The state of nothing.
  std::vector<Expr> (*identity)(DType acc);
  // The state of one element; `index` is its i64 row-major position in the reduced axes (used when ordered).
  std::vector<Expr> (*lift)(DType acc, const Expr& element, const Expr& index);
  // The state of two states, the left one's elements preceding. Associative up to rounding; commutative.
  std::vector<Expr> (*combine)(std::span<const Expr> left, std::span<const Expr> right);
  // The result of a state, in the accumulator's dtype where the row's result is the element's.
  Expr (*finish)(std::span<const Expr> state);
  // Result dtype for an element dtype (argmax: i64; any, all: bool).
  DType (*result)(DType element);
};

const ReducerRow& row(Reducer reducer);
std::span<const ReducerRow> reducers();
// The accumulator dtype whose state has these parts, or nothing where there is none.
std::optional<DType> accumulator_of(Reducer reducer, std::span<const DType> state);
std::optional<Reducer> parse_reducer(std::string_view name);

}  // namespace quern::ir
