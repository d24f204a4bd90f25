#include "ir/lexer.h"

#include <gtest/gtest.h>

#include "tests/ir/message.h"

namespace quern::ir {
namespace {

using test::contains;
using test::error_of;

std::string kinds(std::string_view text) {
  TokenStream tokens(text);
  std::string result;
  while (!tokens.at_end()) {
    const Token token = tokens.next();
    result += "nirsy"[static_cast<int>(token.kind)];
    result += ":" + token.text + " ";
  }
  return result;
}

TEST(Lexer, Kinds) {
  EXPECT_EQ(kinds("a_1 12 0x1F 1.5 2e-3 1. -> ~"), "n:a_1 i:12 i:0x1F r:1.5 r:2e-3 r:1. y:-> y:~ ");
  EXPECT_EQ(kinds("0..n"), "i:0 y:.. n:n ");
  EXPECT_EQ(kinds("a//b<=c # comment\n!d"), "n:a y:// n:b y:<= n:c y:! n:d ");
  EXPECT_EQ(kinds(R"("a\n\x41\"" """raw "x" \n""")"), "s:a\nA\" s:raw \"x\" \\n ");
  EXPECT_EQ(kinds(""), "");
}

TEST(Lexer, PlacesCountFromOne) {
  TokenStream tokens("a\n  b c");
  EXPECT_TRUE(tokens.next().starts_line);
  const Token b = tokens.next();
  EXPECT_EQ(b.line, 2);
  EXPECT_EQ(b.column, 3);
  EXPECT_TRUE(b.starts_line);
  EXPECT_FALSE(tokens.next().starts_line);
  EXPECT_TRUE(tokens.at_end());
  EXPECT_EQ(tokens.next().kind, TokenKind::end);  // stays
}

TEST(Lexer, ErrorsShowTheLineAndACaret) {
  TokenStream tokens("x = (1 +\n\t2 }");
  for (int i = 0; i < 6; ++i) tokens.next();
  const std::string text = error_of([&] { tokens.expect(")"); });
  EXPECT_EQ(text, "2:4: expected ')', got '}'\n   2 }\n     ^");
}

TEST(Lexer, LongLinesAreCutAroundTheCaret) {
  TokenStream tokens(std::string(5000, ' ') + "abc" + std::string(5000, ' '));
  const std::string text = error_of([&] { tokens.expect("x"); });
  EXPECT_TRUE(contains(text, "1:5001: expected 'x', got 'abc'"));
  EXPECT_LT(text.size(), 400U);
}

TEST(Lexer, BadText) {
  EXPECT_TRUE(contains(error_of([] { TokenStream("a \xff"); }), "got the byte 0xff; programs are ASCII text"));
  EXPECT_TRUE(contains(error_of([] { TokenStream(std::string_view("\0", 1)); }), "got the byte 0x00"));
  EXPECT_TRUE(contains(error_of([] { TokenStream("3x"); }), "1:2: expected the end of the number 3, got 'x'"));
  EXPECT_TRUE(contains(error_of([] { TokenStream("0x"); }), "hexadecimal digits"));
  EXPECT_TRUE(contains(error_of([] { TokenStream("\"ab\nc\""); }), "1:1: expected '\"' at the end of this string"));
  EXPECT_TRUE(contains(error_of([] { TokenStream("\"\"\"ab"); }), "expected \"\"\""));
  EXPECT_TRUE(contains(error_of([] { TokenStream("\"\\q\""); }), "expected an escape"));
}

TEST(Lexer, Integers) {
  std::uint64_t value = 0;
  EXPECT_TRUE(parse_unsigned("18446744073709551615", value));
  EXPECT_EQ(value, ~std::uint64_t{0});
  EXPECT_FALSE(parse_unsigned("18446744073709551616", value));
  EXPECT_TRUE(parse_unsigned("0xff", value));
  EXPECT_EQ(value, 255U);
  EXPECT_EQ(TokenStream("-9223372036854775808").expect_integer("a number"), INT64_MIN);
  EXPECT_TRUE(contains(error_of([] { TokenStream("9223372036854775808").expect_integer("a number"); }), "64 bits"));
}

TEST(Lexer, QuotedTextReadsBack) {
  for (const std::string text : {"", "plain", "two\nlines", "ends in \"\n\"", "has \"\"\" and\nlines", "back\\slash\n",
                                 "tab\tand\rreturn\n", "\x01\xfe", "\\x41"}) {
    TokenStream tokens(quote(text));
    EXPECT_EQ(tokens.next().text, text) << quote(text);
    EXPECT_TRUE(tokens.at_end());
  }
}

}  // namespace
}  // namespace quern::ir
