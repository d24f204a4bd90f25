// The grammar of expressions: tokens to syntax trees. What the names mean is for expr_build.cpp.

#include <algorithm>
#include <array>

#include "base/error.h"
#include "ir/expr_parser.h"

namespace quern::ir {
namespace {

constexpr std::array<std::string_view, 13> kWords = {"kernel", "extern", "const", "update", "with", "strides", "in",
                                                     "where",  "else",   "inf",   "nan",    "true", "false"};
constexpr int kLoosestInfix = 2;  // all but ?:, which the table gives 1

// The operator that a token spells with `arity` operands, if any.
const ScalarFunction* find_operator(const Token& token, int arity) {
  if (token.kind != TokenKind::symbol) return nullptr;
  for (const ScalarFunction& function : scalar_functions()) {
    if (function.arity == arity && function.notation == token.text) return &function;
  }
  return nullptr;
}

bool is_number(const Token& token) {
  return token.kind == TokenKind::integer || token.kind == TokenKind::real ||
         (token.kind == TokenKind::name && (token.text == "inf" || token.text == "nan"));
}

// Whether a node made of literals alone is itself one, taking the dtype that it meets.
bool is_untyped(const Syntax& syntax) {
  if (syntax.kind == SyntaxKind::number) return true;
  if (syntax.kind != SyntaxKind::call) return false;
  const TypeRule rule = row(syntax.op).types;
  if (rule == TypeRule::comparison || rule == TypeRule::logical) return false;
  const auto first = syntax.args.begin() + (rule == TypeRule::select ? 1 : 0);
  return std::all_of(first, syntax.args.end(), [](const SyntaxRef& arg) { return arg->untyped; });
}

class Parser {
 public:
  explicit Parser(TokenStream& tokens) : tokens_(tokens) {}

  SyntaxRef expression() {
    const Nesting nesting(*this);
    const SyntaxRef condition = infix(kLoosestInfix);
    if (!tokens_.at("?")) return condition;
    const Token token = tokens_.next();
    const SyntaxRef yes = expression();
    tokens_.expect(":");
    const SyntaxRef no = expression();
    return make({.kind = SyntaxKind::call, .token = token, .args = {condition, yes, no}, .op = Op::select});
  }

  AxisSyntax axis() {
    AxisSyntax axis{.name = parse_new_name(tokens_, "an axis"), .lo = nullptr, .hi = nullptr};
    if (!tokens_.accept("in")) return axis;
    axis.hi = expression();
    if (tokens_.accept("..")) {
      axis.lo = axis.hi;
      axis.hi = expression();
    }
    return axis;
  }

 private:
  // Counts how deep the parser itself is, so that no text exhausts the stack.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) parser_.fail_too_deep(parser_.tokens_.peek());
    }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  [[noreturn]] void fail_too_deep(const Token& token) const {
    tokens_.fail_at(token, fmt::format("the expression is nested more than {} deep here; give parts of it a "
                                       "definition of their own",
                                       kMaxDepth));
  }

  SyntaxRef make(Syntax syntax) const {
    std::uint32_t depth = 0;
    const auto count = [&](const SyntaxRef& child) { depth = child ? std::max(depth, child->depth) : depth; };
    std::for_each(syntax.args.begin(), syntax.args.end(), count);
    count(syntax.fill);
    count(syntax.where);
    for (const AxisSyntax& axis : syntax.axes) {
      count(axis.lo);
      count(axis.hi);
    }
    syntax.depth = depth + 1;
    if (syntax.depth > kMaxDepth) fail_too_deep(syntax.token);
    syntax.untyped = is_untyped(syntax);
    return std::make_shared<const Syntax>(std::move(syntax));
  }

  SyntaxRef infix(int loosest) {
    SyntaxRef left = prefix();
    while (true) {
      const ScalarFunction* function = find_operator(tokens_.peek(), 2);
      if (!function || function->precedence < loosest) return left;
      const Token token = tokens_.next();
      const SyntaxRef right = infix(function->precedence + 1);
      left = make({.kind = SyntaxKind::call, .token = token, .args = {left, right}, .op = function->op});
    }
  }

