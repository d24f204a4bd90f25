#include "ir/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace quern::ir {
namespace {

// Longer symbols first.
constexpr std::array<std::string_view, 41> kSymbols = {
    "->", "//", "<=", ">=", "==", "!=", "<<", ">>", "&&", "||", "..", "+=", "(",  ")",
    "[",  "]",  "{",  "}",  ",",  ";",  ":",  "=",  "?",  "+",  "-",  "*",  "/",  "%",
    "<",  ">",  "&",  "|",  "^",  "~",  "!",  "@",  ".",  "$",  "'",  "`",  "\\",
};
constexpr std::string_view kTripleQuote = "\"\"\"";
constexpr std::size_t kShownBytes = 120;  // of a source line in an error

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_printable(char c) { return c >= ' ' && c <= '~'; }

int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// "3:17: message", the line and a caret under the column. Long lines are cut around the caret; what a terminal cannot
// show becomes '?'.
[[noreturn]] void fail_in(std::string_view source, int line, int column, std::string_view message) {
  std::size_t begin = 0;
  for (int i = 1; i < line; ++i) begin = source.find('\n', begin) + 1;
  std::string_view text = source.substr(begin, source.find('\n', begin) - begin);
  std::size_t caret = static_cast<std::size_t>(column - 1);
  if (caret > kShownBytes / 2) {
    const std::size_t cut = caret - kShownBytes / 2;
    text.remove_prefix(std::min(cut, text.size()));
    caret -= cut;
  }
  std::string shown(text.substr(0, kShownBytes));
  for (char& c : shown) c = c == '\t' ? ' ' : is_printable(c) ? c : '?';
  fail("{}:{}: {}\n  {}\n  {}^", line, column, message, shown, std::string(caret, ' '));
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    while (true) {
      skip_blanks();
      Token token{.text = {}, .line = line_, .column = column(), .starts_line = starts_line_};
      starts_line_ = false;
      if (at_ < source_.size()) read(token);
      tokens.push_back(token);
      if (token.kind == TokenKind::end) return tokens;
    }
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  int column() const { return static_cast<int>(at_ - line_begin_) + 1; }
  bool starts_with(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  [[noreturn]] void fail_here(std::string_view message) const { fail_in(source_, line_, column(), message); }

  void advance() {
    if (source_[at_++] == '\n') {
      ++line_;
      line_begin_ = at_;
      starts_line_ = true;
    }
  }

  void skip_blanks() {
    while (at_ < source_.size()) {
      const char c = peek();
      if (c == '#') {
        while (at_ < source_.size() && peek() != '\n') advance();
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        advance();
      } else {
        return;
      }
    }
  }

  void read(Token& token) {
    const char c = peek();
    if (is_letter(c)) {
      token.kind = TokenKind::name;
      while (is_letter(peek()) || is_digit(peek())) take(token);
    } else if (is_digit(c)) {
      read_number(token);
    } else if (c == '"') {
      token.kind = TokenKind::string;
      starts_with(kTripleQuote) ? read_raw_string(token) : read_string(token);
    } else {
      read_symbol(token);
    }
  }

  void take(Token& token) {
    token.text += peek();
    advance();
  }

  void read_number(Token& token) {
    token.kind = TokenKind::integer;
    if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
      take(token);
      take(token);
      while (digit_value(peek()) < 16) take(token);
      if (token.text.size() == 2) fail_here("expected hexadecimal digits after 0x");
    } else {
      while (is_digit(peek())) take(token);
      if (peek() == '.' && peek(1) != '.') {  // `0..n` is a range
        token.kind = TokenKind::real;
        take(token);
        while (is_digit(peek())) take(token);
      }
      const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
      if ((peek() == 'e' || peek() == 'E') && is_digit(peek(sign))) {
        token.kind = TokenKind::real;
        for (std::size_t i = 0; i < sign; ++i) take(token);
        while (is_digit(peek())) take(token);
      }
    }
    if (is_letter(peek()) || is_digit(peek())) {
      fail_here(fmt::format("expected the end of the number {}, got '{}'; a name does not begin with a digit",
                            token.text.substr(0, 32), peek()));
    }
  }

  void read_raw_string(Token& token) {
    const int line = line_;
    const int begin = column();
    at_ += kTripleQuote.size();
    while (!starts_with(kTripleQuote)) {
      if (at_ >= source_.size()) fail_in(source_, line, begin, "expected \"\"\" at the end of this string");
      take(token);
    }
    at_ += kTripleQuote.size();
    starts_line_ = false;
  }

  void read_string(Token& token) {
    const int begin = column();
    advance();
    while (peek() != '"') {
      if (at_ >= source_.size() || peek() == '\n') {
        fail_in(source_, line_, begin, "expected '\"' at the end of this string; \"\"\" allows several lines");
      }
      if (peek() == '\\') {
        read_escape(token);
      } else {
        take(token);
      }
    }
    advance();
  }

  void read_escape(Token& token) {
    const char kind = peek(1);
    if (kind == 'x' && digit_value(peek(2)) < 16 && digit_value(peek(3)) < 16) {
      token.text += static_cast<char>(digit_value(peek(2)) * 16 + digit_value(peek(3)));
      at_ += 4;
      return;
    }
    constexpr std::string_view kNames = "nrt\\\"";
    constexpr std::string_view kValues = "\n\r\t\\\"";
    const std::size_t found = kNames.find(kind);
    if (kind == '\0' || found == std::string_view::npos)
      fail_here("expected an escape: \\n \\r \\t \\\\ \\\" or \\x1f");
    token.text += kValues[found];
    at_ += 2;
  }

  void read_symbol(Token& token) {
    for (const std::string_view symbol : kSymbols) {
      if (starts_with(symbol)) {
        token.kind = TokenKind::symbol;
        token.text = symbol;
        at_ += symbol.size();
        return;
      }
    }
    fail_here(fmt::format("expected a name, a number or a symbol, got the byte 0x{:02x}; programs are ASCII text",
                          static_cast<unsigned char>(peek())));
  }

  std::string_view source_;
  std::size_t at_ = 0;
  std::size_t line_begin_ = 0;
  int line_ = 1;
  bool starts_line_ = true;
};

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::end:
      return "the end of the text";
    case TokenKind::string:
      return "a string";
    default:
      return fmt::format("'{}'", token.text.substr(0, 40));
  }
}

}  // namespace

