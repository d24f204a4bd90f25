#include "ir/evaluate_code.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "ir/rescaling.h"
#include "ir/scalar.h"

namespace quern::ir {
namespace {

// Integers over symbols and constants: dimensions and ranges.
class Sizes {
 public:
  Sizes(std::span<const VarRef> symbols, std::span<const std::int64_t> values) {
    ensure(symbols.size() == values.size(), "every symbol has a value");
    for (std::size_t i = 0; i < symbols.size(); ++i) values_.emplace(symbols[i].get(), values[i]);
  }

  std::int64_t operator()(const Expr& e) const {
    switch (e->kind) {
      case ExprKind::constant:
        return e->integer;
      case ExprKind::variable: {
        const auto it = values_.find(e->var.get());
        ensure(it != values_.end(), "sizes are expressions over symbols");
        return it->second;
      }
      case ExprKind::cast:
        return fit(e->dtype, {.integer = (*this)(e->args[0])}).integer;
      case ExprKind::call: {
        Scalar operands[3];
        for (std::size_t i = 0; i < e->args.size(); ++i) operands[i].integer = (*this)(e->args[i]);
        return fit(e->dtype, row(e->op).reference(e->args.back()->dtype, std::span(operands, e->args.size()))).integer;
      }
      default:
        unreachable("a size reads no tensor");
    }
  }

  std::vector<std::int64_t> operator()(std::span<const Expr> dims) const {
    std::vector<std::int64_t> result;
    for (const Expr& dim : dims) result.push_back(std::max<std::int64_t>((*this)(dim), 0));
    return result;
  }

 private:
  std::unordered_map<const Variable*, std::int64_t> values_;
};

// Whether code generators spell a row by its expansion, which is then what errors come from.
bool expands(const ScalarFunction& function) {
  return function.expansion && function.notation.empty() && function.cuda.empty() && function.trend == Trend::none;
}

class Compiler {
 public:
  Compiler(std::span<const VarRef> symbols, std::span<const std::int64_t> values, bool for_bounds)
      : sizes_(symbols, values), for_bounds_(for_bounds) {
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      code_.initial_slots.push_back(values[i]);
      slot(symbols[i]);
    }
  }

  Code program(const Program& program) {
    program_ = &program;
    if (!program.externs.empty()) {
      fail("extern {} of {} is CUDA text, which the reference evaluator does not run; leave the check out",
           program.externs[0].name, program.name);
    }
    for (std::size_t i = 0; i < program.inputs.size(); ++i) {
      inputs_.emplace(program.inputs[i].get(), static_cast<std::uint32_t>(i));
    }
    for (const Fact& fact : program.facts) {
      if (fact.kind == Fact::Kind::exact) code_.may_fuse = false;
    }
    for (const Definition& definition : program.definitions) add(definition);
    code_.initial_slots.resize(code_.slots);
    return std::move(code_);
  }

  Code expression(const Expr& e, std::span<const VarRef> variables, std::span<const TensorRef> tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      inputs_.emplace(tensors[i].get(), static_cast<std::uint32_t>(i));
    }
    for (const VarRef& var : variables) new_local(var);
    DefinitionCode root;
    root.value = compile(e);
    code_.definitions.push_back(std::move(root));
    code_.initial_slots.resize(code_.slots);
    return std::move(code_);
  }

 private:
  using Kind = Instruction::Kind;

  void add(const Definition& definition) {
    DefinitionCode result;
    result.tensor = definition.tensor.get();
    result.shape = sizes_(definition.tensor->shape);
    for (const Axis& axis : definition.axes) result.loops.push_back(loop(axis));
    enclosing_ = result.loops;
    result.value = compile(definition.value);
    enclosing_.clear();
    compiled_.clear();  // what depends on the axes around it is compiled anew
    definitions_.emplace(result.tensor, static_cast<std::uint32_t>(code_.definitions.size()));
    code_.definitions.push_back(std::move(result));
  }