  SyntaxRef nested_prefix() {
    const Nesting nesting(*this);
    return prefix();
  }

  SyntaxRef prefix() {
    if (tokens_.at("-") && is_number(tokens_.peek(1))) {
      tokens_.next();
      return make({.kind = SyntaxKind::number, .token = tokens_.next(), .args = {}, .negative = true});
    }
    const ScalarFunction* function = find_operator(tokens_.peek(), 1);
    if (!function) return primary();
    const Token token = tokens_.next();
    const SyntaxRef operand = nested_prefix();
    return make({.kind = SyntaxKind::call, .token = token, .args = {operand}, .op = function->op});
  }

  SyntaxRef primary() {
    if (is_number(tokens_.peek())) return make({.kind = SyntaxKind::number, .token = tokens_.next(), .args = {}});
    if (tokens_.accept("(")) {
      SyntaxRef inside = expression();
      tokens_.expect(")");
      return inside;
    }
    if (tokens_.peek().kind != TokenKind::name) tokens_.fail_expected("an expression");
    if (tokens_.at("true") || tokens_.at("false")) {
      return make({.kind = SyntaxKind::truth, .token = tokens_.next(), .args = {}});
    }
    if (tokens_.at("[", 1)) return parse_reducer(tokens_.peek().text) ? reduction() : read();
    if (tokens_.at("(", 1)) return call();
    const Token token = tokens_.peek();
    if (ir::parse_reducer(token.text)) {
      tokens_.fail_at(token, fmt::format("expected the axes of {0}, as in {0}[p](...)", token.text));
    }
    if (is_reserved(token.text)) tokens_.fail_expected("an expression");
    return make({.kind = SyntaxKind::name, .token = tokens_.next(), .args = {}});
  }

  std::vector<SyntaxRef> list(std::string_view close) {
    std::vector<SyntaxRef> items;
    if (tokens_.accept(close)) return items;
    do {
      items.push_back(expression());
    } while (tokens_.accept(","));
    if (!tokens_.at(close)) tokens_.fail_expected(fmt::format("',' or '{}'", close));
    tokens_.next();
    return items;
  }

  SyntaxRef read() {
    if (is_reserved(tokens_.peek().text)) {
      tokens_.fail_at(tokens_.peek(), fmt::format("'{}' is reserved: it names no tensor", tokens_.peek().text));
    }
    Syntax syntax{.kind = SyntaxKind::read, .token = tokens_.next(), .args = {}};
    tokens_.expect("[");
    syntax.args = list("]");
    if (tokens_.accept("else")) syntax.fill = nested_prefix();
    return make(std::move(syntax));
  }

  SyntaxRef call() {
    const Token token = tokens_.next();
    Syntax syntax{.kind = SyntaxKind::call, .token = token, .args = {}};
    tokens_.expect("(");
    if (const auto dtype = quern::parse_dtype(token.text)) {
      syntax.kind = SyntaxKind::cast;
      syntax.dtype = *dtype;
      syntax.args = {expression()};
      tokens_.expect(")");
      return make(std::move(syntax));
    }
    const auto op = parse_function(token.text);
    if (!op && parse_reducer(token.text)) {
      tokens_.fail_at(token, fmt::format("{0} is a reducer: expected its axes, as in {0}[p](...)", token.text));
    }
    if (!op)
      tokens_.fail_at(token, fmt::format("expected a function, a reducer or a dtype before '(', got '{}'", token.text));
    syntax.op = *op;
    syntax.args = list(")");
    const auto arity = static_cast<std::size_t>(row(*op).arity);
    if (syntax.args.size() != arity) {
      tokens_.fail_at(token, fmt::format("{} takes {} operand{}, here {} {}", token.text, arity, arity == 1 ? "" : "s",
                                         syntax.args.size() == 1 ? "is" : "are", syntax.args.size()));
    }
    return make(std::move(syntax));
  }

