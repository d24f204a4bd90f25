#include "ir/verify.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/strided_layout.h"
#include "ir/expr_parser.h"
#include "ir/printer.h"
#include "ir/rewrite.h"
#include "ir/simplify.h"
#include "ir/verify_reads.h"

namespace quern::ir {
namespace {

// The nodes of `e` as a tree on paper, at most kMaxNodes + 1.
std::size_t tree_size(const Expr& e, std::unordered_map<const Node*, std::size_t>& known) {
  if (!e) return 0;
  const auto found = known.find(e.get());
  if (found != known.end()) return found->second;
  std::size_t size = 1 + tree_size(e->fill, known) + tree_size(e->where, known);
  for (const Expr& arg : e->args) size += tree_size(arg, known);
  size = std::min(size, kMaxNodes + 1);
  known[e.get()] = size;
  return size;
}

class Verifier {
 public:
  explicit Verifier(const Program& program) : program_(program), facts_(assumptions_of(program)) {
    for (const TensorRef& tensor : arguments(program)) names_.of(tensor);
    for (const VarRef& symbol : program.symbols) names_.of(symbol);
    symbols_.insert(program.symbols.begin(), program.symbols.end());
  }

  void run() {
    if (program_.outputs.empty()) fail("kernel {} has no output; declare one, as in -> (y: f32[n])", program_.name);
    check_names();
    for (const TensorRef& tensor : arguments(program_)) check_type(*tensor);
    for (const Extern& external : program_.externs) {
      for (const TensorRef& tensor : external.writes) check_type(*tensor);
    }
    check_symbols();
    for (const Output& output : program_.outputs) check_output(output);
    for (const Fact& fact : program_.facts) check_fact(fact);
    check_writers();
    check_order();
    for (const Definition& definition : program_.definitions) check_definition(definition);
  }

 private:
  std::string text(const Expr& e) { return to_string(e, names_, DType::i64); }
  std::string type(const Tensor& tensor) { return std::string(name(tensor.dtype)) + to_string(tensor.shape, names_); }

  // Arguments and symbols are known by their names.
  void check_names() const {
    std::set<std::string> taken;
    const auto take = [&](const std::string& name, std::string_view what) {
      if (!is_valid_name(name)) {
        fail("'{}' cannot be the name of {}: letters, digits and '_', not a digit first, and no word of the language",
             name, what);
      }
      if (!taken.insert(name).second) {
        fail(
            "the name '{}' is taken twice in kernel {}; arguments and symbols are told apart by name: give one of them "
            "another",
            name, program_.name);
      }
    };
    for (const TensorRef& tensor : arguments(program_)) take(tensor->name, "an argument");
    for (const VarRef& symbol : program_.symbols) take(symbol->name, "a symbol");
  }

  void check_size(const Expr& e, const std::string& place) const {
    ensure(e && e->dtype == DType::i64, "sizes are i64");
    for (const VarRef& var : free_variables(e)) {
      if (!symbols_.contains(var)) {
        fail("{} is {}, where {} is no symbol of kernel {}; sizes are expressions over symbols", place, to_string(e),
             var->name, program_.name);
      }
    }
    ensure(is_of_variables(e), "sizes read no tensor and reduce nothing");
  }

  void check_type(const Tensor& tensor) {
    for (std::size_t d = 0; d < tensor.rank(); ++d) {
      check_size(tensor.shape[d], fmt::format("dimension {} of {}", d, tensor.name));
      if (prove(less(tensor.shape[d], Expr(0)), Assumptions()) == true) {
        fail("dimension {} of {} is {}; a size is at least 0", d, tensor.name, text(tensor.shape[d]));
      }
    }
    for (const Expr& stride : tensor.strides) check_size(stride, fmt::format("a stride of {}", tensor.name));
    if (!tensor.strides.empty() && tensor.strides.size() != tensor.rank()) {
      fail("{} has {} strides for the shape {}", tensor.name, tensor.strides.size(), to_string(tensor.shape, names_));
    }
  }

  void check_symbols() const {
    for (const VarRef& symbol : program_.symbols) {
      const auto binds = [&](const Expr& size) { return is_variable(size, symbol); };
      const std::vector<TensorRef> all = arguments(program_);
      const bool bound = std::any_of(all.begin(), all.end(), [&](const TensorRef& tensor) {
        return std::any_of(tensor->shape.begin(), tensor->shape.end(), binds) ||
               std::any_of(tensor->strides.begin(), tensor->strides.end(), binds);
      });
      if (!bound) {
        fail(
            "symbol {0} of kernel {1} is not bound: no dimension or stride of an argument is {0} itself; declare one, "
            "or write a number instead",
            symbol->name, program_.name);
      }
    }
  }

