#include "bench/call.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <vector>

namespace quern::bench {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Reads parameters of one call and remembers whether all of them were numbers.
class Reader {
 public:
  explicit Reader(const Call& call) : call_(call) {}

  const std::string& text(const std::string& name) const { return call_.values.at(name); }

  std::int64_t integer(const std::string& name) { return integers(name).front(); }

  // One integer, or several as 1x2.
  std::vector<std::int64_t> integers(const std::string& name) {
    std::vector<std::int64_t> values;
    for (const std::string_view part : split(text(name), 'x')) {
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
      if (error != std::errc() || end != part.data() + part.size()) numbers_ = false;
      values.push_back(value);
    }
    return values;
  }

  std::array<std::int64_t, 2> pair(const std::string& name) {
    const std::vector<std::int64_t> values = integers(name);
    return {values.front(), values.back()};
  }

  DType dtype() const { return parse_dtype(text("dtype")).value_or(DType::f32); }
  DType out() const { return parse_dtype(text("out")).value_or(dtype()); }
  bool tf32() const { return text("grade") == "tf32"; }
  BiasAct after() const { return {.bias = text("bias") == "on", .act = text("act")}; }
  bool all_numbers() const { return numbers_; }

 private:
  const Call& call_;
  bool numbers_ = true;
};

std::int64_t places(std::int64_t size, std::int64_t padding, std::int64_t filter, std::int64_t dilation,
                    std::int64_t stride) {
  return (size + padding - dilation * (filter - 1) - 1) / stride + 1;
}

}  // namespace

std::optional<Call> parse_call(std::string_view text, const Sizes& sizes) {
  text = trimmed(text);
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos || !text.ends_with(')')) return std::nullopt;
  Call call{std::string(trimmed(text.substr(0, open))), {}};
  const auto is_called = [&](const BuilderInfo& row) { return row.name == call.builder; };
  const auto row = std::ranges::find_if(builders(), is_called);
  if (row == builders().end()) return std::nullopt;
  parse_builder_call(text);  // refuses what is no right call

  for (const BuilderParameter& parameter : row->parameters) {
    call.values.emplace(parameter.name, parameter.fallback);
  }
  for (const std::string_view part : split(text.substr(open + 1, text.size() - open - 2), ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;  // an empty list, or a last comma
    const std::string value(trimmed(part.substr(equals + 1)));
    const auto size = sizes.find(value);
    call.values[std::string(trimmed(part.substr(0, equals)))] =
        size == sizes.end() ? value : std::to_string(size->second);
  }
  return call;
}

std::string BiasAct::text() const {
  if (act == "none") return bias ? "bias" : "";
  return bias ? "bias and " + act : act;
}

std::int64_t Convolution::out_rows() const { return places(h, padding[0] + padding[1], r, dilation[0], stride[0]); }
std::int64_t Convolution::out_columns() const { return places(w, padding[2] + padding[3], s, dilation[1], stride[1]); }

std::optional<Product> as_product(const Call& call) {
  const bool linear = call.builder == "linear";
  if (!linear && call.builder != "matmul" && call.builder != "bmm") return std::nullopt;
  Reader reader(call);
  Product product;
  if (call.builder == "bmm") product.batch = reader.integer("batch");
  product.m = reader.integer("m");
  product.n = reader.integer("n");
  product.k = reader.integer("k");
  product.a_transposed = !linear && reader.text("a") == "col";
  product.b_transposed = reader.text(linear ? "w" : "b") == "col";
  product.dtype = reader.dtype();
  product.out = reader.out();
  product.tf32 = reader.tf32();
  if (linear) product.after = reader.after();
  if (!reader.all_numbers()) return std::nullopt;
  return product;
}

std::optional<Convolution> as_convolution(const Call& call) {
  if (call.builder != "conv2d") return std::nullopt;
  Reader reader(call);
  Convolution conv;
  conv.n = reader.integer("n");
  conv.c = reader.integer("c");
  conv.h = reader.integer("h");
  conv.w = reader.integer("w");
  conv.k = reader.integer("k");
  conv.r = reader.integer("r");
  conv.s = reader.integer("s");
  conv.stride = reader.pair("stride");
  conv.dilation = reader.pair("dilation");
  const std::vector<std::int64_t> pad = reader.integers("pad");
  conv.padding = pad.size() == 4 ? std::array{pad[0], pad[1], pad[2], pad[3]}
                                 : std::array{pad.front(), pad.front(), pad.back(), pad.back()};
  conv.groups = reader.integer("groups");
  conv.nhwc = reader.text("layout") == "nhwc";
  conv.dtype = reader.dtype();
  conv.out = reader.out();
  conv.tf32 = reader.tf32();
  conv.after = reader.after();
  if (!reader.all_numbers()) return std::nullopt;
  return conv;
}

std::optional<Attention> as_attention(const Call& call) {
  if (call.builder != "attention") return std::nullopt;
  Reader reader(call);
  const Attention attention{.batch = reader.integer("batch"),
                            .heads = reader.integer("heads"),
                            .q = reader.integer("q"),
                            .kv = reader.integer("kv"),
                            .d = reader.integer("d"),
                            .dtype = reader.dtype(),
                            .causal = reader.text("causal") == "on"};
  if (!reader.all_numbers()) return std::nullopt;
  return attention;
}

}  // namespace quern::bench
