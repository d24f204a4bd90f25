// Mma of expand_tiles on warpgroup matrix instructions: descriptors of the operands' shared tiles, then one instruction
// per 64 rows and 32 bytes of k. Fences, commits and waits are the strategy's statements.

#include <algorithm>

#include "base/error.h"
#include "compiler/expander.h"
#include "ir/fragment_layouts.h"
#include "ir/wgmma_descriptor.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kRows = 64;  // of one instruction
constexpr int kWarpsPerGroup = 4;
constexpr std::int64_t kDescriptorUnit = 16;  // bytes that a descriptor's address counts in

// Which position of a read's indices is the axis.
int mode_of(const Expr& operand, const VarRef& axis) {
  for (std::size_t d = 0; d < operand->args.size(); ++d) {
    if (is_variable(operand->args[d], axis)) return static_cast<int>(d);
  }
  throw InternalError(fmt::format("an operand of wgmma is indexed by the plain axis {}", axis->name));
}

Expr code(DType dtype) { return Expr(static_cast<std::int64_t>(dtype)); }

}  // namespace

Stmt Expander::expand_wgmma(const Mma& mma) {
  ensure(mma.a->kind == ExprKind::read && mma.b->kind == ExprKind::read, "operands of wgmma are shared tiles");
  const auto extent_of = [](const Axis& axis) { return *as_integer(axis.hi); };
  const auto columns = wgmma_columns(mma.acc->layout, !is_float(mma.acc->dtype));
  ensure(columns == extent_of(mma.j), "one instruction spans the columns of a wgmma tile");
  const std::int64_t groups = scope_.warps / kWarpsPerGroup, rows = extent_of(mma.i);
  ensure(scope_.warps % kWarpsPerGroup == 0 && rows == groups * kRows, "each warpgroup takes 64 rows of a wgmma tile");

  struct Operand {
    WgmmaDescriptor described;
    BufferRef descriptor;
    Stmt make;
  };
  const auto prepare = [&](const Expr& e, const Axis& own, std::int64_t instruction_rows, const char* name) {
    const Buffer& buffer = as_buffer(*e->tensor);
    const int size = byte_size(buffer.dtype);
    const auto described = describe_wgmma_operand(buffer.layout, size, mode_of(e, own.var), mode_of(e, mma.k.var),
                                                  extent_of(own), extent_of(mma.k), instruction_rows);
    if (const std::string* reason = std::get_if<std::string>(&described)) {
      throw InternalError(fmt::format("wgmma cannot read {}: {}", buffer.name, *reason));
    }
    Operand operand{std::get<WgmmaDescriptor>(described), declare(name, DType::u64, Space::fragment, 1), nullptr};
    substitution_[own.var.get()] = Expr(0);
    substitution_[mma.k.var.get()] = Expr(0);
    Layout plain = buffer.layout;
    plain.swizzle = {};
    Expr first = apply(plain, Place::address, placed(buffer, e->args));
    const std::vector<std::int64_t>& starts = operand.described.row_starts;
    if (starts.size() > 1) {
      const std::int64_t step = starts[1] - starts[0];
      for (std::size_t r = 0; r < starts.size(); ++r) {
        ensure(starts[r] == starts[0] + static_cast<std::int64_t>(r) * step, "rows of a wgmma tile are evenly spaced");
      }
      first = first + div(scope_.warp, kWarpsPerGroup) * (step / size);
    }
    const WgmmaDescriptor& d = operand.described;
    operand.make =
        make_stmt(Intrinsic{IntrinsicId::wgmma_descriptor,
                            {element(operand.descriptor, 0), read(flat(buffer), {simplify(first, assumptions_)}),
                             Expr(d.leading), Expr(d.stride), Expr(static_cast<std::int64_t>(d.swizzle))}});
    return operand;
  };
  return nested([&] {
    const Operand a = prepare(mma.a, mma.i, kRows, "a_tile"), b = prepare(mma.b, mma.j, *columns, "b_tile");
    const std::vector<std::int64_t>& k_a = a.described.k_starts;
    const std::vector<std::int64_t>& k_b = b.described.k_starts;
    const auto step_of = [](const std::vector<std::int64_t>& starts) {
      return starts.size() > 1 ? starts[1] - starts[0] : 0;
    };
    for (std::size_t s = 0; s < k_a.size(); ++s) {
      ensure(k_a[s] == static_cast<std::int64_t>(s) * step_of(k_a) &&
                 k_b[s] == static_cast<std::int64_t>(s) * step_of(k_b),
             "slices of k are evenly spaced");
    }
    const VarRef slice = make_var("slice");
    assumptions_ = assumptions_.with(Axis{slice, 0, static_cast<std::int64_t>(k_a.size())});
    const auto advanced = [&](const Operand& operand, std::int64_t step) {
      return element(operand.descriptor, 0) +
             cast(DType::u64, Expr(slice)) * constant(DType::u64, step / kDescriptorUnit);
    };
    Expr accumulate = mma.accumulate ? simplified(mma.accumulate) : boolean(true);
    if (!is_integer(accumulate, 1)) accumulate = either(accumulate, less(0, Expr(slice)));
    const Stmt product =
        make_stmt(Intrinsic{IntrinsicId::wgmma,
                            {element(flat_.at(mma.acc.get()), 0), advanced(a, step_of(k_a)), advanced(b, step_of(k_b)),
                             accumulate, Expr(*columns), code(mma.a->dtype), code(mma.b->dtype), code(mma.acc->dtype),
                             Expr(a.described.transposed ? 1 : 0), Expr(b.described.transposed ? 1 : 0)}});
    return block({make_stmt(Alloc{a.descriptor}), make_stmt(Alloc{b.descriptor}), a.make, b.make,
                  make_stmt(For{slice, 0, static_cast<std::int64_t>(k_a.size()), 1, ForKind::unroll, product})});
  });
}

}  // namespace quern::compiler
