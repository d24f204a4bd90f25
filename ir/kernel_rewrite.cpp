#include "ir/kernel_rewrite.h"

#include "base/error.h"

namespace quern::ir {
namespace {

// The children of a statement, field by field; of a const one, to be read.
template <typename Node, typename On>
void each_field(Node& node, On& on) {
  using T = std::remove_const_t<Node>;
  if constexpr (std::is_same_v<T, Block>) {
    on.all(node.body);
  } else if constexpr (std::is_same_v<T, Alloc>) {
    on(node.buffer);
  } else if constexpr (std::is_same_v<T, For>) {
    on(node.lo);
    on(node.hi);
    on(node.step);
    on.body(node.body);
  } else if constexpr (std::is_same_v<T, If>) {
    on(node.condition);
    on.body(node.then);
    on(node.otherwise);
  } else if constexpr (std::is_same_v<T, Let>) {
    on(node.value);
  } else if constexpr (std::is_same_v<T, Store>) {
    on(node.buffer);
    on(node.index);
    on(node.value);
  } else if constexpr (std::is_same_v<T, Move>) {
    on(node.to);
    on(node.to_index);
    on(node.from);
    on(node.from_index);
  } else if constexpr (std::is_same_v<T, Intrinsic>) {
    on(node.args);
  } else if constexpr (std::is_same_v<T, Map>) {
    for (auto& axis : node.axes) on(axis);
    on(node.where);
    on.body(node.body);
    on(node.barrier);
  } else if constexpr (std::is_same_v<T, Fold>) {
    for (auto& buffer : node.to) on(buffer);
    for (auto& buffer : node.from) on(buffer);
  } else if constexpr (std::is_same_v<T, Mma>) {
    on(node.i);
    on(node.j);
    on(node.k);
    on(node.acc);
    on(node.a);
    on(node.b);
    on(node.accumulate);
  } else {
    static_assert(std::is_same_v<T, Role>);
    on.body(node.body);
  }
}

// Rewrites the children of one statement in a copy of it and notes whether any changed.
class ChildMapper {
 public:
  explicit ChildMapper(const Rewriter& rewriter) : rewriter_(rewriter) {}

  bool changed() const { return changed_; }

  void operator()(Expr& e) {
    if (!e || !rewriter_.expr) return;
    Expr next = rewriter_.expr(e);
    changed_ = changed_ || !next.same(e);
    e = std::move(next);
  }
  void operator()(std::vector<Expr>& list) {
    for (Expr& e : list) (*this)(e);
  }
  void operator()(Axis& axis) {
    (*this)(axis.lo);
    (*this)(axis.hi);
  }
  void operator()(Stmt& stmt) {
    if (stmt && rewriter_.stmt) replace(stmt, rewriter_.stmt(stmt));
  }
  void body(Stmt& stmt) {
    (*this)(stmt);
    if (!stmt) replace(stmt, block({}));
  }
  void all(std::vector<Stmt>& list) {
    for (Stmt& stmt : list) (*this)(stmt);
    std::erase(list, nullptr);
  }
  void operator()(TensorRef& tensor) {
    if (rewriter_.buffer) replace(tensor, rewriter_.buffer(tensor));
  }
  void operator()(BufferRef& buffer) {
    if (!rewriter_.buffer) return;
    const TensorRef next = rewriter_.buffer(buffer);
    if (next == buffer) return;
    replace(buffer, std::dynamic_pointer_cast<const Buffer>(next));
    ensure(buffer != nullptr, "a buffer is replaced by a buffer");
  }

 private:
  template <typename T>
  void replace(T& old, T next) {
    changed_ = changed_ || old != next;
    old = std::move(next);
  }

  const Rewriter& rewriter_;
  bool changed_ = false;
};

// Shows the expressions and the statements right below a statement.
template <typename OnExpr, typename OnStmt>
class ChildReader {
 public:
  ChildReader(const OnExpr& on_expr, const OnStmt& on_stmt) : on_expr_(on_expr), on_stmt_(on_stmt) {}

  void operator()(const Expr& e) const {
    if (e) on_expr_(e);
  }
  void operator()(const std::vector<Expr>& list) const {
    for (const Expr& e : list) (*this)(e);
  }
  void operator()(const Axis& axis) const {
    (*this)(axis.lo);
    (*this)(axis.hi);
  }
  void operator()(const Stmt& stmt) const {
    if (stmt) on_stmt_(stmt);
  }
  void body(const Stmt& stmt) const { (*this)(stmt); }
  void all(const std::vector<Stmt>& list) const {
    for (const Stmt& stmt : list) (*this)(stmt);
  }
  void operator()(const TensorRef&) const {}
  void operator()(const BufferRef&) const {}

 private:
  const OnExpr& on_expr_;
  const OnStmt& on_stmt_;
};

template <typename OnExpr, typename OnStmt>
void read_children(const Stmt& stmt, const OnExpr& on_expr, const OnStmt& on_stmt) {
  const ChildReader reader(on_expr, on_stmt);
  std::visit([&](const auto& node) { each_field(node, reader); }, stmt->value);
}

void visit_below(const Stmt& stmt, Enclosing& enclosing,
                 const std::function<bool(const Stmt&, const Enclosing&)>& function) {
  if (!function(stmt, enclosing)) return;
  enclosing.push_back(stmt.get());
  read_children(stmt, [](const Expr&) {}, [&](const Stmt& child) { visit_below(child, enclosing, function); });
  enclosing.pop_back();
}

}  // namespace

Stmt map_children(const Stmt& stmt, const Rewriter& rewriter) {
  ChildMapper mapper(rewriter);
  StmtNode copy = *stmt;
  std::visit([&](auto& node) { each_field(node, mapper); }, copy.value);
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
  read_children(stmt, function, [](const Stmt&) {});
}

void for_each_expr_below(const Stmt& stmt, const std::function<void(const Expr&)>& function) {
  visit(stmt, [&](const Stmt& below, const Enclosing&) {
    for_each_expr(below, function);
    return true;
  });
}

bool holds_wgmma(const Stmt& stmt) {
  bool found = false;
  visit(stmt, [&](const Stmt& each, const Enclosing&) {
    const Intrinsic* intrinsic = get_if<Intrinsic>(each);
    found =
        found || (intrinsic && (intrinsic->id == IntrinsicId::wgmma || intrinsic->id == IntrinsicId::wgmma_registers));
    return !found;
  });
  return found;
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
