#include "ir/expr.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/tensor.h"

namespace quern::ir {
namespace {

Expr make(Node node) {
  std::uint32_t depth = 0;
  for (const Expr& arg : node.args) depth = std::max(depth, arg->depth);
  if (node.fill) depth = std::max(depth, node.fill->depth);
  if (node.where) depth = std::max(depth, node.where->depth);
  node.depth = depth + 1;
  return Expr(std::make_shared<const Node>(std::move(node)));
}

bool equal_constants(const Node& a, const Node& b) {
  return a.integer == b.integer && std::bit_cast<std::uint64_t>(a.real) == std::bit_cast<std::uint64_t>(b.real);
}

// Equality under a renaming of bound axes.
class Matcher {
 public:
  bool match(const Expr& a, const Expr& b) {
    if (!a || !b) return !a && !b;
    if (a.same(b) && bound_.empty()) return true;
    if (a->kind != b->kind || a->dtype != b->dtype || a->args.size() != b->args.size()) return false;
    switch (a->kind) {
      case ExprKind::constant:
        return equal_constants(*a, *b);
      case ExprKind::variable:
        return same_variable(a->var, b->var);
      case ExprKind::call:
        return a->op == b->op && match_args(a, b);
      case ExprKind::cast:
        return match_args(a, b);
      case ExprKind::read:
        return a->tensor == b->tensor && match(a->fill, b->fill) && match_args(a, b);
      case ExprKind::reduce:
        return match_reduce(a, b);
    }
    return false;
  }

 private:
  bool same_variable(const VarRef& a, const VarRef& b) const {
    for (auto it = bound_.rbegin(); it != bound_.rend(); ++it) {
      if (it->first == a || it->second == b) return it->first == a && it->second == b;
    }
    return a == b;
  }

  bool match_args(const Expr& a, const Expr& b) {
    for (std::size_t i = 0; i < a->args.size(); ++i) {
      if (!match(a->args[i], b->args[i])) return false;
    }
    return true;
  }

  bool match_reduce(const Expr& a, const Expr& b) {
    const ReduceInfo& x = *a->reduce;
    const ReduceInfo& y = *b->reduce;
    if (x.reducer != y.reducer || !(x.contract == y.contract) || x.axes.size() != y.axes.size()) return false;
    for (std::size_t i = 0; i < x.axes.size(); ++i) {
      if (!match(x.axes[i].lo, y.axes[i].lo) || !match(x.axes[i].hi, y.axes[i].hi)) return false;
    }
    const std::size_t outer = bound_.size();
    for (std::size_t i = 0; i < x.axes.size(); ++i) bound_.emplace_back(x.axes[i].var, y.axes[i].var);
    const bool matched = match(a->where, b->where) && match_args(a, b);
    bound_.resize(outer);
    return matched;
  }

  std::vector<std::pair<VarRef, VarRef>> bound_;
};

std::size_t mix(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2));
}

// Variables hash by dtype alone below a binder, since equality renames those; the rest by address.
std::size_t hash(const Expr& e, std::vector<VarRef>& bound) {
  if (!e) return 7;
  std::size_t h = mix(static_cast<std::size_t>(e->kind), static_cast<std::size_t>(e->dtype));
  switch (e->kind) {
    case ExprKind::constant:
      h = mix(h, mix(static_cast<std::size_t>(e->integer), std::bit_cast<std::uint64_t>(e->real)));
      break;
    case ExprKind::variable: {
      const bool is_bound = std::find(bound.begin(), bound.end(), e->var) != bound.end();
      h = mix(h, is_bound ? 1 : std::hash<const void*>()(e->var.get()));
      break;
    }
    case ExprKind::call:
      h = mix(h, static_cast<std::size_t>(e->op));
      break;
    case ExprKind::cast:
      break;
    case ExprKind::read:
      h = mix(mix(h, std::hash<const void*>()(e->tensor.get())), hash(e->fill, bound));
      break;
    case ExprKind::reduce:
      h = mix(h, static_cast<std::size_t>(e->reduce->reducer));
      break;
  }
  const std::size_t outer = bound.size();
  if (e->kind == ExprKind::reduce) {
    for (const Axis& axis : e->reduce->axes) h = mix(mix(h, hash(axis.lo, bound)), hash(axis.hi, bound));
    for (const Axis& axis : e->reduce->axes) bound.push_back(axis.var);
    h = mix(h, hash(e->where, bound));
  }
  for (const Expr& arg : e->args) h = mix(h, hash(arg, bound));
  bound.resize(outer);
  return h;
}

template <typename Predicate>
bool any_node(const Expr& e, const Predicate& predicate) {
  if (!e) return false;
  if (predicate(*e)) return true;
  for (const Expr& arg : e->args) {
    if (any_node(arg, predicate)) return true;
  }
  if (e->kind == ExprKind::reduce) {
    for (const Axis& axis : e->reduce->axes) {
      if (any_node(axis.lo, predicate) || any_node(axis.hi, predicate)) return true;
    }
  }
  return any_node(e->fill, predicate) || any_node(e->where, predicate);
}

}  // namespace

VarRef make_var(std::string name, DType dtype) {
  return std::make_shared<const Variable>(Variable{std::move(name), dtype});
}

Expr::Expr(std::int64_t value) : Expr(constant(DType::i64, value)) {}
Expr::Expr(const VarRef& var) : Expr(make({.kind = ExprKind::variable, .dtype = var->dtype, .args = {}, .var = var})) {}

Expr constant(DType dtype, std::int64_t value) {
  if (is_float(dtype)) return constant(dtype, static_cast<double>(value));
  return make({.kind = ExprKind::constant, .dtype = dtype, .args = {}, .integer = wrap_integer(dtype, value)});
}

