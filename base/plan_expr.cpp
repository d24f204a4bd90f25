#include "base/plan_expr.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"

namespace quern {
namespace {

using Wide = std::uint64_t;

constexpr std::array<std::string_view, 23> kOpNames = {
    "constant", "symbol",  "limit",  "add",     "sub",        "mul",         "floor_div", "ceil_div",
    "mod",      "min",     "max",    "eq",      "ne",         "lt",          "le",        "and",
    "or",       "bit_and", "bit_or", "bit_xor", "shift_left", "shift_right", "select"};

constexpr std::array<std::string_view, kDeviceLimitCount> kLimitNames = {
    "processors", "shared_per_block", "shared_per_sm", "l2_bytes", "resident_blocks"};

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return static_cast<std::int64_t>(Wide{0} - static_cast<Wide>(a));  // the smallest number wraps
  const std::int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

std::int64_t ceil_quotient(std::int64_t a, std::int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return static_cast<std::int64_t>(Wide{0} - static_cast<Wide>(a));
  const std::int64_t q = a / b;
  return q + ((a % b != 0) && ((a < 0) == (b < 0)));
}

std::int64_t floor_remainder(std::int64_t a, std::int64_t b) {
  if (b == 0 || b == -1) return 0;
  const std::int64_t r = a % b;
  return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}

std::int64_t shift_left(std::int64_t a, std::int64_t bits) {
  return bits < 0 || bits > 63 ? 0 : static_cast<std::int64_t>(static_cast<Wide>(a) << bits);
}

std::int64_t shift_right(std::int64_t a, std::int64_t bits) { return a >> (bits < 0 || bits > 63 ? 63 : bits); }

bool is_leaf(PlanOp op) { return arity(op) == 0; }

int depth_of(std::span<const PlanExpr::Item> items) {
  int depth = 0, deepest = 0;
  for (const PlanExpr::Item& item : items) {
    depth += is_leaf(item.op) ? 1 : 1 - arity(item.op);
    deepest = std::max(deepest, depth);
  }
  return deepest;
}

bool is_value(const PlanExpr& e, std::int64_t value) { return e.is_constant() && e.constant_value() == value; }

// The operand that an operation with a neutral element leaves unchanged, or null.
const PlanExpr* neutral(PlanOp op, std::span<const PlanExpr> v) {
  switch (op) {
    case PlanOp::add:
      return is_value(v[1], 0) ? &v[0] : is_value(v[0], 0) ? &v[1] : nullptr;
    case PlanOp::sub:
      return is_value(v[1], 0) ? &v[0] : nullptr;
    case PlanOp::mul:
      return is_value(v[1], 1) ? &v[0] : is_value(v[0], 1) ? &v[1] : nullptr;
    case PlanOp::floor_div:
    case PlanOp::ceil_div:
      return is_value(v[1], 1) ? &v[0] : nullptr;
    case PlanOp::min:
    case PlanOp::max:
      return v[0] == v[1] ? &v[0] : nullptr;
    case PlanOp::select:
      return v[0].is_constant() ? &v[v[0].constant_value() != 0 ? 1 : 2] : v[1] == v[2] ? &v[1] : nullptr;
    default:
      return nullptr;
  }
}

struct Infix {
  std::string_view word;  // empty: written as a call
  int precedence;
};

Infix infix(PlanOp op) {
  switch (op) {
    case PlanOp::logical_or:
      return {" || ", 1};
    case PlanOp::logical_and:
      return {" && ", 2};
    case PlanOp::eq:
      return {" == ", 3};
    case PlanOp::ne:
      return {" != ", 3};
    case PlanOp::lt:
      return {" < ", 3};
    case PlanOp::le:
      return {" <= ", 3};
    case PlanOp::add:
      return {" + ", 4};
    case PlanOp::sub:
      return {" - ", 4};
    case PlanOp::mul:
      return {" * ", 5};
    case PlanOp::floor_div:
      return {" // ", 5};
    case PlanOp::mod:
      return {" % ", 5};
    default:
      return {"", 6};
  }
}

struct Piece {
  std::string text;
  int precedence;
};

std::string wrap(const Piece& piece, int at_least) {
  return piece.precedence < at_least ? "(" + piece.text + ")" : piece.text;
}

std::string leaf_text(const PlanExpr::Item& item, std::span<const std::string> names) {
  switch (item.op) {
    case PlanOp::constant:
      return std::to_string(item.value);
    case PlanOp::symbol: {
      const auto index = static_cast<std::size_t>(item.value);
      return index < names.size() && !names[index].empty() ? names[index] : "s" + std::to_string(item.value);
    }
    default:
      return "@" + std::string(name(static_cast<DeviceLimit>(item.value)));
  }
}

PlanExpr binary(PlanOp op, const PlanExpr& a, const PlanExpr& b) {
  const std::array operands = {a, b};
  return PlanExpr::make(op, operands);
}

}  // namespace

std::string_view name(DeviceLimit limit) { return kLimitNames[static_cast<std::size_t>(limit)]; }
std::string_view name(PlanOp op) { return kOpNames[static_cast<std::size_t>(op)]; }

int arity(PlanOp op) {
  if (op <= PlanOp::limit) return 0;
  return op == PlanOp::select ? 3 : 2;
}

std::int64_t apply(PlanOp op, std::int64_t a, std::int64_t b, std::int64_t c) {
  const Wide ua = static_cast<Wide>(a), ub = static_cast<Wide>(b);
  switch (op) {
    case PlanOp::add:
      return static_cast<std::int64_t>(ua + ub);
    case PlanOp::sub:
      return static_cast<std::int64_t>(ua - ub);
    case PlanOp::mul:
      return static_cast<std::int64_t>(ua * ub);
    case PlanOp::floor_div:
      return floor_quotient(a, b);
    case PlanOp::ceil_div:
      return ceil_quotient(a, b);
    case PlanOp::mod:
      return floor_remainder(a, b);
    case PlanOp::min:
      return std::min(a, b);
    case PlanOp::max:
      return std::max(a, b);
    case PlanOp::eq:
      return a == b;
    case PlanOp::ne:
      return a != b;
    case PlanOp::lt:
      return a < b;
    case PlanOp::le:
      return a <= b;
    case PlanOp::logical_and:
      return a != 0 && b != 0;
    case PlanOp::logical_or:
      return a != 0 || b != 0;
    case PlanOp::bit_and:
      return a & b;
    case PlanOp::bit_or:
      return a | b;
    case PlanOp::bit_xor:
      return a ^ b;
    case PlanOp::shift_left:
      return shift_left(a, b);
    case PlanOp::shift_right:
      return shift_right(a, b);
    case PlanOp::select:
      return a != 0 ? b : c;
    case PlanOp::constant:
    case PlanOp::symbol:
    case PlanOp::limit:
      break;
  }
  unreachable("apply: a leaf has no operands");
}

PlanExpr PlanExpr::symbol(int index) {
  ensure(index >= 0, "a symbol's index is not negative");
  PlanExpr e;
  e.items_ = {{PlanOp::symbol, index}};
  return e;
}

PlanExpr PlanExpr::limit(DeviceLimit limit) {
  PlanExpr e;
  e.items_ = {{PlanOp::limit, static_cast<std::int64_t>(limit)}};
  return e;
}

PlanExpr PlanExpr::make(PlanOp op, std::span<const PlanExpr> operands) {
  ensure(!operands.empty() && static_cast<int>(operands.size()) == arity(op), "a plan operation has all its operands");
  if (std::ranges::all_of(operands, &PlanExpr::is_constant)) {
    return apply(op, operands[0].constant_value(), operands[1].constant_value(),
                 operands.size() > 2 ? operands[2].constant_value() : 0);
  }
  if (const PlanExpr* same = neutral(op, operands)) return *same;
  PlanExpr e;
  e.items_.clear();
  for (const PlanExpr& operand : operands)
    e.items_.insert(e.items_.end(), operand.items_.begin(), operand.items_.end());
  e.items_.push_back({op, 0});
  if (depth_of(e.items_) > kMaxDepth) fail("a launch-plan expression nests deeper than {} operands", kMaxDepth);
  return e;
}

std::int64_t PlanExpr::constant_value() const {
  ensure(is_constant(), "the plan expression is a constant");
  return items_[0].value;
}

int PlanExpr::symbol_count() const {
  std::int64_t count = 0;
  for (const Item& item : items_) {
    if (item.op == PlanOp::symbol) count = std::max(count, item.value + 1);
  }
  return static_cast<int>(count);
}

bool PlanExpr::uses(DeviceLimit limit) const {
  return std::ranges::find(items_, Item{PlanOp::limit, static_cast<std::int64_t>(limit)}) != items_.end();
}

namespace {

// `operation(op, a, b, c)` is the value of one.
template <typename Operation>
std::int64_t evaluate_by(const PlanExpr& expr, const PlanContext& context, const Operation& operation) {
  std::array<std::int64_t, PlanExpr::kMaxDepth> stack;
  std::size_t top = 0;
  for (const PlanExpr::Item& item : expr.items()) {
    switch (item.op) {
      case PlanOp::constant:
        stack[top++] = item.value;
        break;
      case PlanOp::symbol:
        ensure(static_cast<std::size_t>(item.value) < context.symbols.size(), "every symbol of a plan has a value");
        stack[top++] = context.symbols[static_cast<std::size_t>(item.value)];
        break;
      case PlanOp::limit:
        ensure(static_cast<std::size_t>(item.value) < context.limits.size(), "every device limit has a value");
        stack[top++] = context.limits[static_cast<std::size_t>(item.value)];
        break;
      case PlanOp::select:
        top -= 2;
        stack[top - 1] = operation(item.op, stack[top - 1], stack[top], stack[top + 1]);
        break;
      default:
        --top;
        stack[top - 1] = operation(item.op, stack[top - 1], stack[top], 0);
    }
  }
  return stack[0];
}

bool overflows(PlanOp op, std::int64_t a, std::int64_t b) {
  std::int64_t value = 0;
  switch (op) {
    case PlanOp::add:
      return __builtin_add_overflow(a, b, &value);
    case PlanOp::sub:
      return __builtin_sub_overflow(a, b, &value);
    case PlanOp::mul:
      return __builtin_mul_overflow(a, b, &value);
    default:
      return false;
  }
}

}  // namespace

std::int64_t evaluate(const PlanExpr& expr, const PlanContext& context) { return evaluate_by(expr, context, apply); }

std::optional<std::int64_t> evaluate_exactly(const PlanExpr& expr, const PlanContext& context) {
  bool exact = true;
  const std::int64_t value = evaluate_by(expr, context, [&](PlanOp op, auto a, auto b, auto c) {
    exact = exact && !overflows(op, a, b);
    return apply(op, a, b, c);
  });
  return exact ? std::optional(value) : std::nullopt;
}

std::string to_text(const PlanExpr& expr, std::span<const std::string> symbol_names) {
  constexpr int kAtom = 7;
  std::vector<Piece> stack;
  const auto pop = [&stack] {
    Piece piece = std::move(stack.back());
    stack.pop_back();
    return piece;
  };
  for (const PlanExpr::Item& item : expr.items()) {
    if (is_leaf(item.op)) {
      stack.push_back({leaf_text(item, symbol_names), kAtom});
    } else if (item.op == PlanOp::select) {
      const Piece c = pop(), b = pop(), a = pop();
      stack.push_back({fmt::format("{} ? {} : {}", wrap(a, 1), wrap(b, 1), wrap(c, 1)), 0});
    } else {
      const Piece b = pop(), a = pop();
      const Infix how = infix(item.op);
      if (how.word.empty()) {
        stack.push_back({fmt::format("{}({}, {})", name(item.op), a.text, b.text), kAtom});
      } else {
        stack.push_back(
            {wrap(a, how.precedence) + std::string(how.word) + wrap(b, how.precedence + 1), how.precedence});
      }
    }
  }
  return stack.back().text;
}

PlanExpr operator+(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::add, a, b); }
PlanExpr operator-(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::sub, a, b); }
PlanExpr operator*(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::mul, a, b); }
PlanExpr operator%(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::mod, a, b); }
PlanExpr floor_div(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::floor_div, a, b); }
PlanExpr ceil_div(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::ceil_div, a, b); }
PlanExpr min(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::min, a, b); }
PlanExpr max(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::max, a, b); }
PlanExpr equal(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::eq, a, b); }
PlanExpr not_equal(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::ne, a, b); }
PlanExpr less(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::lt, a, b); }
PlanExpr less_equal(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::le, a, b); }
PlanExpr both(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::logical_and, a, b); }
PlanExpr either(const PlanExpr& a, const PlanExpr& b) { return binary(PlanOp::logical_or, a, b); }

PlanExpr select(const PlanExpr& condition, const PlanExpr& then, const PlanExpr& otherwise) {
  const std::array operands = {condition, then, otherwise};
  return PlanExpr::make(PlanOp::select, operands);
}

}  // namespace quern
