#include "ir/kernel_rewrite.h"

#include "base/error.h"

namespace quern::ir {
namespace {

// Rewrites the children of one statement in a copy of it and notes whether any changed.
class ChildMapper {
 public:
  explicit ChildMapper(const Rewriter& rewriter) : rewriter_(rewriter) {}

  bool changed() const { return changed_; }

  void map(Block& node) {
    std::vector<Stmt> body;
    for (Stmt& stmt : node.body) {
      map(stmt);
      if (stmt) body.push_back(std::move(stmt));
    }
    node.body = std::move(body);
  }
  void map(Alloc& node) { map(node.buffer); }
  void map(For& node) {
    map(node.lo);
    map(node.hi);
    map(node.step);
    map_body(node.body);
  }
  void map(If& node) {
    map(node.condition);
    map_body(node.then);
    map(node.otherwise);
  }
  void map(Let& node) { map(node.value); }
  void map(Store& node) {
    map(node.buffer);
    map(node.index);
    map(node.value);
  }
  void map(Move& node) {
    map(node.to);
    map(node.to_index);
    map(node.from);
    map(node.from_index);
  }
  void map(Intrinsic& node) { map(node.args); }
  void map(Map& node) {
    for (Axis& axis : node.axes) map(axis);
    map(node.where);
    map_body(node.body);
    map(node.barrier);
  }
  void map(Fold& node) {
    for (BufferRef& buffer : node.to) map(buffer);
    for (BufferRef& buffer : node.from) map(buffer);
  }
  void map(Mma& node) {
    map(node.i);
    map(node.j);
    map(node.k);
    map(node.acc);
    map(node.a);
    map(node.b);
    map(node.accumulate);
  }
  void map(Role& node) { map_body(node.body); }

 private:
  template <typename T>
  void replace(T& old, T next) {
    changed_ = changed_ || old != next;
    old = std::move(next);
  }

  void map(Expr& e) {
    if (!e || !rewriter_.expr) return;
    Expr next = rewriter_.expr(e);
    changed_ = changed_ || !next.same(e);
    e = std::move(next);
  }
  void map(std::vector<Expr>& list) {
    for (Expr& e : list) map(e);
  }
  void map(Axis& axis) {
    map(axis.lo);
    map(axis.hi);
  }
  void map(Stmt& stmt) {
    if (stmt && rewriter_.stmt) replace(stmt, rewriter_.stmt(stmt));
  }
  void map_body(Stmt& stmt) {
    map(stmt);
    if (!stmt) replace(stmt, block({}));
  }
  void map(TensorRef& tensor) {
    if (rewriter_.buffer) replace(tensor, rewriter_.buffer(tensor));
  }
  void map(BufferRef& buffer) {
    if (!rewriter_.buffer) return;
    const TensorRef next = rewriter_.buffer(buffer);
    if (next == buffer) return;
    replace(buffer, std::dynamic_pointer_cast<const Buffer>(next));
    ensure(buffer != nullptr, "a buffer is replaced by a buffer");
  }

  const Rewriter& rewriter_;
  bool changed_ = false;
};

void visit_below(const Stmt& stmt, Enclosing& enclosing,
                 const std::function<bool(const Stmt&, const Enclosing&)>& function) {
  if (!function(stmt, enclosing)) return;
  enclosing.push_back(stmt.get());
  map_children(stmt, {.stmt = [&](const Stmt& child) {
                 visit_below(child, enclosing, function);
                 return child;
               }});
  enclosing.pop_back();
}

}  // namespace

Stmt map_children(const Stmt& stmt, const Rewriter& rewriter) {
  ChildMapper mapper(rewriter);
  StmtNode copy = *stmt;
  std::visit([&](auto& node) { mapper.map(node); }, copy.value);
  return mapper.changed() ? std::make_shared<const StmtNode>(std::move(copy)) : stmt;
}

Stmt transform(const Stmt& stmt, const std::function<Expr(const Expr&)>& expr,
               const std::function<Stmt(const Stmt&)>& stmt_function) {
  const Stmt mapped = map_children(
      stmt, {.expr = expr, .stmt = [&](const Stmt& child) { return transform(child, expr, stmt_function); }});
  return stmt_function ? stmt_function(mapped) : mapped;
}

void visit(const Stmt& stmt, const std::function<bool(const Stmt&, const Enclosing&)>& function) {
  Enclosing enclosing;
  if (stmt) visit_below(stmt, enclosing, function);
}

void for_each_expr(const Stmt& stmt, const std::function<void(const Expr&)>& function) {
  map_children(stmt, {.expr = [&](const Expr& e) {
                 function(e);
                 return e;
               }});
}

void for_each_expr_below(const Stmt& stmt, const std::function<void(const Expr&)>& function) {
  visit(stmt, [&](const Stmt& below, const Enclosing&) {
    for_each_expr(below, function);
    return true;
  });
}

Stmt substitute(const Stmt& stmt, const Substitution& replacements) {
  return transform(stmt, [&](const Expr& e) { return substitute(e, replacements); });
}

Stmt replace_tensors(const Stmt& stmt, const TensorMap& replacements) {
  const Rewriter rewriter{
      .expr = [&](const Expr& e) { return replace_tensors(e, replacements); },
      .stmt = [&](const Stmt& child) { return replace_tensors(child, replacements); },
      .buffer =
          [&](const TensorRef& tensor) {
            const auto found = replacements.find(tensor.get());
            return found == replacements.end() ? tensor : found->second;
          },
  };
  return map_children(stmt, rewriter);
}

std::vector<Stmt> statements(const Stmt& stmt) {
  if (!stmt) return {};
  if (const Block* block = get_if<Block>(stmt)) return block->body;
  return {stmt};
}

}  // namespace quern::ir
