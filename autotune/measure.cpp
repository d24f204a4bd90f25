#include "autotune/measure.h"

#include <algorithm>
#include <cstring>

#include "autotune/random_inputs.h"

namespace quern::autotune {
namespace {

constexpr std::size_t kMaxSets = 8;
constexpr std::size_t kMaxBytes = std::size_t{16} << 30;

std::size_t bytes_of(const ir::Tensor& tensor, const StridedLayout& layout) {
  return static_cast<std::size_t>(layout.size() * byte_size(tensor.dtype));
}

// Elements as they lie in memory.
std::vector<std::byte> laid_out(const ir::Tensor& tensor, const StridedLayout& layout, std::vector<std::byte> dense) {
  if (tensor.strides.empty()) return dense;
  const auto bytes = byte_size(tensor.dtype);
  std::vector<std::byte> block(bytes_of(tensor, layout));
  layout.each([&](std::int64_t n, std::int64_t place) {
    std::memcpy(block.data() + place * bytes, dense.data() + n * bytes, static_cast<std::size_t>(bytes));
  });
  return block;
}

}  // namespace

ProblemData::ProblemData(const ir::Program& program, runtime::Device& device, std::uint64_t seed)
    : program_(program), device_(device) {
  std::vector<std::vector<std::byte>> random = random_inputs(program, seed);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < program.inputs.size(); ++i) {
    const ir::Tensor& input = *program.inputs[i];
    layouts_.push_back(layout_of(input));
    host_.push_back(laid_out(input, layouts_.back(), std::move(random[i])));
    bytes += host_.back().size();
  }
  for (const ir::Output& output : program.outputs) {
    layouts_.push_back(layout_of(*output.tensor));
    bytes += bytes_of(*output.tensor, layouts_.back());
  }
  const Target& target = device.info().target;
  const auto cache = static_cast<std::size_t>(2 * (target.is_gpu() ? target.gpu.l2_bytes : target.cpu.l3_bytes));
  const std::size_t wanted = bytes == 0 ? 1 : cache / bytes + 1;
  const std::size_t fit = std::max<std::size_t>(1, kMaxBytes / std::max<std::size_t>(bytes, 1));
  for (std::size_t set = 0; set < std::min({wanted, kMaxSets, fit}); ++set) {
    std::vector<runtime::Buffer>& buffers = buffers_.emplace_back();
    std::vector<void*>& pointers = pointers_.emplace_back();
    const auto add = [&](const ir::Tensor& tensor, std::size_t size) {
      const std::int64_t origin = layouts_[pointers.size()].origin() * byte_size(tensor.dtype);
      buffers.emplace_back(device, size);
      pointers.push_back(static_cast<std::byte*>(buffers.back().data()) + origin);
    };
    for (std::size_t i = 0; i < host_.size(); ++i) {
      add(*program.inputs[i], host_[i].size());
      device.upload(buffers.back().data(), host_[i].data(), host_[i].size(), nullptr);
    }
    for (const ir::Output& output : program.outputs) {
      if (output.updates) {
        const auto at = std::find(program.inputs.begin(), program.inputs.end(), output.updates);
        pointers.push_back(pointers[static_cast<std::size_t>(at - program.inputs.begin())]);
        buffers.emplace_back();
        continue;
      }
      add(*output.tensor, bytes_of(*output.tensor, layouts_[pointers.size()]));
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
  const ir::Output& output = program_.outputs[index];
  const StridedLayout& layout = output_layout(index);
  std::vector<std::byte> data(bytes_of(*output.tensor, layout));
  const auto* origin = static_cast<const std::byte*>(pointers_[0][program_.inputs.size() + index]);
  device_.download(data.data(), origin - layout.origin() * byte_size(output.tensor->dtype), data.size(), nullptr);
  return data;
}

std::vector<ir::HostTensor> ProblemData::inputs() const {
  std::vector<ir::HostTensor> all;
  for (std::size_t i = 0; i < host_.size(); ++i) {
    const ir::Tensor& tensor = *program_.inputs[i];
    const StridedLayout& layout = layouts_[i];
    const std::byte* origin = host_[i].data() + layout.origin() * byte_size(tensor.dtype);
    all.push_back({tensor.dtype, layout.shape(), layout.strides(), const_cast<std::byte*>(origin)});
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
