#include "api/builder_call.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "ir/expr_parser.h"

namespace quern {
namespace api {
namespace {

// The whole of `text` as a number.
template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether `text` is a number of more than 64 bits.
bool is_too_large(std::string_view text) {
  std::int64_t value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc::result_out_of_range && end == text.data() + text.size();
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

template <typename Range>
std::string names_of(const Range& rows) {
  std::string text;
  for (const auto& row : rows) text += fmt::format("{}{}", text.empty() ? "" : ", ", row.name);
  return text;
}

// "name(parameter=value, ...)" taken apart.
struct CallText {
  std::string_view name;
  std::vector<std::pair<std::string_view, std::string_view>> parameters;
};

class CallReader {
 public:
  explicit CallReader(std::string_view text) : text_(text) {}

  CallText read() {
    CallText call;
    call.name = word("the name of a builder");
    expect('(');
    while (!accept(')')) {
      const std::string_view name = word("a parameter or ')'");
      expect('=');
      call.parameters.emplace_back(name, value());
      if (!accept(',') && !at(')')) fail_here("',' or ')'");
    }
    skip_space();
    if (i_ < text_.size()) fail_here("the end of the call");
    return call;
  }

 private:
  void skip_space() {
    while (i_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[i_])) != 0) ++i_;
  }
  bool at(char c) {
    skip_space();
    return i_ < text_.size() && text_[i_] == c;
  }
  bool accept(char c) {
    if (!at(c)) return false;
    ++i_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail_here(fmt::format("'{}'", c));
  }
  std::string_view word(std::string_view expected) {
    skip_space();
    const std::size_t begin = i_;
    const auto is_part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '+' || c == '.';
    };
    while (i_ < text_.size() && is_part(text_[i_])) ++i_;
    if (i_ == begin) fail_here(expected);
    return text_.substr(begin, i_ - begin);
  }
  // A word, or anything between single quotes.
  std::string_view value() {
    if (!accept('\'')) return word("a value");
    const std::size_t begin = i_;
    i_ = std::min(text_.find('\'', begin), text_.size());
    const std::string_view quoted = text_.substr(begin, i_ - begin);
    expect('\'');
    return quoted;
  }
  [[noreturn]] void fail_here(std::string_view expected) {
    skip_space();
    const std::string got = i_ < text_.size() ? fmt::format("'{}'", text_[i_]) : "the end";
    fail("builder call, column {}: expected {}, got {}\n  {}\n  {}^\nas in matmul(m=512, n=512, k=512, dtype=f32)",
         i_ + 1, expected, got, text_, std::string(i_, ' '));
  }

  std::string_view text_;
  std::size_t i_ = 0;
};

const BuilderRow& find_builder(std::string_view name) {
  for (const BuilderRow& row : builder_table()) {
    if (row.info.name == name) return row;
  }
  fail("unknown builder '{}'; there are: {}", name, names_of(builders()));
}

}  // namespace

const BuilderParameter& BuilderCall::parameter(std::string_view name) const {
  const auto found = std::find_if(row_.parameters.begin(), row_.parameters.end(),
                                  [&](const BuilderParameter& row) { return row.name == name; });
  ensure(found != row_.parameters.end(), "a builder asks for parameters of its row");
  return *found;
}

const std::string& BuilderCall::text(std::string_view name) const {
  return values_.at(std::string(parameter(name).name));
}

void BuilderCall::fail_value(std::string_view name, std::string_view expected) const {
  fail("{}: {}={}; it takes {}", row_.name, name, text(name), expected);
}

Dim BuilderCall::size(std::string_view name) { return size_of(name, text(name)); }

Dim BuilderCall::size_of(std::string_view name, std::string_view part) {
  if (const auto number = parse_number<std::int64_t>(part)) {
    if (*number >= 0 || (*number == -1 && parameter(name).values.ends_with("-1"))) return *number;
  } else if (ir::is_valid_name(part)) {
    return builder_.symbol(std::string(part));
  }
  if (is_too_large(part)) fail_value(name, "sizes that fit 64 bits, up to 9223372036854775807");
  fail_value(name, parameter(name).values == "shapes" ? "shapes separated by ';', as in '3x4; m, 4'"
                                                      : "a size from 0 on, or the name of a symbol");
}

std::vector<Dim> BuilderCall::shape_of(std::string_view name, std::string_view part) {
  std::vector<Dim> shape;
  part = trimmed(part);
  if (part.empty()) return shape;
  const bool by_x = part.find_first_not_of("0123456789x-") == std::string_view::npos && part.front() != 'x';
  for (const std::string_view size : split(part, by_x ? 'x' : ',')) shape.push_back(size_of(name, trimmed(size)));
  return shape;
}

