#include "api/cost.h"

#include <algorithm>
#include <unordered_map>

#include "compiler/analysis.h"
#include "compiler/attention.h"
#include "ir/rewrite.h"

namespace quern::api {
namespace {

double extent(const ir::Axis& axis, const SymbolValues& symbols) {
  return static_cast<double>(std::max<std::int64_t>(symbols.value(axis.hi) - symbols.value(axis.lo), 0));
}

class Counter {
 public:
  explicit Counter(const SymbolValues& symbols) : symbols_(symbols) {}

  // Operations for one value of `e`; indices count nothing.
  double count(const ir::Expr& e) {
    if (!e || e->kind == ir::ExprKind::read) return 0;
    const auto known = known_.find(e.get());
    if (known != known_.end()) return known->second;
    double total = 0;
    for (const ir::Expr& arg : e->args) total += count(arg);
    if (e->kind == ir::ExprKind::call && !is_index(*e)) total += 1;
    if (e->kind == ir::ExprKind::reduce) {
      total += 1;
      for (const ir::Axis& axis : e->reduce->axes) total *= extent(axis, symbols_);
    }
    known_[e.get()] = total;
    return total;
  }

 private:
  // Arithmetic on places, such as the conditions of masks: it reads nothing.
  static bool is_index(const ir::Node& node) {
    return std::all_of(node.args.begin(), node.args.end(),
                       [](const ir::Expr& arg) { return is_integer(arg->dtype) && ir::tensors_read(arg).empty(); });
  }

  const SymbolValues& symbols_;
  std::unordered_map<const ir::Node*, double> known_;
};

double bytes(const ir::Tensor& tensor, const SymbolValues& symbols) {
  double count = byte_size(tensor.dtype);
  for (const std::int64_t size : symbols.shape(tensor)) count *= static_cast<double>(size);
  return count;
}

// The dtype that a factor is stored in.
DType stored_dtype(const ir::Expr& factor) {
  const std::vector<ir::TensorRef> tensors = ir::tensors_read(factor);
  return tensors.empty() ? factor->dtype : tensors[0]->dtype;
}

bool computes_f64(const ir::Program& kernel) {
  return std::any_of(kernel.definitions.begin(), kernel.definitions.end(),
                     [](const ir::Definition& definition) { return definition.value->dtype == DType::f64; });
}

}  // namespace

double operation_count(const ir::Program& program, const SymbolValues& symbols) {
  double total = 0;
  for (const ir::Definition& definition : program.definitions) {
    double points = 1;
    for (const ir::Axis& axis : definition.axes) points *= extent(axis, symbols);
    total += points * Counter(symbols).count(definition.value);
  }
  return total;
}

double bytes_read(const ir::Program& program, const SymbolValues& symbols) {
  double total = 0;
  for (const ir::TensorRef& input : program.inputs) {
    const bool read = std::any_of(program.definitions.begin(), program.definitions.end(),
                                  [&](const ir::Definition& d) { return ir::reads(d.value, *input); }) ||
                      std::any_of(program.externs.begin(), program.externs.end(), [&](const ir::Extern& external) {
                        return std::find(external.reads.begin(), external.reads.end(), input) != external.reads.end();
                      });
    if (read) total += bytes(*input, symbols);
  }
  return total;
}

double bytes_written(const ir::Program& program, const SymbolValues& symbols) {
  double total = 0;
  for (const ir::Output& output : program.outputs) total += bytes(*output.tensor, symbols);
  return total;
}

double arithmetic_rate(const ir::Program& kernel, const Target& target) {
  const auto analysis = compiler::analyze_attention(kernel);
  if (const auto* attention = std::get_if<compiler::Attention>(&analysis)) {
    return peak_flops(target, attention->numerator, true);
  }
  const std::optional<compiler::Contraction> contraction = compiler::analyze_contraction(kernel, true);
  if (!contraction) return peak_flops(target, computes_f64(kernel) ? DType::f64 : DType::f32, false);
  const DType a = stored_dtype(contraction->a);
  const DType b = stored_dtype(contraction->b);
  const DType wider = byte_size(a) > byte_size(b) ? a : b;
  const bool tf32 = contraction->product->value->reduce->contract.grade == ir::Grade::tf32;
  const double rate = peak_flops(target, wider, wider != DType::f32 || tf32);
  return rate > 0 ? rate : target.peak.f32;  // no such unit: it is computed in f32
}

}  // namespace quern::api
