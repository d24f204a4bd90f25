#include "ir/bind.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"
#include "ir/verify.h"

namespace quern::ir {
namespace {

class Binder {
 public:
  Binder(const Program& program, const std::map<std::string, std::int64_t>& sizes) : program_(program) {
    for (const auto& [name, size] : sizes) bind_symbol(name, size);
  }

  Program run() {
    bound_.name = program_.name;
    for (const VarRef& symbol : program_.symbols) {
      if (!sizes_.contains(symbol)) bound_.symbols.push_back(symbol);
    }
    for (const TensorRef& input : program_.inputs) bound_.inputs.push_back(copy(input));
    for (const Output& output : program_.outputs) {
      bound_.outputs.push_back({copy(output.tensor), output.updates ? copy(output.updates) : nullptr});
    }
    for (const Fact& fact : program_.facts) bind_fact(fact);
    for (const Definition& definition : program_.definitions) copy(definition.tensor);
    for (const Extern& external : program_.externs) bound_.externs.push_back(bind_extern(external));
    for (const Definition& definition : program_.definitions) bound_.definitions.push_back(bind_definition(definition));
    return std::move(bound_);
  }

 private:
  void bind_symbol(const std::string& name, std::int64_t size) {
    require_symbol(program_, name);
    for (const VarRef& symbol : program_.symbols) {
      if (symbol->name != name) continue;
      if (size < 0 && is_dimension(program_, symbol)) fail("{} = {}: a size is at least 0", name, size);
      sizes_.emplace(symbol, Expr(size));
      given_ += fmt::format("{}{} = {}", given_.empty() ? "" : ", ", name, size);
    }
  }

  Expr bind(const Expr& e) const { return substitute(e, sizes_); }
  Expr bind_size(const Expr& e) const {
    Expr bound = bind(e);
    return bound.same(e) ? bound : simplify(bound);
  }

  // Error where a size or a part of it would wrap.
  void check_size(const Expr& size, const std::string& place) const {
    bool wraps = false;
    exact_size(bind(size), wraps);
    if (wraps) fail("{} is {}, which leaves 64 bits at {}; use smaller sizes", place, to_string(size), given_);
  }

  TensorRef copy(const TensorRef& tensor) {
    TensorRef& image = images_[tensor.get()];
    if (image) return image;
    std::vector<Expr> shape;
    std::vector<Expr> strides;
    for (const Expr& size : tensor->shape) {
      check_size(size, fmt::format("dimension {} of {}", shape.size(), tensor->name));
      shape.push_back(bind_size(size));
    }
    for (const Expr& stride : tensor->strides) strides.push_back(bind_size(stride));
    image = make_tensor(tensor->name, tensor->dtype, std::move(shape), std::move(strides), tensor->constant);
    return image;
  }

  // Facts that became conditions on nothing are checked and dropped.
  void bind_fact(const Fact& fact) {
    Fact bound = fact;
    if (fact.tensor) bound.tensor = copy(fact.tensor);
    if (fact.lo) bound.lo = bind_size(fact.lo);
    if (fact.hi) bound.hi = bind_size(fact.hi);
    if (fact.kind == Fact::Kind::range && fact.symbol && sizes_.contains(fact.symbol)) {
      const Expr& value = sizes_.at(fact.symbol);
      bound = Fact{.kind = Fact::Kind::condition,
                   .condition = both(less_equal(bound.lo, value), less(value, bound.hi)),
                   .tensor = {},
                   .symbol = {},
                   .lo = {},
                   .hi = {}};
    }
    if (bound.kind == Fact::Kind::condition) {
      bound.condition = bind_size(bound.condition);
      const auto known = as_integer(simplify(bound.condition));
      if (known == 0)
        fail("kernel {} states the fact {}, which does not hold at {}", program_.name, text(fact), given_);
      if (known) return;
    }
    bound_.facts.push_back(std::move(bound));
  }

  static std::string text(const Fact& fact) {
    if (fact.condition) return to_string(fact.condition);
    return fmt::format("{} in {}..{}", fact.symbol->name, to_string(fact.lo), to_string(fact.hi));
  }

  Extern bind_extern(const Extern& external) {
    Extern bound{.name = external.name, .reads = {}, .writes = {}, .cuda = external.cuda};
    for (const TensorRef& tensor : external.reads) bound.reads.push_back(copy(tensor));
    for (const TensorRef& tensor : external.writes) bound.writes.push_back(copy(tensor));
    return bound;
  }

  Definition bind_definition(const Definition& definition) {
    Substitution replacements = sizes_;
    Definition bound{.tensor = copy(definition.tensor), .axes = {}, .value = {}};
    for (const Axis& axis : definition.axes) {
      bound.axes.push_back({make_var(axis.var->name), bind_size(axis.lo), bind_size(axis.hi)});
      replacements.emplace(axis.var, Expr(bound.axes.back().var));
    }
    const Expr value = replace_tensors(substitute(freshen(definition.value), replacements), images_);
    bound.value = transform(value, [](const Expr& node) { return fold_ranges(node); });
    return bound;
  }

  static Expr fold_ranges(const Expr& node) {
    if (!node->reduce) return node;
    std::vector<Axis> axes = node->reduce->axes;
    bool changed = false;
    for (Axis& axis : axes) {
      const Axis before = axis;
      axis.lo = simplify(axis.lo);
      axis.hi = simplify(axis.hi);
      changed = changed || !axis.lo.same(before.lo) || !axis.hi.same(before.hi);
    }
    if (!changed) return node;
    return reduce(node->reduce->reducer, std::move(axes), node->args, node->where, node->reduce->contract);
  }

  const Program& program_;
  Program bound_;
  Substitution sizes_;
  std::string given_;  // "m = 16, n = 3"
  TensorMap images_;
};

}  // namespace

bool is_dimension(const Program& program, const VarRef& symbol) {
  return std::ranges::any_of(arguments(program), [&](const TensorRef& tensor) {
    return std::ranges::any_of(tensor->shape,
                               [&](const Expr& size) { return std::ranges::count(free_variables(size), symbol) > 0; });
  });
}

std::optional<std::int64_t> exact_size(const Expr& size, bool& wraps) {
  if (const auto number = as_integer(size)) return number;
  std::vector<std::int64_t> values;
  for (const Expr& arg : size->args) {
    if (const auto value = exact_size(arg, wraps)) values.push_back(*value);
  }
  if (size->kind != ExprKind::call || values.size() != size->args.size()) return std::nullopt;
  std::int64_t value = 0;
  if ((size->op == Op::add && __builtin_add_overflow(values[0], values[1], &value)) ||
      (size->op == Op::sub && __builtin_sub_overflow(values[0], values[1], &value)) ||
      (size->op == Op::mul && __builtin_mul_overflow(values[0], values[1], &value))) {
    wraps = true;
    return std::nullopt;
  }
  return as_integer(simplify(size));
}

void require_symbol(const Program& program, std::string_view name) {
  std::string known;
  for (const VarRef& symbol : program.symbols) {
    if (symbol->name == name) return;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", symbol->name);
  }
  fail("kernel {} has no symbol {}; its symbols: {}", program.name, name, known.empty() ? "none" : known);
}

Program bind(const Program& program, const std::map<std::string, std::int64_t>& sizes) {
  Program bound = Binder(program, sizes).run();
  verify(bound);
  return bound;
}

}  // namespace quern::ir
