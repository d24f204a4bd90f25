// The operators on tensors of any shape as builder calls: a shape is 8x16 or, with symbols, 'm, n'; several are
// separated by ';'. Operands are named a, b, c, ... where there are several, else x.

#include <fmt/format.h>

#include <array>
#include <limits>

#include "api/builder_call.h"
#include "base/error.h"
#include "base/numeric.h"

namespace quern::api {
namespace {

constexpr BuilderParameter kShape = {"shape", "", "shape", "of x"};
constexpr BuilderParameter kShapes = {"shapes", "", "shapes", "of the operands, separated by ';': '3x4; 2x4'"};
constexpr BuilderParameter kDtype = {
    "dtype", "f32", "dtype", "of the operands, and of the result unless out, function or reducer says otherwise"};

Tensor input_x(BuilderCall& call) { return call.builder().input("x", call.dtype("dtype"), call.shape("shape")); }

std::vector<Tensor> inputs(BuilderCall& call) {
  constexpr std::string_view kNames = "abcdefgh";
  std::vector<Tensor> operands;
  for (const std::vector<Dim>& shape : call.shapes("shapes")) {
    if (operands.size() == kNames.size()) call.fail_value("shapes", fmt::format("at most {} shapes", kNames.size()));
    operands.push_back(call.builder().input(std::string(1, kNames[operands.size()]), call.dtype("dtype"), shape));
  }
  return operands;
}

constexpr std::array kElementwise = {
    BuilderParameter{"function", "", "function", "a scalar function, such as add, max or gelu (docs/language.md)"},
    kShapes,
    kDtype,
};

void build_elementwise(BuilderCall& call) { call.builder().output(elementwise(call.text("function"), inputs(call))); }

constexpr std::array kEinsum = {
    BuilderParameter{"equation", "", "equation", "as NumPy writes it: 'bij,bjk->bik'"},
    kShapes,
    kDtype,
    BuilderParameter{"out", "same", "dtype",
                     "of the result; same: that of the operands, i32 for integers of 8 or 16 bits"},
    BuilderParameter{"grade", "exact", "exact|f32|tf32", "how products may be formed"},
};

void build_einsum(BuilderCall& call) {
  ProductOptions options{.grade = static_cast<Grade>(call.word("grade"))};
  if (call.text("out") != "same") options.dtype = call.dtype("out");
  call.builder().output(einsum(call.text("equation"), inputs(call), options));
}

constexpr std::array kReduce = {
    BuilderParameter{"reducer", "", "reducer", "sum, max, argmax, mean, welford, ... (docs/language.md)"},
    kShape,
    BuilderParameter{"axes", "all", "integers", "dimensions reduced, as 0x2, negative from the end; all"},
    BuilderParameter{"keep", "off", "on|off", "reduced dimensions stay, of size 1"},
    kDtype,
};

// The dimensions that a parameter lists; empty for `none`, the word that stands for the default.
std::vector<int> dimensions(const BuilderCall& call, std::string_view name, std::string_view none) {
  std::vector<int> result;
  if (call.text(name) == none) return result;
  for (const std::int64_t value : call.integers(name)) result.push_back(static_cast<int>(value));
  return result;
}

void build_reduce(BuilderCall& call) {
  call.builder().output(reduce(call.text("reducer"), input_x(call),
                               {.axes = dimensions(call, "axes", "all"), .keepdims = call.flag("keep")}));
}

constexpr std::array kTranspose = {
    kShape,
    BuilderParameter{"order", "reversed", "integers", "dimension d of y is dimension order[d] of x, as 1x0x2"},
    kDtype,
};

void build_transpose(BuilderCall& call) {
  call.builder().output(transpose(input_x(call), dimensions(call, "order", "reversed")));
}

constexpr std::array kReshape = {
    kShape,
    BuilderParameter{"to", "", "shape, -1", "of y; one size may be -1: what is left"},
    kDtype,
};

void build_reshape(BuilderCall& call) { call.builder().output(reshape(input_x(call), call.shape("to"))); }

constexpr std::array kSlice = {
    kShape,
    BuilderParameter{
        "ranges", "", "ranges",
        "begin:end:step of each dimension, any left out: '1:9, ::-2'. Places count from 0 on, none from the "
        "end; they lie inside, the end not before the begin in the step's direction"},
    kDtype,
};

void build_slice(BuilderCall& call) { call.builder().output(slice(input_x(call), call.ranges("ranges"))); }

constexpr std::array kPad = {
    kShape,
    BuilderParameter{"before", "", "shape", "elements ahead of each dimension"},
    BuilderParameter{"after", "", "shape", "elements behind each dimension"},
    BuilderParameter{"value", "0", "number", "of these elements; inf, -inf and nan too"},
    kDtype,
};

// The value as the dtype has it.
Expr padding_of(const BuilderCall& call, DType dtype) {
  using Limits = std::numeric_limits<double>;
  const std::string& text = call.text("value");
  const double value = text == "inf"    ? Limits::infinity()
                       : text == "-inf" ? -Limits::infinity()
                       : text == "nan"  ? Limits::quiet_NaN()
                                        : call.number("value");
  if (is_float(dtype)) return value;
  const std::int64_t integer = integer_from_double(dtype, value);
  if (static_cast<double>(integer) != value) call.fail_value("value", fmt::format("one of {}", name(dtype)));
  return is_bool(dtype) ? Expr(integer != 0) : Expr(integer);
}

void build_pad(BuilderCall& call) {
  const Tensor x = input_x(call);
  call.builder().output(pad(x, call.shape("before"), call.shape("after"), padding_of(call, x.dtype())));
}

constexpr std::array kConcat = {
    kShapes,
    BuilderParameter{"axis", "0", "integer", "along which they lie one after the other"},
    kDtype,
};

void build_concat(BuilderCall& call) {
  call.builder().output(concat(inputs(call), static_cast<int>(call.integer("axis"))));
}

const std::array kTable = {
    BuilderRow{{"elementwise", "y = function(a, ...), broadcast as NumPy does", kElementwise}, build_elementwise},
    BuilderRow{{"einsum", "y = Einstein's summation of a, ...", kEinsum}, build_einsum},
    BuilderRow{{"reduce", "y = the reducer over some dimensions of x", kReduce}, build_reduce},
    BuilderRow{{"transpose", "y = x with its dimensions permuted", kTranspose}, build_transpose},
    BuilderRow{{"reshape", "y = x under another shape", kReshape}, build_reshape},
    BuilderRow{{"slice", "y = parts of x", kSlice}, build_slice},
    BuilderRow{{"pad", "y = x with a value around it", kPad}, build_pad},
    BuilderRow{{"concat", "y = a, ... one after the other", kConcat}, build_concat},
};

}  // namespace

std::span<const BuilderRow> general_builders() { return kTable; }

}  // namespace quern::api
