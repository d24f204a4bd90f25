#include "base/plan.h"

#include <algorithm>
#include <bit>
#include <set>

#include "base/error.h"

namespace quern {
namespace {

std::vector<std::string> symbol_names(const Plan& plan) {
  std::vector<std::string> names;
  for (const PlanSymbol& symbol : plan.symbols) names.push_back(symbol.name);
  return names;
}

template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw Error("launch plan: " + fmt::format(format, std::forward<Args>(args)...));
}

// Checks one variant's steps against the lists that they index.
class VariantChecker {
 public:
  VariantChecker(const Plan& plan, const Variant& variant) : plan_(plan), variant_(variant) {}

  void check() const {
    for (const Guard& guard : variant_.guards) {
      std::visit([this](const auto& g) { check_guard(g); }, guard);
    }
    for (const WorkspaceSlot& slot : variant_.workspace) expression(slot.bytes, "a workspace slot's size");
    for (const Step& step : variant_.steps) {
      std::visit([this](const auto& action) { check_action(action); }, step.action);
    }
  }

 private:
  void expression(const PlanExpr& expr, std::string_view what, bool in_launch = false) const {
    require(expr.symbol_count() <= static_cast<int>(plan_.symbols.size()), "variant '{}': {} uses symbol {} of {}",
            variant_.name, what, expr.symbol_count() - 1, plan_.symbols.size());
    require(in_launch || !expr.uses(DeviceLimit::resident_blocks),
            "variant '{}': {} uses resident_blocks, which only a launch's grid and parameters have", variant_.name,
            what);
  }

  void argument(int index, std::string_view what) const {
    require(index >= 0 && index < static_cast<int>(plan_.arguments.size()), "variant '{}': {} names argument {} of {}",
            variant_.name, what, index, plan_.arguments.size());
  }

  void check_guard(const ConditionGuard& guard) const { expression(guard.condition, "a guard"); }

  void check_guard(const AlignmentGuard& guard) const {
    argument(guard.argument, "an alignment guard");
    require(guard.bytes > 0 && std::has_single_bit(static_cast<std::uint64_t>(guard.bytes)),
            "variant '{}': alignment {} is not a power of two", variant_.name, guard.bytes);
  }

  void pointer(const PlanPointer& p, bool in_launch) const {
    if (p.base == PlanPointer::Base::argument) {
      argument(p.index, "a pointer");
    } else {
      require(p.index >= 0 && p.index < static_cast<int>(variant_.workspace.size()),
              "variant '{}': a pointer names workspace slot {} of {}", variant_.name, p.index,
              variant_.workspace.size());
    }
    expression(p.byte_offset, "a pointer's offset", in_launch);
  }

  void check_action(const Memset& memset) const {
    pointer(memset.destination, false);
    expression(memset.bytes, "a memset's size");
  }

  void check_action(const Launch& launch) const {
    require(!launch.kernel.empty(), "variant '{}': a launch has no kernel name", variant_.name);
    require(launch.threads >= 1 && launch.threads <= 1024, "variant '{}': kernel '{}' has {} threads per block",
            variant_.name, launch.kernel, launch.threads);
    for (const PlanExpr& g : launch.grid) expression(g, "a grid", true);
    for (const PlanExpr& c : launch.cluster) expression(c, "a cluster");
    expression(launch.shared_bytes, "the dynamic shared memory");
    if (uses_resident_blocks(launch)) {
      const auto fixed = [](const PlanExpr& e) { return e.symbol_count() == 0; };
      require(fixed(launch.shared_bytes) && std::ranges::all_of(launch.cluster, fixed),
              "variant '{}': kernel '{}' uses resident_blocks, but its cluster or shared memory depend on sizes",
              variant_.name, launch.kernel);
    }
    for (const PlanParameter& parameter : launch.parameters) {
      std::visit([this](const auto& p) { check_parameter(p); }, parameter);
    }
  }

  void check_parameter(const PlanPointer& p) const { pointer(p, true); }
  void check_parameter(const ScalarParameter& p) const { expression(p.value, "a parameter", true); }
  void check_parameter(const FastDivisionParameter& p) const { expression(p.divisor, "a divisor", true); }

