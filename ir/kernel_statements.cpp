// The statements of a kernel as text.

#include <array>

#include "base/error.h"
#include "ir/kernel_printer.h"
#include "ir/kernel_syntax.h"

namespace quern::ir {
namespace {

class StatementParser : KernelReader {
 public:
  StatementParser(TokenStream& tokens, const std::vector<std::string>& maps) : KernelReader(tokens), maps_(maps) {}

  // The statements up to the closing brace; what they declare is in scope behind them.
  Stmt body(const Scope& outer) {
    const Nesting nesting(*this);
    Scope scope(&outer);
    std::vector<Stmt> list;
    while (!tokens_.accept("}")) list.push_back(statement(scope));
    return make_stmt(Block{std::move(list)});
  }

 private:
  // Counts how deep the parser itself is, so that no text exhausts the stack.
  class Nesting {
   public:
    explicit Nesting(StatementParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) {
        parser_.tokens_.fail_at(parser_.tokens_.peek(),
                                fmt::format("statements are nested more than {} deep", kMaxDepth));
      }
    }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    StatementParser& parser_;
  };

  Stmt braces(const Scope& scope) {
    tokens_.expect("{");
    return body(scope);
  }

  Stmt statement(Scope& scope) {
    const int line = tokens_.peek().line;
    StmtNode placed = *unplaced(scope);
    placed.line = line;
    return std::make_shared<const StmtNode>(std::move(placed));
  }

  Stmt unplaced(Scope& scope) {
    if (tokens_.accept("{")) return body(scope);
    if (tokens_.accept("fragment")) return fragment(scope);
    if (tokens_.accept("for")) return loop(scope);
    if (tokens_.accept("if")) return branch(scope);
    if (tokens_.accept("let")) return let(scope);
    if (tokens_.accept("move")) return move(scope);
    if (tokens_.accept("map")) return map(scope);
    if (tokens_.accept("fold")) return fold(scope);
    if (tokens_.accept("mma")) return mma(scope);
    if (tokens_.accept("role")) return role(scope);
    if (tokens_.at("atomic") || tokens_.at("[", 1)) return store(scope);
    if (const auto id = parse_intrinsic(tokens_.peek().text); id && tokens_.at("(", 1)) return intrinsic(*id, scope);
    tokens_.fail_expected("a statement or '}'");
  }

  Stmt fragment(Scope& scope) {
    const BufferRef buffer = on_chip(scope, Space::fragment);
    scope.add(buffer->name, TensorRef(buffer));
    return make_stmt(Alloc{buffer});
  }

  // The one of several words that stands next, if any.
  template <typename T, std::size_t n>
  std::optional<T> word(const std::array<T, n>& values) {
    for (T value : values) {
      if (!name(value).empty() && tokens_.accept(name(value))) return value;
    }
    return std::nullopt;
  }

  template <typename T, std::size_t n>
  T expect_word(const std::array<T, n>& values) {
    if (const std::optional<T> value = word(values)) return *value;
    std::string expected;
    for (T value : values) expected += fmt::format("{}{}", expected.empty() ? "" : ", ", name(value));
    tokens_.fail_expected(expected);
  }

  Stmt loop(const Scope& outer) {
    const Axis range = axis(outer);
    For node{.var = range.var, .lo = range.lo, .hi = range.hi, .step = {}, .body = {}};
    node.step =
        tokens_.accept("step") ? typed(outer, range.var->dtype, "a step") : constant(range.var->dtype, std::int64_t{1});
    node.kind = word(std::array{ForKind::unroll, ForKind::rolled, ForKind::vector}).value_or(ForKind::serial);
    Scope scope(&outer);
    scope.add(node.var->name, node.var);
    node.body = braces(scope);
    return make_stmt(std::move(node));
  }

  Stmt branch(const Scope& scope) {
    If node{.condition = typed(scope, DType::boolean, "a condition"), .then = {}};
    node.then = braces(scope);
    if (tokens_.accept("else")) node.otherwise = braces(scope);
    return make_stmt(std::move(node));
  }

