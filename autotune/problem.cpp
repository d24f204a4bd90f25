#include "autotune/problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/error.h"
#include "ir/canonical.h"
#include "ir/rewrite.h"
#if QUERN_WITH_CPU
#include "runtime/cpu/threads.h"
#endif

namespace quern::autotune {
namespace {

using ir::Expr;
using ir::TensorRef;
using ir::VarRef;

// Dimensions written as numbers, joined where an axis walks them alone; those of arguments become symbols.
class Abstraction {
 public:
  explicit Abstraction(const ir::Program& program) : program_(program) {
    for (const ir::Definition& definition : program.definitions) {
      join_axes(definition.axes, *definition.tensor);
      ir::visit(definition.value, [&](const Expr& node) {
        if (node->kind == ir::ExprKind::reduce) {
          for (const ir::Axis& axis : node->reduce->axes) extents_[axis.var.get()] = ir::as_integer(axis.hi);
        }
        return true;
      });
      ir::visit(definition.value, [&](const Expr& node) {
        if (node->kind == ir::ExprKind::read) join_read(*node);
        return true;
      });
    }
    for (const TensorRef& tensor : ir::arguments(program)) {
      for (std::size_t d = 0; d < tensor->rank(); ++d) add_class(*tensor, d);
    }
  }

  ir::Program run() {
    ir::Program result = program_;
    for (TensorRef& input : result.inputs) input = image(input);
    for (ir::Output& output : result.outputs) {
      output.tensor = image(output.tensor);
      if (output.updates) output.updates = image(output.updates);
    }
    for (ir::Fact& fact : result.facts) {
      if (fact.tensor) fact.tensor = image(fact.tensor);
    }
    for (ir::Extern& external : result.externs) {
      for (TensorRef& tensor : external.reads) tensor = image(tensor);
      for (TensorRef& tensor : external.writes) tensor = image(tensor);
    }
    for (ir::Definition& definition : result.definitions) image(definition.tensor);
    for (ir::Definition& definition : result.definitions) {
      definition.tensor = image(definition.tensor);
      for (ir::Axis& axis : definition.axes) axis = rename(axis);
      definition.value = ir::replace_tensors(
          ir::transform(
              definition.value,
              [&](const Expr& node) { return node->kind == ir::ExprKind::reduce ? rename_reduction(node) : node; }),
          images_);
    }
    return result;
  }

  // The size that a new symbol stands for; nothing for a stride's.
  const std::unordered_map<const ir::Variable*, std::int64_t>& sizes() const { return sizes_; }

 private:
  // A dimension of a tensor or (dim -1) an axis.
  struct Place {
    const void* object;
    std::ptrdiff_t dim;
    auto operator<=>(const Place&) const = default;
  };

  Place root(Place place) const {
    for (auto at = parents_.find(place); at != parents_.end(); at = parents_.find(place)) place = at->second;
    return place;
  }

  void join(Place a, Place b) {
    a = root(a);
    b = root(b);
    if (a != b) parents_.emplace(a, b);
  }

  static Place dimension(const ir::Tensor& tensor, std::size_t d) { return {&tensor, static_cast<std::ptrdiff_t>(d)}; }
  static Place axis_of(const VarRef& var) { return {var.get(), -1}; }

  void join_axes(const std::vector<ir::Axis>& axes, const ir::Tensor& tensor) {
    for (std::size_t d = 0; d < axes.size(); ++d) {
      extents_[axes[d].var.get()] = ir::as_integer(axes[d].hi);
      if (extents_[axes[d].var.get()] == ir::as_integer(tensor.shape[d])) {
        join(axis_of(axes[d].var), dimension(tensor, d));
      }
    }
  }

  void join_read(const ir::Node& read) {
    for (std::size_t d = 0; d < read.args.size(); ++d) {
      const Expr& index = read.args[d];
      if (index->kind != ir::ExprKind::variable) continue;
      const auto extent = extents_.find(index->var.get());
      if (extent == extents_.end() || !extent->second) continue;
      if (extent->second == ir::as_integer(read.tensor->shape[d])) {
        join(axis_of(index->var), dimension(*read.tensor, d));
      }
    }
  }

  void add_class(const ir::Tensor& tensor, std::size_t d) {
    const auto size = ir::as_integer(tensor.shape[d]);
    if (!size) return;
    VarRef& symbol = classes_[root(dimension(tensor, d))];
    if (symbol) return;
    symbol = ir::make_var("size");
    sizes_[symbol.get()] = *size;
  }

  Expr rename(const Place& place, const Expr& size) const {
    const auto found = classes_.find(root(place));
    return found == classes_.end() || !ir::as_integer(size) ? size : Expr(found->second);
  }

  ir::Axis rename(const ir::Axis& axis) const { return {axis.var, axis.lo, rename(axis_of(axis.var), axis.hi)}; }

  Expr rename_reduction(const Expr& node) const {
    std::vector<ir::Axis> axes;
    for (const ir::Axis& axis : node->reduce->axes) axes.push_back(rename(axis));
    return ir::reduce(node->reduce->reducer, std::move(axes), node->args, node->where, node->reduce->contract);
  }

  // Strides above 1 follow from sizes: only that they are there is structure.
  TensorRef image(const TensorRef& tensor) {
    TensorRef& made = images_[tensor.get()];
    if (made) return made;
    std::vector<Expr> shape, strides;
    for (std::size_t d = 0; d < tensor->rank(); ++d) shape.push_back(rename(dimension(*tensor, d), tensor->shape[d]));
    for (const Expr& stride : tensor->strides) {
      const auto number = ir::as_integer(stride);
      strides.push_back(number && (*number < 0 || *number > 1) ? Expr(ir::make_var("stride")) : stride);
    }
    made = ir::make_tensor(tensor->name, tensor->dtype, std::move(shape), std::move(strides), tensor->constant);
    return made;
  }

