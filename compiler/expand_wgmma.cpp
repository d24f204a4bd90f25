// Mma of expand_tiles on warpgroup matrix instructions: descriptors of the operands' shared tiles, then one statement
// per 64 rows and accumulator's width, for as many slices of 32 bytes of k as lie evenly. Fences, commits and waits are
// the strategy's statements.

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "compiler/expander.h"
#include "ir/fragment_layouts.h"
#include "ir/rewrite.h"
#include "ir/wgmma_descriptor.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kRows = 64;            // of one instruction
constexpr std::int64_t kSliceBytes = 32;      // of k, of one instruction
constexpr std::int64_t kDescriptorUnit = 16;  // bytes that a descriptor's address counts in

// Which position of a read's indices is the axis.
int mode_of(const Expr& operand, const VarRef& axis) {
  for (std::size_t d = 0; d < operand->args.size(); ++d) {
    if (uses(operand->args[d], axis)) return static_cast<int>(d);
  }
  throw InternalError(fmt::format("an operand of wgmma is indexed by the axis {}", axis->name));
}

Expr code(DType dtype) { return Expr(static_cast<std::int64_t>(dtype)); }

// Evenly spaced starts, `run` of them at a time: within a row of the tile, and from row to row.
struct Steps {
  std::int64_t step = 0, run = 1, far = 0;  // bytes

  // How far the start number `n` lies from the first, in `unit`s.
  Expr from_first(const Expr& n, std::int64_t unit) const {
    return mod(n, run) * (step / unit) + div(n, run) * (far / unit);
  }
};

Steps steps_of(const std::vector<std::int64_t>& starts) {
  Steps steps;
  const auto count = static_cast<std::int64_t>(starts.size());
  const auto from_first = [&](std::int64_t s) { return starts[static_cast<std::size_t>(s)] - starts[0]; };
  if (count > 1) steps.step = from_first(1);
  while (steps.run < count && from_first(steps.run) == steps.run * steps.step) ++steps.run;
  if (steps.run < count) steps.far = from_first(steps.run);
  for (std::int64_t s = 0; s < count; ++s) {
    ensure(from_first(s) == s % steps.run * steps.step + s / steps.run * steps.far,
           "slices of a wgmma operand are evenly spaced, in even rows");
  }
  return steps;
}

// The same of slices in registers: `place` of each, in elements. One at a time where the distances are not known.
Steps steps_of(const Expr& place, const VarRef& slice, std::int64_t slices, const Assumptions& assumptions) {
  const auto at = [&](std::int64_t s) { return substitute(place, {{slice, Expr(s)}}); };
  std::vector<std::int64_t> starts;
  for (std::int64_t s = 0; s < slices; ++s) {
    const std::optional<std::int64_t> start = as_integer(simplify(at(s) - at(0), assumptions));
    if (!start) return {};
    starts.push_back(*start);
  }
  return steps_of(starts);
}

}  // namespace

// Which of the accumulator's instructions are at hand, along one of its axes.
struct Expander::Instructions {
  Expr number = 0;                   // of the tile along the axis
  Expr registers = 0;                // where it lies in the accumulator
  std::vector<RegisterDigit> loops;  // over those that a warpgroup holds
};

Expander::Instructions Expander::instructions_of(const Mode& tiles, const std::string& name) {
  Instructions result;
  std::int64_t weight = 1;
  for (const Digit& digit : tiles) {
    if (digit.extent == 1) continue;
    if (digit.place == Place::warp) {
      result.number = result.number + mod(div(scope_.warp, digit.stride), digit.extent) * weight;
    } else {
      const VarRef var = make_var(name);
      assumptions_ = assumptions_.with(Axis{var, 0, digit.extent});
      result.loops.push_back({var, digit.extent, digit.stride, false});
      result.number = result.number + Expr(var) * weight;
      result.registers = result.registers + Expr(var) * digit.stride;
    }
    weight *= digit.extent;
  }
  return result;
}

// A shared operand: its descriptor, made once, and how far it moves from one instruction to the next.
struct Expander::Described {
  BufferRef descriptor;
  std::vector<Stmt> make;
  Steps tiles, slices;
  bool transposed;
};

Expander::Described Expander::describe(const Expr& operand, const Axis& own, const Axis& k,
                                       std::int64_t instruction_rows, const Expr& warps_tile, const char* name) {
  const Buffer& buffer = as_buffer(*operand->tensor);
  const int size = byte_size(buffer.dtype);
  const auto described = describe_wgmma_operand(buffer.layout, size, mode_of(operand, own.var), mode_of(operand, k.var),
                                                *as_integer(own.hi), *as_integer(k.hi), instruction_rows);
  if (const std::string* reason = std::get_if<std::string>(&described)) {
    throw InternalError(fmt::format("wgmma cannot read {}: {}", buffer.name, *reason));
  }
  const WgmmaDescriptor& d = std::get<WgmmaDescriptor>(described);
  Described result{
      declare(name, DType::u64, Space::fragment, 1), {}, steps_of(d.row_starts), steps_of(d.k_starts), d.transposed};
  substitution_[own.var.get()] = Expr(0);
  substitution_[k.var.get()] = Expr(0);
  Layout plain = buffer.layout;
  plain.swizzle = {};
  const Expr first =
      apply(plain, Place::address, placed(buffer, operand->args)) + result.tiles.from_first(warps_tile, size);
  const Expr place = read(flat(buffer), {simplify(first, assumptions_)});
  result.make = {make_stmt(Alloc{result.descriptor}),
                 make_stmt(Intrinsic{IntrinsicId::wgmma_descriptor,
                                     {element(result.descriptor, 0), place, Expr(d.leading), Expr(d.stride),
                                      Expr(static_cast<std::int64_t>(d.swizzle))}})};
  return result;
}

