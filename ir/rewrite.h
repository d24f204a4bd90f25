#pragma once
// Walking and rewriting expressions. All keep sharing (a node shared in the input is visited and rebuilt once) and
// return the very same expression where nothing changes. The ranges of reduced axes are walked too. Thread-safe.

#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "ir/expr.h"
#include "ir/tensor.h"

namespace quern::ir {

// Rebuilds from the leaves up: `function` gets each node with its children already transformed and returns what
// stands in its place. A node is transformed once even where it is shared below different binders.
Expr transform(const Expr& e, const std::function<Expr(const Expr&)>& function);

// Calls `function` once for every distinct node, parents first; where it returns false the children are left out.
void visit(const Expr& e, const std::function<bool(const Expr&)>& function);

using Substitution = std::map<VarRef, Expr>;
// Replaces free variables. Binders have identity: nothing is captured unless an expression's own bound variables
// occur in the replacements.
Expr substitute(const Expr& e, const Substitution& replacements);

// `to` in the place of the node `from` itself, wherever it stands.
Expr replace_node(const Expr& e, const Expr& from, const Expr& to);

using TensorMap = std::unordered_map<const Tensor*, TensorRef>;
// Reads of the mapped tensors become reads of their images, with the same indices.
Expr replace_tensors(const Expr& e, const TensorMap& replacements);

// The free variables, each once, in the order of their first occurrence.
std::vector<VarRef> free_variables(const Expr& e);

// The tensors read, each once, in the order of their first occurrence.
std::vector<TensorRef> tensors_read(const Expr& e);

// Whether `e` reads no tensor and reduces nothing: what sizes and facts are.
bool is_of_variables(const Expr& e);

// The same expression with new variables for all its bound axes, for inlining it twice.
Expr freshen(const Expr& e);

}  // namespace quern::ir