  void check_parameter(const TensorMapParameter& map) const {
    pointer(map.base, true);
    const std::size_t rank = map.dims.size();
    const bool im2col = map.mode == TensorMapParameter::Mode::im2col;
    require(rank >= (im2col ? 3 : 1) && rank <= 5, "variant '{}': a tensor map of rank {}", variant_.name, rank);
    require(map.byte_strides.size() == rank - 1, "variant '{}': a tensor map of rank {} has {} strides, not {}",
            variant_.name, rank, map.byte_strides.size(), rank - 1);
    require(map.element_strides.size() == rank, "variant '{}': a tensor map of rank {} has {} element strides",
            variant_.name, rank, map.element_strides.size());
    if (im2col) {
      require(map.lower_corner.size() == rank - 2 && map.upper_corner.size() == rank - 2,
              "variant '{}': an im2col map of rank {} has {} and {} corner values, not {}", variant_.name, rank,
              map.lower_corner.size(), map.upper_corner.size(), rank - 2);
      require(map.channels >= 1 && map.channels <= 256 && map.pixels >= 1 && map.pixels <= 1024,
              "variant '{}': an im2col map moves {} channels (1 to 256) of {} pixels (1 to 1024)", variant_.name,
              map.channels, map.pixels);
    } else {
      require(map.box.size() == rank, "variant '{}': a tensor map of rank {} has a box of rank {}", variant_.name, rank,
              map.box.size());
      require(std::ranges::all_of(map.box, [](int b) { return b >= 1 && b <= 256; }),
              "variant '{}': a tensor map's box leaves 1 to 256", variant_.name);
    }
    require(std::ranges::all_of(map.element_strides, [](int s) { return s >= 1 && s <= 8; }),
            "variant '{}': a tensor map's element strides leave 1 to 8", variant_.name);
    for (const auto* list : {&map.dims, &map.byte_strides, &map.lower_corner, &map.upper_corner}) {
      for (const PlanExpr& e : *list) expression(e, "a tensor map", true);
    }
  }

  const Plan& plan_;
  const Variant& variant_;
};

void check_arguments(const Plan& plan) {
  const int count = static_cast<int>(plan.arguments.size());
  for (const PlanArgument& argument : plan.arguments) {
    require(argument.shape.size() == argument.strides.size(), "argument '{}' has {} dimensions and {} strides",
            argument.name, argument.shape.size(), argument.strides.size());
    require(argument.updates >= -1 && argument.updates < count, "argument '{}' updates argument {} of {}",
            argument.name, argument.updates, count);
    require(!(argument.is_output && argument.is_const), "argument '{}' is an output and const", argument.name);
    for (const auto* list : {&argument.shape, &argument.strides}) {
      for (const PlanExpr& e : *list) {
        require(e.symbol_count() <= static_cast<int>(plan.symbols.size()), "argument '{}' uses symbol {} of {}",
                argument.name, e.symbol_count() - 1, plan.symbols.size());
        require(!e.uses(DeviceLimit::resident_blocks), "argument '{}' depends on a launch", argument.name);
      }
    }
  }
}

void check_symbols(const Plan& plan) {
  std::set<std::string_view> seen;
  for (const PlanSymbol& symbol : plan.symbols) {
    require(!symbol.name.empty() && seen.insert(symbol.name).second, "symbol name '{}' is empty or used twice",
            symbol.name);
    require(symbol.argument >= 0 && symbol.argument < static_cast<int>(plan.arguments.size()),
            "symbol '{}' is bound by argument {} of {}", symbol.name, symbol.argument, plan.arguments.size());
    const PlanArgument& argument = plan.arguments[static_cast<std::size_t>(symbol.argument)];
    require(symbol.dimension >= 0 && symbol.dimension < static_cast<int>(argument.shape.size()),
            "symbol '{}' is bound by dimension {} of argument '{}' of rank {}", symbol.name, symbol.dimension,
            argument.name, argument.shape.size());
  }
}

// Bytes of the first `count` slots of one kind.
std::int64_t slot_bytes(const Variant& variant, std::size_t count, const PlanContext& context, bool persistent) {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const WorkspaceSlot& slot = variant.workspace[i];
    if (slot.persistent != persistent) continue;
    const std::optional<std::int64_t> size = evaluate_exactly(slot.bytes, context);
    if (!size) {
      fail("workspace {} of variant '{}' has 2^63 bytes or more at these sizes, which no memory has; use smaller ones",
           i, variant.name);
    }
    const std::int64_t bytes = std::max<std::int64_t>(*size, 0);
    total += (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
  }
  return total;
}

// Why a guard failed: its text and the numbers at hand.
std::string failure(const Guard& guard, const Plan& plan, const PlanContext& context,
                    std::span<const void* const> arguments) {
  std::string text = to_text(guard, plan);
  if (const auto* alignment = std::get_if<AlignmentGuard>(&guard)) {
    return text + fmt::format(" (it is {})", fmt::ptr(arguments[static_cast<std::size_t>(alignment->argument)]));
  }
  const auto& condition = std::get<ConditionGuard>(guard).condition;
  std::set<std::int64_t> shown;
  for (const PlanExpr::Item& item : condition.items()) {
    if (item.op != PlanOp::symbol || !shown.insert(item.value).second) continue;
    const auto index = static_cast<std::size_t>(item.value);
    text += fmt::format("{}{} = {}", shown.size() == 1 ? " (" : ", ", plan.symbols[index].name, context.symbols[index]);
  }
  return shown.empty() ? text : text + ")";
}

}  // namespace