Stmt Expander::expand_wgmma(const Mma& mma) {
  return nested([&] {
    const std::int64_t columns = *wgmma_columns(mma.acc->layout, is_integer(mma.acc->dtype));
    const Layout tiles = *untile(mma.acc->layout, wgmma_accumulator(columns));
    const Instructions i = instructions_of(tiles.modes[0], mma.i.var->name);
    const Instructions j = instructions_of(tiles.modes[1], mma.j.var->name);
    const std::int64_t depth = kSliceBytes / byte_size(mma.a->dtype), slices = *as_integer(mma.k.hi) / depth;
    const VarRef slice = make_var("slice");
    assumptions_ = assumptions_.with(Axis{slice, 0, slices});

    // What the warp decides goes into the descriptor, loops advance it.
    const auto of_warp = [&](const Instructions& instructions) {
      ir::Substitution none;
      for (const RegisterDigit& loop : instructions.loops) none[loop.var] = Expr(0);
      return simplify(substitute(instructions.number, none), assumptions_);
    };
    const auto advanced = [&](const Described& operand, const Instructions& instructions, const Expr& at) {
      const Expr moved = operand.tiles.from_first(instructions.number, kDescriptorUnit) -
                         operand.tiles.from_first(of_warp(instructions), kDescriptorUnit);
      const Expr units = simplify(moved + operand.slices.from_first(at, kDescriptorUnit), assumptions_);
      return is_integer(units, 0) ? element(operand.descriptor, 0)
                                  : element(operand.descriptor, 0) + cast(DType::u64, units);
    };
    const bool in_registers = as_buffer(*mma.a->tensor).space == Space::fragment;
    std::optional<Described> a;
    Fragment held;
    if (in_registers) {
      held = prepare_fragment(mma.a, mma.i, mma.k, wgmma_a(byte_size(mma.a->dtype)), tiles.modes[0], Expr(slice));
    } else {
      a = describe(mma.a, mma.i, mma.k, kRows, of_warp(i), "a_tile");
    }
    const Described b = describe(mma.b, mma.j, mma.k, columns, of_warp(j), "b_tile");
    const Steps a_steps = a ? a->slices : steps_of(held.slice, slice, slices, assumptions_);

    // As many slices as lie evenly in both operands go into one statement.
    const std::int64_t together = std::gcd(slices, std::gcd(a_steps.run, b.slices.run));
    const VarRef group = make_var("slice");
    assumptions_ = assumptions_.with(Axis{group, 0, slices / together});
    const bool is_one = slices == together;
    const Expr at = is_one ? Expr(0) : Expr(group) * together;
    const auto in_fragment = [&] {
      Expr place = substitute(held.slice, {{slice, at}});
      std::size_t loop = 0;
      for (const Digit& digit : held.tiles) {
        if (digit.place == Place::reg && digit.extent > 1) place = place + Expr(i.loops[loop++].var) * digit.stride;
      }
      return element(held.registers, simplify(place, assumptions_));
    };
    Expr accumulate = mma.accumulate ? simplified(mma.accumulate) : boolean(true);
    if (!is_integer(accumulate, 1) && !is_one) {
      accumulate = simplify(either(accumulate, less(0, Expr(group))), assumptions_);
    }
    const Expr acc = element(flat_.at(mma.acc.get()), simplify(i.registers + j.registers, assumptions_));
    std::vector<Expr> args{acc,
                           a ? advanced(*a, i, at) : in_fragment(),
                           advanced(b, j, at),
                           accumulate,
                           Expr(columns),
                           Expr(together),
                           Expr(a_steps.step / (in_registers ? 1 : kDescriptorUnit)),
                           Expr(b.slices.step / kDescriptorUnit)};
    for (const DType dtype : {mma.a->dtype, mma.b->dtype, mma.acc->dtype}) args.push_back(code(dtype));
    if (a) args.push_back(Expr(a->transposed ? 1 : 0));
    args.push_back(Expr(b.transposed ? 1 : 0));
    const Stmt product = make_stmt(Intrinsic{a ? IntrinsicId::wgmma : IntrinsicId::wgmma_registers, std::move(args)});
    std::vector<RegisterDigit> loops = i.loops;
    loops.insert(loops.end(), j.loops.begin(), j.loops.end());
    if (!is_one) loops.push_back({group, slices / together, 1, false});
    std::vector<Stmt> body = a ? a->make : std::vector<Stmt>();
    body.insert(body.end(), b.make.begin(), b.make.end());
    body.push_back(loop_over(loops, product, false));
    return block(std::move(body));
  });
}

}  // namespace quern::compiler
