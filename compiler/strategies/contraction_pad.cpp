// pad=yes: matrices whose rows begin at odd places are copied to rows that begin at aligned ones, so that 16-byte
// copies feed the contraction:
//
//   a_padded[batch..., i, p] = p < k ? a[batch..., i, p] : 0      and b alike, the reduced axis padded in both
//
// The contraction then sums over the padded axis, whose further products are zeros. Where that axis needs no padding,
// an operand that lies aligned stays where it is. A copy costs one pass over the operand; scalar loads would cost
// several instructions for each element and block.

#include <algorithm>

#include "base/error.h"
#include "compiler/strategies/contraction.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

constexpr std::int64_t kVectorBytes = 16;

Expr padded_extent(const Expr& extent, DType dtype) {
  const std::int64_t vector = kVectorBytes / byte_size(dtype);
  return simplify(ceil_div(extent, vector) * vector, Assumptions());
}

// A copy of an operand and the read that takes its place.
struct Padding {
  Definition copy;
  Expr read;
};

// `own` and `k`: the operand's axes, `padded_k` the reduced axis of the new contraction.
Padding pad_operand(const Contraction& c, const Operand& operand, const Axis& own, const Axis& padded_k) {
  const Axis& k = c.k[0];
  Padding result;
  Substitution at;
  std::vector<Expr> shape, index;
  for (const Axis& axis : c.batch) {
    const VarRef var = make_var(axis.var->name);
    at[axis.var] = Expr(var);
    result.copy.axes.push_back({var, 0, axis.hi});
    index.push_back(Expr(axis.var));
  }
  const VarRef i = make_var(own.var->name), p = make_var(k.var->name);
  at[own.var] = Expr(i);
  at[k.var] = Expr(p);
  const Expr width = operand.k_contiguous ? own.hi : padded_extent(own.hi, operand.dtype());
  Axis rows{i, 0, width}, depth{p, 0, padded_k.hi};
  std::vector<Expr> place{Expr(own.var), Expr(padded_k.var)};
  if (!operand.k_contiguous) {
    std::swap(rows, depth);
    std::swap(place[0], place[1]);
  }
  result.copy.axes.insert(result.copy.axes.end(), {rows, depth});
  index.insert(index.end(), place.begin(), place.end());
  for (const Axis& axis : result.copy.axes) shape.push_back(axis.hi);
  const Expr inside = both(less(Expr(i), own.hi), less(Expr(p), k.hi));
  result.copy.value = select(inside, substitute(operand.source, at), constant(operand.dtype(), std::int64_t{0}));
  result.copy.tensor = make_tensor(operand.source->tensor->name + "_padded", operand.dtype(), shape);
  result.read = replace_node(operand.factor, operand.source, read(result.copy.tensor, index));
  return result;
}

// Whether the operand's rows begin at aligned places, where its tensor does.
bool lies_aligned(const Operand& operand) {
  const std::int64_t vector = kVectorBytes / byte_size(operand.dtype());
  const std::vector<Expr> strides = element_strides(*operand.source->tensor);
  return is_integer(strides.back(), 1) && std::all_of(strides.begin(), strides.end() - 1, [&](const Expr& stride) {
           return divisor(stride, Assumptions()) % vector == 0;
         });
}

Program copy_kernel(const Program& program, const Padding& padding) {
  Program kernel;
  kernel.name = program.name;
  kernel.symbols = program.symbols;
  kernel.facts = program.facts;
  kernel.inputs = tensors_read(padding.copy.value);
  kernel.outputs = {{padding.copy.tensor, nullptr}};
  kernel.definitions = {padding.copy};
  return kernel;
}

}  // namespace

std::string why_not_padded(const ContractionProblem& problem) {
  const Contraction& c = problem.contraction;
  if (c.m.size() != 1 || c.n.size() != 1 || c.k.size() != 1) return "pad=yes takes matrices, of one axis each way";
  for (const Operand* operand : {&problem.a, &problem.b}) {
    if (!operand->plain || operand->source->fill) return "pad=yes takes operands that are plain reads";
  }
  return {};
}

bool is_misaligned(const ContractionProblem& problem) {
  if (!why_not_padded(problem).empty()) return false;
  // Rows that are known to begin at odd places, or to be no rows of memory.
  const auto odd = [](const Operand& operand) {
    const std::int64_t vector = kVectorBytes / byte_size(operand.dtype());
    const std::vector<Expr> strides = element_strides(*operand.source->tensor);
    const auto is_odd = [&](const Expr& stride) { return as_integer(stride).value_or(0) % vector != 0; };
    return as_integer(strides.back()).value_or(1) != 1 || std::any_of(strides.begin(), strides.end() - 1, is_odd);
  };
  return odd(problem.a) || odd(problem.b);
}

Partition pad_operands(const Program& program) {
  const ContractionProblem problem = analyze_operands(program, program.facts);
  const Contraction& c = problem.contraction;
  const Axis k{make_var(c.k[0].var->name), 0, padded_extent(c.k[0].hi, problem.a.dtype())};
  const bool is_whole = equal(simplify(c.k[0].hi, Assumptions()), k.hi);
  Partition result;
  const auto factor = [&](const Operand& operand, const Axis& own) {
    if (is_whole && lies_aligned(operand)) return substitute(operand.factor, {{c.k[0].var, Expr(k.var)}});
    const Padding padding = pad_operand(c, operand, own, k);
    result.kernels.push_back(copy_kernel(program, padding));
    result.workspace.push_back(padding.copy.tensor);
    return padding.read;
  };
  const Expr a = factor(problem.a, c.m[0]), b = factor(problem.b, c.n[0]);
  Program product = program;
  for (Definition& definition : product.definitions) {
    if (definition.tensor != c.product->tensor) continue;
    const ReduceInfo& info = *definition.value->reduce;
    definition.value = reduce(info.reducer, {k}, {a * b}, {}, info.contract);
  }
  replace_inputs(product, result.workspace);
  result.kernels.push_back(std::move(product));
  return result;
}

}  // namespace quern::compiler
