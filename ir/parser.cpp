#include "ir/parser.h"

#include <set>

#include "base/error.h"
#include "ir/program_syntax.h"
#include "ir/verify.h"

namespace quern::ir {
namespace {

// The grammar around expressions.
class Parser {
 public:
  explicit Parser(TokenStream& tokens) : tokens_(tokens) {}

  KernelSyntax kernel() {
    KernelSyntax kernel;
    tokens_.expect("kernel");
    kernel.name = parse_new_name(tokens_, "a kernel");
    tokens_.expect("(");
    while (!tokens_.accept(")")) {
      kernel.params.push_back(argument("an input"));
      if (tokens_.accept("const")) kernel.params.back().constant = true;
      separator(")", "',', 'const' or ')'");
    }
    tokens_.expect("->");
    tokens_.expect("(");
    do {
      kernel.outputs.push_back(argument("an output"));
      if (tokens_.accept("update"))
        kernel.outputs.back().updates = tokens_.expect(TokenKind::name, "the input updated");
      separator(")", "',', 'update' or ')'");
    } while (!tokens_.accept(")"));
    if (tokens_.accept("with")) {
      do {
        kernel.facts.push_back(fact());
      } while (tokens_.accept(","));
    }
    if (!tokens_.at("{")) tokens_.fail_expected(kernel.facts.empty() ? "'with' or '{'" : "',' or '{'");
    tokens_.next();
    body(kernel);
    return kernel;
  }

 private:
  // A comma, or the closing symbol ahead.
  void separator(std::string_view close, std::string_view expected) {
    if (!tokens_.accept(",") && !tokens_.at(close)) tokens_.fail_expected(expected);
  }

  ArgumentSyntax argument(std::string_view what) {
    ArgumentSyntax argument{.name = parse_new_name(tokens_, what), .type = {}, .updates = {}};
    tokens_.expect(":");
    argument.type = type();
    return argument;
  }

  TypeSyntax type() {
    TypeSyntax type;
    type.dtype = parse_dtype(tokens_);
    tokens_.expect("[");
    type.shape = dims("]");
    if (!tokens_.at("strides")) return type;
    type.strides_token = tokens_.next();
    tokens_.expect("(");
    type.strides = dims(")");
    return type;
  }

  std::vector<SyntaxRef> dims(std::string_view close) {
    std::vector<SyntaxRef> dims;
    while (!tokens_.accept(close)) {
      dims.push_back(parse_syntax(tokens_));
      separator(close, fmt::format("',' or '{}'", close));
    }
    return dims;
  }

  FactSyntax fact() {
    FactSyntax fact{.kind = Fact::Kind::condition, .name = tokens_.peek(), .condition = {}, .lo = {}, .hi = {}};
    if (tokens_.accept("exact")) {
      fact.kind = Fact::Kind::exact;
    } else if (tokens_.at("aligned") && tokens_.at("(", 1)) {
      fact.kind = Fact::Kind::aligned;
      fact.name = tensor_of_fact();
      tokens_.expect(",");
      fact.bytes = tokens_.expect_integer("the alignment in bytes");
      tokens_.expect(")");
    } else if (tokens_.at("nondecreasing") && tokens_.at("(", 1)) {
      fact.kind = Fact::Kind::nondecreasing;
      fact.name = tensor_of_fact();
      tokens_.expect(")");
    } else if (tokens_.at("in", 1)) {
      fact.kind = Fact::Kind::range;
      const AxisSyntax range = parse_axis_syntax(tokens_);
      fact.lo = range.lo;
      fact.hi = range.hi;
    } else {
      fact.condition = parse_syntax(tokens_);
    }
    return fact;
  }

  Token tensor_of_fact() {
    tokens_.next();
    tokens_.expect("(");
    return tokens_.expect(TokenKind::name, "the name of a tensor");
  }

  void body(KernelSyntax& kernel) {
    while (!tokens_.accept("}")) {
      if (tokens_.at("extern")) {
        kernel.externs.push_back(extern_kernel());
      } else {
        kernel.definitions.push_back(definition());
      }
      // Anything that could continue the expression has continued it.
      if (!tokens_.accept(";") && !tokens_.at("}") && !tokens_.peek().starts_line) {
        tokens_.fail_expected("an operator, ';', '}' or the end of the line");
      }
    }
  }

  DefinitionSyntax definition() {
    if (tokens_.peek().kind != TokenKind::name) tokens_.fail_expected("a definition or '}'");
    DefinitionSyntax definition{.name = parse_new_name(tokens_, "a tensor"), .axes = {}, .dtype = {}, .value = {}};
    tokens_.expect("[");
    while (!tokens_.accept("]")) {
      definition.axes.push_back(parse_axis_syntax(tokens_));
      separator("]", "',' or ']'");
    }
    if (tokens_.accept(":")) definition.dtype = parse_dtype(tokens_);
    if (!tokens_.at("=")) tokens_.fail_expected(definition.dtype ? "'='" : "':' or '='");
    tokens_.next();
    definition.value = parse_syntax(tokens_);
    return definition;
  }

  ExternSyntax extern_kernel() {
    tokens_.expect("extern");
    ExternSyntax result{.name = parse_new_name(tokens_, "an extern"), .reads = {}, .writes = {}, .cuda = {}};
    tokens_.expect("(");
    while (!tokens_.accept(")")) {
      result.reads.push_back(tokens_.expect(TokenKind::name, "the name of a tensor"));
      separator(")", "',' or ')'");
    }
    tokens_.expect("->");
    tokens_.expect("(");
    while (!tokens_.accept(")")) {
      ExternSyntax::Write write{.name = parse_new_name(tokens_, "a tensor"), .type = {}};
      if (tokens_.accept(":")) write.type = type();
      result.writes.push_back(std::move(write));
      separator(")", "',', ':' or ')'");
    }
    tokens_.expect("cuda");
    result.cuda = tokens_.expect(TokenKind::string, "the CUDA source as a string").text;
    return result;
  }

  TokenStream& tokens_;
};

}  // namespace

std::vector<Program> parse_programs(std::string_view text) {
  TokenStream tokens(text);
  std::vector<Program> programs;
  std::set<std::string> names;
  while (!tokens.at_end()) {
    const KernelSyntax kernel = Parser(tokens).kernel();
    if (!names.insert(kernel.name.text).second) {
      tokens.fail_at(kernel.name, fmt::format("a second kernel is named {}; give it another name", kernel.name.text));
    }
    programs.push_back(build_program(kernel, tokens));
    verify(programs.back());
  }
  return programs;
}

Program parse_program(std::string_view text) {
  std::vector<Program> programs = parse_programs(text);
  if (programs.empty()) fail("expected one kernel, the text holds none; it begins as in: kernel add(x: f32[n]) -> ...");
  if (programs.size() > 1) {
    fail("expected one kernel, the text holds {}: {}, {}{}", programs.size(), programs[0].name, programs[1].name,
         programs.size() > 2 ? ", ..." : "");
  }
  return std::move(programs.front());
}

}  // namespace quern::ir
