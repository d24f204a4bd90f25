#include "codegen/cuda/prelude.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "codegen/cuda/embedded.h"

namespace quern::codegen {
namespace {

constexpr std::string_view kMarker = "\n// @";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool continues_name(char c) { return begins_name(c) || is_digit(c); }

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> result;
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.empty()) return result;
    const std::size_t length = std::min(line.find(' '), line.size());
    result.push_back(line.substr(0, length));
    line.remove_prefix(length);
  }
}

std::vector<PreludePiece> read_pieces() {
  std::vector<PreludePiece> pieces;
  for (const EmbeddedFile& file : embedded_prelude()) {
    std::string_view rest = file.text;
    for (std::size_t at = rest.find(kMarker); at != rest.npos; at = rest.find(kMarker)) {
      rest.remove_prefix(at + kMarker.size());
      const std::size_t line = rest.find('\n');
      const std::size_t end = std::min(rest.find("\n\n", line), rest.size() - 1);
      const std::string_view text = rest.substr(line + 1, end - line);
      pieces.push_back({words(rest.substr(0, line)), text, identifiers(text)});
      rest.remove_prefix(end);
    }
  }
  return pieces;
}

using Identifiers = std::unordered_set<std::string_view>;

bool mentions_all(const Identifiers& identifiers, const PreludePiece& piece) {
  return std::ranges::all_of(piece.names, [&](std::string_view name) { return identifiers.contains(name); });
}

class Selection {
 public:
  explicit Selection(std::string_view text) : used_(prelude_pieces().size()), printed_(prelude_pieces().size()) {
    const std::vector<std::string_view> own = identifiers(text);
    Identifiers known(own.begin(), own.end());
    bool grows = true;
    while (grows) {
      grows = false;
      for (std::size_t p = 0; p < used_.size(); ++p) {
        const PreludePiece& piece = prelude_pieces()[p];
        if (used_[p] || !mentions_all(known, piece)) continue;
        used_[p] = grows = true;
        known.insert(piece.mentions.begin(), piece.mentions.end());
      }
    }
  }

  std::string print() {
    for (std::size_t p = 0; p < used_.size(); ++p) {
      if (used_[p]) print(p);
    }
    return std::move(text_);
  }

 private:
  void print(std::size_t p) {
    if (printed_[p]) return;
    printed_[p] = true;
    const PreludePiece& piece = prelude_pieces()[p];
    const Identifiers mentions(piece.mentions.begin(), piece.mentions.end());
    for (std::size_t q = 0; q < used_.size(); ++q) {
      if (used_[q] && mentions_all(mentions, prelude_pieces()[q])) print(q);
    }
    text_ += piece.text;
    text_ += '\n';
  }

  std::vector<bool> used_, printed_;
  std::string text_;
};

constexpr std::string_view kReserved =
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class "
    "co_await "
    "co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete "
    "do "
    "double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable "
    "namespace "
    "new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires "
    "return "
    "short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try "
    "typedef "
    "typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq "
    "threadIdx blockIdx blockDim gridDim warpSize dim3 uint2 uint4 int2 int4 float2 float4 double2 clock printf assert "
    "memcpy memset malloc free size_t ptrdiff_t std nv cuda main "
    "abs acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh cospi erf erfc erfcinv erfcx erfinv exp "
    "exp10 "
    "exp2 expm1 fabs fdim floor fma fmax fmin fmod frexp hypot ilogb isfinite isinf isnan j0 j1 jn labs ldexp lgamma "
    "llabs llmax llmin log log10 log1p log2 logb lrint lround max min modf nan nearbyint nextafter norm normcdf pow "
    "remainder remquo rhypot rint rnorm round rsqrt scalbn signbit sin sincos sincospi sinh sinpi sqrt tan tanh tgamma "
    "trunc ullmax ullmin umax umin y0 y1 yn";

std::vector<std::string> read_reserved() {
  std::set<std::string, std::less<>> names;
  for (const std::string_view word : words(kReserved)) {
    names.emplace(word);
    names.insert(std::string(word) + "f");  // the float variants of the mathematical functions
  }
  for (const PreludePiece& piece : prelude_pieces()) names.insert(piece.names.begin(), piece.names.end());
  return {names.begin(), names.end()};
}

}  // namespace

std::vector<std::string_view> identifiers(std::string_view text) {
  std::unordered_set<std::string_view> found;
  std::size_t i = 0;
  while (i < text.size()) {
    if (text[i] == '/' && text.substr(i, 2) == "//") {
      i = std::min(text.find('\n', i), text.size());
    } else if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\') ++i;
      }
      ++i;
    } else if (begins_name(text[i])) {
      const std::size_t begin = i;
      while (i < text.size() && continues_name(text[i])) ++i;
      found.insert(text.substr(begin, i - begin));
    } else if (is_digit(text[i])) {
      while (i < text.size() && continues_name(text[i])) ++i;
    } else {
      ++i;
    }
  }
  std::vector<std::string_view> names(found.begin(), found.end());
  std::ranges::sort(names);
  return names;
}

std::span<const PreludePiece> prelude_pieces() {
  static const std::vector<PreludePiece> kPieces = read_pieces();
  return kPieces;
}

std::string prelude_for(std::string_view text) { return Selection(text).print(); }

std::span<const std::string> reserved_names() {
  static const std::vector<std::string> kNames = read_reserved();
  return kNames;
}

}  // namespace quern::codegen
