// The inputs of a run against what the program says of their elements.

#include <algorithm>
#include <set>
#include <unordered_set>

#include "api/host.h"
#include "base/error.h"
#include "ir/rewrite.h"
#include "ir/scalar.h"

namespace quern::api {
namespace {

// An input of integers with its elements. Those of u64 beyond 2^63 come as negative numbers.
class Integers {
 public:
  Integers(const ir::Program& program, const ir::Tensor& tensor, const HostArray& array)
      : program_(program), tensor_(tensor), array_(array) {}

  std::int64_t size() const { return array_.size(); }
  std::int64_t operator[](std::int64_t i) const {
    return ir::load(dtype(), &array_.data[static_cast<std::size_t>(i * byte_size(dtype()))]).integer;
  }
  bool within(std::int64_t i, std::int64_t lo, std::int64_t hi) const {
    const std::int64_t value = (*this)[i];
    return value >= lo && value < hi && (value >= 0 || dtype() != DType::u64);
  }
  bool below(std::int64_t i, std::int64_t j) const {
    const std::int64_t a = (*this)[i], b = (*this)[j];
    return dtype() == DType::u64 ? static_cast<std::uint64_t>(a) < static_cast<std::uint64_t>(b) : a < b;
  }
  std::string value_text(std::int64_t i) const {
    const std::int64_t value = (*this)[i];
    return dtype() == DType::u64 ? fmt::to_string(static_cast<std::uint64_t>(value)) : fmt::to_string(value);
  }
  // Error that element i is wrong because of `reason`.
  [[noreturn]] void refuse(std::int64_t i, const std::string& reason) const {
    std::vector<std::int64_t> at(array_.shape.size());
    std::int64_t rest = i;
    for (std::size_t d = at.size(); d-- > 0; rest /= array_.shape[d]) at[d] = rest % array_.shape[d];
    fail("element [{}] of input {} of {} is {}{}", fmt::join(at, ", "), tensor_.name, program_.name, value_text(i),
         reason);
  }

 private:
  DType dtype() const { return array_.dtype; }

  const ir::Program& program_;
  const ir::Tensor& tensor_;
  const HostArray& array_;
};

void check_fact(const ir::Fact& fact, const Integers& elements, const SymbolValues& symbols) {
  constexpr std::string_view kButStates = "{}, but the program states {}; mend the input or the fact";
  const std::string& name = fact.tensor->name;
  if (fact.kind == ir::Fact::Kind::range) {
    const std::int64_t lo = symbols.value(fact.lo), hi = symbols.value(fact.hi);
    for (std::int64_t i = 0; i < elements.size(); ++i) {
      if (!elements.within(i, lo, hi)) {
        elements.refuse(i, fmt::format(kButStates, "", fmt::format("{} in {}..{}", name, lo, hi)));
      }
    }
    return;
  }
  for (std::int64_t i = 1; i < elements.size(); ++i) {
    if (elements.below(i, i - 1)) {
      elements.refuse(
          i, fmt::format(kButStates, ", behind " + elements.value_text(i - 1), fmt::format("nondecreasing({})", name)));
    }
  }
}

// Every element is an index of dimension d of the tensor.
void check_index(const Integers& elements, const ir::Tensor& tensor, std::size_t d, const SymbolValues& symbols) {
  const std::int64_t extent = symbols.value(tensor.shape[d]);
  for (std::int64_t i = 0; i < elements.size(); ++i) {
    if (elements.within(i, 0, extent)) continue;
    elements.refuse(i,
                    fmt::format(", but indexes dimension {} of {}, which has {} elements; mend the input, or guard the "
                                "read with `else`",
                                d, tensor.name, extent));
  }
}

// The reads that a program makes whatever its data are: none of a branch, of the right side of && and ||, of what a
// condition leaves out, with a fill, or below an axis that is empty or whose range other axes decide.
class CertainReads {
 public:
  struct Found {
    ir::Expr read;
    std::vector<ir::Axis> axes;  // around it
  };

