// Mma of expand_tiles on ordinary arithmetic: operands come from shared memory into registers, a group of k at a time,
// and their outer product joins the accumulators.

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "compiler/expander.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The one read of an operand's expression.
Expr find_read(const Expr& e) {
  if (e->kind == ExprKind::read) return e;
  Expr found;
  for (const Expr& arg : e->args) {
    if (Expr below = find_read(arg)) {
      ensure(!found, "an operand of mma reads one buffer");
      found = below;
    }
  }
  return found;
}

// Declarations are seen by what follows them, so blocks that declare are joined into one.
Stmt unit(std::vector<Stmt> parts) {
  std::vector<Stmt> body;
  for (const Stmt& part : parts) {
    if (const Block* nested = get_if<Block>(part)) {
      body.insert(body.end(), nested->body.begin(), nested->body.end());
    } else {
      body.push_back(part);
    }
  }
  return block(std::move(body));
}

constexpr int kGpuLanes = 32;
constexpr std::int64_t kVectorBytes = 16;
constexpr std::int64_t kUnrolled = 64;  // k steps that are unrolled as a whole

}  // namespace

// One operand on its way: which of the accumulator's registers it spans, and its own registers.
struct Expander::MmaOperand {
  Expr expression, source;            // the factor, and the read in it
  std::vector<RegisterDigit> digits;  // of its side of the accumulator
  std::int64_t registers = 1;         // per k
  Expr own = 0;                       // register index without k
  bool k_contiguous = false;          // its vectors run along k
  BufferRef fragment;
  Expr held;  // its element at the loops' variables
};

Expander::MmaOperand Expander::prepare_operand(const Expr& expression, const Expr& coordinate,
                                               const Distributed& values, const VarRef& k) {
  MmaOperand operand{.expression = expression, .source = find_read(expression)};
  for (const RegisterDigit& digit : values.registers) {
    if (!uses(coordinate, digit.var)) continue;
    operand.digits.push_back(digit);
    operand.registers *= digit.extent;
  }
  std::int64_t stride = operand.registers;
  for (const RegisterDigit& digit : operand.digits) {
    stride /= digit.extent;
    operand.own = operand.own + Expr(digit.var) * stride;
  }
  const Buffer& buffer = as_buffer(*operand.source->tensor);
  const Expr address = flat_index(buffer, placed(buffer, operand.source->args));
  const auto along_k = coefficient(address, k, assumptions_);
  // A vector unit broadcasts what does not differ by lane; only threads gain from vectors along k.
  operand.k_contiguous = scope_.lanes == kGpuLanes && along_k && is_integer(*along_k, 1);
  return operand;
}

// Registers for `group` steps of k where the vectors run along k, else for one.
void Expander::declare_operand(MmaOperand& operand, std::int64_t group, const Expr& k_within) {
  const Tensor& source = *operand.source->tensor;
  const std::int64_t depth = operand.k_contiguous ? group : 1;
  operand.fragment = declare(source.name + "_r", source.dtype, Space::fragment, operand.registers * depth);
  const Expr place = operand.k_contiguous ? operand.own * group + k_within : operand.own;
  operand.held = element(operand.fragment, simplify(place, assumptions_));
}

Stmt Expander::load_operand(const MmaOperand& operand, const std::optional<RegisterDigit>& k_digit) {
  const Expr value = rewrite(operand.source);
  std::vector<RegisterDigit> loops = operand.digits;
  if (k_digit) loops.push_back(*k_digit);
  return block({make_stmt(Alloc{operand.fragment}),
                loop_over(loops, assign(operand.fragment, operand.held->args[0], value), true)});
}

Stmt Expander::expand(const Mma& mma) {
  if (mma.kind == MmaKind::wgmma) return expand_wgmma(mma);
  if (mma.kind == MmaKind::mma_sync) return expand_mma_sync(mma);
  return nested([&] {
    ensure(mma.acc->layout.modes.size() == 2, "an accumulator has the axes i and j");
    const Distributed values = distribute(mma.acc->layout);
    substitution_[mma.i.var.get()] = values.coordinates[0];
    substitution_[mma.j.var.get()] = values.coordinates[1];
    MmaOperand a = prepare_operand(mma.a, values.coordinates[0], values, mma.k.var);
    MmaOperand b = prepare_operand(mma.b, values.coordinates[1], values, mma.k.var);
    std::int64_t group = 1;
    for (const MmaOperand* operand : {&a, &b}) {
      if (operand->k_contiguous)
        group = std::max<std::int64_t>(group, kVectorBytes / byte_size(operand->source->dtype));
    }
    const Expr depth = simplified(mma.k.hi);
    ensure(divisor(depth, assumptions_) % group == 0, "k is a multiple of the operands' vectors");
    const Expr steps = simplify(div(depth, group), assumptions_);

    const VarRef step = make_var("kk"), within = make_var("ku");
    const RegisterDigit k_digit{within, group, 1, true};
    assumptions_ = assumptions_.with(Axis{step, 0, steps}).with(Axis{within, 0, group});
    const Expr k_within = group > 1 ? Expr(within) : Expr(0);
    substitution_[mma.k.var.get()] = simplify(Expr(step) * group + k_within, assumptions_);

    // What runs along k comes for the whole group, the rest step by step.
    std::vector<Stmt> of_group, of_step;
    for (MmaOperand* operand : {&a, &b}) {
      declare_operand(*operand, group, k_within);
      const bool whole = operand->k_contiguous && group > 1;
      (whole ? of_group : of_step).push_back(load_operand(*operand, whole ? std::optional(k_digit) : std::nullopt));
      operand->expression = replace_node(operand->expression, operand->source, operand->held);
    }
    Expr place = 0;
    for (const RegisterDigit& digit : values.registers) place = place + Expr(digit.var) * digit.stride;
    place = simplify(place, assumptions_);
    const BufferRef acc = flat_.at(mma.acc.get());
    const Expr sum = element(acc, place) + cast(acc->dtype, a.expression * b.expression);
    of_step.push_back(loop_over(values.registers, assign(acc, place, sum), false));
    of_group.push_back(group > 1 ? loop_over({k_digit}, unit(std::move(of_step)), false) : unit(std::move(of_step)));

    const bool unrolled = as_integer(depth) && *as_integer(depth) <= kUnrolled;
    return make_stmt(For{step, 0, steps, 1, unrolled ? ForKind::unroll : ForKind::serial, unit(std::move(of_group))});
  });
}

}  // namespace quern::compiler
