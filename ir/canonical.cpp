#include "ir/canonical.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ir/printer.h"
#include "ir/rewrite.h"

namespace quern::ir {
namespace {

// Raised with every change of the language that gives an old text another meaning.
constexpr int kLanguageVersion = 1;

// Orders definitions and externs as the outputs reach them; what no output reaches follows as it stood.
class Ordering {
 public:
  explicit Ordering(const Program& program) : program_(program) {
    for (const Definition& definition : program.definitions) definitions_[definition.tensor.get()] = &definition;
    for (const Extern& external : program.externs) {
      for (const TensorRef& tensor : external.writes) externs_[tensor.get()] = &external;
    }
  }

  Program run() {
    Program ordered = program_;
    ordered.symbols = symbols();
    ordered.definitions.clear();
    ordered.externs.clear();
    for (const Output& output : program_.outputs) reach(output.tensor, ordered);
    for (const Definition& definition : program_.definitions) reach(definition.tensor, ordered);
    for (const Extern& external : program_.externs) {
      for (const TensorRef& tensor : external.writes) reach(tensor, ordered);
    }
    return ordered;
  }

 private:
  // In the order of their first use.
  std::vector<VarRef> symbols() const {
    std::vector<VarRef> symbols;
    const auto add = [&](const std::vector<Expr>& sizes) {
      for (const Expr& size : sizes) {
        for (const VarRef& symbol : free_variables(size)) {
          if (std::find(symbols.begin(), symbols.end(), symbol) == symbols.end()) symbols.push_back(symbol);
        }
      }
    };
    for (const TensorRef& tensor : arguments(program_)) {
      add(tensor->shape);
      add(tensor->strides);
    }
    return symbols;
  }

  // Depth first without recursion: chains of definitions may be long.
  void reach(const TensorRef& root, Program& ordered) {
    std::vector<std::pair<TensorRef, bool>> path = {{root, false}};
    while (!path.empty()) {
      const auto [tensor, ready] = path.back();
      path.pop_back();
      const auto definition = definitions_.find(tensor.get());
      const auto external = externs_.find(tensor.get());
      if (definition == definitions_.end() && external == externs_.end()) continue;
      const void* step = definition != definitions_.end() ? static_cast<const void*>(definition->second)
                                                          : static_cast<const void*>(external->second);
      if (ready) {
        if (!done_.insert(step).second) continue;
        if (definition != definitions_.end()) {
          ordered.definitions.push_back(*definition->second);
        } else {
          ordered.externs.push_back(*external->second);
        }
        continue;
      }
      if (!open_.insert(step).second) continue;
      path.emplace_back(tensor, true);
      const std::vector<TensorRef> reads =
          definition != definitions_.end() ? tensors_read(definition->second->value) : external->second->reads;
      for (auto read = reads.rbegin(); read != reads.rend(); ++read) path.emplace_back(*read, false);
    }
  }

  const Program& program_;
  std::unordered_map<const Tensor*, const Definition*> definitions_;
  std::unordered_map<const Tensor*, const Extern*> externs_;
  std::unordered_set<const void*> open_;
  std::unordered_set<const void*> done_;
};

}  // namespace

std::string canonical_text(const Program& program) {
  return "quern " + std::to_string(kLanguageVersion) + "\n" +
         to_string(Ordering(program).run(), ProgramStyle::canonical);
}

bool equal(const Program& a, const Program& b) { return canonical_text(a) == canonical_text(b); }

Digest digest(const Program& program) { return Digest::Builder().add(canonical_text(program)).finish(); }

}  // namespace quern::ir