  const ir::Program& program_;
  std::map<Place, Place> parents_;
  std::unordered_map<const ir::Variable*, std::optional<std::int64_t>> extents_;
  std::map<Place, VarRef> classes_;
  std::unordered_map<const ir::Variable*, std::int64_t> sizes_;
  ir::TensorMap images_;
};

// In the order of their first use in the arguments, as the canonical text numbers them.
std::vector<VarRef> symbols_in_order(const ir::Program& program) {
  std::vector<VarRef> symbols;
  const auto add = [&](const std::vector<Expr>& sizes) {
    for (const Expr& size : sizes) {
      for (const VarRef& symbol : ir::free_variables(size)) {
        if (std::find(symbols.begin(), symbols.end(), symbol) == symbols.end()) symbols.push_back(symbol);
      }
    }
  };
  for (const TensorRef& tensor : ir::arguments(program)) {
    add(tensor->shape);
    add(tensor->strides);
  }
  return symbols;
}

std::int64_t size_of(const ir::Program& program, const VarRef& symbol, const Sizes& sizes) {
  const auto found = sizes.find(symbol->name);
  if (found == sizes.end()) {
    fail("symbol {} of {} has no size; give one, such as -D {}=1024", symbol->name, program.name, symbol->name);
  }
  return found->second;
}

}  // namespace

Problem problem_of(const ir::Program& kernel, const Sizes& sizes) {
  Problem problem{
      .title = kernel.name, .program = ir::canonical_text(kernel), .digest = {}, .structure = {}, .shape = {}};
  Digest::Builder digest;
  digest.add(problem.program);
  for (const VarRef& symbol : symbols_in_order(kernel)) digest.add(size_of(kernel, symbol, sizes));
  problem.digest = digest.finish();

  Abstraction abstraction(kernel);
  const ir::Program abstracted = abstraction.run();
  Digest::Builder structure;
  structure.add(ir::canonical_text(abstracted));
  for (const VarRef& symbol : symbols_in_order(abstracted)) {
    const auto written = abstraction.sizes().find(symbol.get());
    const bool own = std::find(kernel.symbols.begin(), kernel.symbols.end(), symbol) != kernel.symbols.end();
    structure.add(own);  // a kernel for all sizes is another problem than one for a single size
    if (own) problem.shape.push_back(size_of(kernel, symbol, sizes));
    if (written != abstraction.sizes().end()) problem.shape.push_back(written->second);
  }
  problem.structure = structure.finish();
  for (std::size_t i = 0; i < problem.shape.size(); ++i) {
    problem.title += fmt::format("{}{}", i == 0 ? " " : "x", problem.shape[i]);
  }
  return problem;
}

std::optional<std::string> missing_size(const ir::Program& program, const Sizes& sizes) {
  for (const VarRef& symbol : program.symbols) {
    if (!sizes.contains(symbol->name)) return symbol->name;
  }
  return std::nullopt;
}

std::vector<std::int64_t> symbol_values(const ir::Program& program, const Sizes& sizes) {
  std::vector<std::int64_t> values;
  for (const VarRef& symbol : program.symbols) values.push_back(size_of(program, symbol, sizes));
  return values;
}

double distance(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  const auto log2 = [](std::int64_t size) { return std::log2(static_cast<double>(std::max<std::int64_t>(size, 1))); };
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(log2(a[i]) - log2(b[i]));
  return sum;
}

std::string device_identity(const runtime::DeviceInfo& device) {
  const Target& target = device.target;
  if (target.is_gpu()) {
    return fmt::format("{} {} sms={} l2={} bandwidth={:.0f}GB/s", device.name, to_text(target), target.gpu.sm_count,
                       target.gpu.l2_bytes, target.peak.bandwidth / 1e9);
  }
#if QUERN_WITH_CPU
  const int threads = runtime::cpu::thread_count();
#else
  const int threads = target.cpu.cores;
#endif
  return fmt::format("{} {} threads={} l2={} l3={}", device.name, to_text(target), threads, target.cpu.l2_bytes,
                     target.cpu.l3_bytes);
}

std::string target_key(const Target& target) {
  const GpuLimits& gpu = target.gpu;
  const CpuLimits& cpu = target.cpu;
  if (!target.is_gpu()) {
    return fmt::format("{} vector={}x{} l1={} l2={} l3={} cores={}", to_text(target), cpu.vector_registers,
                       cpu.vector_bytes, cpu.l1_bytes, cpu.l2_bytes, cpu.l3_bytes, cpu.cores);
  }
  return fmt::format("{} shared={}/{}/{} sms={} l2={} threads={}/{} blocks={} cluster={}", to_text(target),
                     gpu.shared_per_block, gpu.shared_per_sm, gpu.shared_reserved, gpu.sm_count, gpu.l2_bytes,
                     gpu.threads_per_block, gpu.threads_per_sm, gpu.blocks_per_sm, gpu.max_cluster);
}

std::string strategy_version(const compiler::Strategy& strategy) {
  Digest::Builder builder;
  for (const compiler::Field& field : strategy.fields.fields) {
    builder.add(field.name).add(field.parts);
    for (const std::string_view word : field.words) builder.add(word);
  }
  return to_text(builder.finish()).substr(0, 8);
}

}  // namespace quern::autotune