  std::uint32_t new_table(std::vector<std::int64_t> extents) {
    code_.table_extents.push_back(std::move(extents));
    return static_cast<std::uint32_t>(code_.table_extents.size() - 1);
  }

  std::uint32_t slot(const VarRef& var) {
    const auto [it, is_new] = slots_.try_emplace(var.get(), code_.slots);
    if (is_new) ++code_.slots;
    return it->second;
  }

  void new_local(const VarRef& var) {
    locals_.emplace(var.get(), code_.locals++);
    kept_.emplace_back(var);
  }

  Loop loop(const Axis& axis) { return {slot(axis.var), sizes_(axis.lo), sizes_(axis.hi)}; }

  std::uint32_t emit(Instruction instruction, const std::vector<std::uint32_t>& operands) {
    instruction.args = static_cast<std::uint32_t>(code_.operands.size());
    instruction.count = static_cast<std::uint32_t>(operands.size());
    code_.operands.insert(code_.operands.end(), operands.begin(), operands.end());
    using enum Kind;
    const Kind kind = instruction.kind;
    const bool depends = kind == local || kind == read || kind == reduce || kind == let;
    instruction.places =
        !depends && !is_float(instruction.dtype) &&
        std::all_of(operands.begin(), operands.end(), [&](std::uint32_t i) { return code_.instructions[i].places; });
    code_.instructions.push_back(instruction);
    return static_cast<std::uint32_t>(code_.instructions.size() - 1);
  }

  std::vector<std::uint32_t> compile_all(std::span<const Expr> expressions) {
    std::vector<std::uint32_t> result;
    for (const Expr& e : expressions) result.push_back(compile(e));
    return result;
  }

  std::uint32_t compile(const Expr& e) {
    if (const auto it = compiled_.find(e.get()); it != compiled_.end()) return it->second;
    const std::uint32_t result = compile_new(e);
    compiled_.emplace(e.get(), result);
    kept_.push_back(e);
    return result;
  }

  std::uint32_t compile_new(const Expr& e) {
    switch (e->kind) {
      case ExprKind::constant: {
        const Scalar value = is_float(e->dtype) ? Scalar{.real = e->real} : fit(e->dtype, {.integer = e->integer});
        return emit({.kind = Kind::constant, .dtype = e->dtype, .value = value}, {});
      }
      case ExprKind::variable: {
        if (const auto local = locals_.find(e->var.get()); local != locals_.end()) {
          return emit({.kind = Kind::local, .dtype = e->dtype, .number = local->second}, {});
        }
        const auto it = slots_.find(e->var.get());
        ensure(it != slots_.end(), "a variable is bound by an axis or a symbol");
        return emit({.kind = Kind::index, .dtype = e->dtype, .number = it->second}, {});
      }
      case ExprKind::cast: {
        const DType from = e->args[0]->dtype;
        return emit({.kind = Kind::cast, .dtype = e->dtype, .from = from}, {compile(e->args[0])});
      }
      case ExprKind::call:
        return compile_call(e);
      case ExprKind::read:
        return compile_read(e);
      case ExprKind::reduce:
        return compile_reduce(e);
    }
    unreachable("a kind of expression");
  }

  std::uint32_t compile_call(const Expr& e) {
    if (for_bounds_ && expands(row(e->op))) return compile_expansion(e);
    Instruction call{.kind = Kind::call, .dtype = e->dtype, .from = e->args.back()->dtype, .op = e->op};
    if (e->op == Op::select) call.kind = Kind::select;
    if (e->op == Op::logical_and) call.kind = Kind::both;
    if (e->op == Op::logical_or) call.kind = Kind::either;
    return emit(call, compile_all(e->args));
  }

