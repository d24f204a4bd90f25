// Arrays in host memory: their elements, the sizes that follow from them, random ones.

#include <algorithm>
#include <limits>
#include <utility>

#include "api/host.h"
#include "api/session.h"
#include "autotune/random_inputs.h"
#include "base/error.h"
#include "ir/bind.h"
#include "ir/evaluate.h"
#include "ir/printer.h"
#include "ir/scalar.h"
#include "quern/host.h"
#include "runtime/host_memory.h"

namespace quern {
namespace {

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) text += fmt::format("{}{}", d == 0 ? "" : ", ", shape[d]);
  return text + "]";
}

std::string text_of(const ir::Tensor& tensor) {
  ir::Names names;
  return fmt::format("{}{}", name(tensor.dtype), ir::to_string(tensor.shape, names));
}

}  // namespace

namespace api {

SymbolValues::SymbolValues(const ir::Program& program, const Sizes& sizes) {
  for (const ir::VarRef& symbol : program.symbols) {
    const auto found = sizes.find(symbol->name);
    if (found == sizes.end()) {
      fail("symbol {} of {} has no size; give it one, as in -D {}=1024 or Sizes{{{{\"{}\", 1024}}}}", symbol->name,
           program.name, symbol->name, symbol->name);
    }
    if (found->second < 0 && ir::is_dimension(program, symbol))
      fail("symbol {} of {} is {}; a size is at least 0", symbol->name, program.name, found->second);
    variables_.emplace_back(symbol, ir::Scalar{.integer = found->second});
    values_.push_back(found->second);
  }
}

std::int64_t SymbolValues::value(const ir::Expr& size) const {
  if (const auto number = ir::as_integer(size)) return *number;
  return ir::evaluate_scalar(size, variables_).integer;
}

std::vector<std::int64_t> SymbolValues::shape(const ir::Tensor& tensor) const {
  std::vector<std::int64_t> result;
  result.reserve(tensor.rank());
  for (const ir::Expr& size : tensor.shape) result.push_back(value(size));
  return result;
}

void require_data(const HostArray& array, std::string_view what) {
  const std::size_t bytes = runtime::array_bytes(array.dtype, array.shape);
  if (array.data.size() == bytes) return;
  fail("{} is {}, of {} bytes, but its data has {}; make it by HostArray(dtype, shape)", what, array.type(), bytes,
       array.data.size());
}

}  // namespace api

HostArray::HostArray(DType of, std::vector<std::int64_t> dims) : dtype(of), shape(std::move(dims)) {
  for (const std::int64_t extent : shape) {
    if (extent < 0) fail("{} has a dimension of {}; a size is at least 0", type(), extent);
  }
  const std::size_t bytes = runtime::array_bytes(dtype, shape);
  if (bytes == std::numeric_limits<std::int64_t>::max()) {
    fail("{} has 2^63 bytes or more, which no memory has; use smaller sizes", type());
  }
  runtime::require_host_memory(bytes, type());
  data.resize(bytes);
}

std::int64_t HostArray::size() const {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) {
    if (__builtin_mul_overflow(elements, extent, &elements)) return std::numeric_limits<std::int64_t>::max();
  }
  return elements;
}

std::string HostArray::type() const { return std::string(name(dtype)) + text_of(shape); }

double HostArray::value(std::int64_t index) const {
  const ir::Scalar scalar = ir::load(dtype, &data[static_cast<std::size_t>(index * byte_size(dtype))]);
  if (is_float(dtype)) return scalar.real;
  return dtype == DType::u64 ? static_cast<double>(static_cast<std::uint64_t>(scalar.integer))
                             : static_cast<double>(scalar.integer);
}

void HostArray::set_value(std::int64_t index, double value) {
  const DType from = DType::f64;
  ir::store(dtype, &data[static_cast<std::size_t>(index * byte_size(dtype))],
            ir::convert(dtype, from, {.real = value}));
}

Sizes infer_sizes(const Program& program, std::span<const HostArray> inputs, const Sizes& given) {
  const ir::Program& p = program.ir();
  if (inputs.size() != p.inputs.size()) {
    fail("{} takes {} input{}, here {} {}", p.name, p.inputs.size(), p.inputs.size() == 1 ? "" : "s",
         inputs.size() == 1 ? "is" : "are", inputs.size());
  }
  for (const auto& [name, size] : given) ir::require_symbol(p, name);
  Sizes sizes = given;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const ir::Tensor& tensor = *p.inputs[i];
    if (inputs[i].dtype != tensor.dtype || inputs[i].shape.size() != tensor.rank()) {
      fail("input {} of {} is {}, here is {}", tensor.name, p.name, text_of(tensor), inputs[i].type());
    }
    for (std::size_t d = 0; d < tensor.rank(); ++d) {
      if (tensor.shape[d]->kind != ir::ExprKind::variable) continue;
      sizes.emplace(tensor.shape[d]->var->name, inputs[i].shape[d]);
    }
  }
  const api::SymbolValues symbols(p, sizes);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<std::int64_t> expected = symbols.shape(*p.inputs[i]);
    if (inputs[i].shape == expected) continue;
    fail("input {} of {} is {}, which is {} for the other sizes, here is {}", p.inputs[i]->name, p.name,
         text_of(*p.inputs[i]), text_of(expected), text_of(inputs[i].shape));
  }
  return sizes;
}

std::vector<HostArray> random_inputs(const Program& program, const Sizes& sizes, std::uint64_t seed) {
  const ir::Program& p = program.ir();
  const api::SymbolValues symbols(p, sizes);
  const Program sized = program.bind(sizes);
  api::require_addressable(sized);
  std::vector<std::vector<std::byte>> data = autotune::random_inputs(sized.ir(), seed);
  std::vector<HostArray> arrays(data.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    arrays[i].dtype = p.inputs[i]->dtype;
    arrays[i].shape = symbols.shape(*p.inputs[i]);
    arrays[i].data = std::move(data[i]);
  }
  return arrays;
}

}  // namespace quern
