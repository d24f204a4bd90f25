#include "pipeline/variants.h"

#include <algorithm>

#include "compiler/index_reach.h"
#include "ir/simplify.h"

namespace quern::pipeline {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kAccessBytes = 16;
constexpr std::int64_t kWorkspaceBytes = 256;

Fact aligned(const TensorRef& tensor, std::int64_t bytes) {
  Fact fact;
  fact.kind = Fact::Kind::aligned;
  fact.tensor = tensor;
  fact.bytes = bytes;
  return fact;
}

Fact condition(Expr e) {
  Fact fact;
  fact.kind = Fact::Kind::condition;
  fact.condition = std::move(e);
  return fact;
}

// One past the largest offset, for strides of any sign.
Expr reach(const Tensor& tensor) {
  if (tensor.strides.empty()) return element_count(tensor);
  Expr sum = 0;
  for (std::size_t d = 0; d < tensor.rank(); ++d) {
    const Expr& stride = tensor.strides[d];
    sum = sum + tensor.shape[d] * max(stride, Expr(0) - stride);
  }
  return sum;
}

// What kernels have offsets into: what lies in memory, and the spaces that they walk, unless they walk them in tiles of
// their own (attention's scores).
std::vector<TensorRef> spaces_of(const ScheduledProgram& scheduled, const Target& target) {
  std::vector<TensorRef> tensors = arguments(scheduled.program);
  tensors.insert(tensors.end(), scheduled.workspace.begin(), scheduled.workspace.end());
  for (const ScheduledKernel& kernel : scheduled.kernels) {
    if (compiler::fuses(kernel.program, target)) continue;
    for (const Definition& definition : kernel.program.definitions) tensors.push_back(definition.tensor);
  }
  return tensors;
}

// Guards the condition too, unless the sizes settle it or it is there already. False where they settle that it never
// holds.
bool add_condition(const Expr& e, const Assumptions& known, std::vector<Fact>& guards) {
  const Expr simple = simplify(e, known);
  if (is_integer(simple, 0)) return false;
  const bool again = is_integer(simple, 1) || std::ranges::any_of(guards, [&](const Fact& g) {
                       return g.condition && equal(g.condition, simple);
                     });
  if (!again) guards.push_back(condition(simple));
  return true;
}

// Conditions under which every offset fits; false where the sizes say that one does not.
bool offsets_fit(const ScheduledProgram& scheduled, const Target& target, std::vector<Fact>& guards) {
  const Assumptions known = assumptions_of(scheduled.program);
  for (const TensorRef& tensor : spaces_of(scheduled, target)) {
    if (!add_condition(less(reach(*tensor), compiler::kNarrowLimit), known, guards)) return false;
  }
  return true;
}

// The written strides of all axes but the last.
std::span<const Expr> outer_strides(const Tensor& tensor) {
  return std::span(tensor.strides).first(tensor.strides.empty() ? 0 : tensor.strides.size() - 1);
}

// Whether the program's own facts say that the tensor lies so.
bool is_told(const Program& program, const TensorRef& tensor, std::int64_t bytes) {
  return std::ranges::any_of(program.facts, [&](const Fact& fact) {
    return fact.kind == Fact::Kind::aligned && fact.tensor == tensor && fact.bytes % bytes == 0;
  });
}

// What a map of bulk copies describes is not empty and walks upwards.
void add_bulk_copies(const Program& program, const Assumptions& known, std::vector<Fact>& guards) {
  for (const TensorRef& tensor : arguments(program)) {
    for (const Expr& extent : tensor->shape) add_condition(less(0, extent), known, guards);
    for (const Expr& stride : outer_strides(*tensor)) add_condition(less(0, stride), known, guards);
  }
}

// Wide accesses, and bulk copies.
std::vector<Fact> wide_accesses(const Program& program, const Target& target) {
  const Assumptions known = assumptions_of(program);
  std::vector<Fact> guards;
  bool is_wide = false;
  for (const TensorRef& tensor : arguments(program)) {
    const std::int64_t elements = kAccessBytes / byte_size(tensor->dtype);
    if (elements <= 1 || tensor->rank() == 0) continue;
    is_wide = true;
    if (!is_told(program, tensor, kAccessBytes)) guards.push_back(aligned(tensor, kAccessBytes));
    if (!as_integer(tensor->shape.back())) {
      add_condition(equals(mod(tensor->shape.back(), elements), 0), known, guards);
    }
    for (const Expr& stride : outer_strides(*tensor)) {
      if (!as_integer(stride)) add_condition(equals(mod(stride, elements), 0), known, guards);
    }
  }
  if (is_wide && target.gpu.features.tma) add_bulk_copies(program, known, guards);
  return guards;
}

}  // namespace

std::vector<VariantFacts> variants_of(const ScheduledProgram& scheduled, const Target& target) {
  const Program& program = scheduled.program;
  std::vector<Fact> own = program.facts;
  for (const TensorRef& tensor : scheduled.workspace) own.push_back(aligned(tensor, kWorkspaceBytes));
  if (!target.is_gpu()) return {{"any", own, {}, false}};

  const std::vector<Fact> wide = wide_accesses(program, target);
  std::vector<Fact> narrow;
  const bool fits = offsets_fit(scheduled, target, narrow);
  const auto variant = [&](std::string name, bool is_narrow, std::initializer_list<const std::vector<Fact>*> parts) {
    VariantFacts result{std::move(name), own, {}, is_narrow};
    for (const auto* part : parts) result.guards.insert(result.guards.end(), part->begin(), part->end());
    result.facts.insert(result.facts.end(), result.guards.begin(), result.guards.end());
    return result;
  };
  std::vector<VariantFacts> all;
  if (fits) {
    if (!wide.empty()) all.push_back(variant("aligned", true, {&wide, &narrow}));
    // Copies in workspace lie aligned whatever they are of.
    std::vector<Fact> filled;
    const bool copies = std::ranges::any_of(
        scheduled.kernels, [](const ScheduledKernel& kernel) { return kernel.strategy->copies_in_bulk; });
    if (copies && !scheduled.workspace.empty()) add_bulk_copies(program, assumptions_of(program), filled);
    if (!filled.empty()) all.push_back(variant("filled", true, {&filled, &narrow}));
    all.push_back(variant("any", true, {&narrow}));
    if (narrow.empty()) return all;
    all.push_back(variant("large", false, {}));
    return all;
  }
  if (!wide.empty()) all.push_back(variant("aligned large", false, {&wide}));
  all.push_back(variant("large", false, {}));
  return all;
}

}  // namespace quern::pipeline