std::vector<Dim> BuilderCall::shape(std::string_view name) { return shape_of(name, text(name)); }

std::vector<std::vector<Dim>> BuilderCall::shapes(std::string_view name) {
  std::vector<std::vector<Dim>> all;
  for (const std::string_view part : split(text(name), ';')) all.push_back(shape_of(name, part));
  return all;
}

std::vector<SliceRange> BuilderCall::ranges(std::string_view name) {
  std::vector<SliceRange> all;
  for (const std::string_view range : split(text(name), ',')) {
    const std::vector<std::string_view> parts = split(trimmed(range), ':');
    if (parts.size() < 2 || parts.size() > 3) fail_value(name, "begin:end or begin:end:step for each dimension");
    SliceRange& result = all.emplace_back();
    if (!parts[0].empty()) result.begin = size_of(name, parts[0]);
    if (!parts[1].empty()) result.end = size_of(name, parts[1]);
    if (parts.size() == 2 || parts[2].empty()) continue;
    const auto step = parse_number<std::int64_t>(parts[2]);
    if (!step) fail_value(name, "a step that is an integer");
    result.step = *step;
  }
  return all;
}

std::int64_t BuilderCall::integer(std::string_view name) const {
  const auto number = parse_number<std::int64_t>(text(name));
  if (!number) fail_value(name, "an integer");
  return *number;
}

double BuilderCall::number(std::string_view name) const {
  const auto number = parse_number<double>(text(name));
  if (!number || !std::isfinite(*number)) fail_value(name, "a number");
  return *number;
}

DType BuilderCall::dtype(std::string_view name) const {
  const std::optional<DType> dtype = parse_dtype(text(name));
  if (!dtype) {
    std::string known;
    for (int i = 0; i < kDTypeCount; ++i) {
      known += fmt::format("{}{}", i == 0 ? "" : " ", quern::name(static_cast<DType>(i)));
    }
    fail_value(name, "a dtype: " + known);
  }
  return *dtype;
}

int BuilderCall::word(std::string_view name) const {
  const std::vector<std::string_view> words = split(parameter(name).values, '|');
  const auto found = std::find(words.begin(), words.end(), text(name));
  if (found == words.end()) fail_value(name, parameter(name).values);
  return static_cast<int>(found - words.begin());
}

bool BuilderCall::flag(std::string_view name) const { return word(name) == 0; }

std::vector<std::int64_t> BuilderCall::integers(std::string_view name) const {
  std::vector<std::int64_t> values;
  for (const std::string_view part : split(text(name), 'x')) {
    const auto number = parse_number<std::int64_t>(part);
    if (!number) fail_value(name, parameter(name).values);
    values.push_back(*number);
  }
  return values;
}

Expr BuilderCall::activated(std::string_view name, const Expr& value) const {
  word(name);
  return text(name) == "none" ? value : call(text(name), {value});
}

}  // namespace api

std::span<const BuilderInfo> builders() {
  static const std::vector<BuilderInfo> kInfos = [] {
    std::vector<BuilderInfo> list;
    for (const api::BuilderRow& row : api::builder_table()) list.push_back(row.info);
    return list;
  }();
  return kInfos;
}

Program parse_builder_call(std::string_view text) {
  const api::CallText call = api::CallReader(text).read();
  const api::BuilderRow& row = api::find_builder(call.name);
  std::map<std::string, std::string> values;
  for (const auto& [name, value] : call.parameters) {
    const auto known = [&, wanted = name](const BuilderParameter& parameter) { return parameter.name == wanted; };
    if (std::none_of(row.info.parameters.begin(), row.info.parameters.end(), known)) {
      fail("{} has no parameter '{}'; it has: {}", row.info.name, name, api::names_of(row.info.parameters));
    }
    if (!values.emplace(name, value).second) fail("{}: {} is given twice", row.info.name, name);
  }
  for (const BuilderParameter& parameter : row.info.parameters) {
    if (parameter.fallback.empty() && values.count(std::string(parameter.name)) == 0) {
      fail("{} needs {}: {}; write {}(..., {}=...)", row.info.name, parameter.name, parameter.doc, row.info.name,
           parameter.name);
    }
    values.emplace(parameter.name, parameter.fallback);
  }
  api::BuilderCall arguments(row.info, std::move(values));
  row.build(arguments);
  return arguments.builder().build();
}

}  // namespace quern
