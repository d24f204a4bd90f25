#pragma once
// The text of scalar expressions, shared by tensor programs and kernel programs: first syntax, then, once names and
// extents are known, expressions with types. Number literals take the dtype that they meet (docs/language.md).

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/expr.h"
#include "ir/lexer.h"
#include "ir/tensor.h"

namespace quern::ir {

struct Syntax;
using SyntaxRef = std::shared_ptr<const Syntax>;

// `name in lo..hi` as written: no hi where it is to be inferred, no lo where only the extent stands.
struct AxisSyntax {
  Token name;
  SyntaxRef lo;
  SyntaxRef hi;
};

enum class SyntaxKind : std::uint8_t { number, truth, name, call, cast, read, reduce };

// One node of an expression as written.
struct Syntax {
  SyntaxKind kind{};
  Token token;                  // where it stands: the name, the number, or the operator
  std::vector<SyntaxRef> args;  // operands, indices
  bool negative = false;        // number: behind a minus sign
  Op op{};                      // call
  DType dtype{};                // cast
  SyntaxRef fill;               // read
  Reducer reducer{};            // reduce
  std::vector<AxisSyntax> axes;
  SyntaxRef where;
  Contract contract;
  std::uint32_t depth = 1;
  // Made of number literals alone, so that its dtype is the one that it meets.
  bool untyped = false;
};

// What names mean. Inner scopes see the outer ones.
class Scope {
 public:
  using Meaning = std::variant<VarRef, TensorRef>;
  explicit Scope(const Scope* outer = nullptr) : outer_(outer) {}
  void add(const std::string& name, Meaning meaning) { names_[name] = std::move(meaning); }
  const Meaning* find(const std::string& name) const;
  std::vector<std::string> names() const;  // all that are visible, sorted

 private:
  const Scope* outer_;
  std::map<std::string, Meaning> names_;
};

// Reads one expression, stopping before the first token that cannot continue it. Throws Error.
SyntaxRef parse_syntax(TokenStream& tokens);

// Reads `name`, `name in hi` or `name in lo..hi`.
AxisSyntax parse_axis_syntax(TokenStream& tokens);

// The extent (lo 0) of a reduced axis that is written without a range.
using InferredExtent = std::function<Expr(const AxisSyntax&)>;

// The expression that `syntax` means in `scope`. A literal meets `expected`, where nothing nearer decides; the result
// may have another dtype, which is for the caller to refuse. Throws Error pointing into `tokens`.
Expr build_expr(const SyntaxRef& syntax, const Scope& scope, const TokenStream& tokens,
                std::optional<DType> expected = std::nullopt, const InferredExtent& extents = {});

// Both at once; every reduced axis must have its range.
Expr parse_expr(TokenStream& tokens, const Scope& scope, std::optional<DType> expected = std::nullopt);

// Words that name no tensor, symbol or axis: dtypes, functions, reducers, the literals and the words of the grammar.
bool is_reserved(std::string_view name);
// Letters, digits and `_`, no digit first, not reserved.
bool is_valid_name(std::string_view name);

// Reads a name that is free to be given, of `what` ("an axis"). Throws Error where it is reserved.
Token parse_new_name(TokenStream& tokens, std::string_view what);
// Reads a dtype.
DType parse_dtype(TokenStream& tokens);

}  // namespace quern::ir
