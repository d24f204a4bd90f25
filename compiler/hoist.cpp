#include "compiler/hoist.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "ir/kernel_rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// A quotient or remainder that takes more than a shift.
bool is_division(const Expr& e) {
  if (e->kind != ExprKind::call || (e->op != Op::floor_div && e->op != Op::mod)) return false;
  const auto divisor = as_integer(e->args[1]);
  return !divisor || *divisor <= 0 || !std::has_single_bit(static_cast<std::uint64_t>(*divisor));
}

bool reads_memory(const Expr& e) {
  return e->kind == ExprKind::read || std::any_of(e->args.begin(), e->args.end(), reads_memory);
}

// How a division occurs in the statements that follow.
struct Occurrences {
  int count = 0;
  bool in_loop = false;
};

class Hoister {
 public:
  Kernel run(Kernel kernel) {
    for (const VarRef& symbol : kernel.symbols) known_.insert(symbol.get());
    for (const VarRef& block : kernel.block) known_.insert(block.get());
    known_.insert(kernel.warp.get());
    known_.insert(kernel.lane.get());
    kernel.body = block_of(kernel.body);
    return kernel;
  }

 private:
  Stmt block_of(const Stmt& stmt) {
    if (!stmt) return stmt;
    std::vector<Stmt> rest = statements(stmt), done;
    std::vector<const Variable*> declared;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const std::span<Stmt> following = std::span(rest).subspan(i);
      while (const Expr division = worth_hoisting(following)) {
        const VarRef var = make_var(division->op == Op::mod ? "rest" : "part", division->dtype);
        for (Stmt& each : following) each = replaced(each, division, var);
        done.push_back(make_stmt(Let{var, division}));
        declared.push_back(var.get());
        known_.insert(var.get());
      }
      if (const Let* let = get_if<Let>(rest[i])) {
        declared.push_back(let->var.get());
        known_.insert(let->var.get());
      }
      done.push_back(nested(rest[i]));
    }
    for (const Variable* var : declared) known_.erase(var);
    return block(std::move(done));
  }

  Stmt nested(const Stmt& stmt) {
    if (const For* loop = get_if<For>(stmt)) {
      known_.insert(loop->var.get());
      const Stmt body = block_of(loop->body);
      known_.erase(loop->var.get());
      return make_stmt(For{loop->var, loop->lo, loop->hi, loop->step, loop->kind, body});
    }
    if (const If* branch = get_if<If>(stmt)) {
      return make_stmt(If{branch->condition, block_of(branch->then), block_of(branch->otherwise)});
    }
    return get_if<Block>(stmt) ? make_stmt(Block{statements(block_of(stmt))}) : stmt;
  }

  // The first division of the first statement, innermost first, that is known here and pays for a name.
  Expr worth_hoisting(std::span<const Stmt> following) const {
    std::vector<Expr> candidates;
    for_each_expr_below(following[0], [&](const Expr& e) { collect(e, candidates); });
    for (const Expr& candidate : candidates) {
      const Occurrences found = occurrences(following, candidate);
      if (found.count > 1 || found.in_loop) return candidate;
    }
    return {};
  }

  void collect(const Expr& e, std::vector<Expr>& candidates) const {
    if (!e) return;
    for (const Expr& arg : e->args) collect(arg, candidates);
    collect(e->fill, candidates);
    if (!is_division(e) || !is_integer(e->dtype) || reads_memory(e) || !is_known(e)) return;
    const bool again = std::ranges::any_of(candidates, [&](const Expr& candidate) { return equal(candidate, e); });
    if (!again) candidates.push_back(e);
  }

  bool is_known(const Expr& e) const {
    if (e->kind == ExprKind::variable) return known_.contains(e->var.get());
    return std::ranges::all_of(e->args, [&](const Expr& arg) { return is_known(arg); });
  }

  static Occurrences occurrences(std::span<const Stmt> following, const Expr& division) {
    Occurrences found;
    for (const Stmt& stmt : following) {
      visit(stmt, [&](const Stmt& each, const Enclosing& around) {
        const int before = found.count;
        for_each_expr(each, [&](const Expr& e) { count(e, division, found.count); });
        const bool loop =
            std::ranges::any_of(around, [](const StmtNode* node) { return std::holds_alternative<For>(node->value); });
        found.in_loop = found.in_loop || (found.count > before && loop);
        return true;
      });
    }
    return found;
  }

  static bool is_same(const Expr& e, const Expr& division) {
    return e->kind == ExprKind::call && e->op == division->op && equal(e, division);
  }

  static void count(const Expr& e, const Expr& division, int& total) {
    if (!e) return;
    if (is_same(e, division)) ++total;
    for (const Expr& arg : e->args) count(arg, division, total);
    count(e->fill, division, total);
  }

  static Stmt replaced(const Stmt& stmt, const Expr& division, const VarRef& var) {
    const auto replace = [&](const Expr& node) { return is_same(node, division) ? Expr(var) : node; };
    return transform(stmt, [&](const Expr& e) {
      int occurs = 0;
      count(e, division, occurs);
      return occurs > 0 ? transform(e, replace) : e;
    });
  }

  std::unordered_set<const Variable*> known_;  // in scope
};

}  // namespace

Kernel hoist(const Kernel& kernel) { return Hoister().run(kernel); }

}  // namespace quern::compiler
