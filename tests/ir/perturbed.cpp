#include "tests/ir/perturbed.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/machine.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

Expr as_constant(DType dtype, Scalar value) {
  return is_float(dtype) ? constant(dtype, value.real) : constant(dtype, value.integer);
}

}  // namespace

Perturbed::Perturbed(const Program& program, std::span<const std::int64_t> symbols, std::span<const HostTensor> inputs,
                     std::uint64_t seed)
    : program_(program), inputs_(inputs), random_(seed) {
  for (std::size_t i = 0; i < symbols.size(); ++i) places_[program.symbols[i].get()] = symbols[i];
  for (const Fact& fact : program.facts) may_fuse_ = may_fuse_ && fact.kind != Fact::Kind::exact;
}

double Perturbed::random_sign() { return std::uniform_real_distribution<double>(-1, 1)(random_); }

Scalar Perturbed::element(const Tensor& tensor, std::span<const std::int64_t> coordinate) {
  for (std::size_t i = 0; i < program_.inputs.size(); ++i) {
    if (program_.inputs[i].get() != &tensor) continue;
    const std::vector<std::int64_t> strides = strides_of(inputs_[i]);
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < coordinate.size(); ++d) offset += coordinate[d] * strides[d];
    return load(tensor.dtype, static_cast<const std::byte*>(inputs_[i].data) + offset * byte_size(tensor.dtype));
  }
  const Definition& definition = *definition_of(program_, tensor);
  const auto outside = places_;
  for (std::size_t d = 0; d < coordinate.size(); ++d) places_[definition.axes[d].var.get()] = coordinate[d];
  const Scalar value = eval(definition.value);
  places_ = outside;
  return value;
}

Scalar Perturbed::eval(const Expr& e, bool may_stay_wide) {
  switch (e->kind) {
    case ExprKind::constant:
      return is_float(e->dtype) ? Scalar{.real = e->real} : fit(e->dtype, {.integer = e->integer});
    case ExprKind::variable:
      return {.integer = places_.at(e->var.get())};
    case ExprKind::cast:
      return convert(e->dtype, e->args[0]->dtype, eval(e->args[0]));
    case ExprKind::call:
      return call(e, may_stay_wide);
    case ExprKind::read:
      return read(e);
    case ExprKind::reduce:
      return reduce(e);
  }
  unreachable("a kind of expression");
}

Scalar Perturbed::call(const Expr& e, bool may_stay_wide) {
  const ScalarFunction& f = row(e->op);
  if (e->op == Op::select) return eval(e->args[eval(e->args[0]).integer != 0 ? 1 : 2]);
  if (e->op == Op::logical_and && eval(e->args[0]).integer == 0) return {};
  if (e->op == Op::logical_or && eval(e->args[0]).integer != 0) return {.integer = 1};
  const bool sums = e->op == Op::add || e->op == Op::sub;
  std::vector<Scalar> x;
  std::vector<Expr> operands;
  for (const Expr& arg : e->args) {
    x.push_back(eval(arg, sums));
    operands.push_back(as_constant(arg->dtype, x.back()));
  }
  if (f.expansion && f.notation.empty() && f.cuda.empty()) {
    // As code generators do: of narrow floats in f32, rounded once.
    const bool is_narrow = is_float(e->dtype) && byte_size(e->dtype) < byte_size(DType::f32);
    for (Expr& operand : operands) operand = is_narrow ? cast(DType::f32, operand) : operand;
    return eval(cast(e->dtype, f.expansion(operands)));
  }
  Scalar value = f.reference(e->args.back()->dtype, x);
  if (!is_float(e->dtype)) return fit(e->dtype, value);
  if (e->op == Op::mul && may_stay_wide && may_fuse_ && random_() % 2 == 0) return value;
  if (f.ulp > 0.5 && std::isfinite(value.real)) {
    value.real += random_sign() * f.ulp * spacing(e->dtype == DType::f64 ? DType::f64 : DType::f32, value.real);
  }
  return fit(e->dtype, value);
}

