#include "ir/sharing.h"

#include <algorithm>
#include <set>

#include "ir/rewrite.h"

namespace quern::ir {
namespace {

constexpr std::int64_t kShared = 16;

// Reads a value of `tensors`, or reduces by itself.
bool reduces(const Expr& e, const std::set<const Tensor*>& tensors) {
  bool found = false;
  visit(e, [&](const Expr& node) {
    found = found || node->reduce || (node->kind == ExprKind::read && tensors.contains(node->tensor.get()));
    return !found;
  });
  return found;
}

}  // namespace

std::int64_t elements_in_row(const Program& program) {
  std::set<const Tensor*> reduced;  // what depends on a reduction
  bool nested = false;
  for (const Definition& definition : program.definitions) {
    visit(definition.value, [&](const Expr& node) {
      const auto is_reduced = [&](const Expr& arg) { return reduces(arg, reduced); };
      if (node->reduce) nested = nested || std::ranges::any_of(node->args, is_reduced);
      return !nested;
    });
    if (reduces(definition.value, reduced)) reduced.insert(definition.tensor.get());
  }
  return nested ? kShared : 1;
}

}  // namespace quern::ir