  SyntaxRef reduction() {
    const Token token = tokens_.next();
    Syntax syntax{.kind = SyntaxKind::reduce, .token = token, .args = {}, .reducer = *parse_reducer(token.text)};
    tokens_.expect("[");
    do {
      syntax.axes.push_back(axis());
    } while (tokens_.accept(","));
    if (tokens_.accept("where")) syntax.where = expression();
    if (!tokens_.at("]")) tokens_.fail_expected(syntax.where ? "']'" : "',', 'where' or ']'");
    tokens_.next();
    if (tokens_.accept("{")) contract(syntax.contract);
    tokens_.expect("(");
    syntax.args = list(")");
    const auto arity = static_cast<std::size_t>(row(syntax.reducer).arity);
    if (syntax.args.size() != arity) {
      tokens_.fail_at(token, fmt::format("{} takes {} operand{}, here {} {}", token.text, arity, arity == 1 ? "" : "s",
                                         syntax.args.size() == 1 ? "is" : "are", syntax.args.size()));
    }
    return make(std::move(syntax));
  }

  void contract(Contract& contract) {
    do {
      if (tokens_.accept("acc")) {
        tokens_.expect("=");
        contract.accumulator = parse_dtype(tokens_);
      } else if (tokens_.accept("grade")) {
        tokens_.expect("=");
        contract.grade = word<Grade>({{"exact", Grade::exact}, {"f32", Grade::f32}, {"tf32", Grade::tf32}});
      } else if (tokens_.accept("order")) {
        tokens_.expect("=");
        contract.order = word<Order>({{"any", Order::any}, {"fixed", Order::fixed}});
      } else {
        tokens_.fail_expected("acc=, grade= or order=");
      }
    } while (tokens_.accept(","));
    if (!tokens_.at("}")) tokens_.fail_expected("',' or '}'");
    tokens_.next();
  }

  template <typename T>
  T word(std::initializer_list<std::pair<std::string_view, T>> words) {
    std::string expected;
    for (const auto& [text, value] : words) {
      if (tokens_.accept(text)) return value;
      expected += fmt::format("{}{}", expected.empty() ? "" : " or ", text);
    }
    tokens_.fail_expected(expected);
  }

  TokenStream& tokens_;
  std::uint32_t depth_ = 0;
};

}  // namespace

const Scope::Meaning* Scope::find(const std::string& name) const {
  const auto found = names_.find(name);
  if (found != names_.end()) return &found->second;
  return outer_ ? outer_->find(name) : nullptr;
}

std::vector<std::string> Scope::names() const {
  std::vector<std::string> all = outer_ ? outer_->names() : std::vector<std::string>();
  for (const auto& [name, meaning] : names_) all.push_back(name);
  std::sort(all.begin(), all.end());
  return all;
}

SyntaxRef parse_syntax(TokenStream& tokens) { return Parser(tokens).expression(); }

AxisSyntax parse_axis_syntax(TokenStream& tokens) { return Parser(tokens).axis(); }

bool is_reserved(std::string_view name) {
  return quern::parse_dtype(name) || parse_function(name) || parse_reducer(name) ||
         std::find(kWords.begin(), kWords.end(), name) != kWords.end();
}

bool is_valid_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && !is_digit(name[0]) && !is_reserved(name) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_letter(c) || is_digit(c); });
}

Token parse_new_name(TokenStream& tokens, std::string_view what) {
  const Token token = tokens.expect(TokenKind::name, fmt::format("the name of {}", what));
  if (is_reserved(token.text)) {
    tokens.fail_at(token, fmt::format("'{}' is reserved: it cannot be the name of {}", token.text, what));
  }
  return token;
}

DType parse_dtype(TokenStream& tokens) {
  const auto dtype = tokens.peek().kind == TokenKind::name ? quern::parse_dtype(tokens.peek().text) : std::nullopt;
  if (!dtype) {
    std::string known;
    for (int i = 0; i < kDTypeCount; ++i) known += fmt::format("{}{}", i ? " " : "", name(static_cast<DType>(i)));
    tokens.fail_expected(fmt::format("a dtype ({})", known));
  }
  tokens.next();
  return *dtype;
}

}  // namespace quern::ir