  Stmt let(Scope& scope) {
    const Token name = new_name(scope, "a value");
    const std::optional<DType> dtype = tokens_.accept(":") ? std::optional(parse_dtype(tokens_)) : std::nullopt;
    tokens_.expect("=");
    const Expr value = dtype ? typed(scope, *dtype, "the value") : expr(scope);
    const VarRef var = make_var(name.text, value->dtype);
    scope.add(name.text, var);
    return make_stmt(Let{var, value});
  }

  // `buffer[index, ...]`, as the read of it.
  Expr place(const Scope& scope) {
    const Token token = tokens_.peek();
    const Expr e = parse_expr(tokens_, scope);
    if (e->kind != ExprKind::read || e->fill) tokens_.fail_at(token, "expected a place, as in x[i]");
    return e;
  }

  std::optional<CacheHint> hint() {
    if (!tokens_.accept("hint")) return std::nullopt;
    return expect_word(std::array{CacheHint::streaming, CacheHint::no_allocate, CacheHint::evict_last});
  }

  Stmt store(const Scope& scope) {
    Store node{.buffer = {}, .index = {}, .value = {}};
    if (tokens_.accept("atomic")) {
      const Token token = tokens_.expect(TokenKind::name, "a reducer");
      node.atomic = parse_reducer(token.text);
      if (!node.atomic) tokens_.fail_at(token, fmt::format("'{}' is not a reducer", token.text));
    }
    const Expr to = place(scope);
    node.buffer = to->tensor;
    node.index = to->args;
    tokens_.expect("=");
    node.value = typed(scope, node.buffer->dtype, "the value stored");
    node.hint = hint().value_or(CacheHint::none);
    return make_stmt(std::move(node));
  }

  Stmt move(const Scope& scope) {
    const Token token = tokens_.peek();
    const Expr to = place(scope);
    tokens_.expect("=");
    const Expr from = place(scope);
    if (to->args.size() != 1 || from->args.size() != 1) tokens_.fail_at(token, "a move is between flat places");
    Move node{.to = to->tensor, .to_index = to->args[0], .from = from->tensor, .from_index = from->args[0]};
    tokens_.expect("width");
    node.width = small("a width in elements", 1);
    node.hint = hint().value_or(CacheHint::none);
    return make_stmt(std::move(node));
  }

  Stmt intrinsic(IntrinsicId id, const Scope& scope) {
    const Token token = tokens_.next();
    const IntrinsicRow& row = ir::row(id);
    Intrinsic node{.id = id, .args = {}};
    list([&] {
      if (static_cast<int>(node.args.size()) == row.max_args) {
        tokens_.fail_at(token, fmt::format("{} takes at most {} operands", row.name, row.max_args));
      }
      node.args.push_back(operand(operand_kind(row, node.args.size()), scope));
    });
    if (static_cast<int>(node.args.size()) < row.min_args) {
      tokens_.fail_at(token, fmt::format("{} takes at least {} operands", row.name, row.min_args));
    }
    return make_stmt(std::move(node));
  }

  Expr operand(char kind, const Scope& scope) {
    if (kind == 'd' && tokens_.peek().kind == TokenKind::name) return Expr(static_cast<int>(parse_dtype(tokens_)));
    if (kind == 'm' && tokens_.peek().kind == TokenKind::name) {
      for (std::size_t i = 0; i < maps_.size(); ++i) {
        if (tokens_.accept(maps_[i])) return Expr(static_cast<int>(i));
      }
      tokens_.fail_expected("a tensor map");
    }
    return expr(scope);
  }

  // `(axis, ...)`, entering them into `inner`; their bounds are over `outer`.
  std::vector<Axis> axes(const Scope& outer, Scope& inner) {
    std::vector<Axis> result;
    list([&] {
      const Token token = tokens_.peek();
      result.push_back(axis(outer));
      const std::string& name = result.back().var->name;
      if (inner.find(name)) tokens_.fail_at(token, fmt::format("the name '{}' is taken", name));
      inner.add(name, result.back().var);
    });
    return result;
  }