  void check_output(const Output& output) {
    const Tensor& tensor = *output.tensor;
    // Without elements no two share an address.
    const bool empty =
        std::any_of(tensor.shape.begin(), tensor.shape.end(), [](const Expr& extent) { return is_integer(extent, 0); });
    std::vector<StridedDimension> dims;
    for (std::size_t d = 0; d < tensor.strides.size() && !empty; ++d) {
      const auto stride = as_integer(tensor.strides[d]);
      const auto extent = as_integer(tensor.shape[d]);
      if (stride == 0 && extent.value_or(2) > 1) {
        fail(
            "output {} has the stride 0 in dimension {}, of extent {}: elements would share an address; only inputs "
            "may repeat",
            tensor.name, d, text(tensor.shape[d]));
      }
      if (stride && extent) dims.push_back({*stride, *extent});
    }
    if (!tensor.strides.empty() && dims.size() == tensor.rank() && may_overlap(dims)) {
      const std::string strides = to_string(tensor.strides, names_);
      fail("output {} of shape {} has the strides ({}), with which elements share an address", tensor.name,
           to_string(tensor.shape, names_), strides.substr(1, strides.size() - 2));
    }
    if (!output.updates) return;
    const Tensor& from = *output.updates;
    if (!is_input(program_, from)) fail("output {} updates {}, which is no input", tensor.name, from.name);
    if (from.constant) fail("output {} updates {}, which is const: its contents never change", tensor.name, from.name);
    if (type(tensor) != type(from) || to_string(tensor.strides, names_) != to_string(from.strides, names_)) {
      fail("output {} is {}, but updates {}, which is {}; they are one memory, so types and strides must be equal",
           tensor.name, type(tensor), from.name, type(from));
    }
    if (!updated_.insert(&from).second) fail("input {} is updated by two outputs", from.name);
  }

  void check_fact(const Fact& fact) {
    switch (fact.kind) {
      case Fact::Kind::exact:
        return;
      case Fact::Kind::condition:
        ensure(is_bool(fact.condition->dtype) && is_of_variables(fact.condition), "a fact is a bool over variables");
        for (const VarRef& var : free_variables(fact.condition)) {
          if (!symbols_.contains(var)) {
            fail("the fact {} is about {}, which is no symbol of kernel {}; facts are over the symbols of arguments",
                 text(fact.condition), var->name, program_.name);
          }
        }
        if (as_integer(simplify(fact.condition)) == 0) {
          fail("kernel {} states the fact {}, which never holds; mend it or leave it out", program_.name,
               text(fact.condition));
        }
        return;
      case Fact::Kind::aligned:
        check_fact_tensor(fact, "aligned");
        if (fact.bytes <= 0 || (fact.bytes & (fact.bytes - 1)) != 0) {
          fail("aligned({}, {}): an alignment is a power of two in bytes", fact.tensor->name, fact.bytes);
        }
        return;
      case Fact::Kind::nondecreasing:
        check_fact_tensor(fact, "nondecreasing");
        if (fact.tensor->rank() != 1 || !is_integer(fact.tensor->dtype)) {
          fail("nondecreasing({}): it is {}, not a vector of integers", fact.tensor->name, type(*fact.tensor));
        }
        return;
      case Fact::Kind::range:
        check_size(fact.lo, "the range in a fact");
        check_size(fact.hi, "the range in a fact");
        if (fact.symbol) {
          ensure(symbols_.contains(fact.symbol), "a fact is about a symbol of the program");
        } else {
          check_fact_tensor(fact, "a range");
          if (!is_integer(fact.tensor->dtype)) {
            fail("{} in {}..{}: it is {}; ranges are of integers", fact.tensor->name, text(fact.lo), text(fact.hi),
                 type(*fact.tensor));
          }
        }
        return;
    }
  }

  void check_fact_tensor(const Fact& fact, std::string_view what) const {
    ensure(fact.tensor != nullptr, "a fact about a tensor has one");
    if (!is_input(program_, *fact.tensor) && !(fact.kind == Fact::Kind::aligned && is_output(program_, *fact.tensor))) {
      fail("a fact states {} of {}, which is not an input of kernel {}", what, fact.tensor->name, program_.name);
    }
  }

  void check_writers() {
    std::unordered_set<const Tensor*> written;
    const auto write = [&](const Tensor& tensor) {
      if (is_input(program_, tensor)) fail("{} is an input: it cannot be defined", tensor.name);
      if (!written.insert(&tensor).second) fail("{} has two definitions; each tensor has one", tensor.name);
    };
    for (const Definition& definition : program_.definitions) write(*definition.tensor);
    for (const Extern& external : program_.externs) {
      if (external.writes.empty()) fail("extern {} writes no tensor; declare what it computes", external.name);
      for (const TensorRef& tensor : external.writes) write(*tensor);
    }
    for (const Output& output : program_.outputs) {
      if (!written.contains(output.tensor.get())) {
        fail("output {0} has no definition; write {0}[...] = ...", output.tensor->name);
      }
    }
  }

