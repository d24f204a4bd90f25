// The builders in text form: one row each. A new one is a function and a row.

#include <array>

#include "api/builder_call.h"

namespace quern::api {
namespace {

using Parameters = std::span<const BuilderParameter>;

constexpr std::string_view kActivations = "none|relu|gelu|gelu_tanh|silu|sigmoid|tanh";
constexpr std::string_view kSwitch = "on|off";

// --- what the rows share

constexpr BuilderParameter kRows = {"m", "", "size", "rows"};
constexpr BuilderParameter kColumns = {"n", "", "size", "columns"};
constexpr BuilderParameter kElements = {"n", "", "size", "elements"};

constexpr BuilderParameter dtype_parameter(std::string_view fallback) {
  return {"dtype", fallback, "dtype",
          "of the operands, and of the result unless out, function or reducer says otherwise"};
}

constexpr BuilderParameter kOut = {"out", "same", "dtype",
                                   "of the result; same: that of the operands, i32 for integers of 8 or 16 bits"};
constexpr BuilderParameter kGrade = {"grade", "exact", "exact|f32|tf32", "how products may be formed"};

std::optional<DType> out_of(const BuilderCall& call) {
  if (call.text("out") == "same") return std::nullopt;
  return call.dtype("out");
}

ProductOptions product_options(const BuilderCall& call) {
  return {.dtype = out_of(call), .grade = static_cast<Grade>(call.word("grade"))};
}

// The epilogue of a sum: an optional bias, read at one of the result's indices, then an activation.
Epilogue bias_and_activation(const BuilderCall& call, const std::optional<Tensor>& bias, std::size_t dimension) {
  if (!bias && call.text("act") == "none") return {};
  return [&call, bias, dimension](const Expr& sum, const std::vector<Expr>& index) {
    return call.activated("act", bias ? sum + cast(sum.dtype(), bias->at({index[dimension]})) : sum);
  };
}

// --- matrices

constexpr std::array kMatmul = {
    BuilderParameter{"m", "", "size", "rows of the result"},
    BuilderParameter{"n", "", "size", "columns of the result"},
    BuilderParameter{"k", "", "size", "elements of each sum"},
    dtype_parameter("f32"),
    BuilderParameter{"a", "row", "row|col", "layout of a: [m, k] or [k, m]"},
    BuilderParameter{"b", "row", "row|col", "layout of b: [k, n] or [n, k]"},
    kOut,
    kGrade,
};

constexpr std::array kBatchedMatmul = {
    BuilderParameter{"batch", "", "size", "products"},
    kMatmul[0],
    kMatmul[1],
    kMatmul[2],
    dtype_parameter("f32"),
    BuilderParameter{"a", "row", "row|col", "layout of a: [batch, m, k] or [batch, k, m]"},
    BuilderParameter{"b", "row", "row|col", "layout of b: [batch, k, n] or [batch, n, k]"},
    kOut,
    kGrade,
};

// a and b with `batch` ahead, multiplied.
void build_product(BuilderCall& call, const std::vector<Dim>& batch) {
  ProgramBuilder& b = call.builder();
  const Dim m = call.size("m");
  const Dim n = call.size("n");
  const Dim k = call.size("k");
  const auto operand = [&](const std::string& name, const Dim& rows, const Dim& columns, MatrixLayout layout) {
    std::vector<Dim> shape = batch;
    shape.push_back(layout == MatrixLayout::row ? rows : columns);
    shape.push_back(layout == MatrixLayout::row ? columns : rows);
    return b.input(name, call.dtype("dtype"), shape);
  };
  MatmulOptions options{.a = static_cast<MatrixLayout>(call.word("a")),
                        .b = static_cast<MatrixLayout>(call.word("b")),
                        .product = product_options(call)};
  options.product.name = "c";
  const Tensor left = operand("a", m, k, options.a);
  const Tensor right = operand("b", k, n, options.b);
  b.output(matmul(left, right, options));
}

void build_matmul(BuilderCall& call) { build_product(call, {}); }
void build_bmm(BuilderCall& call) { build_product(call, {call.size("batch")}); }

constexpr std::array kLinear = {
    BuilderParameter{"m", "", "size", "rows of x and of the result"},
    BuilderParameter{"n", "", "size", "outputs"},
    BuilderParameter{"k", "", "size", "features"},
    dtype_parameter("f32"),
    BuilderParameter{"w", "row", "row|col", "layout of the weights: [k, n] or [n, k]"},
    BuilderParameter{"bias", "on", kSwitch, "add a vector of n"},
    BuilderParameter{"act", "none", kActivations, "function of the result"},
    kOut,
    kGrade,
};

void build_linear(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  const DType dtype = call.dtype("dtype");
  const Dim m = call.size("m");
  const Dim n = call.size("n");
  const Dim k = call.size("k");
  const auto layout = static_cast<MatrixLayout>(call.word("w"));
  const Tensor x = b.input("x", dtype, {m, k});
  const bool row = layout == MatrixLayout::row;
  const Tensor w = b.input("w", dtype, row ? std::vector{k, n} : std::vector{n, k}, {.constant = true});
  std::optional<Tensor> bias;
  if (call.flag("bias")) bias = b.input("b", dtype, {n});
  MatmulOptions options{.b = layout, .product = product_options(call)};
  options.product.epilogue = bias_and_activation(call, bias, 1);
  b.output(matmul(x, w, options));
}

// --- convolution

constexpr std::array kConv2d = {
    BuilderParameter{"n", "", "size", "images"},
    BuilderParameter{"c", "", "size", "channels of an image"},
    BuilderParameter{"h", "", "size", "rows of an image"},
    BuilderParameter{"w", "", "size", "columns of an image"},
    BuilderParameter{"k", "", "size", "filters"},
    BuilderParameter{"r", "", "size", "rows of a filter"},
    BuilderParameter{"s", "", "size", "columns of a filter"},
    BuilderParameter{"stride", "1", "integers: all, or rows x columns (2x1)", "steps between the filter's places"},
    BuilderParameter{"pad", "0", "integers: all, rows x columns (1x2), or top x bottom x left x right (0x1x0x1)",
                     "zeros around an image"},
    BuilderParameter{"dilation", "1", "integers: all, or rows x columns (2x1)", "steps between the filter's elements"},
    BuilderParameter{"groups", "1", "integer", "groups of channels that are convolved apart"},
    BuilderParameter{"layout", "nchw", "nchw|nhwc", "of images and filters: [k, c, r, s] or [k, r, s, c]"},
    dtype_parameter("f32"),
    BuilderParameter{"bias", "off", kSwitch, "add a vector of k"},
    BuilderParameter{"act", "none", kActivations, "function of the result"},
    kOut,
    kGrade,
};

std::array<std::int64_t, 2> pair(const BuilderCall& call, std::string_view name) {
  const std::vector<std::int64_t> values = call.integers(name);
  if (values.size() > 2) call.fail_value(name, "integers: all, or rows x columns (2x1)");
  return {values.front(), values.back()};
}

std::array<std::int64_t, 4> padding_of(const BuilderCall& call) {
  const std::vector<std::int64_t> values = call.integers("pad");
  if (values.size() == 4) return {values[0], values[1], values[2], values[3]};
  if (values.size() > 2) call.fail_value("pad", "one, two (1x2) or four integers (0x1x0x1)");
  return {values.front(), values.front(), values.back(), values.back()};
}

void build_conv2d(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  const DType dtype = call.dtype("dtype");
  Conv2dOptions options{.stride = pair(call, "stride"),
                        .padding = padding_of(call),
                        .dilation = pair(call, "dilation"),
                        .groups = call.integer("groups"),
                        .layout = static_cast<ImageLayout>(call.word("layout")),
                        .product = product_options(call)};
  if (options.groups < 1) call.fail_value("groups", "an integer from 1 on");
  const Dim n = call.size("n");
  const Dim c = call.size("c");
  const Dim h = call.size("h");
  const Dim w = call.size("w");
  const Dim k = call.size("k");
  const Dim r = call.size("r");
  const Dim s = call.size("s");
  // conv2d itself refuses channels that the groups don't divide.
  const std::optional<std::int64_t> channels = c.as_integer();
  if (options.groups > 1 && (!channels || *channels % options.groups != 0)) {
    call.fail_value("c", "a number that its " + std::to_string(options.groups) + " groups divide");
  }
  const Dim per_group = options.groups == 1 ? c : Dim(*channels / options.groups);
  const bool nhwc = options.layout == ImageLayout::nhwc;
  const Tensor x = b.input("x", dtype, nhwc ? std::vector{n, h, w, c} : std::vector{n, c, h, w});
  const Tensor f =
      b.input("f", dtype, nhwc ? std::vector{k, r, s, per_group} : std::vector{k, per_group, r, s}, {.constant = true});
  std::optional<Tensor> bias;
  if (call.flag("bias")) bias = b.input("bias", dtype, {k});
  options.product.epilogue = bias_and_activation(call, bias, nhwc ? 3 : 1);
  b.output(conv2d(x, f, options));
}

// --- elementwise

constexpr std::array kAdd = {kElements, dtype_parameter("f32")};

void build_add(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  const Dim n = call.size("n");
  const Tensor x = b.input("a", call.dtype("dtype"), {n});
  const Tensor y = b.input("b", call.dtype("dtype"), {n});
  b.output(elementwise("add", {x, y}));
}

constexpr std::array kMatrix = {kRows, kColumns, dtype_parameter("f32")};

void build_bias_gelu_mul_residual(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  const DType dtype = call.dtype("dtype");
  const Dim m = call.size("m");
  const Dim n = call.size("n");
  const Tensor x = b.input("x", dtype, {m, n});
  const Tensor bias = b.input("bias", dtype, {n});
  const Tensor gate = b.input("gate", dtype, {m, n});
  const Tensor residual = b.input("residual", dtype, {m, n});
  b.output(elementwise({x, bias, gate, residual},
                       [](const std::vector<Expr>& e) { return gelu(e[0] + e[1]) * e[2] + e[3]; }));
}

void build_transpose2d(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  b.output(transpose(b.input("x", call.dtype("dtype"), {call.size("m"), call.size("n")})));
}

// --- reductions

void build_sum(BuilderCall& call, const std::vector<Dim>& shape, std::vector<int> axes) {
  ProgramBuilder& b = call.builder();
  const Tensor x = b.input("x", call.dtype("dtype"), shape);
  b.output(reduce("sum", x, {.axes = std::move(axes)}));
}

void build_row_sum(BuilderCall& call) { build_sum(call, {call.size("m"), call.size("n")}, {1}); }
void build_col_sum(BuilderCall& call) { build_sum(call, {call.size("m"), call.size("n")}, {0}); }

constexpr std::array kVector = {kElements, dtype_parameter("f32")};

void build_full_sum(BuilderCall& call) { build_sum(call, {call.size("n")}, {0}); }

void build_softmax(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  b.output(softmax(b.input("x", call.dtype("dtype"), {call.size("m"), call.size("n")})));
}

constexpr std::array kLayerNorm = {
    kRows,
    kColumns,
    dtype_parameter("f32"),
    BuilderParameter{"weight", "on", kSwitch, "multiply by a vector of n"},
    BuilderParameter{"bias", "on", kSwitch, "add a vector of n"},
    BuilderParameter{"residual", "off", kSwitch, "add a matrix to x first"},
    BuilderParameter{"eps", "1e-5", "number", "added to the variance"},
};

constexpr std::array kRmsNorm = {
    kRows,
    kColumns,
    dtype_parameter("f32"),
    BuilderParameter{"weight", "on", kSwitch, "multiply by a vector of n"},
    BuilderParameter{"residual", "off", kSwitch, "add a matrix to x first"},
    BuilderParameter{"eps", "1e-5", "number", "added to the mean of the squares"},
};

// x, with a residual where it is asked for, in the dtype in which norms compute.
Tensor norm_input(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  const DType dtype = call.dtype("dtype");
  const std::vector<Dim> shape = {call.size("m"), call.size("n")};
  Tensor x = b.input("x", dtype, shape);
  if (!call.flag("residual")) return x;
  const Tensor residual = b.input("residual", dtype, shape);
  const DType wide = dtype == DType::f64 ? DType::f64 : DType::f32;
  return elementwise("add", {x, residual}, wide, "t");
}

NormOptions norm_options(BuilderCall& call, bool takes_bias) {
  ProgramBuilder& b = call.builder();
  const DType dtype = call.dtype("dtype");
  NormOptions options{.epsilon = call.number("eps"), .dtype = dtype};
  if (call.flag("weight")) options.weight = b.input("weight", dtype, {call.size("n")});
  if (takes_bias && call.flag("bias")) options.bias = b.input("bias", dtype, {call.size("n")});
  return options;
}

void build_layer_norm(BuilderCall& call) {
  const Tensor x = norm_input(call);
  call.builder().output(layer_norm(x, norm_options(call, true)));
}

void build_rms_norm(BuilderCall& call) {
  const Tensor x = norm_input(call);
  call.builder().output(rms_norm(x, norm_options(call, false)));
}

// --- attention

constexpr std::array kAttention = {
    BuilderParameter{"batch", "", "size", "sequences"},
    BuilderParameter{"heads", "", "size", "of each"},
    BuilderParameter{"q", "", "size", "queries"},
    BuilderParameter{"kv", "", "size", "keys and values"},
    BuilderParameter{"d", "", "size", "elements of a query, a key and a value"},
    dtype_parameter("bf16"),
    BuilderParameter{"causal", "off", kSwitch, "query i sees the keys j <= i alone"},
};

void build_attention(BuilderCall& call) {
  ProgramBuilder& b = call.builder();
  const DType dtype = call.dtype("dtype");
  const std::vector<Dim> queries{call.size("batch"), call.size("heads"), call.size("q"), call.size("d")};
  std::vector<Dim> keys = queries;
  keys[2] = call.size("kv");
  const Tensor q = b.input("q", dtype, queries);
  const Tensor k = b.input("k", dtype, keys);
  const Tensor v = b.input("v", dtype, keys);
  b.output(attention(q, k, v, {.causal = call.flag("causal")}));
}

const std::array kTable = {
    BuilderRow{{"matmul", "c = a b", Parameters(kMatmul)}, build_matmul},
    BuilderRow{{"bmm", "c[b] = a[b] b[b], for each of a batch", Parameters(kBatchedMatmul)}, build_bmm},
    BuilderRow{{"linear", "y = act(x w + b)", Parameters(kLinear)}, build_linear},
    BuilderRow{{"conv2d", "y = act(x convolved with f + bias)", Parameters(kConv2d)}, build_conv2d},
    BuilderRow{{"add", "y = a + b of vectors", Parameters(kAdd)}, build_add},
    BuilderRow{
        {"bias_gelu_mul_residual", "y = gelu(x + bias) * gate + residual, a bias per column", Parameters(kMatrix)},
        build_bias_gelu_mul_residual},
    BuilderRow{{"transpose2d", "y = x transposed", Parameters(kMatrix)}, build_transpose2d},
    BuilderRow{{"row_sum", "y[i] = sum of row i of x", Parameters(kMatrix)}, build_row_sum},
    BuilderRow{{"col_sum", "y[j] = sum of column j of x", Parameters(kMatrix)}, build_col_sum},
    BuilderRow{{"full_sum", "y = sum of all of x", Parameters(kVector)}, build_full_sum},
    BuilderRow{{"softmax", "y = softmax of every row of x", Parameters(kMatrix)}, build_softmax},
    BuilderRow{{"layer_norm", "y = layer_norm of every row of x", Parameters(kLayerNorm)}, build_layer_norm},
    BuilderRow{{"rms_norm", "y = rms_norm of every row of x", Parameters(kRmsNorm)}, build_rms_norm},
    BuilderRow{{"attention", "y = softmax(q k^T / sqrt(d)) v, for each of batch x heads", Parameters(kAttention)},
               build_attention},
};

}  // namespace

std::span<const BuilderRow> builder_table() {
  static const std::vector<BuilderRow> kAll = [] {
    std::vector<BuilderRow> all(kTable.begin(), kTable.end());
    const std::span<const BuilderRow> general = general_builders();
    all.insert(all.end(), general.begin(), general.end());
    return all;
  }();
  return kAll;
}

}  // namespace quern::api