  Stmt map(const Scope& outer) {
    Scope scope(&outer);
    Map node{.axes = axes(outer, scope), .distribution = {}};
    if (tokens_.accept("over")) node.distribution = parse_layout(tokens_);
    if (tokens_.accept("where")) node.where = typed(scope, DType::boolean, "a condition");
    if (tokens_.accept("via")) {
      node.via = expect_word(std::array{Via::threads, Via::cp_async, Via::tma_load, Via::tma_im2col, Via::tma_store,
                                        Via::tma_reduce, Via::ldmatrix, Via::stmatrix});
    }
    if (tokens_.accept("on")) node.barrier = place(outer);
    if (tokens_.accept("multicast")) node.multicast = static_cast<std::uint16_t>(small("a mask of ranks", 1));
    node.body = braces(scope);
    return make_stmt(std::move(node));
  }

  Stmt fold(const Scope& scope) {
    const Token token = tokens_.expect(TokenKind::name, "a reducer");
    const std::optional<Reducer> reducer = parse_reducer(token.text);
    if (!reducer) tokens_.fail_at(token, fmt::format("'{}' is not a reducer", token.text));
    Fold node{.reducer = *reducer, .to = {}, .from = {}, .over = {}};
    list([&] { node.to.push_back(buffer(scope, "a fragment")); });
    tokens_.expect("=");
    list([&] { node.from.push_back(buffer(scope, "a fragment")); });
    tokens_.expect("over");
    list([&] { node.over.push_back(small("a position", 0)); });
    return make_stmt(std::move(node));
  }

  Stmt mma(const Scope& outer) {
    const MmaKind kind = expect_word(std::array{MmaKind::simt, MmaKind::mma_sync, MmaKind::wgmma});
    Scope scope(&outer);
    const Token token = tokens_.peek();
    const std::vector<Axis> ijk = axes(outer, scope);
    if (ijk.size() != 3) tokens_.fail_at(token, "a product has the axes i, j and k");
    Mma node{.kind = kind, .i = ijk[0], .j = ijk[1], .k = ijk[2], .acc = {}, .a = {}, .b = {}};
    const Token target = tokens_.peek();
    const Expr acc = place(scope);
    node.acc = std::dynamic_pointer_cast<const Buffer>(acc->tensor);
    const bool plain =
        acc->args.size() == 2 && is_variable(acc->args[0], node.i.var) && is_variable(acc->args[1], node.j.var);
    if (!plain) tokens_.fail_at(target, "the accumulator is indexed by i and j");
    tokens_.expect("+=");
    const SyntaxRef product = parse_syntax(tokens_);
    if (product->kind != SyntaxKind::call || product->op != Op::mul) {
      tokens_.fail_at(product->token, "expected a product");
    }
    node.a = build_expr(product->args[0], scope, tokens_);
    node.b = build_expr(product->args[1], scope, tokens_);
    if (tokens_.accept("accumulate")) node.accumulate = typed(outer, DType::boolean, "a condition");
    return make_stmt(std::move(node));
  }

  Stmt role(const Scope& scope) {
    Role node{.name = parse_new_name(tokens_, "a role").text, .body = {}};
    tokens_.expect("warps");
    node.lo = small("a warp", 0);
    tokens_.expect("..");
    node.hi = small("a warp", 0);
    if (tokens_.accept("registers")) node.registers = small("a number of registers", 1);
    node.elected = tokens_.accept("elected");
    Scope inner(&scope);
    if (tokens_.accept("each")) {
      node.group = new_variable(scope, "a group's number");
      tokens_.expect("in");
      node.groups = small("a number of groups", 1);
      inner.add(node.group->name, node.group);
    }
    node.body = braces(inner);
    return make_stmt(std::move(node));
  }

  const std::vector<std::string>& maps_;
  std::uint32_t depth_ = 0;
};

}  // namespace

Stmt parse_statements(TokenStream& tokens, const Scope& scope, const std::vector<std::string>& maps) {
  return StatementParser(tokens, maps).body(scope);
}

}  // namespace quern::ir
