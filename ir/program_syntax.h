#pragma once
// A kernel as written, between parser.cpp (grammar) and program_build.cpp (meaning). Internal to the parser.

#include <optional>
#include <string>
#include <vector>

#include "ir/expr_parser.h"
#include "ir/tensor.h"

namespace quern::ir {

struct TypeSyntax {
  DType dtype{};
  std::vector<SyntaxRef> shape;
  std::vector<SyntaxRef> strides;
  Token strides_token;
};

struct ArgumentSyntax {
  Token name;
  TypeSyntax type;
  bool constant = false;
  std::optional<Token> updates;
};

struct FactSyntax {
  Fact::Kind kind{};
  Token name;  // of the tensor, or of what a range is stated
  SyntaxRef condition;
  SyntaxRef lo, hi;  // range; lo absent: 0
  std::int64_t bytes = 0;
};

struct DefinitionSyntax {
  Token name;
  std::vector<AxisSyntax> axes;
  std::optional<DType> dtype;
  SyntaxRef value;
};

struct ExternSyntax {
  struct Write {
    Token name;
    std::optional<TypeSyntax> type;  // of a new intermediate
  };
  Token name;
  std::vector<Token> reads;
  std::vector<Write> writes;
  std::string cuda;
};

struct KernelSyntax {
  Token name;
  std::vector<ArgumentSyntax> params;
  std::vector<ArgumentSyntax> outputs;
  std::vector<FactSyntax> facts;
  std::vector<DefinitionSyntax> definitions;
  std::vector<ExternSyntax> externs;
};

// What the kernel means. Throws Error pointing into `tokens`; the rules that need no place in the text are left to
// verify().
Program build_program(const KernelSyntax& kernel, const TokenStream& tokens);

}  // namespace quern::ir
