#include "compiler/lift_reductions.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/error.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

class Lifter {
 public:
  explicit Lifter(const Program& program) : program_(program), known_(assumptions_of(program)) {
    for (const TensorRef& tensor : arguments(program)) names_.insert(tensor->name);
    for (const Definition& definition : program.definitions) names_.insert(definition.tensor->name);
    for (const VarRef& symbol : program.symbols) names_.insert(symbol->name);
  }

  Program run() {
    Program result = program_;
    result.definitions.clear();
    for (const Definition& definition : program_.definitions) {
      tensor_ = definition.tensor;
      scope_ = definition.axes;
      const bool whole = definition.value->kind == ExprKind::reduce;
      Definition canonical = definition;
      canonical.value = whole ? lift_within(definition.value) : lift(definition.value);
      for (Definition& lifted : lifted_) result.definitions.push_back(std::move(lifted));
      lifted_.clear();
      result.definitions.push_back(std::move(canonical));
    }
    return result;
  }

 private:
  // A reduction with the reductions inside its operands lifted.
  Expr lift_within(const Expr& e) {
    const std::size_t outer = scope_.size();
    scope_.insert(scope_.end(), e->reduce->axes.begin(), e->reduce->axes.end());
    std::vector<Expr> args;
    for (const Expr& arg : e->args) args.push_back(lift(arg));
    const Expr where = e->where ? lift(e->where) : Expr();
    scope_.resize(outer);
    return with_children(e, std::move(args), {}, where);
  }

  Expr lift(const Expr& e) {
    if (e->kind == ExprKind::reduce) return extract(lift_within(e));
    std::vector<Expr> args;
    for (const Expr& arg : e->args) args.push_back(lift(arg));
    return with_children(e, std::move(args), e->fill ? lift(e->fill) : Expr(), e->where);
  }

  // A definition of the reduction over the axes in scope that it depends on; reads of it take its place.
  Expr extract(const Expr& reduction) {
    const std::vector<VarRef> free = free_variables(reduction);
    Definition definition;
    std::vector<Expr> shape, index;
    Substitution own;
    for (const Axis& axis : scope_) {
      if (std::find(free.begin(), free.end(), axis.var) == free.end()) continue;
      const VarRef var = make_var(axis.var->name);
      const Expr extent = extent_of(axis);
      own[axis.var] = simplify(axis.lo + Expr(var));
      definition.axes.push_back({var, 0, extent});
      shape.push_back(extent);
      index.push_back(simplify(Expr(axis.var) - axis.lo));
    }
    definition.tensor = make_tensor(fresh(fmt::format("{}_{}", tensor_->name, row(reduction->reduce->reducer).name)),
                                    reduction->dtype, std::move(shape));
    definition.value = freshen(substitute(reduction, own));
    lifted_.push_back(definition);
    return read(definition.tensor, std::move(index));
  }

  // Of the tensor that has an element for each point of the axis: none where the range ends before it begins.
  Expr extent_of(const Axis& axis) const {
    const Expr extent = ir::is_integer(axis.lo, 0) ? axis.hi : simplify(axis.hi - axis.lo, known_);
    return prove(less_equal(0, extent), known_) == true ? extent : max(extent, Expr(0));
  }

  // The name, or with the first number that makes it one that nothing else has: kernels are printed and parsed alone.
  std::string fresh(const std::string& name) {
    std::string result = name;
    for (int number = 2; !names_.insert(result).second; ++number) result = fmt::format("{}{}", name, number);
    return result;
  }

  const Program& program_;
  const Assumptions known_;
  std::set<std::string> names_;
  TensorRef tensor_;
  std::vector<Axis> scope_;
  std::vector<Definition> lifted_;
};

}  // namespace

Program lift_reductions(const Program& program) { return Lifter(program).run(); }

}  // namespace quern::compiler
