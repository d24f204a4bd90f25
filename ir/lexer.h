#pragma once
// Tokens of both text languages (tensor programs and kernel programs), and errors that point at one of them.
//
// Names are letters, digits and `_`; numbers `12`, `0x1f`, `1.5`, `1e-3`; strings "..." with the escapes of C, or
// """...""" taken as it stands. Comments run from `#` to the end of the line. Line ends separate nothing by
// themselves: a token knows whether it is the first of its line.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern::ir {

enum class TokenKind : std::uint8_t { name, integer, real, string, symbol, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  // as written; of a string its contents
  int line = 1;      // from 1
  int column = 1;    // from 1, in bytes
  bool starts_line = false;
};

// A text as tokens, read from front to back. The last token is `end`, which is never passed. Holds a copy of the text.
// Every member may throw Error: "3:17: expected ')', got 'x'", the source line and a caret below.
class TokenStream {
 public:
  explicit TokenStream(std::string_view text);

  const Token& peek(std::size_t ahead = 0) const;
  Token next();
  std::size_t position() const { return position_; }
  void rewind(std::size_t position) { position_ = position; }
  bool at_end() const { return peek().kind == TokenKind::end; }

  // Names and symbols are compared by their text; the contents of a string never match.
  bool at(std::string_view text, std::size_t ahead = 0) const;
  bool accept(std::string_view text);
  Token expect(std::string_view text);
  // A token of a kind; `what` names it in the error: "the name of an axis".
  Token expect(TokenKind kind, std::string_view what);
  std::int64_t expect_integer(std::string_view what);  // with an optional minus sign

  [[noreturn]] void fail_at(const Token& token, std::string_view message) const;
  [[noreturn]] void fail_expected(std::string_view what) const;  // "expected <what>, got <the next token>"

 private:
  std::string source_;
  std::vector<Token> tokens_;
  std::size_t position_ = 0;
};

// The value of an integer token, at most 2^64 - 1; nothing where it is larger.
bool parse_unsigned(std::string_view text, std::uint64_t& value);

// `text` as a string literal that the lexer reads back, """...""" where it holds several lines and can be so written.
std::string quote(std::string_view text);

}  // namespace quern::ir
