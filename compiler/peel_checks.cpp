#include "compiler/peel_checks.h"

#include "ir/kernel_rewrite.h"
#include "ir/simplify.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// The statement that a body is, out of blocks around it.
const If* sole_branch(const Stmt& stmt) {
  const std::vector<Stmt> all = statements(stmt);
  if (all.size() != 1) return nullptr;
  return get_if<Block>(all[0]) ? sole_branch(all[0]) : get_if<If>(all[0]);
}

class Peeler {
 public:
  Kernel run(Kernel kernel) {
    kernel.body = rewrite(kernel.body, assumptions_of(kernel));
    return kernel;
  }

 private:
  Stmt rewrite(const Stmt& stmt, Assumptions known) {
    if (const Block* node = get_if<Block>(stmt)) {
      Block result;
      for (const Stmt& each : node->body) {
        result.body.push_back(rewrite(each, known));
        if (const Let* let = get_if<Let>(each); let && is_integer(let->var->dtype)) {
          known = known.with_value(let->var, let->value);
        }
      }
      return make_stmt(std::move(result));
    }
    if (const If* node = get_if<If>(stmt)) {
      return make_stmt(If{node->condition, rewrite(node->then, known.with(node->condition)),
                          node->otherwise ? rewrite(node->otherwise, known) : nullptr});
    }
    const For* loop = get_if<For>(stmt);
    return loop ? rewrite(*loop, known) : stmt;
  }

  Stmt rewrite(const For& loop, const Assumptions& known) {
    For whole = loop;
    whole.body = rewrite(loop.body, known.with(Axis{loop.var, loop.lo, loop.hi}, loop.step));
    const If* branch = sole_branch(loop.body);
    const auto lo = as_integer(loop.lo), hi = as_integer(loop.hi);
    if (loop.kind != ForKind::unroll || !branch || branch->otherwise || !uses(branch->condition, loop.var) || !lo ||
        !hi || !is_integer(loop.step, 1)) {
      return make_stmt(std::move(whole));
    }
    // Iterations from the first on that need no check: mostly all of them or none.
    const auto is_free = [&](std::int64_t end) {
      return prove(branch->condition, known.with(Axis{loop.var, loop.lo, end})) == true;
    };
    if (*lo >= *hi || !is_free(*lo + 1)) return make_stmt(std::move(whole));
    std::int64_t free = *hi;
    while (!is_free(free)) --free;
    const Stmt first = make_stmt(For{loop.var, loop.lo, Expr(free), loop.step, loop.kind,
                                     rewrite(branch->then, known.with(Axis{loop.var, loop.lo, free}))});
    if (free == *hi) return first;
    const VarRef again = make_var(loop.var->name, loop.var->dtype);
    const Stmt rest = make_stmt(
        For{again, Expr(free), loop.hi, loop.step, loop.kind, substitute(whole.body, {{loop.var, Expr(again)}})});
    return make_stmt(Block{{first, rest}});
  }
};

}  // namespace

Kernel peel_checks(const Kernel& kernel) { return Peeler().run(kernel); }

}  // namespace quern::compiler
