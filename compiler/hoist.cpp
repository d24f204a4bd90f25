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

using Known = std::unordered_set<const Variable*>;

// A quotient or remainder that takes more than a shift.
bool is_division(const Expr& e) {
  if (e->kind != ExprKind::call || (e->op != Op::floor_div && e->op != Op::mod)) return false;
  const auto divisor = as_integer(e->args[1]);
  return !divisor || *divisor <= 0 || !std::has_single_bit(static_cast<std::uint64_t>(*divisor));
}

bool reads_memory(const Expr& e) {
  return e->kind == ExprKind::read || std::any_of(e->args.begin(), e->args.end(), reads_memory);
}

bool is_known(const Expr& e, const Known& known) {
  if (e->kind == ExprKind::variable) return known.contains(e->var.get());
  return std::ranges::all_of(e->args, [&](const Expr& arg) { return is_known(arg, known); });
}

// How a division occurs in the statements that follow.
struct Occurrences {
  int count = 0;
  bool in_loop = false;
};

class Hoister {
 public:
  Kernel run(Kernel kernel) {
    Known known;
    for (const VarRef& symbol : kernel.symbols) known.insert(symbol.get());
    for (const VarRef& block : kernel.block) known.insert(block.get());
    known.insert(kernel.warp.get());
    known.insert(kernel.lane.get());
    kernel.body = block_of(kernel.body, known);
    return kernel;
  }

 private:
  Stmt block_of(const Stmt& stmt, Known known) {
    if (!stmt) return stmt;
    std::vector<Stmt> rest = statements(stmt), done;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const std::span<Stmt> following = std::span(rest).subspan(i);
      while (const Expr division = worth_hoisting(following, known)) {
        const VarRef var = make_var(division->op == Op::mod ? "rest" : "part", division->dtype);
        for (Stmt& each : following) each = replaced(each, division, var);
        done.push_back(make_stmt(Let{var, division}));
        known.insert(var.get());
      }
      if (const Let* let = get_if<Let>(rest[i])) known.insert(let->var.get());
      done.push_back(nested(rest[i], known));
    }
    return block(std::move(done));
  }

  Stmt nested(const Stmt& stmt, const Known& known) {
    if (const For* loop = get_if<For>(stmt)) {
      Known inside = known;
      inside.insert(loop->var.get());
      return make_stmt(For{loop->var, loop->lo, loop->hi, loop->step, loop->kind, block_of(loop->body, inside)});
    }
    if (const If* branch = get_if<If>(stmt)) {
      return make_stmt(If{branch->condition, block_of(branch->then, known), block_of(branch->otherwise, known)});
    }
    return get_if<Block>(stmt) ? make_stmt(Block{statements(block_of(stmt, known))}) : stmt;
  }

  // The first division of the first statement, innermost first, that is known here and pays for a name.
  Expr worth_hoisting(std::span<const Stmt> following, const Known& known) const {
    std::vector<Expr> candidates;
    for_each_expr_below(following[0], [&](const Expr& e) { collect(e, known, candidates); });
    for (const Expr& candidate : candidates) {
      const Occurrences found = occurrences(following, candidate);
      if (found.count > 1 || found.in_loop) return candidate;
    }
    return {};
  }

  static void collect(const Expr& e, const Known& known, std::vector<Expr>& candidates) {
    if (!e) return;
    for (const Expr& arg : e->args) collect(arg, known, candidates);
    collect(e->fill, known, candidates);
    if (!is_division(e) || !is_integer(e->dtype) || reads_memory(e) || !is_known(e, known)) return;
    const bool again = std::ranges::any_of(candidates, [&](const Expr& known_one) { return equal(known_one, e); });
    if (!again) candidates.push_back(e);
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

  static void count(const Expr& e, const Expr& division, int& total) {
    if (!e) return;
    if (equal(e, division)) ++total;
    for (const Expr& arg : e->args) count(arg, division, total);
    count(e->fill, division, total);
  }

  static Stmt replaced(const Stmt& stmt, const Expr& division, const VarRef& var) {
    const auto replace = [&](const Expr& node) { return equal(node, division) ? Expr(var) : node; };
    return transform(stmt, [&](const Expr& e) { return transform(e, replace); });
  }
};

}  // namespace

Kernel hoist(const Kernel& kernel) { return Hoister().run(kernel); }

}  // namespace quern::compiler
