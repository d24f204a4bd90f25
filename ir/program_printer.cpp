// Tensor programs as text.

#include <fmt/format.h>

#include <map>
#include <set>
#include <unordered_set>

#include "ir/extents.h"
#include "ir/lexer.h"
#include "ir/printer.h"
#include "ir/simplify.h"

namespace quern::ir {
namespace {

constexpr std::size_t kLineWidth = 120;

// The axes whose ranges the parser would find as they are.
class UnwrittenRanges {
 public:
  explicit UnwrittenRanges(const Program& program) : program_(program) {
    for (const TensorRef& tensor : arguments(program)) add_tensor(tensor);
    for (const Extern& external : program.externs) {
      for (const TensorRef& tensor : external.writes) add_tensor(tensor);
    }
    for (const Definition& definition : program.definitions) collect(definition);
  }

  std::unordered_set<const Variable*> find() {
    const Assumptions facts = assumptions_of(program_);
    const auto proves = [&](const Expr& condition) { return prove(condition, facts) == true; };
    // Whatever is found otherwise, or not at all, is written; every round writes one range more.
    while (true) {
      ExtentProblem attempt = problem_;
      const auto conflict = infer_extents(attempt, proves);
      std::size_t wrong = conflict ? conflict->axis : 0;
      while (!conflict && wrong < axes_.size() && equal(attempt.axes[wrong].extent, axes_[wrong].hi)) ++wrong;
      if (wrong == axes_.size()) break;
      if (problem_.axes[wrong].written) break;  // not to be mended by writing
      problem_.axes[wrong].written = true;
      problem_.axes[wrong].extent = axes_[wrong].hi;
    }
    std::unordered_set<const Variable*> unwritten;
    for (std::size_t i = 0; i < axes_.size(); ++i) {
      if (!problem_.axes[i].written) unwritten.insert(axes_[i].var.get());
    }
    return unwritten;
  }

 private:
  void add_tensor(const TensorRef& tensor) {
    if (!indices_.emplace(tensor.get(), problem_.tensors.size()).second) return;
    problem_.tensors.push_back({.name = tensor->name, .dims = tensor->shape, .axes = {}});
  }

  std::size_t add_axis(const Axis& axis, bool reduced) {
    ExtentProblem::AxisInfo info{.name = axis.var->name, .reduced = reduced, .extent = {}, .source = {}};
    if (!is_integer(axis.lo, 0)) {
      info.written = true;
      info.extent = axis.hi;
    }
    ids_[axis.var.get()] = axes_.size();
    axes_.push_back(axis);
    problem_.axes.push_back(std::move(info));
    return axes_.size() - 1;
  }

  void collect(const Definition& definition) {
    const bool intermediate = indices_.emplace(definition.tensor.get(), problem_.tensors.size()).second;
    if (intermediate) problem_.tensors.push_back({.name = definition.tensor->name, .dims = {}, .axes = {}});
    for (std::size_t d = 0; d < definition.axes.size(); ++d) {
      const std::size_t id = add_axis(definition.axes[d], false);
      if (intermediate) {
        problem_.tensors.back().axes.push_back(id);
      } else {
        problem_.axes[id].extent = definition.tensor->shape[d];
      }
    }
    collect(definition.value, false);
  }

  // As the parser walks the text.
  void collect(const Expr& e, bool guarded) {
    if (!visited_.emplace(e.get(), guarded).second) return;
    if (e->reduce) {
      for (const Axis& axis : e->reduce->axes) {
        if (!ids_.contains(axis.var.get())) add_axis(axis, true);
      }
    }
    if (e->kind == ExprKind::read) collect_uses(*e, guarded || e->fill);
    const bool select = is_call(e, Op::select);
    for (std::size_t i = 0; i < e->args.size(); ++i) {
      collect(e->args[i], guarded || (select && i > 0) || e->where);
    }
    if (e->fill) collect(e->fill, guarded);
    if (e->where) collect(e->where, guarded);
  }

  void collect_uses(const Node& read, bool guarded) {
    // A tensor defined later in the list is one that the verifier refuses.
    const auto tensor = indices_.find(read.tensor.get());
    if (tensor == indices_.end()) return;
    for (std::size_t d = 0; d < read.args.size(); ++d) {
      if (read.args[d]->kind != ExprKind::variable) continue;
      const auto axis = ids_.find(read.args[d]->var.get());
      if (axis != ids_.end()) problem_.uses.push_back({axis->second, tensor->second, d, guarded});
    }
  }

  const Program& program_;
  ExtentProblem problem_;
  std::vector<Axis> axes_;  // as problem_.axes
  std::map<const Variable*, std::size_t> ids_;
  std::map<const Tensor*, std::size_t> indices_;
  std::set<std::pair<const Node*, bool>> visited_;
};

class ProgramPrinter {
 public:
  ProgramPrinter(const Program& program, ProgramStyle style)
      : program_(program), canonical_(style == ProgramStyle::canonical) {
    if (canonical_) {
      expr_style_.axis_hint = "a";
    } else {
      unwritten_ = UnwrittenRanges(program).find();
      expr_style_.without_range = &unwritten_;
    }
  }