  // Every definition reads inputs, earlier definitions, and externs that can run before it.
  void check_order() const {
    std::unordered_set<const Tensor*> ready;
    for (const TensorRef& input : program_.inputs) ready.insert(input.get());
    std::vector<const Extern*> waiting;
    for (const Extern& external : program_.externs) waiting.push_back(&external);
    const auto run_externs = [&] {
      const auto blocked = [&](const Extern* external) {
        const bool runs = std::all_of(external->reads.begin(), external->reads.end(),
                                      [&](const TensorRef& tensor) { return ready.contains(tensor.get()); });
        for (const TensorRef& tensor : external->writes) {
          if (runs) ready.insert(tensor.get());
        }
        return !runs;
      };
      std::size_t before = 0;
      do {
        before = waiting.size();
        waiting.erase(std::stable_partition(waiting.begin(), waiting.end(), blocked), waiting.end());
      } while (waiting.size() != before);
    };
    run_externs();
    for (const Definition& definition : program_.definitions) {
      for (const TensorRef& tensor : tensors_read(definition.value)) {
        if (!ready.contains(tensor.get())) fail_not_ready(definition.tensor->name, *tensor);
      }
      ready.insert(definition.tensor.get());
      if (!waiting.empty()) run_externs();
    }
    if (waiting.empty()) return;
    for (const TensorRef& tensor : waiting.front()->reads) {
      if (!ready.contains(tensor.get())) fail_not_ready(waiting.front()->name, *tensor);
    }
  }

  [[noreturn]] void fail_not_ready(const std::string& reader, const Tensor& tensor) const {
    if (tensor.name == reader)
      fail("{} reads itself; a scan is a reduction with a condition: sum[p where p <= j](x[p])", reader);
    const bool defined = definition_of(program_, tensor) != nullptr;
    fail("{0} reads {1}, which {2}; {3}", reader, tensor.name,
         defined ? "is defined later or needs it in turn" : "is neither an input nor defined in this kernel",
         defined ? "definitions read inputs and earlier definitions" : "define it, or declare it as an input");
  }

  void check_definition(const Definition& definition) {
    const Tensor& tensor = *definition.tensor;
    names_.of(definition.tensor);
    if (definition.axes.size() != tensor.rank()) {
      fail("{} has the shape {}, but is defined over {} axes", tensor.name, to_string(tensor.shape, names_),
           definition.axes.size());
    }
    std::set<VarRef> axes;
    for (std::size_t d = 0; d < tensor.rank(); ++d) {
      const Axis& axis = definition.axes[d];
      check_size(axis.hi, fmt::format("the extent of axis {} of {}", axis.var->name, tensor.name));
      ensure(axes.insert(axis.var).second, "the axes of a definition differ");
      if (!is_integer(axis.lo, 0))
        fail("axis {} of {} begins at {}; it covers the whole dimension, from 0", axis.var->name, tensor.name,
             to_string(axis.lo, names_));
      if (!equal(axis.hi, tensor.shape[d]) && prove(equals(axis.hi, tensor.shape[d]), facts_) != true) {
        fail("axis {} of {} has the extent {}, but dimension {} is {}", axis.var->name, tensor.name, text(axis.hi), d,
             text(tensor.shape[d]));
      }
    }
    if (!is_output(program_, tensor)) {
      check_type(tensor);
      ensure(tensor.strides.empty() && !tensor.constant, "an intermediate is dense and not const");
    }
    if (definition.value->dtype != tensor.dtype) {
      fail("{0} is {1}, its definition gives {2}; convert it: {1}(...)", tensor.name, name(tensor.dtype),
           name(definition.value->dtype));
    }
    check_size_of_text(definition);
    check_reads(program_, definition, facts_, names_);
  }

  static void check_size_of_text(const Definition& definition) {
    const std::string& name = definition.tensor->name;
    if (definition.value->depth > kMaxDepth) {
      fail("the definition of {} is nested {} deep, at most {} are allowed; give parts of it definitions of their own",
           name, definition.value->depth, kMaxDepth);
    }
    std::unordered_map<const Node*, std::size_t> known;
    if (tree_size(definition.value, known) > kMaxNodes) {
      fail(
          "the definition of {} has more than {} nodes when it is written out; give what it repeats definitions of "
          "their own",
          name, kMaxNodes);
    }
  }

  const Program& program_;
  Assumptions facts_;
  Names names_;
  std::unordered_set<VarRef> symbols_;
  std::unordered_set<const Tensor*> updated_;
};

}  // namespace

void verify(const Program& program) { Verifier(program).run(); }

}  // namespace quern::ir
