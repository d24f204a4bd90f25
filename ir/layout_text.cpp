#include "base/error.h"
#include "ir/layout.h"
#include "ir/lexer.h"

namespace quern::ir {
namespace {

std::string_view place_name(Place place) {
  switch (place) {
    case Place::address:
      return "addr";
    case Place::warp:
      return "warp";
    case Place::lane:
      return "lane";
    case Place::reg:
      return "reg";
  }
  unreachable("every place has a name");
}

class LayoutParser {
 public:
  explicit LayoutParser(TokenStream& tokens) : tokens_(tokens) {}

  Layout layout() {
    Layout result;
    tokens_.expect("[");
    if (!tokens_.accept("]")) {
      do {
        result.modes.push_back(mode());
      } while (tokens_.accept(","));
      tokens_.expect("]");
    }
    if (tokens_.at("^") && tokens_.at("swizzle", 1)) result.swizzle = swizzle();
    return result;
  }

 private:
  std::int64_t number(std::string_view what, std::int64_t least, std::int64_t most) {
    const Token token = tokens_.peek();
    const std::int64_t value = tokens_.expect_integer(what);
    if (value < least || value > most) {
      tokens_.fail_at(token, fmt::format("{} is {} to {}, here {}", what, least, most, value));
    }
    return value;
  }

  Swizzle swizzle() {
    const Token token = tokens_.next();
    tokens_.next();
    tokens_.expect("(");
    const auto bits = static_cast<int>(number("a swizzle's number of bits", 1, 20));
    tokens_.expect(",");
    const auto base = static_cast<int>(number("a swizzle's lowest bit", 0, 20));
    tokens_.expect(",");
    const auto shift = static_cast<int>(number("a swizzle's shift", 1, 20));
    tokens_.expect(")");
    if (shift < bits) tokens_.fail_at(token, fmt::format("a swizzle of {} bits shifts by at least {}", bits, bits));
    return {bits, base, shift};
  }

  // A digit, several in parentheses, or `1` for a mode without digits.
  Mode mode() {
    if (tokens_.peek().text == "1" && !tokens_.at(":", 1)) {
      tokens_.next();
      return {};
    }
    if (!tokens_.accept("(")) return {digit()};
    Mode result;
    do {
      result.push_back(digit());
    } while (tokens_.accept(","));
    tokens_.expect(")");
    return result;
  }

  Digit digit() {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    Digit result;
    result.extent = number("a digit's extent", 1, kMost);
    tokens_.expect(":");
    result.place = place();
    tokens_.expect("*");
    result.stride = number("a digit's stride", 0, kMost);
    return result;
  }

  Place place() {
    for (Place place : {Place::address, Place::warp, Place::lane, Place::reg}) {
      if (tokens_.accept(place_name(place))) return place;
    }
    tokens_.fail_expected("addr, warp, lane or reg");
  }

  TokenStream& tokens_;
};

}  // namespace

std::string to_string(const Layout& layout) {
  std::string text = "[";
  for (std::size_t m = 0; m < layout.modes.size(); ++m) {
    const Mode& mode = layout.modes[m];
    if (m > 0) text += ", ";
    if (mode.empty()) text += "1";
    if (mode.size() > 1) text += "(";
    for (std::size_t d = 0; d < mode.size(); ++d) {
      text += fmt::format("{}{}:{}*{}", d > 0 ? ", " : "", mode[d].extent, place_name(mode[d].place), mode[d].stride);
    }
    if (mode.size() > 1) text += ")";
  }
  text += "]";
  const Swizzle& swizzle = layout.swizzle;
  if (swizzle.bits > 0) text += fmt::format(" ^ swizzle({}, {}, {})", swizzle.bits, swizzle.base, swizzle.shift);
  return text;
}

Layout parse_layout(std::string_view text) {
  TokenStream tokens(text);
  Layout result = parse_layout(tokens);
  if (!tokens.at_end()) tokens.fail_expected("the layout's end");
  return result;
}

Layout parse_layout(TokenStream& tokens) { return LayoutParser(tokens).layout(); }

}  // namespace quern::ir
