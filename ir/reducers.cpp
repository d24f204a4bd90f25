#include "ir/reducers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ir/expr.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

using State = std::vector<Expr>;
using Operands = std::span<const Expr>;

constexpr std::int64_t kNoIndex = std::numeric_limits<std::int64_t>::max();

// What no element is above (sign +1) or below (sign -1); arithmetic in an f8 ends at its largest finite number.
Expr extreme(DType type, int sign) {
  if (!is_float(type)) return constant(type, sign > 0 ? highest_integer(type) : lowest_integer(type));
  const double limit = byte_size(type) == 1 ? largest_finite(type) : std::numeric_limits<double>::infinity();
  return constant(type, sign * limit);
}

std::vector<DType> one_value(DType acc) { return {acc}; }
State lift_value(DType acc, const Expr& element, const Expr&) { return {cast(acc, element)}; }
Expr first(Operands state) { return state[0]; }
DType same_type(DType element) { return element; }
bool is_number(DType type) { return !is_bool(type); }

template <int value>
State identity(DType acc) {
  return {constant(acc, std::int64_t{value})};
}

template <int sign>
State extreme_identity(DType acc) {
  return {extreme(acc, sign)};
}

template <Op op>
State combine_by(Operands left, Operands right) {
  return {call(op, {left[0], right[0]})};
}

// --- argmax and argmin: (best value, its index); kNoIndex while empty, so that the lower index always wins ----------

std::vector<DType> value_and_index(DType acc) { return {acc, DType::i64}; }

// Elements are chosen, not computed with: the infinities of f8e5m2 are among them.
template <int sign>
State arg_identity(DType acc) {
  const bool has_infinity = acc == DType::f8e5m2;
  return {has_infinity ? constant(acc, sign * std::numeric_limits<double>::infinity()) : extreme(acc, sign),
          Expr(kNoIndex)};
}

State arg_lift(DType acc, const Expr& element, const Expr& index) { return {cast(acc, element), index}; }

template <Op better>
State arg_combine(Operands left, Operands right) {
  const Expr &l = left[0], &r = right[0];
  Expr wins = call(better, {r, l});
  Expr ties = equals(r, l);
  if (is_float(l->dtype)) {
    // x != x: NaN wins over numbers and ties with NaN.
    const Expr l_nan = call(Op::ne, {l, l}), r_nan = call(Op::ne, {r, r});
    wins = either(wins, both(r_nan, negate(l_nan)));
    ties = either(ties, both(r_nan, l_nan));
  }
  const Expr take_right = either(wins, both(ties, less(right[1], left[1])));
  return {select(take_right, r, l), select(take_right, right[1], left[1])};
}

Expr arg_finish(Operands state) { return select(equals(state[1], Expr(kNoIndex)), Expr(-1), state[1]); }

// --- logsumexp: (largest m, sum of exp(x - m)) ----------------------------------------------------------------------

State logsumexp_combine(Operands left, Operands right) {
  const Expr largest = max(left[0], right[0]);
  // A state that holds the largest is not scaled: no infinity is subtracted from itself.
  const auto scaled = [&](Operands state) {
    return select(equals(state[0], largest), state[1], state[1] * call(Op::exp, {state[0] - largest}));
  };
  return {largest, scaled(left) + scaled(right)};
}

// --- welford: (i64 count, mean, sum of squared deviations), combined as by Chan, Golub and LeVeque, 1979 ------------

// Counts pass what narrow floats hold, so their quotients are formed in f32 at least.
DType weight_type(DType acc) { return acc == DType::f64 ? DType::f64 : DType::f32; }

State welford_lift(DType acc, const Expr& element, const Expr&) {
  return {Expr(1), cast(acc, element), constant(acc, 0.0)};
}

State welford_combine(Operands left, Operands right) {
  const DType acc = left[1]->dtype;
  const DType weight = weight_type(acc);
  const Expr count = left[0] + right[0];
  const Expr safe = max(count, Expr(1));
  const Expr share = call(Op::div, {cast(weight, right[0]), cast(weight, safe)});
  const Expr delta = right[1] - left[1];
  const Expr mean = left[1] + delta * cast(acc, share);
  const Expr between = delta * delta * cast(acc, cast(weight, left[0]) * share);
  return {count, mean, left[2] + right[2] + between};
}