  // The operands are computed once, into locals. Of narrow floats all steps are in f32 and the result is rounded, as
  // code generators do it.
  std::uint32_t compile_expansion(const Expr& e) {
    const bool is_narrow = is_float(e->dtype) && byte_size(e->dtype) < byte_size(DType::f32);
    std::vector<Expr> args = e->args;
    for (Expr& arg : args) arg = is_narrow ? cast(DType::f32, arg) : arg;
    std::vector<std::uint32_t> operands = compile_all(args);
    const std::uint32_t first = code_.locals;
    std::vector<Expr> variables;
    for (const Expr& arg : args) {
      const VarRef var = make_var("operand", arg->dtype);
      new_local(var);
      variables.emplace_back(var);
    }
    operands.push_back(compile(cast(e->dtype, row(e->op).expansion(variables))));
    // The row stays known, for its reference value.
    return emit({.kind = Kind::let, .dtype = e->dtype, .from = args.back()->dtype, .op = e->op, .number = first},
                operands);
  }

  std::uint32_t compile_read(const Expr& e) {
    ReadCode result;
    result.tensor = e->tensor.get();
    result.shape = sizes_(e->tensor->shape);
    if (const auto input = inputs_.find(e->tensor.get()); input != inputs_.end()) {
      result.input = input->second;
    } else {
      const auto definition = definitions_.find(e->tensor.get());
      ensure(definition != definitions_.end(), "a tensor is an input or defined before it is read");
      result.definition = definition->second;
      DefinitionCode& defined = code_.definitions[result.definition];
      if (defined.table == kNone) defined.table = new_table(defined.shape);
    }
    if (e->fill) result.fill = compile(e->fill);
    const std::vector<std::uint32_t> index = compile_all(e->args);
    const auto number = static_cast<std::uint32_t>(code_.reads.size());
    code_.reads.push_back(std::move(result));
    return emit({.kind = Kind::read, .dtype = e->dtype, .number = number}, index);
  }

  std::uint32_t compile_reduce(const Expr& e) {
    const ReduceInfo& info = *e->reduce;
    ReduceCode result{.reducer = info.reducer, .contract = info.contract};
    const std::size_t outside = enclosing_.size();
    for (const Axis& axis : info.axes) result.loops.push_back(loop(axis));
    enclosing_.insert(enclosing_.end(), result.loops.begin(), result.loops.end());
    result.element = e->args[0]->dtype;
    result.accumulator = info.contract.accumulator.value_or(result.element);
    result.argument = for_bounds_ && program_ ? compile_term(*e, e->args[0]) : compile(e->args[0]);
    if (e->where) result.where = compile(e->where);
    enclosing_.resize(outside);
    const ReducerRow& reducer = row(info.reducer);
    const DType acc = wide_accumulator(result);
    if (reducer.state(acc).size() == 1) {
      const std::vector<Expr> identity = reducer.identity(acc);
      result.identity = {identity[0]->integer, identity[0]->real};
      result.combine = reducer.combine(identity, identity)[0]->op;
    } else {
      result.fold = compile_fold(reducer, result, e->dtype);
    }
    std::set<std::uint32_t> used;
    find_slots(result.argument, used);
    if (result.where != kNone) find_slots(result.where, used);
    for (const Loop& outer : enclosing_) {
      const bool own = std::any_of(result.loops.begin(), result.loops.end(),
                                   [&](const Loop& inner) { return inner.slot == outer.slot; });
      if (used.contains(outer.slot) && !own) result.key.push_back(outer);
    }
    if (result.key.size() < enclosing_.size()) {
      std::vector<std::int64_t> extents;
      for (const Loop& key : result.key) extents.push_back(key.extent());
      result.table = new_table(std::move(extents));
    }
    const auto number = static_cast<std::uint32_t>(code_.reduces.size());
    code_.reduces.push_back(std::move(result));
    return emit({.kind = Kind::reduce, .dtype = e->dtype, .number = number}, {});
  }