TokenStream::TokenStream(std::string_view text) : source_(text), tokens_(Lexer(source_).run()) {}

const Token& TokenStream::peek(std::size_t ahead) const {
  return tokens_[std::min(position_ + ahead, tokens_.size() - 1)];
}

Token TokenStream::next() {
  Token token = peek();
  if (position_ + 1 < tokens_.size()) ++position_;
  return token;
}

bool TokenStream::at(std::string_view text, std::size_t ahead) const {
  const Token& token = peek(ahead);
  return (token.kind == TokenKind::name || token.kind == TokenKind::symbol) && token.text == text;
}

bool TokenStream::accept(std::string_view text) {
  if (!at(text)) return false;
  next();
  return true;
}

Token TokenStream::expect(std::string_view text) {
  if (!at(text)) fail_expected(fmt::format("'{}'", text));
  return next();
}

Token TokenStream::expect(TokenKind kind, std::string_view what) {
  if (peek().kind != kind) fail_expected(what);
  return next();
}

std::int64_t TokenStream::expect_integer(std::string_view what) {
  const bool negative = accept("-");
  const Token token = expect(TokenKind::integer, what);
  std::uint64_t value = 0;
  const std::uint64_t limit = std::uint64_t{1} << 63;
  if (!parse_unsigned(token.text, value) || value > limit || (value == limit && !negative)) {
    fail_at(token, fmt::format("{} does not fit 64 bits", token.text));
  }
  return static_cast<std::int64_t>(negative ? 0 - value : value);
}

void TokenStream::fail_at(const Token& token, std::string_view message) const {
  fail_in(source_, token.line, token.column, message);
}

void TokenStream::fail_expected(std::string_view what) const {
  fail_at(peek(), fmt::format("expected {}, got {}", what, describe(peek())));
}

bool parse_unsigned(std::string_view text, std::uint64_t& value) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (hexadecimal) text.remove_prefix(2);
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, hexadecimal ? 16 : 10);
  return result.ec == std::errc() && result.ptr == end;
}

std::string quote(std::string_view text) {
  const bool several_lines = text.find('\n') != std::string_view::npos;
  const bool raw = std::all_of(text.begin(), text.end(), [](char c) { return is_printable(c) || c == '\n'; }) &&
                   text.find(kTripleQuote) == std::string_view::npos && !text.ends_with('"');
  if (several_lines && raw) return fmt::format("{}{}{}", kTripleQuote, text, kTripleQuote);
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '"':
        quoted += "\\\"";
        break;
      default:
        if (is_printable(c)) {
          quoted += c;
        } else {
          quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
  }
  return quoted + "\"";
}

}  // namespace quern::ir
