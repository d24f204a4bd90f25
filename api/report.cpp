// What a compiled program is and costs.

#include <algorithm>
#include <span>
#include <variant>

#include "api/cost.h"
#include "api/executable.h"
#include "base/error.h"
#include "compiler/analysis.h"
#include "compiler/attention.h"
#include "ir/printer.h"

namespace quern::api {
namespace {

std::string text_of(const ir::Axis& axis) {
  ir::Names names;
  return fmt::format("{} ({})", axis.var->name, ir::to_string(axis.hi, names, DType::i64));
}

void add_role(std::vector<std::string>& roles, std::string_view role, const std::vector<ir::Axis>& axes) {
  if (axes.empty()) return;
  std::string text = fmt::format("{}: ", role);
  for (std::size_t i = 0; i < axes.size(); ++i) text += (i == 0 ? "" : ", ") + text_of(axes[i]);
  roles.push_back(std::move(text));
}

std::vector<std::string> roles_of(const ir::Program& kernel, std::string_view strategy) {
  std::vector<std::string> roles;
  if (strategy == "contraction" || strategy == "wgmma") {
    if (const auto contraction = compiler::analyze_contraction(kernel, true)) {
      add_role(roles, "batch", contraction->batch);
      add_role(roles, "m", contraction->m);
      add_role(roles, "n", contraction->n);
      add_role(roles, "k", contraction->k);
    }
  } else if (strategy == "attention") {
    const auto analysis = compiler::analyze_attention(kernel);
    if (const auto* attention = std::get_if<compiler::Attention>(&analysis)) {
      add_role(roles, "batch", attention->batch);
      add_role(roles, "queries", {attention->row});
      add_role(roles, "keys", {attention->key});
      add_role(roles, "depth", {attention->depth});
      add_role(roles, "columns", {attention->column});
    }
  } else if (strategy == "reduction") {
    if (const auto reduction = compiler::analyze_reduction(kernel)) {
      add_role(roles, "kept", reduction->kept);
      add_role(roles, "reduced", reduction->reduced);
    }
  } else if (strategy == "extern") {
    roles.push_back("extern: " + kernel.externs.at(0).name);
  } else if (const auto pointwise = compiler::analyze_pointwise(kernel)) {
    add_role(roles, "points", pointwise->axes);
  }
  return roles;
}

bool sums_products(const ir::Program& kernel) {
  return std::ranges::any_of(kernel.definitions, [](const ir::Definition& definition) {
    return compiler::is_reduction(definition) && definition.value->reduce->reducer == ir::Reducer::sum &&
           compiler::factors_of(definition.value->args[0]).size() > 1;
  });
}

// Why a GPU's kernel is a part of attention, not all of it, and its contraction not on the tensor cores.
std::vector<std::string> passed_over(const pipeline::ScheduledKernel& kernel, std::span<const compiler::Apart> apart,
                                     const Target& target) {
  std::vector<std::string> reasons;
  if (!target.is_gpu()) return reasons;
  for (const auto& [mixture, reason] : apart) {
    if (definition_of(kernel.program, *mixture)) reasons.push_back("attention: " + reason);
  }
  const bool is_contraction = kernel.strategy->fields.strategy == "contraction";
  if (is_contraction || (kernel.strategy->fields.strategy == "reduction" && sums_products(kernel.program))) {
    const compiler::Verdict match = compiler::strategy_named("wgmma").matches(kernel.program, target);
    if (!match) reasons.push_back("wgmma: " + match.reason);
  }
  return reasons;
}

// Whether every symbol has a size.
bool complete(const ir::Program& program, const Sizes& sizes) {
  return std::all_of(program.symbols.begin(), program.symbols.end(),
                     [&](const ir::VarRef& symbol) { return sizes.count(symbol->name) > 0; });
}

void count(KernelReport& report, const ir::Program& kernel, const Target& target, const Sizes& sizes) {
  const SymbolValues symbols(kernel, sizes);
  report.bytes_read = bytes_read(kernel, symbols);
  report.bytes_written = bytes_written(kernel, symbols);
  report.operations = operation_count(kernel, symbols);
  const double moving = (report.bytes_read + report.bytes_written) / target.peak.bandwidth;
  const double computing = report.operations / arithmetic_rate(kernel, target);
  report.roofline_seconds = std::max(moving, computing);
  report.bound = moving >= computing ? "memory" : "arithmetic";
}

// Of the launch of `kernel`; 0 where it depends on a size.
std::int64_t dynamic_shared_bytes(const Plan& plan, const std::string& kernel) {
  for (const Variant& variant : plan.variants) {
    for (const Step& step : variant.steps) {
      const auto* launch = std::get_if<Launch>(&step.action);
      if (launch != nullptr && launch->kernel == kernel && launch->shared_bytes.is_constant()) {
        return launch->shared_bytes.constant_value();
      }
    }
  }
  return 0;
}

std::string text_of(const Variant& variant, const Plan& plan) {
  std::string text = variant.name;
  for (std::size_t i = 0; i < variant.guards.size(); ++i) {
    text += (i == 0 ? ": " : ", ") + to_text(variant.guards[i], plan);
  }
  return variant.note.empty() ? text : text + "\n  " + variant.note;
}

bool depends_on_device(const PlanExpr& e) {
  return std::ranges::any_of(e.items(), [](const PlanExpr::Item& item) { return item.op == PlanOp::limit; });
}

// Of the variants that may serve a call at these sizes the most; -1 where that depends on the device.
std::int64_t workspace_of(const Plan& plan, std::span<const std::int64_t> symbols) {
  const PlanContext context{symbols, {}};
  std::int64_t most = 0;
  for (const Variant& variant : plan.variants) {
    bool may_serve = true;
    for (const Guard& guard : variant.guards) {
      const auto* condition = std::get_if<ConditionGuard>(&guard);
      if (condition == nullptr) continue;
      if (depends_on_device(condition->condition)) return -1;
      may_serve = may_serve && evaluate(condition->condition, context) != 0;
    }
    if (!may_serve) continue;
    for (const WorkspaceSlot& slot : variant.workspace) {
      if (depends_on_device(slot.bytes)) return -1;
    }
    most = std::max(most, workspace_bytes(variant, context));
  }
  return most;
}

}  // namespace

Report report(const Compiled& compiled, const Sizes& sizes) {
  Report result{.compile_seconds = compiled.times.own,
                .backend_seconds = compiled.times.backend,
                .from_store = compiled.from_store};
  const ir::Program& program = compiled.program.ir();
  const bool counts = complete(program, sizes);
  const Scheduled scheduled = schedule_program(compiled.program, compiled.target, compiled.schedule);
  auto origin = compiled.origins.begin();
  double computing = 0;
  for (std::size_t k = 0; k < scheduled.program.kernels.size(); ++k) {
    const pipeline::ScheduledKernel& own = scheduled.program.kernels[k];
    const auto& [part, strategy, schedule, chosen] = own;
    KernelReport kernel{.name = fmt::format("{}_{}", part.name, k),
                        .program = ir::to_string(part),
                        .strategy = std::string(strategy->fields.strategy),
                        .schedule = compiler::to_string(schedule, strategy->fields),
                        .origin = chosen ? *origin++ : "default",  // what a rewrite adds is under its fallback
                        .passed_over = passed_over(own, scheduled.program.apart, compiled.target),
                        .axes = roles_of(part, strategy->fields.strategy)};
    // Of the first variant, the one that serves aligned calls.
    for (const pipeline::Resources& resources : compiled.resources) {
      if (resources.kernel != kernel.name + "_0") continue;
      kernel.registers = resources.registers;
      kernel.spill_bytes = resources.spill_bytes;
      kernel.shared_bytes = resources.shared_bytes + dynamic_shared_bytes(compiled.plan, resources.kernel);
    }
    if (counts) {
      count(kernel, part, compiled.target, sizes);
      computing += kernel.operations / arithmetic_rate(part, compiled.target);
    }
    result.kernels.push_back(std::move(kernel));
  }
  for (const Variant& variant : compiled.plan.variants) result.variants.push_back(text_of(variant, compiled.plan));
  if (!counts) return result;
  const SymbolValues symbols(program, sizes);
  result.workspace_bytes = workspace_of(compiled.plan, symbols.values());
  result.bytes = bytes_read(program, symbols) + bytes_written(program, symbols);
  result.operations = operation_count(program, symbols);
  const double moving = result.bytes / compiled.target.peak.bandwidth;
  result.roofline_seconds = std::max(moving, computing);
  result.bound = moving >= computing ? "memory" : "arithmetic";
  return result;
}

}  // namespace quern::api
