#pragma once
// A problem's data on a device, and the time that a program takes on it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/strided_layout.h"
#include "ir/evaluate.h"
#include "ir/tensor.h"
#include "runtime/device.h"

namespace quern::autotune {

// Random inputs of a program without symbols, in host memory and, several times, on a device: sets of buffers that
// together exceed twice the device's last-level cache, so that a launch finds none of its data there. Not thread-safe.
class ProblemData {
 public:
  ProblemData(const ir::Program& program, runtime::Device& device, std::uint64_t seed);

  // Pointers in the order of a launch, of one set.
  std::span<void* const> pointers(std::size_t set) const { return pointers_[set % pointers_.size()]; }
  std::size_t sets() const { return pointers_.size(); }

  // Fills the outputs of set 0 with a pattern that no right result holds.
  void poison();
  // The block of memory of output `index` of set 0, and where its elements lie there.
  const StridedLayout& output_layout(std::size_t index) const { return layouts_[program_.inputs.size() + index]; }
  std::vector<std::byte> download(std::size_t index) const;
  // As the reference evaluator takes them.
  std::vector<ir::HostTensor> inputs() const;

 private:
  const ir::Program& program_;
  runtime::Device& device_;
  std::vector<StridedLayout> layouts_;                 // inputs, outputs
  std::vector<std::vector<std::byte>> host_;           // inputs, as they lie in memory
  std::vector<std::vector<runtime::Buffer>> buffers_;  // per set: inputs, outputs
  std::vector<std::vector<void*>> pointers_;
};

// Seconds of `samples` launches after `warmup` ones, walking through the sets.
std::vector<double> measure(runtime::LoadedProgram& program, const ProblemData& data, runtime::Device& device,
                            int warmup, int samples);

}  // namespace quern::autotune
