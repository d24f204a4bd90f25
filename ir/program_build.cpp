// The meaning of a kernel as written: symbols, tensors, extents of axes, an order of the definitions, expressions.

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "ir/extents.h"
#include "ir/printer.h"
#include "ir/program_syntax.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"

namespace quern::ir {
namespace {

// Calls `function(node, guarded)` for the nodes of an expression that stand for something read or computed; guarded:
// beneath a branch of ?: or a reduction's condition.
template <typename Function>
void walk(const Syntax& syntax, bool guarded, const Function& function) {
  function(syntax, guarded);
  const bool select = syntax.kind == SyntaxKind::call && syntax.op == Op::select;
  for (std::size_t i = 0; i < syntax.args.size(); ++i) {
    walk(*syntax.args[i], guarded || (select && i > 0) || syntax.where != nullptr, function);
  }
  if (syntax.fill) walk(*syntax.fill, guarded, function);
  if (syntax.where) walk(*syntax.where, guarded, function);
  for (const AxisSyntax& axis : syntax.axes) {
    if (axis.lo) walk(*axis.lo, guarded, function);
    if (axis.hi) walk(*axis.hi, guarded, function);
  }
}

// A definition or an extern, as a node of the graph of what reads what.
struct Step {
  const DefinitionSyntax* definition = nullptr;
  const ExternSyntax* external = nullptr;
  std::vector<Token> reads;
};

class ProgramBuilder {
 public:
  ProgramBuilder(const KernelSyntax& kernel, const TokenStream& tokens) : kernel_(kernel), tokens_(tokens) {}