  // What a reduction folds, factor by factor: those that a sum may rescale have room for that. No other reader has it,
  // so that nothing of it stands in compiled_.
  struct Term {
    std::uint32_t value, weight = kNone;
  };
  std::uint32_t compile_term(const Node& reduction, const Expr& e) {
    const Term term = compile_factors(reduction, e);
    if (term.weight == kNone) return term.value;
    return emit({.kind = Kind::weighted, .dtype = e->dtype}, {term.value, term.weight});
  }
  Term compile_factors(const Node& reduction, const Expr& e) {
    if (is_call(e, Op::mul)) {
      const Term a = compile_factors(reduction, e->args[0]), b = compile_factors(reduction, e->args[1]);
      return {
          emit({.kind = Kind::call, .dtype = e->dtype, .from = e->args[1]->dtype, .op = Op::mul}, {a.value, b.value}),
          a.weight != kNone ? a.weight : b.weight};
    }
    const std::optional<RoundedWeight> rounded = match_rounded_weight(*program_, reduction, e);
    if (!rounded) return {compile(e)};
    const std::uint32_t weight = compile(rounded->weight);
    return {emit({.kind = Kind::rescaled, .dtype = e->dtype, .from = rounded->dtype}, {compile(e), weight}), weight};
  }

  void find_slots(std::uint32_t instruction, std::set<std::uint32_t>& used) const {
    const Instruction& i = code_.instructions[instruction];
    if (i.kind == Kind::index) used.insert(i.number);
    for (std::uint32_t n = 0; n < i.count; ++n) find_slots(code_.operand(i, n), used);
    if (i.kind == Kind::read && code_.reads[i.number].fill != kNone) find_slots(code_.reads[i.number].fill, used);
    if (i.kind == Kind::reduce) {
      const ReduceCode& inner = code_.reduces[i.number];
      find_slots(inner.argument, used);
      if (inner.where != kNone) find_slots(inner.where, used);
    }
  }

  FoldCode compile_fold(const ReducerRow& reducer, const ReduceCode& reduce, DType dtype) {
    const DType acc = wide_accumulator(reduce);
    FoldCode fold;
    const auto local = [&](DType type) {
      const VarRef var = make_var("state", type);
      new_local(var);
      return var;
    };
    const VarRef element = local(reduce.element), index = local(DType::i64);
    fold.element = locals_.at(element.get());
    fold.index = locals_.at(index.get());
    std::vector<Expr> left, right;
    for (const DType type : reducer.state(acc)) {
      const VarRef l = local(type), r = local(type);
      fold.left.push_back(locals_.at(l.get()));
      fold.right.push_back(locals_.at(r.get()));
      left.emplace_back(l);
      right.emplace_back(r);
    }
    fold.identity = compile_all(reducer.identity(acc));
    fold.lift = compile_all(reducer.lift(acc, element, index));
    fold.combine = compile_all(reducer.combine(left, right));
    fold.finish = compile(cast(dtype, reducer.finish(left)));
    return fold;
  }

  Sizes sizes_;
  bool for_bounds_;
  const Program* program_ = nullptr;
  Code code_;
  std::unordered_map<const Tensor*, std::uint32_t> inputs_, definitions_;
  std::unordered_map<const Variable*, std::uint32_t> slots_, locals_;
  std::vector<Loop> enclosing_;
  std::unordered_map<const Node*, std::uint32_t> compiled_;
  std::vector<Expr> kept_;  // so that addresses in compiled_ and locals_ stay unique
};

}  // namespace

Code compile(const Program& program, std::span<const std::int64_t> symbols, bool for_bounds) {
  return Compiler(program.symbols, symbols, for_bounds).program(program);
}

Code compile(const Expr& e, std::span<const VarRef> variables, std::span<const TensorRef> tensors) {
  return Compiler({}, {}, false).expression(e, variables, tensors);
}

DType wide_accumulator(const ReduceCode& reduce) {
  return is_float(reduce.accumulator) ? DType::f64 : reduce.accumulator;
}

std::vector<std::int64_t> shape_at(const Tensor& tensor, std::span<const VarRef> symbols,
                                   std::span<const std::int64_t> values) {
  return Sizes(symbols, values)(tensor.shape);
}

}  // namespace quern::ir
