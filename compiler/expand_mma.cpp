// Mma of expand_tiles on ordinary arithmetic: operands come from shared memory into registers, a group of k at a time,
// and their outer product joins the accumulators.

#include "base/error.h"
#include "compiler/expander.h"

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

Expr replace(const Expr& e, const Expr& from, const Expr& to) {
  if (e.same(from)) return to;
  std::vector<Expr> args;
  for (const Expr& arg : e->args) args.push_back(replace(arg, from, to));
  return with_children(e, std::move(args), e->fill, e->where);
}

constexpr std::int64_t kVectorBytes = 16;
constexpr std::int64_t kUnrolled = 64;  // k steps that are unrolled as a whole

}  // namespace

Stmt Expander::expand(const Mma& mma) {
  ensure(mma.kind == MmaKind::simt, "tensor-core products are expanded elsewhere");
  return nested([&] {
    const Layout& layout = mma.acc->layout;
    ensure(layout.modes.size() == 2, "an accumulator has the axes i and j");
    const Distributed values = distribute(layout);
    const Expr depth = simplified(mma.k.hi);
    const VarRef step = make_var("kk");
    const VarRef within = make_var("ku");
    substitution_[mma.i.var.get()] = values.coordinates[0];
    substitution_[mma.j.var.get()] = values.coordinates[1];

    // One operand: its registers, indexed by its mode's register digits and k within the group.
    struct Operand {
      Expr expression, source;      // with the read, and the read itself
      std::vector<RegisterDigit> digits;
      Expr own;                     // register index without k
      std::int64_t registers = 1;   // per k
      bool k_contiguous = false;
      BufferRef fragment;
    };
    const auto prepare = [&](const Expr& expression, int mode) {
      Operand operand{expression, find_read(expression), {}, 0, 1, false, nullptr};
      for (const RegisterDigit& digit : values.registers) {
        if (uses(values.coordinates[static_cast<std::size_t>(mode)], digit.var)) operand.digits.push_back(digit);
      }
      for (const RegisterDigit& digit : operand.digits) operand.registers *= digit.extent;
      std::int64_t stride = operand.registers;
      for (const RegisterDigit& digit : operand.digits) {
        stride /= digit.extent;
        operand.own = operand.own + Expr(digit.var) * stride;
      }
      std::vector<Expr> index;
      for (const Expr& i : operand.source->args) index.push_back(rewrite(i));
      const Expr address = flat_index(as_buffer(*operand.source->tensor), index);
      const auto along_k = coefficient(address, mma.k.var, assumptions_);
      operand.k_contiguous = scope_.lanes == 32 && along_k && is_integer(*along_k, 1);
      return operand;
    };
    Operand a = prepare(mma.a, 0), b = prepare(mma.b, 1);
    const bool along_k = a.k_contiguous || b.k_contiguous;
    const std::int64_t group = along_k ? kVectorBytes / byte_size(a.source->dtype) : 1;
    ensure(divisor(depth, assumptions_) % group == 0, "k is a multiple of the operands' vectors");
    const Expr steps = simplify(div(depth, group), assumptions_);

    assumptions_ = assumptions_.with(Axis{step, 0, steps}).with(Axis{within, 0, group});
    const Expr k_within = group > 1 ? Expr(within) : Expr(0);
    substitution_[mma.k.var.get()] = simplify(Expr(step) * group + k_within, assumptions_);
    std::vector<Stmt> body;
    const RegisterDigit k_digit{within, group, 1, true};
    for (Operand* operand : {&a, &b}) {
      operand->fragment = declare(operand->source->tensor->name + "_r", operand->source->dtype, Space::fragment,
                                  operand->registers * group);
      body.push_back(make_stmt(Alloc{operand->fragment}));
      // The vector runs along k where that is contiguous, else along the operand's own neighbours.
      std::vector<RegisterDigit> loops = operand->digits;
      const bool inner_k = operand->k_contiguous;
      if (group > 1) loops.insert(inner_k ? loops.end() : loops.begin(), k_digit);
      const Expr place = inner_k ? operand->own * group + k_within : operand->own + k_within * operand->registers;
      std::vector<Expr> index;
      for (const Expr& i : operand->source->args) index.push_back(rewrite(i));
      Stmt load = assign(operand->fragment, simplify(place, assumptions_),
                         read(flat(*operand->source->tensor),
                              {flat_index(as_buffer(*operand->source->tensor), index)}));
      body.push_back(loop_over(loops, std::move(load), true));
      const Expr held = element(operand->fragment, simplify(place, assumptions_));
      operand->expression = replace(operand->expression, operand->source, held);
    }
    Expr place = 0;
    for (const RegisterDigit& digit : values.registers) place = place + Expr(digit.var) * digit.stride;
    place = simplify(place, assumptions_);
    const BufferRef acc = flat_.at(mma.acc.get());
    std::vector<RegisterDigit> loops = values.registers;
    if (group > 1) loops.insert(loops.begin(), k_digit);
    body.push_back(loop_over(
        loops, assign(acc, place, element(acc, place) + a.expression * b.expression), false));

    const bool unrolled = as_integer(depth) && *as_integer(depth) <= kUnrolled;
    return make_stmt(
        For{step, 0, steps, 1, unrolled ? ForKind::unroll : ForKind::serial, block(std::move(body))});
  });
}

}  // namespace quern::compiler
