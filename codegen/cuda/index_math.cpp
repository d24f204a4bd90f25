#include "codegen/cuda/index_math.h"

#include <algorithm>
#include <span>

#include "ir/kernel_rewrite.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The register arrays among an intrinsic's operands: those that it only reads hold data anyway.
void add_registers(const Intrinsic& intrinsic, std::unordered_set<const void*>& data) {
  for (std::size_t i = 0; i < intrinsic.args.size(); ++i) {
    if (operand_kind(row(intrinsic.id), i) == 'r') data.insert(intrinsic.args[i]->tensor.get());
  }
}

}  // namespace

IndexMath::IndexMath(const Kernel& kernel) {
  // A register holds data once data is stored in it, and spreads it to what is computed from it: to a fixed point.
  std::size_t known;
  do {
    known = data_.size();
    visit(kernel.body, [&](const Stmt& stmt, const Enclosing&) {
      if (const Let* let = get_if<Let>(stmt)) {
        if (!is_index(let->value)) data_.insert(let->var.get());
      } else if (const Store* store = get_if<Store>(stmt)) {
        if (!is_index(store->value)) data_.insert(store->buffer.get());
      } else if (const Move* move = get_if<Move>(stmt)) {
        data_.insert(move->to.get());
      } else if (const Intrinsic* intrinsic = get_if<Intrinsic>(stmt)) {
        add_registers(*intrinsic, data_);
      }
      return true;
    });
  } while (data_.size() != known);
}

bool IndexMath::is_index(const Expr& e) const {
  if (!is_integer(e->dtype)) return false;
  switch (e->kind) {
    case ExprKind::constant:
      return true;
    case ExprKind::variable:
      return !data_.contains(e->var.get());
    case ExprKind::cast:
      return is_bool(e->args[0]->dtype) || is_index(e->args[0]);
    case ExprKind::read:
      return as_buffer(*e->tensor).space == Space::fragment && !data_.contains(e->tensor.get());
    case ExprKind::call:
      break;
    case ExprKind::reduce:
      return false;
  }
  const auto operands = std::span(e->args).subspan(e->op == Op::select ? 1 : 0);
  return std::ranges::all_of(operands, [&](const Expr& operand) { return is_index(operand); });
}

}  // namespace quern::codegen