Scalar Perturbed::read(const Expr& e) {
  Coordinate at;
  for (std::size_t d = 0; d < e->args.size(); ++d) {
    at.push_back(eval(e->args[d]).integer);
    if (at[d] >= 0 && at[d] < size(e->tensor->shape[d])) continue;
    ensure(static_cast<bool>(e->fill), "a read lies inside");
    return eval(e->fill);
  }
  return element(*e->tensor, at);
}

void Perturbed::collect(const Expr& e, std::size_t axis, std::int64_t position, DType acc, std::vector<State>& states) {
  const ReduceInfo& info = *e->reduce;
  if (axis < info.axes.size()) {
    const Axis& a = info.axes[axis];
    const std::int64_t lo = size(a.lo), hi = size(a.hi);
    for (std::int64_t i = lo; i < hi; ++i) {
      places_[a.var.get()] = i;
      collect(e, axis + 1, position * (hi - lo) + i - lo, acc, states);
    }
    return;
  }
  if (e->where && eval(e->where).integer == 0) return;
  const Expr& argument = e->args[0];
  Scalar value = eval(argument, info.reducer == Reducer::sum);
  const bool product = is_call(argument, Op::mul) && argument->dtype == DType::f32;
  if (product && info.contract.grade == Grade::f32 && std::isfinite(value.real)) {
    value.real += random_sign() * 2 * spacing(DType::f32, value.real);
  } else if (product && info.contract.grade == Grade::tf32) {
    const auto narrow = [&](const Expr& x) { return truncate_to_tf32(static_cast<float>(eval(x).real)); };
    value.real = static_cast<double>(narrow(argument->args[0])) * static_cast<double>(narrow(argument->args[1]));
  }
  State state;
  // A product may reach the accumulator unrounded.
  const bool sums = info.reducer == Reducer::sum && acc == argument->dtype;
  if (sums) {
    state = {value};
  } else {
    const Expr operand = as_constant(argument->dtype, fit(argument->dtype, value));
    for (const Expr& part : row(info.reducer).lift(acc, operand, Expr(position))) state.push_back(eval(part));
  }
  states.push_back(std::move(state));
}

Perturbed::State Perturbed::combine(const Expr& e, DType acc, const State& left, const State& right) {
  const ReducerRow& reducer = row(e->reduce->reducer);
  const std::vector<DType> types = reducer.state(acc);
  std::vector<Expr> l, r;
  for (std::size_t s = 0; s < types.size(); ++s) {
    l.push_back(as_constant(types[s], left[s]));
    r.push_back(as_constant(types[s], right[s]));
  }
  State result;
  for (const Expr& part : reducer.combine(l, r)) result.push_back(eval(part));
  return result;
}

Scalar Perturbed::reduce(const Expr& e) {
  const ReducerRow& reducer = row(e->reduce->reducer);
  const DType acc = e->reduce->contract.accumulator.value_or(e->args[0]->dtype);
  const auto outside = places_;
  std::vector<State> states;
  collect(e, 0, 0, acc, states);
  places_ = outside;
  State identity;
  for (const Expr& part : reducer.identity(acc)) identity.push_back(eval(part));
  states.push_back(identity);
  // A random tree, or (as one thread would) a chain.
  const bool chain = random_() % 3 == 0;
  while (states.size() > 1) {
    const std::size_t a = chain ? states.size() - 2 : random_() % (states.size() - 1);
    const bool neighbours = random_() % 2 == 0 || chain;
    const std::size_t b = neighbours ? a + 1 : a + 1 + random_() % (states.size() - 1 - a);
    State both = combine(e, acc, states[a], states[b]);
    states.erase(states.begin() + static_cast<std::ptrdiff_t>(b));
    states[a] = std::move(both);
  }
  const std::vector<DType> types = reducer.state(acc);
  std::vector<Expr> state;
  for (std::size_t s = 0; s < types.size(); ++s) state.push_back(as_constant(types[s], states[0][s]));
  const Expr result = reducer.finish(state);
  return convert(e->dtype, result->dtype, eval(result));
}

}  // namespace quern::ir
