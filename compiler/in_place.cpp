#include "compiler/in_place.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compiler/analysis.h"
#include "compiler/strategies/emitter.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The kernel that writes the tensor.
template <typename Kernels>
auto writer_of(Kernels& kernels, const Tensor& tensor) {
  const auto found = std::ranges::find_if(kernels, [&](const Program& kernel) { return is_output(kernel, tensor); });
  ensure(found != kernels.end(), fmt::format("a kernel writes {}", tensor.name));
  return found;
}

// Whether it reads the element that the definition's own axes name. With a fill too: they never leave the tensor.
bool is_at_own_axes(const Expr& read, const Definition& definition) {
  return std::ranges::equal(read->args, definition.axes,
                            [](const Expr& index, const Axis& axis) { return is_variable(index, axis.var); });
}

std::vector<Expr> reads_of(const Tensor& tensor, std::vector<Expr> reads) {
  std::erase_if(reads, [&](const Expr& read) { return read->tensor.get() != &tensor; });
  return reads;
}

// Whether the kernel that writes the output reads each element of the updated input before it writes there.
bool reads_ahead_of_writing(const Program& kernel, const Output& output) {
  const Tensor& input = *output.updates;
  if (!is_input(kernel, input)) return true;
  if (!kernel.externs.empty()) return false;  // nobody knows what it reads when
  const Definition& own = *definition_of(kernel, *output.tensor);
  const bool others_may = analyze_pointwise(kernel) && !reads_of(input, certain_reads(kernel, own.value, {})).empty();
  return std::ranges::all_of(kernel.definitions, [&](const Definition& definition) {
    // The others are inlined into these, with what they read.
    if (!is_reduction(definition) && !is_output(kernel, *definition.tensor)) return true;
    const std::vector<Expr> reads = reads_of(input, global_reads(kernel, definition.value, {}));
    if (reads.empty()) return true;
    const bool may = !is_reduction(definition) && (&definition == &own || others_may);
    return may && std::ranges::all_of(reads, [&](const Expr& read) { return is_at_own_axes(read, definition); });
  });
}

// A name that no tensor of the kernels has: they are printed and parsed alone.
std::string fresh_name(const Partition& parts, const std::string& hint) {
  std::set<std::string> taken;
  for (const Program& kernel : parts.kernels) {
    for (const TensorRef& tensor : arguments(kernel)) taken.insert(tensor->name);
    for (const Definition& definition : kernel.definitions) taken.insert(definition.tensor->name);
    for (const VarRef& symbol : kernel.symbols) taken.insert(symbol->name);
  }
  std::string name = hint;
  for (int number = 2; taken.contains(name); ++number) name = fmt::format("{}{}", hint, number);
  return name;
}

// The kernel with `to` in the place of `from`.
void replace_tensor(Program& kernel, const TensorRef& from, const TensorRef& to) {
  std::ranges::replace(kernel.inputs, from, to);
  for (Output& output : kernel.outputs) {
    if (output.tensor == from) output = {to, nullptr};
  }
  for (Definition& definition : kernel.definitions) {
    if (definition.tensor == from) definition.tensor = to;
    definition.value = replace_tensors(definition.value, {{from.get(), to}});
  }
  for (Extern& external : kernel.externs) {
    std::ranges::replace(external.reads, from, to);
    std::ranges::replace(external.writes, from, to);
  }
  std::erase_if(kernel.facts, [&](const Fact& fact) { return fact.tensor == from; });
}

// to[i...] = from[i...], beside a kernel of the same program; the axes are called as in its definition of `to`.
Program copy_kernel(const Program& beside, const TensorRef& from, const TensorRef& to) {
  const Definition* known = definition_of(beside, *to);
  Definition copy{to, {}, {}};
  std::vector<Expr> index;
  for (std::size_t d = 0; d < to->rank(); ++d) {
    copy.axes.push_back({make_var(known ? known->axes[d].var->name : "i"), 0, to->shape[d]});
    index.emplace_back(copy.axes.back().var);
  }
  copy.value = read(from, std::move(index));
  Program kernel;
  kernel.name = beside.name;
  kernel.symbols = beside.symbols;
  kernel.inputs = {from};
  kernel.outputs = {{to, nullptr}};
  std::ranges::copy_if(beside.facts, std::back_inserter(kernel.facts), [](const Fact& fact) { return !fact.tensor; });
  kernel.definitions = {std::move(copy)};
  return kernel;
}

void write_last(const Output& output, Partition& parts) {
  const TensorRef& target = output.tensor;
  const TensorRef value = make_tensor(fresh_name(parts, target->name + "_new"), target->dtype, target->shape);
  const auto writer = writer_of(parts.kernels, *target);
  const Program copy = copy_kernel(*writer, value, target);
  if (!writer->externs.empty()) {
    if (!target->strides.empty()) {
      fail(
          "extern {} writes {}, which updates {}: what is read of that before, so the value goes to memory of its own, "
          "which is dense; declare {} without strides",
          writer->externs[0].name, target->name, output.updates->name, target->name);
    }
    parts.kernels.insert(writer, copy_kernel(*writer, output.updates, value));  // what it begins as is its own to use
  }
  for (Program& kernel : parts.kernels) replace_tensor(kernel, target, value);
  for (Apart& apart : parts.apart) {
    if (apart.mixture == target) apart.mixture = value;
  }
  parts.kernels.push_back(copy);
  parts.workspace.push_back(value);
}

}  // namespace

bool is_read_in_time(std::span<const Program> kernels, const Output& output) {
  const auto writer = writer_of(kernels, *output.tensor);
  const bool is_read_later =
      std::any_of(writer + 1, kernels.end(), [&](const Program& kernel) { return is_input(kernel, *output.updates); });
  return !is_read_later && reads_ahead_of_writing(*writer, output);
}

void keep_updated_inputs(std::span<const Output> outputs, Partition& parts) {
  for (const Output& output : outputs) {
    if (output.updates && !is_read_in_time(parts.kernels, output)) write_last(output, parts);
  }
}

}  // namespace quern::compiler
