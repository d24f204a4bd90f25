#pragma once
// Walking and rewriting statements. Rewriting returns the very same pointer where nothing changes; a statement that
// becomes null leaves its block (as the body of a loop, branch, map or role it becomes an empty block). Thread-safe.

#include <functional>
#include <vector>

#include "ir/kernel.h"
#include "ir/rewrite.h"

namespace quern::ir {

// What becomes of a statement's children. An absent function keeps them. Expressions are whole (an index, a bound, a
// value), never absent; buffers are those stored to, moved, declared, folded or accumulated in, not those that
// expressions read; statements are those nested directly.
struct Rewriter {
  std::function<Expr(const Expr&)> expr{};
  std::function<Stmt(const Stmt&)> stmt{};
  std::function<TensorRef(const TensorRef&)> buffer{};
};

// One statement with its direct children rewritten.
Stmt map_children(const Stmt& stmt, const Rewriter& rewriter);

// The whole tree from the leaves up: every expression through `expr`, then each statement, its children already
// rewritten, through `stmt`. Either may be absent.
Stmt transform(const Stmt& stmt, const std::function<Expr(const Expr&)>& expr,
               const std::function<Stmt(const Stmt&)>& stmt_function = {});

// Calls `function` for every statement, parents first, with the statements around it, outermost first; where it returns
// false the nested ones are left out.
using Enclosing = std::vector<const StmtNode*>;
void visit(const Stmt& stmt, const std::function<bool(const Stmt&, const Enclosing&)>& function);

// Calls `function` for every expression of this statement alone, whole ones.
void for_each_expr(const Stmt& stmt, const std::function<void(const Expr&)>& function);
// Calls `function` for every expression of the statement and those below it.
void for_each_expr_below(const Stmt& stmt, const std::function<void(const Expr&)>& function);

// Whether thread form issues wgmma in the statement or below it.
bool holds_wgmma(const Stmt& stmt);

// Replaces free variables in all expressions. Loops, lets and maps bind variables of identity, so nothing is captured.
Stmt substitute(const Stmt& stmt, const Substitution& replacements);

// Replaces buffers wherever they are declared, read or written. Images of buffers declared, folded or accumulated in
// are Buffers.
Stmt replace_tensors(const Stmt& stmt, const TensorMap& replacements);

// The statement as a list: a block's body, else the statement alone; nothing for null.
std::vector<Stmt> statements(const Stmt& stmt);

// Structural equality up to the names and identities of variables and buffers. A body that is one statement equals the
// block of it, an absent step equals 1, an absent `accumulate` equals true.
bool equal(const Kernel& a, const Kernel& b);

}  // namespace quern::ir
