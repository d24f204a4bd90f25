#include "bench/eager.h"

#include <optional>

#include "quern/builder.h"
#include "quern/operators.h"

namespace quern::bench {
namespace {

// In which sums of `dtype` were formed, and what follows them is computed.
DType wide(DType dtype) { return is_float(dtype) && dtype != DType::f64 ? DType::f32 : dtype; }

// act(sums + bias), a bias in the channel's dimension.
Tensor finished(ProgramBuilder& b, const BiasAct& after, const Sums& as, const Tensor& sums,
                const std::optional<Tensor>& bias) {
  const std::vector<Dim> dims(as.shape.begin(), as.shape.end());
  const DType dtype = wide(as.dtype);
  return b.compute("y", dims, [&](const std::vector<Expr>& index) {
    Expr value = cast(dtype, sums.at(index));
    if (bias) value = value + cast(dtype, bias->at({index[as.channel]}));
    if (after.act != "none") value = call(after.act, {value});
    return cast(as.out, value);
  });
}

std::optional<Tensor> bias_input(ProgramBuilder& b, const BiasAct& after, const Sums& sums) {
  if (!after.bias) return std::nullopt;
  return b.input("bias", sums.bias, {sums.shape[sums.channel]});
}

Program program_of(const BiasAct& after, const Sums& sums) {
  ProgramBuilder b("bias_act");
  const Tensor x = b.input("sums", sums.dtype, {sums.shape.begin(), sums.shape.end()});
  const std::optional<Tensor> bias = bias_input(b, after, sums);
  b.output(finished(b, after, sums, x, bias));
  return b.build();
}

std::size_t bytes_of(const Sums& sums) {
  auto bytes = static_cast<std::size_t>(byte_size(sums.dtype));
  for (const std::int64_t extent : sums.shape) bytes *= static_cast<std::size_t>(extent);
  return bytes;
}

}  // namespace

Sums sums_of(const Product& p) {
  return {.shape = {p.m, p.n}, .channel = 1, .dtype = p.out, .bias = p.dtype, .out = p.out};
}

Sums sums_of(const Convolution& c) {
  const std::int64_t p = c.out_rows(), q = c.out_columns();
  return {.shape = c.nhwc ? std::vector{c.n, p, q, c.k} : std::vector{c.n, c.k, p, q},
          .channel = c.nhwc ? std::size_t{3} : std::size_t{1},
          .dtype = c.out,
          .bias = c.dtype,
          .out = c.out};
}

Program eager_program(const Product& p) {
  ProgramBuilder b("product");
  const auto matrix = [&](const char* name, std::int64_t rows, std::int64_t columns, bool transposed) {
    return b.input(name, p.dtype, transposed ? std::vector<Dim>{columns, rows} : std::vector<Dim>{rows, columns});
  };
  const Tensor x = matrix("a", p.m, p.k, p.a_transposed), w = matrix("b", p.k, p.n, p.b_transposed);
  const Sums sums = sums_of(p);
  const std::optional<Tensor> bias = bias_input(b, p.after, sums);
  const auto layout = [](bool transposed) { return transposed ? MatrixLayout::col : MatrixLayout::row; };
  const Tensor product =
      matmul(x, w,
             {.a = layout(p.a_transposed),
              .b = layout(p.b_transposed),
              .product = {.dtype = p.out, .grade = p.tf32 ? Grade::tf32 : Grade::exact, .name = "sums"}});
  b.output(finished(b, p.after, sums, product, bias));
  return b.build();
}

Program eager_program(const Convolution& c) {
  ProgramBuilder b("convolution");
  const std::int64_t depth = c.c / c.groups;
  const Tensor x =
      b.input("x", c.dtype, c.nhwc ? std::vector<Dim>{c.n, c.h, c.w, c.c} : std::vector<Dim>{c.n, c.c, c.h, c.w});
  const Tensor f =
      b.input("f", c.dtype, c.nhwc ? std::vector<Dim>{c.k, c.r, c.s, depth} : std::vector<Dim>{c.k, depth, c.r, c.s});
  const Sums sums = sums_of(c);
  const std::optional<Tensor> bias = bias_input(b, c.after, sums);
  const Tensor convolution =
      conv2d(x, f,
             {.stride = c.stride,
              .padding = c.padding,
              .dilation = c.dilation,
              .groups = c.groups,
              .layout = c.nhwc ? ImageLayout::nhwc : ImageLayout::nchw,
              .product = {.dtype = c.out, .grade = c.tf32 ? Grade::tf32 : Grade::exact, .name = "sums"}});
  b.output(finished(b, c.after, sums, convolution, bias));
  return b.build();
}

Eager::Eager(const Device& device, const BiasAct& after, const Sums& sums)
    : bias_(after.bias),
      sums_(device, bytes_of(sums)),
      kernel_(compile(program_of(after, sums), {.device = device.info().id, .use_store = false})) {}

void Eager::finish(std::span<void* const> arguments, void* stream) const {
  std::vector<void*> own = {sums()};
  if (bias_) own.push_back(arguments[arguments.size() - 2]);
  own.push_back(arguments.back());
  kernel_.launch(own, {}, stream);
}

}  // namespace quern::bench
