#include "bench/eager.h"

#include <optional>

#include "quern/builder.h"

namespace quern::bench {
namespace {

// In which sums of `dtype` were formed, and what follows them is computed.
DType wide(DType dtype) { return is_float(dtype) && dtype != DType::f64 ? DType::f32 : dtype; }

Program program_of(const BiasAct& after, const Sums& sums) {
  ProgramBuilder b("bias_act");
  const std::vector<Dim> dims(sums.shape.begin(), sums.shape.end());
  const DType dtype = wide(sums.dtype);
  const Tensor x = b.input("sums", sums.dtype, dims);
  std::optional<Tensor> bias;
  if (after.bias) bias = b.input("bias", sums.bias, {dims[sums.channel]});
  b.output(b.compute("y", dims, [&](const std::vector<Expr>& index) {
    Expr value = cast(dtype, x.at(index));
    if (bias) value = value + cast(dtype, bias->at({index[sums.channel]}));
    if (after.act != "none") value = call(after.act, {value});
    return cast(sums.out, value);
  }));
  return b.build();
}

std::size_t bytes_of(const Sums& sums) {
  auto bytes = static_cast<std::size_t>(byte_size(sums.dtype));
  for (const std::int64_t extent : sums.shape) bytes *= static_cast<std::size_t>(extent);
  return bytes;
}

}  // namespace

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
