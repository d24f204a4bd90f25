#include "autotune/measure.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/generate.h"

namespace quern::autotune {
namespace {

constexpr std::size_t kMaxSets = 8;
constexpr std::size_t kMaxBytes = std::size_t{16} << 30;
constexpr std::int64_t kPattern = 1 << 20;  // elements of random data, repeated in larger tensors

std::int64_t extent_of(const ir::Expr& e) {
  const auto value = ir::as_integer(e);
  ensure(value.has_value(), "a problem is measured at known sizes");
  return *value;
}

// Elements from a tensor's first byte on, for strides of any kind but negative ones.
std::int64_t reach(const ir::Tensor& tensor) {
  const std::vector<ir::Expr> strides = ir::element_strides(tensor);
  std::int64_t last = 0;
  for (std::size_t d = 0; d < tensor.rank(); ++d) {
    const std::int64_t extent = extent_of(tensor.shape[d]);
    if (extent == 0) return 0;
    last += (extent - 1) * extent_of(strides[d]);
  }
  return last + 1;
}

std::vector<std::byte> random_floats(DType dtype, std::int64_t count, std::uint64_t seed) {
  const auto size = static_cast<std::size_t>(byte_size(dtype));
  std::vector<std::byte> data(static_cast<std::size_t>(count) * size);
  const std::int64_t distinct = std::min(count, kPattern + 1);  // odd against powers of two
  for (std::int64_t i = 0; i < distinct; ++i) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    const double value = static_cast<double>(static_cast<std::int64_t>(seed) >> 11) * 0x1p-52;
    store_element(dtype, data.data(), i, value);
  }
  for (std::size_t done = static_cast<std::size_t>(distinct) * size; done < data.size();) {
    const std::size_t part = std::min(done, data.size() - done);
    std::memcpy(data.data() + done, data.data(), part);
    done += part;
  }
  return data;
}

}  // namespace

ProblemData::ProblemData(const ir::Program& program, runtime::Device& device, std::uint64_t seed)
    : program_(program), device_(device) {
  const bool floats = std::all_of(program.inputs.begin(), program.inputs.end(),
                                  [](const ir::TensorRef& t) { return is_float(t->dtype); });
  if (floats) {
    for (const ir::TensorRef& input : program.inputs)
      host_.push_back(random_floats(input->dtype, reach(*input), ++seed));
  } else {
    for (ir::OwnedTensor& tensor : ir::generate_inputs(program, {}, seed)) host_.push_back(std::move(tensor.bytes));
  }
  std::size_t bytes = 0;
  for (const auto& input : host_) bytes += input.size();
  for (const ir::Output& output : program.outputs) {
    bytes += static_cast<std::size_t>(reach(*output.tensor) * byte_size(output.tensor->dtype));
  }
  const Target& target = device.info().target;
  const auto cache = static_cast<std::size_t>(2 * (target.is_gpu() ? target.gpu.l2_bytes : target.cpu.l3_bytes));
  const std::size_t wanted = bytes == 0 ? 1 : cache / bytes + 1;
  const std::size_t fit = std::max<std::size_t>(1, kMaxBytes / std::max<std::size_t>(bytes, 1));
  for (std::size_t set = 0; set < std::min({wanted, kMaxSets, fit}); ++set) {
    std::vector<runtime::Buffer>& buffers = buffers_.emplace_back();
    std::vector<void*>& pointers = pointers_.emplace_back();
    for (const auto& input : host_) {
      buffers.emplace_back(device, input.size());
      device.upload(buffers.back().data(), input.data(), input.size(), nullptr);
      pointers.push_back(buffers.back().data());
    }
    for (const ir::Output& output : program.outputs) {
      if (output.updates) {
        const auto at = std::find(program.inputs.begin(), program.inputs.end(), output.updates);
        pointers.push_back(pointers[static_cast<std::size_t>(at - program.inputs.begin())]);
        buffers.emplace_back();
        continue;
      }
      buffers.emplace_back(device, static_cast<std::size_t>(reach(*output.tensor) * byte_size(output.tensor->dtype)));
      pointers.push_back(buffers.back().data());
    }
  }
}

void ProblemData::poison() {
  for (std::size_t o = 0; o < program_.outputs.size(); ++o) {
    const runtime::Buffer& buffer = buffers_[0][program_.inputs.size() + o];
    if (buffer.size()) device_.fill(buffer.data(), 0xff, buffer.size(), nullptr);
  }
  for (std::size_t i = 0; i < host_.size(); ++i) {
    device_.upload(buffers_[0][i].data(), host_[i].data(), host_[i].size(), nullptr);
  }
}

std::vector<std::byte> ProblemData::download(std::size_t index) const {
  const ir::Tensor& tensor = *program_.outputs[index].tensor;
  std::vector<std::byte> data(static_cast<std::size_t>(reach(tensor) * byte_size(tensor.dtype)));
  device_.download(data.data(), pointers_[0][program_.inputs.size() + index], data.size(), nullptr);
  return data;
}

std::vector<ir::HostTensor> ProblemData::inputs() const {
  std::vector<ir::HostTensor> all;
  for (std::size_t i = 0; i < host_.size(); ++i) {
    const ir::Tensor& tensor = *program_.inputs[i];
    ir::HostTensor host{tensor.dtype, {}, {}, const_cast<std::byte*>(host_[i].data())};
    for (const ir::Expr& extent : tensor.shape) host.shape.push_back(extent_of(extent));
    for (const ir::Expr& stride : tensor.strides) host.strides.push_back(extent_of(stride));
    all.push_back(std::move(host));
  }
  return all;
}

std::vector<double> measure(runtime::LoadedProgram& program, const ProblemData& data, runtime::Device& device,
                            int warmup, int samples) {
  for (std::size_t set = 0; set < data.sets(); ++set) program.prepare(data.pointers(set), {}, nullptr);
  std::size_t set = 0;
  return device.measure([&](void* stream) { program.launch(data.pointers(set++), {}, stream, nullptr); }, warmup,
                        samples, nullptr);
}

}  // namespace quern::autotune