  std::string run() {
    for (const TensorRef& tensor : arguments(program_)) name(tensor);
    for (const VarRef& symbol : program_.symbols) names_.give(symbol.get(), canonical_ ? "s" : symbol->name);
    for (const Definition& definition : program_.definitions) name(definition.tensor);
    for (const Extern& external : program_.externs) {
      for (const TensorRef& tensor : external.writes) name(tensor);
    }
    std::string text = head() + " {\n";
    for (const Definition& definition : program_.definitions) text += "  " + print(definition) + "\n";
    for (const Extern& external : program_.externs) text += "  " + print(external) + "\n";
    return text + "}\n";
  }

 private:
  const std::string& name(const TensorRef& tensor) {
    return names_.give(tensor.get(), canonical_ ? "t" : tensor->name);
  }

  std::string print(const Expr& e, std::optional<DType> expected) {
    return to_string(e, names_, expected, expr_style_);
  }

  std::string type(const Tensor& tensor) {
    std::string text(quern::name(tensor.dtype));
    text += to_string(tensor.shape, names_);
    if (tensor.strides.empty()) return text;
    const std::string strides = to_string(tensor.strides, names_);
    return fmt::format("{} strides({})", text, strides.substr(1, strides.size() - 2));
  }

  // "a, b, c", or one per line where `width` is passed.
  static std::string join(const std::vector<std::string>& items, bool one_per_line) {
    std::string text;
    for (std::size_t i = 0; i < items.size(); ++i) {
      text += i == 0 ? "" : ",";
      text += one_per_line ? "\n    " : i == 0 ? "" : " ";
      text += items[i];
    }
    return text;
  }

  std::string head() {
    std::vector<std::string> params;
    std::vector<std::string> outputs;
    std::vector<std::string> facts;
    for (const TensorRef& input : program_.inputs) {
      params.push_back(fmt::format("{}: {}{}", name(input), type(*input), input->constant ? " const" : ""));
    }
    for (const Output& output : program_.outputs) {
      outputs.push_back(fmt::format("{}: {}", name(output.tensor), type(*output.tensor)));
      if (output.updates) outputs.back() += " update " + name(output.updates);
    }
    for (const Fact& fact : program_.facts) facts.push_back(print(fact));
    const std::string kernel = canonical_ ? "k" : Names().fresh(program_.name);
    const auto layout = [&](bool one_per_line) {
      const std::string end = one_per_line ? "\n" : "";
      return fmt::format("kernel {}({}{}) -> ({}){}", kernel, join(params, one_per_line), end, join(outputs, false),
                         facts.empty() ? "" : " with " + join(facts, false));
    };
    const std::string line = layout(false);
    return line.size() + 2 <= kLineWidth || canonical_ ? line : layout(true);
  }

  std::string print(const Fact& fact) {
    switch (fact.kind) {
      case Fact::Kind::condition:
        return print(fact.condition, DType::boolean);
      case Fact::Kind::aligned:
        return fmt::format("aligned({}, {})", name(fact.tensor), fact.bytes);
      case Fact::Kind::nondecreasing:
        return fmt::format("nondecreasing({})", name(fact.tensor));
      case Fact::Kind::range: {
        const std::string& subject = fact.tensor ? name(fact.tensor) : names_.of(fact.symbol);
        const std::string lo = is_integer(fact.lo, 0) ? "" : print(fact.lo, DType::i64) + "..";
        return fmt::format("{} in {}{}", subject, lo, print(fact.hi, DType::i64));
      }
      case Fact::Kind::exact:
        return "exact";
    }
    return {};
  }

  std::string print(const Definition& definition) {
    const Tensor& tensor = *definition.tensor;
    std::string text = name(definition.tensor) + "[";
    for (std::size_t d = 0; d < definition.axes.size(); ++d) {
      const Axis& axis = definition.axes[d];
      text += d > 0 ? ", " : "";
      text += names_.give(axis.var.get(), canonical_ ? "a" : axis.var->name);
      if (!unwritten_.contains(axis.var.get())) text += " in " + print(axis.hi, DType::i64);
    }
    text += "]";
    // A literal takes the output's dtype, or one that is written.
    const bool output = is_output(program_, tensor);
    const bool is_default = tensor.dtype == DType::f32 || tensor.dtype == DType::i64;
    const bool write_dtype = canonical_ || (!output && is_untyped(definition.value) && !is_default);
    if (write_dtype) text += fmt::format(": {}", quern::name(tensor.dtype));
    text += " = " + print(definition.value, output || write_dtype ? std::optional(tensor.dtype) : std::nullopt);
    for (const Axis& axis : definition.axes) names_.release(axis.var);
    return text;
  }

  std::string print(const Extern& external) {
    std::vector<std::string> reads;
    std::vector<std::string> writes;
    for (const TensorRef& tensor : external.reads) reads.push_back(name(tensor));
    for (const TensorRef& tensor : external.writes) {
      writes.push_back(name(tensor));
      if (!is_output(program_, *tensor)) writes.back() += ": " + type(*tensor);
    }
    const std::string called = canonical_ ? "k" : Names().fresh(external.name);
    return fmt::format("extern {}({}) -> ({}) cuda {}", called, join(reads, false), join(writes, false),
                       quote(external.cuda));
  }

  const Program& program_;
  bool canonical_;
  std::unordered_set<const Variable*> unwritten_;
  ExprStyle expr_style_;
  Names names_;
};

}  // namespace

std::string to_string(const Program& program, ProgramStyle style) { return ProgramPrinter(program, style).run(); }

}  // namespace quern::ir
