#include <cctype>
#include <string>

#include "base/error.h"
#include "ir/layout.h"

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
  LayoutParser(std::string_view text, std::size_t position) : text_(text), position_(position) {}

  Layout layout() {
    Layout result;
    expect("[");
    if (!accept("]")) {
      do {
        result.modes.push_back(mode());
      } while (accept(","));
      expect("]");
    }
    std::size_t end = position_;
    if (accept("^")) {
      expect("swizzle");
      expect("(");
      result.swizzle.bits = static_cast<int>(number(62));
      expect(",");
      result.swizzle.base = static_cast<int>(number(62));
      expect(",");
      result.swizzle.shift = static_cast<int>(number(62));
      expect(")");
      end = position_;
      const Swizzle& swizzle = result.swizzle;
      if (swizzle.bits + swizzle.base + swizzle.shift > 62 || (swizzle.bits > 0 && swizzle.shift < swizzle.bits)) {
        refuse("a swizzle whose shift is at least its bits");
      }
      if (swizzle.bits == 0) result.swizzle = {};
    }
    position_ = end;
    return result;
  }

  void skip_space() {
    while (position_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[position_]))) ++position_;
  }
  std::size_t position() const { return position_; }

  [[noreturn]] void refuse(std::string_view expected) const {
    fail("layout, column {}: expected {}", position_ + 1, expected);
  }

 private:
  bool accept(std::string_view token) {
    skip_space();
    if (text_.substr(position_, token.size()) != token) return false;
    position_ += token.size();
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) refuse(fmt::format("`{}`", token));
  }

  std::int64_t number(std::int64_t most) {
    skip_space();
    std::int64_t value = 0;
    std::size_t begin = position_;
    while (position_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[position_]))) {
      value = value * 10 + (text_[position_++] - '0');
      if (value > most) refuse(fmt::format("a number of at most {}", most));
    }
    if (position_ == begin) refuse("a number");
    return value;
  }

  Mode mode() {
    Mode result;
    if (!accept("(")) {
      if (std::optional<Digit> only = digit(true)) result.push_back(*only);
      return result;
    }
    do {
      result.push_back(*digit(false));
    } while (accept(","));
    expect(")");
    return result;
  }

  // A digit, or nothing for a bare `1`, which stands for a mode without digits.
  std::optional<Digit> digit(bool bare_one) {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    Digit result;
    result.extent = number(kMost);
    if (result.extent == 0) refuse("an extent of at least 1");
    if (bare_one && result.extent == 1 && !accept(":")) return std::nullopt;
    if (!bare_one || result.extent != 1) expect(":");
    for (Place place : {Place::address, Place::warp, Place::lane, Place::reg}) {
      if (!accept(place_name(place))) continue;
      result.place = place;
      expect("*");
      result.stride = number(kMost);
      return result;
    }
    refuse("addr, warp, lane or reg");
  }

  std::string_view text_;
  std::size_t position_;
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
  std::size_t position = 0;
  Layout result = parse_layout(text, position);
  LayoutParser rest(text, position);
  rest.skip_space();
  if (rest.position() != text.size()) rest.refuse("the layout's end");
  return result;
}

Layout parse_layout(std::string_view text, std::size_t& position) {
  LayoutParser parser(text, position);
  Layout result = parser.layout();
  position = parser.position();
  return result;
}

}  // namespace quern::ir
