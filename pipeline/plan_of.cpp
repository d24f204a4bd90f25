#include "pipeline/plan_of.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/target.h"
#include "ir/printer.h"
#include "ir/shared_layout.h"
#include "pipeline/externs.h"
#include "pipeline/host_expr.h"

namespace quern::pipeline {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

std::vector<PlanExpr> host_exprs(const std::vector<Expr>& all, const Program& program) {
  std::vector<PlanExpr> result;
  for (const Expr& e : all) result.push_back(host_expr(e, program));
  return result;
}

int index_of(const std::vector<TensorRef>& tensors, const Tensor& tensor) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].get() == &tensor) return static_cast<int>(i);
  }
  return -1;
}

PlanSymbol bind(const Program& program, const VarRef& symbol) {
  const std::vector<TensorRef> tensors = arguments(program);
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    for (std::size_t d = 0; d < tensors[t]->rank(); ++d) {
      if (is_variable(tensors[t]->shape[d], symbol)) {
        return {symbol->name, PlanSymbol::Source::dimension, static_cast<int>(t), static_cast<int>(d)};
      }
      if (!tensors[t]->strides.empty() && is_variable(tensors[t]->strides[d], symbol)) {
        return {symbol->name, PlanSymbol::Source::stride, static_cast<int>(t), static_cast<int>(d)};
      }
    }
  }
  fail(
      "symbol '{}' of '{}' is no whole dimension or stride of an argument, so no call can give it a value; use it as "
      "one",
      symbol->name, program.name);
}

TensorMapParameter tensor_map(const TensorMapParam& map, PlanPointer base, const Program& program) {
  TensorMapParameter result;
  result.mode = map.mode;
  result.base = std::move(base);
  if (map.byte_offset) result.base.byte_offset = result.base.byte_offset + host_expr(map.byte_offset, program);
  result.dtype = map.buffer->dtype;
  result.dims = host_exprs(map.dims, program);
  result.byte_strides = host_exprs(map.byte_strides, program);
  result.element_strides = map.element_strides.empty() ? std::vector<int>(map.dims.size(), 1) : map.element_strides;
  result.box = map.box;
  result.lower_corner = host_exprs(map.lower_corner, program);
  result.upper_corner = host_exprs(map.upper_corner, program);
  result.channels = map.channels;
  result.pixels = map.pixels;
  result.swizzle = map.swizzle;
  result.fill = map.fill;
  result.l2_promotion = map.l2_promotion;
  return result;
}

// The results of kernels that read const arguments (or other such results) alone and leave nothing but workspace.
std::set<const Tensor*> kept_over_calls(const Program& program, std::span<const Program> kernels) {
  std::set<const Tensor*> kept;
  for (const TensorRef& input : program.inputs) {
    if (input->constant) kept.insert(input.get());
  }
  for (const Program& kernel : kernels) {
    const bool constant =
        std::ranges::all_of(kernel.inputs, [&](const TensorRef& input) { return kept.contains(input.get()); });
    const bool visible =
        std::ranges::any_of(kernel.outputs, [&](const Output& output) { return is_output(program, *output.tensor); });
    if (!constant || visible) continue;
    for (const Output& output : kernel.outputs) kept.insert(output.tensor.get());
  }
  return kept;
}

}  // namespace

Plan plan_frame(const Program& program, const Target& target) {
  Plan plan;
  plan.name = program.name;
  plan.target = to_text(target);
  for (const VarRef& symbol : program.symbols) plan.symbols.push_back(bind(program, symbol));
  const std::vector<TensorRef> tensors = arguments(program);
  for (const TensorRef& tensor : tensors) {
    PlanArgument argument;
    argument.name = tensor->name;
    argument.dtype = tensor->dtype;
    argument.shape = host_exprs(tensor->shape, program);
    argument.strides = host_exprs(element_strides(*tensor), program);
    argument.is_output = is_output(program, *tensor);
    argument.is_const = tensor->constant;
    for (const Output& output : program.outputs) {
      if (output.tensor == tensor && output.updates) argument.updates = index_of(tensors, *output.updates);
    }
    plan.arguments.push_back(std::move(argument));
  }
  return plan;
}

Variant plan_variant(const Program& program, std::span<const Fact> facts, std::span<const TensorRef> workspace,
                     std::span<const Kernel> kernels, std::span<const Program> programs) {
  Variant variant;
  const std::vector<TensorRef> tensors = arguments(program);
  for (const Fact& fact : facts) {
    if (fact.kind == Fact::Kind::condition) {
      variant.guards.emplace_back(ConditionGuard{host_expr(fact.condition, program)});
    } else if (fact.kind == Fact::Kind::aligned) {
      const int argument = index_of(tensors, *fact.tensor);
      if (argument >= 0) variant.guards.emplace_back(AlignmentGuard{argument, fact.bytes});
    }
  }
  // What const arguments alone decide is computed once and kept.
  const std::set<const Tensor*> kept = kept_over_calls(program, programs);
  for (const TensorRef& tensor : workspace) {
    variant.workspace.push_back(
        {host_expr(element_count(*tensor) * byte_size(tensor->dtype), program), kept.contains(tensor.get())});
  }
  const auto pointer = [&](const Tensor& tensor) {
    PlanPointer result;
    result.index = index_of(tensors, tensor);
    if (result.index < 0) {
      result.base = PlanPointer::Base::workspace;
      result.index = index_of(std::vector<TensorRef>(workspace.begin(), workspace.end()), tensor);
      ensure(result.index >= 0, fmt::format("{} is an argument or workspace", tensor.name));
    }
    return result;
  };
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    const bool constant = kept.contains(programs[k].outputs[0].tensor.get());
    const std::vector<TensorRef> own = arguments(programs[k]);
    if (!programs[k].externs.empty()) {
      Launch launch = extern_launch(programs[k].externs[0]);
      for (const TensorRef& tensor : own) launch.parameters.emplace_back(pointer(*tensor));
      for (std::size_t s = 0; s < program.symbols.size(); ++s) {
        launch.parameters.emplace_back(
            ScalarParameter{ScalarParameter::Type::i64, PlanExpr::symbol(static_cast<int>(s))});
      }
      variant.steps.push_back({launch, constant});
      continue;
    }
    const Kernel& kernel = kernels[k];
    Launch launch;
    launch.kernel = kernel.name;
    for (std::size_t d = 0; d < kernel.grid.size(); ++d) launch.grid[d] = host_expr(kernel.grid[d], program);
    for (std::size_t d = 0; d < kernel.cluster.size(); ++d) launch.cluster[d] = PlanExpr(kernel.cluster[d]);
    launch.threads = kernel.warps * kernel.lanes;
    launch.shared_bytes = PlanExpr(shared_layout(kernel).bytes);
    for (const TensorRef& tensor : own) launch.parameters.emplace_back(pointer(*tensor));
    for (std::size_t s = 0; s < kernel.symbols.size(); ++s) {
      const bool narrow = kernel.symbols[s]->dtype == DType::i32;
      launch.parameters.emplace_back(ScalarParameter{narrow ? ScalarParameter::Type::i32 : ScalarParameter::Type::i64,
                                                     host_expr(Expr(kernel.symbols[s]), program)});
    }
    for (const TensorMapParam& map : kernel.maps) {
      std::size_t which = 0;
      while (which < kernel.params.size() && kernel.params[which] != map.buffer) ++which;
      ensure(which < own.size(), "a tensor map is of a parameter");
      launch.parameters.emplace_back(tensor_map(map, pointer(*own[which]), program));
    }
    variant.steps.push_back({launch, constant});
  }
  return variant;
}

}  // namespace quern::pipeline