Expr constant(DType dtype, double value) {
  ensure(is_float(dtype), "a real constant has a float dtype");
  if (std::isnan(value)) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (std::isfinite(value) || dtype == DType::f8e4m3) {  // f8e5m2 has infinities, to which no cast rounds
    value = round_to(dtype, value);
  }
  return make({.kind = ExprKind::constant, .dtype = dtype, .args = {}, .real = value});
}

Expr boolean(bool value) { return constant(DType::boolean, static_cast<std::int64_t>(value)); }

Expr call(Op op, std::vector<Expr> args) {
  std::vector<DType> types;
  for (const Expr& arg : args) types.push_back(arg->dtype);
  const std::optional<DType> result = result_type(op, types);
  if (!result) {
    std::string given;
    for (const DType type : types) given += fmt::format("{}{}", given.empty() ? "" : ", ", name(type));
    throw InternalError(fmt::format("{}({}) is not typed", row(op).name, given));
  }
  return make({.kind = ExprKind::call, .dtype = *result, .args = std::move(args), .op = op});
}

Expr cast(DType dtype, Expr value) {
  if (value->dtype == dtype) return value;
  return make({.kind = ExprKind::cast, .dtype = dtype, .args = {std::move(value)}});
}

Expr read(TensorRef tensor, std::vector<Expr> index, Expr fill) {
  ensure(index.size() == tensor->rank(), "a read has one index per dimension");
  for (const Expr& i : index) ensure(is_integer(i->dtype), "an index is an integer");
  ensure(!fill || fill->dtype == tensor->dtype, "a fill has the tensor's dtype");
  const DType dtype = tensor->dtype;
  return make({.kind = ExprKind::read,
               .dtype = dtype,
               .args = std::move(index),
               .tensor = std::move(tensor),
               .fill = std::move(fill)});
}

Expr reduce(Reducer reducer, std::vector<Axis> axes, std::vector<Expr> args, Expr where, Contract contract) {
  ensure(args.size() == static_cast<std::size_t>(row(reducer).arity), "a reducer takes its arity of operands");
  ensure(!where || is_bool(where->dtype), "a reduction's condition is a bool");
  const DType dtype = row(reducer).result(args[0]->dtype);
  auto info = std::make_shared<const ReduceInfo>(ReduceInfo{reducer, std::move(axes), contract});
  return make({.kind = ExprKind::reduce,
               .dtype = dtype,
               .args = std::move(args),
               .reduce = std::move(info),
               .where = std::move(where)});
}

Expr with_children(const Expr& e, std::vector<Expr> args, Expr fill, Expr where) {
  bool changed = !fill.same(e->fill) || !where.same(e->where);
  for (std::size_t i = 0; i < args.size(); ++i) changed = changed || !args[i].same(e->args[i]);
  if (!changed) return e;
  Node node = *e;
  node.args = std::move(args);
  node.fill = std::move(fill);
  node.where = std::move(where);
  return make(std::move(node));
}

Expr operator+(const Expr& a, const Expr& b) { return call(Op::add, {a, b}); }
Expr operator-(const Expr& a, const Expr& b) { return call(Op::sub, {a, b}); }
Expr operator*(const Expr& a, const Expr& b) { return call(Op::mul, {a, b}); }
Expr operator-(const Expr& a) { return call(Op::neg, {a}); }
Expr div(const Expr& a, const Expr& b) { return call(Op::floor_div, {a, b}); }
Expr mod(const Expr& a, const Expr& b) { return call(Op::mod, {a, b}); }
Expr ceil_div(const Expr& a, const Expr& b) { return div(a + (b - constant(b->dtype, std::int64_t{1})), b); }
Expr min(const Expr& a, const Expr& b) { return call(Op::min, {a, b}); }
Expr max(const Expr& a, const Expr& b) { return call(Op::max, {a, b}); }
Expr less(const Expr& a, const Expr& b) { return call(Op::lt, {a, b}); }
Expr less_equal(const Expr& a, const Expr& b) { return call(Op::le, {a, b}); }
Expr equals(const Expr& a, const Expr& b) { return call(Op::eq, {a, b}); }
Expr both(const Expr& a, const Expr& b) {
  if (!a) return b;
  return b ? call(Op::logical_and, {a, b}) : a;
}
Expr either(const Expr& a, const Expr& b) { return call(Op::logical_or, {a, b}); }
Expr negate(const Expr& a) { return call(Op::logical_not, {a}); }
Expr select(const Expr& condition, const Expr& a, const Expr& b) { return call(Op::select, {condition, a, b}); }

bool is_constant(const Expr& e) { return e && e->kind == ExprKind::constant; }

std::optional<std::int64_t> as_integer(const Expr& e) {
  if (!is_constant(e) || is_float(e->dtype)) return std::nullopt;
  return e->integer;
}

bool is_integer(const Expr& e, std::int64_t value) { return as_integer(e) == value; }
bool is_variable(const Expr& e, const VarRef& var) { return e && e->kind == ExprKind::variable && e->var == var; }
bool is_call(const Expr& e, Op op) { return e && e->kind == ExprKind::call && e->op == op; }

bool uses(const Expr& e, const VarRef& var) {
  return any_node(e, [&](const Node& n) { return n.kind == ExprKind::variable && n.var == var; });
}

bool reads(const Expr& e, const Tensor& tensor) {
  return any_node(e, [&](const Node& n) { return n.kind == ExprKind::read && n.tensor.get() == &tensor; });
}

bool equal(const Expr& a, const Expr& b) { return Matcher().match(a, b); }

std::size_t structural_hash(const Expr& e) {
  std::vector<VarRef> bound;
  return hash(e, bound);
}

}  // namespace quern::ir
