#include "quern/program.h"

#include <cctype>
#include <utility>

#include "api/executable.h"
#include "base/error.h"
#include "ir/bind.h"
#include "ir/canonical.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/tensor.h"

namespace quern {
namespace {

// "name(" without "kernel" before it.
bool is_builder_call(std::string_view text) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::size_t i = 0;
  while (i < text.size() && is_space(text[i])) ++i;
  const std::size_t begin = i;
  while (i < text.size() && is_word(text[i])) ++i;
  if (i == begin) return false;
  while (i < text.size() && is_space(text[i])) ++i;
  return i < text.size() && text[i] == '(';
}

std::vector<std::string> texts(const std::vector<ir::Expr>& sizes, ir::Names& names) {
  std::vector<std::string> result;
  result.reserve(sizes.size());
  for (const ir::Expr& size : sizes) result.push_back(ir::to_string(size, names, DType::i64));
  return result;
}

}  // namespace

std::string Argument::type() const {
  std::string text(quern::name(dtype));
  for (std::size_t d = 0; d < dims.size(); ++d) text += (d == 0 ? "[" : ", ") + dims[d];
  return text + (dims.empty() ? "[]" : "]");
}

Program Program::parse(std::string_view text) {
  if (text.starts_with(api::kExecutableMagic)) {
    fail("this is a compiled program, which Executable::load takes; programs to compile are text or a builder call");
  }
  if (is_builder_call(text)) return parse_builder_call(text);
  return Program(std::make_shared<const ir::Program>(ir::parse_program(text)));
}

const std::string& Program::name() const { return program_->name; }

std::string Program::text() const { return ir::to_string(*program_); }

std::vector<std::string> Program::symbols() const {
  std::vector<std::string> names;
  for (const ir::VarRef& symbol : program_->symbols) names.push_back(symbol->name);
  return names;
}

std::vector<Argument> Program::arguments() const {
  ir::Names names;
  const auto argument = [&](const ir::Tensor& tensor) {
    Argument result{.name = tensor.name,
                    .dtype = tensor.dtype,
                    .dims = texts(tensor.shape, names),
                    .strides = texts(tensor.strides, names),
                    .extents = {},
                    .is_const = tensor.constant};
    for (const ir::Expr& extent : tensor.shape) result.extents.push_back(ir::as_integer(extent).value_or(-1));
    return result;
  };
  std::vector<Argument> result;
  for (const ir::TensorRef& input : program_->inputs) result.push_back(argument(*input));
  for (const ir::Output& output : program_->outputs) {
    result.push_back(argument(*output.tensor));
    result.back().is_output = true;
    if (output.updates) result.back().updates = output.updates->name;
  }
  return result;
}

Program Program::bind(const Sizes& sizes) const {
  return Program(std::make_shared<const ir::Program>(ir::bind(*program_, sizes)));
}

std::string Program::digest() const { return to_text(ir::digest(*program_)); }

bool operator==(const Program& a, const Program& b) { return ir::equal(a.ir(), b.ir()); }

}  // namespace quern
