#pragma once
// Integer expressions of launch plans: sizes, grids, offsets and guards as functions of a call's dimension symbols and
// of the device. They are values (comparable, serialisable) and are evaluated at every launch without allocating.
//
// Semantics: 64-bit two's complement, wrapping. Division rounds down (ceil_div up), the remainder has the divisor's
// sign, and both give 0 for a zero divisor. Shifts by less than 0 or more than 63 shift everything out. Conditions are
// 0 or 1; any nonzero value counts as true. Every expression is total, so both sides of a select are evaluated.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

enum class PlanOp : std::uint8_t {
  constant,  // value
  symbol,    // value: index of the symbol
  limit,     // value: a DeviceLimit
  add,
  sub,
  mul,
  floor_div,
  ceil_div,
  mod,
  min,
  max,
  eq,
  ne,
  lt,
  le,
  logical_and,
  logical_or,
  bit_and,
  bit_or,
  bit_xor,
  shift_left,
  shift_right,  // copies the sign
  select,       // condition, then, else
};

// Numbers of the device that a plan may depend on.
enum class DeviceLimit : std::uint8_t {
  processors,        // SMs of a GPU, threads of the CPU pool
  shared_per_block,  // bytes, after opt-in
  shared_per_sm,     // bytes
  l2_bytes,
  resident_blocks,  // blocks of the launch at hand (its block size, cluster and shared memory) that the whole device
                    // holds at once; only in grids and parameters of that launch
};
inline constexpr int kDeviceLimitCount = 5;

// "processors", "l2_bytes", ...
std::string_view name(DeviceLimit limit);

// What an expression is evaluated over. `limits` is indexed by DeviceLimit.
struct PlanContext {
  std::span<const std::int64_t> symbols;
  std::span<const std::int64_t> limits;
};

// One expression, held in postfix order. Immutable once built; cheap to copy.
class PlanExpr {
 public:
  struct Item {
    PlanOp op = PlanOp::constant;
    std::int64_t value = 0;
    bool operator==(const Item&) const = default;
  };

  // The constant 0, or `value`.
  PlanExpr(std::int64_t value = 0) : items_{{PlanOp::constant, value}} {}  // NOLINT: constants are expressions

  static PlanExpr symbol(int index);
  static PlanExpr limit(DeviceLimit limit);
  // An operation on its operands (two, three for select). Constants are folded and neutral elements dropped.
  // Throws Error where an expression grows beyond kMaxDepth pending operands.
  static PlanExpr make(PlanOp op, std::span<const PlanExpr> operands);

  std::span<const Item> items() const { return items_; }
  bool is_constant() const { return items_.size() == 1 && items_[0].op == PlanOp::constant; }
  // The constant's value; InternalError otherwise.
  std::int64_t constant_value() const;
  // One past the largest symbol index in use; 0: none.
  int symbol_count() const;
  bool uses(DeviceLimit limit) const;

  bool operator==(const PlanExpr&) const = default;

  static constexpr int kMaxDepth = 64;  // operands pending at once during evaluation

 private:
  std::vector<Item> items_;
};

// The value of `expr`. Never allocates, never throws for a valid plan's expression; InternalError where the context
// holds fewer symbols or limits than it names.
std::int64_t evaluate(const PlanExpr& expr, const PlanContext& context);

// The same; nothing where a sum, a difference or a product within it would wrap.
std::optional<std::int64_t> evaluate_exactly(const PlanExpr& expr, const PlanContext& context);

// One operation's value (see the semantics above); c is used by select alone.
std::int64_t apply(PlanOp op, std::int64_t a, std::int64_t b, std::int64_t c = 0);

// Number of operands of an operation: 0, 2 or 3.
int arity(PlanOp op);

// "add", "ceil_div", "and", ...: the words of the serialised form.
std::string_view name(PlanOp op);

// Infix text for messages, such as "m % 16 == 0"; a symbol without a name prints as "s3".
std::string to_text(const PlanExpr& expr, std::span<const std::string> symbol_names);

PlanExpr operator+(const PlanExpr& a, const PlanExpr& b);
PlanExpr operator-(const PlanExpr& a, const PlanExpr& b);
PlanExpr operator*(const PlanExpr& a, const PlanExpr& b);
PlanExpr operator%(const PlanExpr& a, const PlanExpr& b);
PlanExpr floor_div(const PlanExpr& a, const PlanExpr& b);
PlanExpr ceil_div(const PlanExpr& a, const PlanExpr& b);
PlanExpr min(const PlanExpr& a, const PlanExpr& b);
PlanExpr max(const PlanExpr& a, const PlanExpr& b);
PlanExpr equal(const PlanExpr& a, const PlanExpr& b);
PlanExpr not_equal(const PlanExpr& a, const PlanExpr& b);
PlanExpr less(const PlanExpr& a, const PlanExpr& b);
PlanExpr less_equal(const PlanExpr& a, const PlanExpr& b);
PlanExpr both(const PlanExpr& a, const PlanExpr& b);
PlanExpr either(const PlanExpr& a, const PlanExpr& b);
PlanExpr select(const PlanExpr& condition, const PlanExpr& then, const PlanExpr& otherwise);

}  // namespace quern