  Program run() {
    program_.name = kernel_.name.text;
    for (const ArgumentSyntax& param : kernel_.params) take_name(param.name);
    for (const ArgumentSyntax& output : kernel_.outputs) take_name(output.name);
    declare_symbols(kernel_.params);
    declare_symbols(kernel_.outputs);
    declare_arguments();
    for (const FactSyntax& fact : kernel_.facts) program_.facts.push_back(build_fact(fact));
    declare_intermediates();
    const std::vector<std::size_t> steps = order();
    find_extents();
    for (const std::size_t step : steps) {
      const auto& [definition, external, reads] = steps_[step];
      definition ? build_definition(*definition) : build_extern(*external);
    }
    return std::move(program_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(const Token& token, fmt::format_string<Args...> text, Args&&... args) const {
    tokens_.fail_at(token, fmt::format(text, std::forward<Args>(args)...));
  }

  [[noreturn]] void fail_taken(const Token& token) const {
    fail(token, "the name '{}' is taken: symbols, tensors and axes share one namespace", token.text);
  }

  void take_name(const Token& token) {
    if (!taken_.insert(token.text).second) fail_taken(token);
  }

  // --- arguments and facts ---

  void declare_symbols(const std::vector<ArgumentSyntax>& arguments) {
    const auto declare = [&](const Syntax& syntax, bool) {
      if (syntax.kind != SyntaxKind::name || symbols_.find(syntax.token.text)) return;
      take_name(syntax.token);
      const VarRef symbol = make_var(syntax.token.text);
      program_.symbols.push_back(symbol);
      symbols_.add(symbol->name, symbol);
      names_.add(symbol->name, symbol);
    };
    for (const ArgumentSyntax& argument : arguments) {
      for (const SyntaxRef& dim : argument.type.shape) walk(*dim, false, declare);
      for (const SyntaxRef& stride : argument.type.strides) walk(*stride, false, declare);
    }
  }

  Expr over_symbols(const SyntaxRef& syntax, DType expected) const {
    Expr e = build_expr(syntax, symbols_, tokens_, expected);
    if (!is_of_variables(e)) fail(syntax->token, "sizes and facts are of numbers and symbols; they reduce nothing");
    return e;
  }

  // An integer expression over symbols.
  Expr size(const SyntaxRef& syntax) const {
    Expr e = over_symbols(syntax, DType::i64);
    if (e->dtype != DType::i64) fail(syntax->token, "a size is an integer, here is {}", name(e->dtype));
    return e;
  }

  std::vector<Expr> sizes(const std::vector<SyntaxRef>& syntax) const {
    std::vector<Expr> result;
    for (const SyntaxRef& dim : syntax) result.push_back(size(dim));
    return result;
  }

  TensorRef tensor(const Token& name, const TypeSyntax& type, bool constant) const {
    if (type.strides_token.kind != TokenKind::end && type.strides.size() != type.shape.size()) {
      fail(type.strides_token, "{} has {} strides for a shape of rank {}", name.text, type.strides.size(),
           type.shape.size());
    }
    return make_tensor(name.text, type.dtype, sizes(type.shape), sizes(type.strides), constant);
  }

  void declare_arguments() {
    for (const ArgumentSyntax& param : kernel_.params) {
      program_.inputs.push_back(tensor(param.name, param.type, param.constant));
      add_tensor(program_.inputs.back());
    }
    for (const ArgumentSyntax& output : kernel_.outputs) {
      Output declared{tensor(output.name, output.type, false), nullptr};
      if (output.updates) declared.updates = argument(*output.updates, program_.inputs, "input");
      program_.outputs.push_back(declared);
      add_tensor(declared.tensor);
    }
  }

  void add_tensor(const TensorRef& tensor) {
    names_.add(tensor->name, tensor);
    indices_[tensor->name] = problem_.tensors.size();
    problem_.tensors.push_back({.name = tensor->name, .dims = tensor->shape, .axes = {}});
  }

  TensorRef argument(const Token& name, const std::vector<TensorRef>& candidates, std::string_view what) const {
    std::string known;
    for (const TensorRef& candidate : candidates) {
      if (candidate->name == name.text) return candidate;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", candidate->name);
    }
    fail(name, "unknown {} '{}'; there are: {}", what, name.text, known.empty() ? "none" : known);
  }

  Fact build_fact(const FactSyntax& syntax) const {
    Fact fact{
        .kind = syntax.kind, .condition = {}, .tensor = {}, .symbol = {}, .bytes = syntax.bytes, .lo = {}, .hi = {}};
    switch (syntax.kind) {
      case Fact::Kind::exact:
        break;
      case Fact::Kind::condition:
        fact.condition = over_symbols(syntax.condition, DType::boolean);
        if (!is_bool(fact.condition->dtype)) {
          fail(syntax.name, "a fact is a condition over symbols, as in m % 16 == 0; this is {}",
               name(fact.condition->dtype));
        }
        break;
      case Fact::Kind::aligned:
      case Fact::Kind::nondecreasing:
        fact.tensor = argument(syntax.name, arguments(program_), "argument");
        break;
      case Fact::Kind::range:
        if (const Scope::Meaning* symbol = symbols_.find(syntax.name.text)) {
          fact.symbol = std::get<VarRef>(*symbol);
        } else {
          fact.tensor = argument(syntax.name, arguments(program_), "symbol or argument");
        }
        fact.lo = syntax.lo ? size(syntax.lo) : Expr(0);
        fact.hi = size(syntax.hi);
        break;
    }
    return fact;
  }

  // --- definitions ---

  const Output* find_output(const std::string& name) const {
    for (const Output& output : program_.outputs) {
      if (output.tensor->name == name) return &output;
    }
    return nullptr;
  }

  // Notes which step writes a tensor. True where it is an intermediate.
  bool declare_written(const Token& name, std::size_t step) {
    const auto [before, is_new] = writers_.emplace(name.text, step);
    if (!is_new) {
      fail(name, "{} is defined a second time; each tensor has one definition", name.text);
    }
    if (find_output(name.text)) return false;
    if (std::any_of(program_.inputs.begin(), program_.inputs.end(),
                    [&](const TensorRef& input) { return input->name == name.text; })) {
      fail(name, "{} is an input: it cannot be defined", name.text);
    }
    take_name(name);
    return true;
  }

  void declare_intermediates() {
    for (const DefinitionSyntax& definition : kernel_.definitions) {
      Step step{.definition = &definition, .external = nullptr, .reads = {}};
      walk(*definition.value, false, [&](const Syntax& syntax, bool) {
        if (syntax.kind == SyntaxKind::read) step.reads.push_back(syntax.token);
      });
      if (declare_written(definition.name, steps_.size())) {
        names_.add(definition.name.text, TensorRef());
        indices_[definition.name.text] = problem_.tensors.size();
        problem_.tensors.push_back({.name = definition.name.text, .dims = {}, .axes = {}});
      }
      steps_.push_back(std::move(step));
    }
    for (const ExternSyntax& external : kernel_.externs) {
      for (const ExternSyntax::Write& write : external.writes) {
        const bool intermediate = declare_written(write.name, steps_.size());
        if (!intermediate && write.type)
          fail(write.name, "{} is an output, which has its type already", write.name.text);
        if (intermediate && !write.type) {
          fail(write.name, "{0} is no output: give it a type, as in {0}: f32[n]", write.name.text);
        }
        if (intermediate) add_tensor(tensor(write.name, *write.type, false));
      }
      steps_.push_back({.definition = nullptr, .external = &external, .reads = external.reads});
    }
  }

  // --- extents ---

  using AxisScope = std::vector<std::pair<std::string, std::size_t>>;  // names of the axes in scope, innermost last

  void add_axis(const AxisSyntax& axis, ExtentProblem::AxisInfo info, AxisScope& scope) {
    const bool bound =
        std::any_of(scope.begin(), scope.end(), [&](const auto& outer) { return outer.first == axis.name.text; });
    if (bound || taken_.contains(axis.name.text)) fail_taken(axis.name);
    if (axis.hi) {
      if (axis.lo) size(axis.lo);  // for its errors
      info.extent = size(axis.hi);
      info.written = true;
      info.source = "as written";
    }
    info.name = axis.name.text;
    axis_ids_[&axis] = problem_.axes.size();
    axis_tokens_.push_back(axis.name);
    scope.emplace_back(axis.name.text, problem_.axes.size());
    problem_.axes.push_back(std::move(info));
  }

  void find_extents() {
    const auto proves = [facts = assumptions_of(program_)](const Expr& condition) {
      return prove(condition, facts) == true;
    };
    std::vector<AxisScope> scopes;  // all axes of definitions are there before any is read
    for (const DefinitionSyntax& definition : kernel_.definitions) scopes.push_back(collect_axes(definition, proves));
    for (std::size_t i = 0; i < scopes.size(); ++i) collect(*kernel_.definitions[i].value, scopes[i], false);
    if (const auto conflict = infer_extents(problem_, proves))
      fail(axis_tokens_[conflict->axis], "{}", conflict->message);
  }

  template <typename Proves>
  AxisScope collect_axes(const DefinitionSyntax& definition, const Proves& proves) {
    AxisScope scope;
    const Output* output = find_output(definition.name.text);
    if (output && output->tensor->rank() != definition.axes.size()) {
      Names names;
      fail(definition.name, "{} has the shape {}, but is defined over {} {}", definition.name.text,
           to_string(output->tensor->shape, names), definition.axes.size(),
           definition.axes.size() == 1 ? "axis" : "axes");
    }
    for (std::size_t d = 0; d < definition.axes.size(); ++d) {
      const AxisSyntax& axis = definition.axes[d];
      add_axis(axis, {.name = {}, .extent = {}, .source = {}}, scope);
      ExtentProblem::AxisInfo& info = problem_.axes.back();
      if (axis.lo && !is_integer(size(axis.lo), 0)) {
        fail(axis.lo->token, "the axes of a definition begin at 0: they cover the whole of {}", definition.name.text);
      }
      if (output) {
        const Expr& dim = output->tensor->shape[d];
        if (info.written && !equal(info.extent, dim) && !proves(equals(info.extent, dim))) {
          Names names;
          fail(axis.name, "axis {} is written with the extent {}, but dimension {} of {} is {}", axis.name.text,
               to_string(info.extent, names), d, definition.name.text, to_string(dim, names));
        }
        info.extent = dim;
        info.source = fmt::format("dimension {} of {}", d, definition.name.text);
      } else {
        problem_.tensors[indices_.at(definition.name.text)].axes.push_back(scope.back().second);
      }
    }
    return scope;
  }

  void collect(const Syntax& syntax, AxisScope& scope, bool guarded) {
    const std::size_t outer = scope.size();
    for (const AxisSyntax& axis : syntax.axes) {
      add_axis(axis, {.name = {}, .reduced = true, .extent = {}, .source = {}}, scope);
    }
    if (syntax.kind == SyntaxKind::read) collect_uses(syntax, scope, guarded || syntax.fill);
    const bool select = syntax.kind == SyntaxKind::call && syntax.op == Op::select;
    for (std::size_t i = 0; i < syntax.args.size(); ++i) {
      collect(*syntax.args[i], scope, guarded || (select && i > 0) || syntax.where);
    }
    if (syntax.fill) collect(*syntax.fill, scope, guarded);
    if (syntax.where) collect(*syntax.where, scope, guarded);
    scope.resize(outer);
  }

  void collect_uses(const Syntax& read, const AxisScope& scope, bool guarded) {
    const auto tensor = indices_.find(read.token.text);
    if (tensor == indices_.end()) return;  // an error when it is built
    const ExtentProblem::TensorInfo& info = problem_.tensors[tensor->second];
    const std::size_t rank = std::max(info.dims.size(), info.axes.size());
    for (std::size_t d = 0; d < read.args.size() && d < rank; ++d) {
      if (read.args[d]->kind != SyntaxKind::name) continue;
      const auto axis = std::find_if(scope.rbegin(), scope.rend(),
                                     [&](const auto& entry) { return entry.first == read.args[d]->token.text; });
      if (axis != scope.rend()) problem_.uses.push_back({axis->second, tensor->second, d, guarded});
    }
  }

  // --- order and building ---

  // The steps such that each reads only earlier ones, otherwise as written.
  std::vector<std::size_t> order() const {
    enum class Mark : std::uint8_t { none, open, done };
    std::vector<Mark> marks(steps_.size(), Mark::none);
    std::vector<std::size_t> result;
    std::vector<std::pair<std::size_t, std::size_t>> path;  // steps being visited, with their next read
    for (std::size_t root = 0; root < steps_.size(); ++root) {
      if (marks[root] == Mark::none) path.emplace_back(root, 0);
      while (!path.empty()) {
        auto& [step, next] = path.back();
        marks[step] = Mark::open;
        if (next == steps_[step].reads.size()) {
          marks[step] = Mark::done;
          result.push_back(step);
          path.pop_back();
          continue;
        }
        const Token& read = steps_[step].reads[next++];
        const auto writer = writers_.find(read.text);
        if (writer == writers_.end() || marks[writer->second] == Mark::done) continue;
        if (marks[writer->second] == Mark::open) fail_cycle(read, writer->second, path);
        path.emplace_back(writer->second, 0);
      }
    }
    return result;
  }

  [[noreturn]] void fail_cycle(const Token& read, std::size_t begin,
                               const std::vector<std::pair<std::size_t, std::size_t>>& path) const {
    const auto name_of = [&](std::size_t step) {
      return steps_[step].definition ? steps_[step].definition->name.text : steps_[step].external->name.text;
    };
    if (path.back().first == begin) {
      fail(read, "{0} reads itself; a scan is a reduction with a condition, as in {0}[j] = sum[p where p <= j](x[p])",
           name_of(begin));
    }
    std::string cycle;
    bool inside = false;
    for (const auto& [step, next] : path) {
      inside = inside || step == begin;
      if (inside) cycle += name_of(step) + " reads ";
    }
    fail(read, "definitions read each other in a circle: {}{}", cycle, name_of(begin));
  }

  void build_definition(const DefinitionSyntax& definition) {
    const Output* output = find_output(definition.name.text);
    Definition built{.tensor = output ? output->tensor : nullptr, .axes = {}, .value = {}};
    Scope scope(&names_);
    std::vector<Expr> shape;
    for (const AxisSyntax& axis : definition.axes) {
      const VarRef var = make_var(axis.name.text);
      shape.push_back(extent(axis));
      built.axes.push_back({var, Expr(0), shape.back()});
      scope.add(axis.name.text, var);
    }
    std::optional<DType> dtype = definition.dtype;
    if (output && dtype && *dtype != output->tensor->dtype) {
      fail(definition.name, "{} is declared as {}, defined as {}", definition.name.text, name(output->tensor->dtype),
           name(*dtype));
    }
    if (output) dtype = output->tensor->dtype;
    built.value =
        build_expr(definition.value, scope, tokens_, dtype, [this](const AxisSyntax& axis) { return extent(axis); });
    if (dtype && built.value->dtype != *dtype) {
      fail(definition.name, "{0} is {1}, its definition gives {2}; write {1}(...) around it", definition.name.text,
           name(*dtype), name(built.value->dtype));
    }
    if (!output) {
      built.tensor = make_tensor(definition.name.text, built.value->dtype, std::move(shape));
      names_.add(definition.name.text, built.tensor);
    }
    program_.definitions.push_back(std::move(built));
  }

  Expr extent(const AxisSyntax& axis) const { return problem_.axes[axis_ids_.at(&axis)].extent; }

  void build_extern(const ExternSyntax& syntax) {
    Extern external{.name = syntax.name.text, .reads = {}, .writes = {}, .cuda = syntax.cuda};
    const auto find = [&](const Token& token) {
      const Scope::Meaning* meaning = names_.find(token.text);
      const TensorRef* tensor = meaning ? std::get_if<TensorRef>(meaning) : nullptr;
      if (!tensor || !*tensor) fail(token, "unknown tensor '{}'", token.text);
      return *tensor;
    };
    for (const Token& read : syntax.reads) external.reads.push_back(find(read));
    for (const ExternSyntax::Write& write : syntax.writes) external.writes.push_back(find(write.name));
    program_.externs.push_back(std::move(external));
  }

  const KernelSyntax& kernel_;
  const TokenStream& tokens_;
  Program program_;
  std::set<std::string> taken_;  // names of symbols and tensors
  Scope symbols_;                // symbols alone
  Scope names_;                  // symbols and tensors; intermediates without a tensor until they are built
  std::vector<Step> steps_;
  std::map<std::string, std::size_t> writers_;  // tensor name -> step
  ExtentProblem problem_;
  std::map<std::string, std::size_t> indices_;  // tensor name -> place in problem_.tensors
  std::unordered_map<const AxisSyntax*, std::size_t> axis_ids_;
  std::vector<Token> axis_tokens_;
};

}  // namespace

Program build_program(const KernelSyntax& kernel, const TokenStream& tokens) {
  return ProgramBuilder(kernel, tokens).run();
}

}  // namespace quern::ir
