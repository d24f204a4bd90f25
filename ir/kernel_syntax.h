#pragma once
// What the parser of a kernel's header and the one of its statements share. Internal to the parser.

#include <functional>
#include <string>
#include <vector>

#include "ir/expr_parser.h"
#include "ir/kernel.h"
#include "ir/lexer.h"

namespace quern::ir {

class KernelReader {
 public:
  explicit KernelReader(TokenStream& tokens) : tokens_(tokens) {}

 protected:
  // A name that nothing visible has.
  Token new_name(const Scope& scope, std::string_view what);
  // The name alone, or `name: dtype` for another dtype than i64.
  VarRef new_variable(const Scope& scope, std::string_view what);
  Expr expr(const Scope& scope, DType expected = DType::i64) { return parse_expr(tokens_, scope, expected); }
  // An expression of exactly this dtype.
  Expr typed(const Scope& scope, DType dtype, std::string_view what);
  Expr built(const SyntaxRef& syntax, const Scope& scope, DType dtype, std::string_view what);
  std::int64_t integer(std::string_view what, std::int64_t least);
  int small(std::string_view what, std::int64_t least) { return static_cast<int>(integer(what, least)); }

  // `(item, item, ...)`, the parentheses included.
  void list(const std::function<void()>& item);
  std::vector<Expr> expressions(const Scope& scope);

  // `name in lo..hi` or `name in hi`. The variable is not yet in scope.
  Axis axis(const Scope& scope);
  // `name: dtype[extents]` with layout and alignment, of a buffer on chip.
  BufferRef on_chip(const Scope& scope, Space space);
  BufferRef buffer(const Scope& scope, std::string_view what);

  TokenStream& tokens_;
};

// The statements up to the closing brace, which is passed.
Stmt parse_statements(TokenStream& tokens, const Scope& scope, const std::vector<std::string>& maps);

}  // namespace quern::ir