void validate(const Plan& plan) {
  check_arguments(plan);
  check_symbols(plan);
  require(!plan.variants.empty(), "it has no variant");
  for (const Variant& variant : plan.variants) VariantChecker(plan, variant).check();
}

bool holds(const Guard& guard, const PlanContext& context, std::span<const void* const> arguments) {
  if (const auto* condition = std::get_if<ConditionGuard>(&guard)) return evaluate(condition->condition, context) != 0;
  const auto& alignment = std::get<AlignmentGuard>(guard);
  const void* pointer = arguments[static_cast<std::size_t>(alignment.argument)];
  return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(alignment.bytes) == 0;
}

std::string to_text(const Guard& guard, const Plan& plan) {
  if (const auto* condition = std::get_if<ConditionGuard>(&guard)) {
    return to_text(condition->condition, symbol_names(plan));
  }
  const auto& alignment = std::get<AlignmentGuard>(guard);
  return fmt::format("{} aligned to {} bytes", plan.arguments[static_cast<std::size_t>(alignment.argument)].name,
                     alignment.bytes);
}

int select_variant(const Plan& plan, const PlanContext& context, std::span<const void* const> arguments) {
  for (std::size_t i = 0; i < plan.variants.size(); ++i) {
    const auto& guards = plan.variants[i].guards;
    if (std::ranges::all_of(guards, [&](const Guard& g) { return holds(g, context, arguments); })) {
      return static_cast<int>(i);
    }
  }
  std::string reasons;
  for (const Variant& variant : plan.variants) {
    for (const Guard& guard : variant.guards) {
      if (holds(guard, context, arguments)) continue;
      reasons += fmt::format("\n  variant '{}' needs {}", variant.name, failure(guard, plan, context, arguments));
      break;
    }
  }
  fail("no kernel of '{}' serves this call; compile it without the facts that fail:{}", plan.name, reasons);
}

std::int64_t workspace_bytes(const Variant& variant, const PlanContext& context, bool persistent) {
  return slot_bytes(variant, variant.workspace.size(), context, persistent);
}

std::int64_t workspace_offset(const Variant& variant, int index, const PlanContext& context) {
  const auto i = static_cast<std::size_t>(index);
  return slot_bytes(variant, i, context, variant.workspace[i].persistent);
}

namespace {

// Whether `test` holds for an expression of the launch's grid or parameters.
template <typename Test>
bool any_expression(const Launch& launch, const Test& test) {
  const auto in_all = [&](const auto& list) { return std::ranges::any_of(list, test); };
  if (in_all(launch.grid)) return true;
  return std::ranges::any_of(launch.parameters, [&](const PlanParameter& parameter) {
    if (const auto* p = std::get_if<PlanPointer>(&parameter)) return test(p->byte_offset);
    if (const auto* p = std::get_if<ScalarParameter>(&parameter)) return test(p->value);
    if (const auto* p = std::get_if<FastDivisionParameter>(&parameter)) return test(p->divisor);
    const auto& map = std::get<TensorMapParameter>(parameter);
    return test(map.base.byte_offset) || in_all(map.dims) || in_all(map.byte_strides) || in_all(map.lower_corner) ||
           in_all(map.upper_corner);
  });
}

}  // namespace

bool uses_resident_blocks(const Launch& launch) {
  return any_expression(launch, [](const PlanExpr& e) { return e.uses(DeviceLimit::resident_blocks); });
}

std::vector<int> once_symbols(const Variant& variant) {
  std::set<int> symbols;
  const auto note = [&](const PlanExpr& e) {
    for (const PlanExpr::Item& item : e.items()) {
      if (item.op == PlanOp::symbol) symbols.insert(static_cast<int>(item.value));
    }
    return false;
  };
  for (const WorkspaceSlot& slot : variant.workspace) {
    if (slot.persistent) note(slot.bytes);
  }
  for (const Step& step : variant.steps) {
    if (!step.once) continue;
    if (const auto* memset = std::get_if<Memset>(&step.action)) {
      note(memset->bytes);
      note(memset->destination.byte_offset);
      continue;
    }
    const auto& launch = std::get<Launch>(step.action);
    any_expression(launch, note);
    note(launch.shared_bytes);
  }
  return {symbols.begin(), symbols.end()};
}

ByteExtent byte_extent(const PlanArgument& argument, const PlanContext& context) {
  const std::int64_t element = byte_size(argument.dtype);
  ByteExtent extent{0, element};
  for (std::size_t i = 0; i < argument.shape.size(); ++i) {
    const std::int64_t size = evaluate(argument.shape[i], context);
    if (size <= 0) return {};
    const std::int64_t reach = (size - 1) * evaluate(argument.strides[i], context) * element;
    (reach < 0 ? extent.below : extent.above) += reach < 0 ? -reach : reach;
  }
  return extent;
}

}  // namespace quern