Expr welford_finish(Operands state) {
  const DType acc = state[1]->dtype;
  const DType weight = weight_type(acc);
  return cast(acc, call(Op::div, {cast(weight, state[2]), cast(weight, max(state[0], Expr(1)))}));
}

// One paragraph a row.
// clang-format off
const std::array<ReducerRow, kReducerCount> kTable = {{
    {.reducer = Reducer::sum, .name = "sum", .arity = 1, .ordered = false, .accepts = is_number, .state = one_value,
     .identity = identity<0>, .lift = lift_value, .combine = combine_by<Op::add>, .finish = first, .result = same_type},
    {.reducer = Reducer::prod, .name = "prod", .arity = 1, .ordered = false, .accepts = is_number, .state = one_value,
     .identity = identity<1>, .lift = lift_value, .combine = combine_by<Op::mul>, .finish = first, .result = same_type},
    {.reducer = Reducer::max, .name = "max", .arity = 1, .ordered = false, .accepts = is_number, .state = one_value,
     .identity = extreme_identity<-1>, .lift = lift_value, .combine = combine_by<Op::max>, .finish = first,
     .result = same_type},
    {.reducer = Reducer::min, .name = "min", .arity = 1, .ordered = false, .accepts = is_number, .state = one_value,
     .identity = extreme_identity<1>, .lift = lift_value, .combine = combine_by<Op::min>, .finish = first,
     .result = same_type},
    {.reducer = Reducer::any, .name = "any", .arity = 1, .ordered = false, .accepts = is_bool, .state = one_value,
     .identity = identity<0>, .lift = lift_value, .combine = combine_by<Op::logical_or>, .finish = first,
     .result = same_type},
    {.reducer = Reducer::all, .name = "all", .arity = 1, .ordered = false, .accepts = is_bool, .state = one_value,
     .identity = identity<1>, .lift = lift_value, .combine = combine_by<Op::logical_and>, .finish = first,
     .result = same_type},
    {.reducer = Reducer::argmax, .name = "argmax", .arity = 1, .ordered = true, .accepts = is_number,
     .state = value_and_index, .identity = arg_identity<-1>, .lift = arg_lift, .combine = arg_combine<Op::gt>,
     .finish = arg_finish, .result = [](DType) { return DType::i64; }},
    {.reducer = Reducer::argmin, .name = "argmin", .arity = 1, .ordered = true, .accepts = is_number,
     .state = value_and_index, .identity = arg_identity<1>, .lift = arg_lift, .combine = arg_combine<Op::lt>,
     .finish = arg_finish, .result = [](DType) { return DType::i64; }},
    {.reducer = Reducer::logsumexp, .name = "logsumexp", .arity = 1, .ordered = false, .accepts = is_float,
     .state = [](DType acc) { return std::vector<DType>{acc, acc}; },
     .identity = [](DType acc) { return State{extreme(acc, -1), constant(acc, 0.0)}; },
     .lift = [](DType acc, const Expr& element, const Expr&) { return State{cast(acc, element), constant(acc, 1.0)}; },
     .combine = logsumexp_combine, .finish = [](Operands state) { return state[0] + call(Op::log, {state[1]}); },
     .result = same_type},
    {.reducer = Reducer::welford, .name = "welford", .arity = 1, .ordered = false, .accepts = is_float,
     .state = [](DType acc) { return std::vector<DType>{DType::i64, acc, acc}; },
     .identity = [](DType acc) { return State{Expr(0), constant(acc, 0.0), constant(acc, 0.0)}; },
     .lift = welford_lift, .combine = welford_combine, .finish = welford_finish, .result = same_type},
}};
// clang-format on

}  // namespace

const ReducerRow& row(Reducer reducer) { return kTable[static_cast<std::size_t>(reducer)]; }
std::span<const ReducerRow> reducers() { return kTable; }

std::optional<DType> accumulator_of(Reducer reducer, std::span<const DType> state) {
  for (const DType part : state) {
    if (std::ranges::equal(row(reducer).state(part), state)) return part;
  }
  return std::nullopt;
}

std::optional<Reducer> parse_reducer(std::string_view name) {
  for (const ReducerRow& reducer : kTable) {
    if (reducer.name == name) return reducer.reducer;
  }
  return std::nullopt;
}

}  // namespace quern::ir