  CertainReads(const ir::Program& program, const SymbolValues& symbols) : program_(program), symbols_(symbols) {
    for (const ir::Definition& definition : program.definitions) enter(definition.axes, {definition.value});
  }
  const std::vector<Found>& reads() const { return reads_; }

 private:
  void enter(const std::vector<ir::Axis>& axes, const std::vector<ir::Expr>& body) {
    if (std::ranges::any_of(axes, [&](const ir::Axis& axis) { return !runs(axis); })) return;
    const std::size_t outer = axes_.size();
    axes_.insert(axes_.end(), axes.begin(), axes.end());
    for (const ir::Expr& e : body) walk(e);
    axes_.resize(outer);
  }
  bool runs(const ir::Axis& axis) const {
    for (const ir::Expr& bound : {axis.lo, axis.hi}) {
      for (const ir::VarRef& variable : ir::free_variables(bound)) {
        if (std::ranges::find(program_.symbols, variable) == program_.symbols.end()) return false;
      }
    }
    return symbols_.value(axis.lo) < symbols_.value(axis.hi);
  }
  void walk(const ir::Expr& e) {
    if (!seen_.insert(e.get()).second) return;
    if (ir::is_call(e, ir::Op::select) || ir::is_call(e, ir::Op::logical_and) || ir::is_call(e, ir::Op::logical_or)) {
      walk(e->args[0]);
    } else if (e->kind == ir::ExprKind::reduce) {
      if (!e->where) enter(e->reduce->axes, e->args);
    } else {
      if (e->kind == ir::ExprKind::read && !e->fill) reads_.push_back({e, axes_});
      for (const ir::Expr& arg : e->args) walk(arg);
    }
  }

  const ir::Program& program_;
  const SymbolValues& symbols_;
  std::vector<ir::Axis> axes_;
  std::unordered_set<const ir::Node*> seen_;
  std::vector<Found> reads_;
};

// Whether the read takes every element of its tensor: its indices are axes of their own that run over the dimensions.
bool reads_all(const ir::Node& read, const std::vector<ir::Axis>& axes, const SymbolValues& symbols) {
  std::set<const ir::Variable*> used;
  for (std::size_t d = 0; d < read.args.size(); ++d) {
    const auto axis =
        std::ranges::find_if(axes, [&](const ir::Axis& a) { return ir::is_variable(read.args[d], a.var); });
    if (axis == axes.end() || !used.insert(axis->var.get()).second) return false;
    if (symbols.value(axis->lo) != 0 || symbols.value(axis->hi) != symbols.value(read.tensor->shape[d])) return false;
  }
  return true;
}

// The node below casts that keep its values.
const ir::Node& uncast(const ir::Expr& index) {
  const ir::Node* node = index.get();
  while (node->kind == ir::ExprKind::cast && byte_size(node->dtype) >= byte_size(node->args[0]->dtype)) {
    node = node->args[0].get();
  }
  return *node;
}

}  // namespace

void check_inputs(const ir::Program& program, const SymbolValues& symbols, std::span<const HostArray> inputs) {
  const auto integers = [&](const ir::Tensor& tensor) {
    const auto input = std::ranges::find(program.inputs, &tensor, &ir::TensorRef::get);
    ensure(input != program.inputs.end(), "facts and indices of elements are of inputs");
    return Integers(program, tensor, inputs[static_cast<std::size_t>(input - program.inputs.begin())]);
  };
  for (const ir::Fact& fact : program.facts) {
    if (fact.tensor && fact.kind != ir::Fact::Kind::aligned) check_fact(fact, integers(*fact.tensor), symbols);
  }
  const CertainReads certain(program, symbols);
  for (const auto& [read, axes] : certain.reads()) {
    for (std::size_t d = 0; d < read->args.size(); ++d) {
      const ir::Node& index = uncast(read->args[d]);
      if (index.kind != ir::ExprKind::read || !ir::is_input(program, *index.tensor)) continue;
      if (reads_all(index, axes, symbols)) check_index(integers(*index.tensor), *read->tensor, d, symbols);
    }
  }
}

}  // namespace quern::api
