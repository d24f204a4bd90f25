#include "tests/pipeline/differential.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

#include "base/numeric.h"
#include "compiler/strategies/strategy.h"
#include "ir/bounds.h"
#include "ir/evaluate.h"
#include "ir/generate.h"
#include "ir/printer.h"
#include "pipeline/compile.h"

namespace quern::pipeline {
namespace {

std::string join(std::span<const std::int64_t> values) {
  std::string text;
  for (const std::int64_t v : values) text += fmt::format("{}{}", text.empty() ? "" : ", ", v);
  return text;
}

// All coordinates of a shape, in row-major order.
std::vector<ir::Coordinate> all_coordinates(const std::vector<std::int64_t>& shape) {
  std::vector<ir::Coordinate> all{{}};
  for (const std::int64_t extent : shape) {
    std::vector<ir::Coordinate> longer;
    for (const ir::Coordinate& prefix : all) {
      for (std::int64_t i = 0; i < extent; ++i) {
        longer.push_back(prefix);
        longer.back().push_back(i);
      }
    }
    all = std::move(longer);
  }
  return all;
}

double element(const ir::HostTensor& tensor, std::int64_t index) {
  return load_element(tensor.dtype, tensor.data, index);
}

// The device's copy of a host tensor's bytes.
runtime::Buffer upload(runtime::Device& device, const ir::OwnedTensor& tensor) {
  runtime::Buffer buffer(device, tensor.bytes.size());
  device.upload(buffer.data(), tensor.bytes.data(), tensor.bytes.size(), nullptr);
  return buffer;
}

// The pointer that stands for the tensor: where its first element lies in the copy.
void* place(const runtime::Buffer& buffer, const ir::OwnedTensor& tensor) {
  const auto offset = static_cast<const std::byte*>(tensor.host.data) - tensor.bytes.data();
  return buffer.data() == nullptr ? nullptr : static_cast<std::byte*>(buffer.data()) + offset;
}

}  // namespace

ChooseSchedule choose_random(const Target& target, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return [target, random](const ir::Program& kernel, const compiler::Strategy& strategy) mutable {
    std::vector<compiler::Schedule> legal;
    for (const compiler::Schedule& schedule : strategy.candidates(kernel, target)) {
      if (strategy.check(kernel, schedule, target)) legal.push_back(schedule);
    }
    if (legal.empty()) return strategy.fallback(kernel, target);
    return legal[random() % legal.size()];
  };
}

std::string differ(const ir::Program& program, std::span<const std::int64_t> sizes, runtime::Device& device,
                   const ChooseSchedule& choose, std::uint64_t seed) {
  std::string schedules = "not chosen";
  const auto report = [&](const std::string& what) {
    return fmt::format("{}\nseed {}, sizes [{}], on {}, schedules {}\n{}", what, seed, join(sizes), device.info().id,
                       schedules, ir::to_string(program));
  };
  try {
    const Target& target = device.info().target;
    const ScheduledProgram scheduled = schedule_program(program, target, choose);
    schedules = to_string(scheduled);
    const Artifact artifact = compile(scheduled, target);
    const auto loaded = device.load(artifact.plan, artifact.binary);

    std::vector<ir::OwnedTensor> inputs = ir::generate_inputs(program, sizes, seed);
    std::vector<ir::OwnedTensor> outputs = ir::allocate_outputs(program, sizes);
    std::vector<ir::HostTensor> input_hosts;
    for (const ir::OwnedTensor& input : inputs) input_hosts.push_back(input.host);
    std::vector<runtime::Buffer> buffers;
    std::vector<void*> pointers;
    for (const ir::OwnedTensor& input : inputs) {
      buffers.push_back(upload(device, input));
      pointers.push_back(place(buffers.back(), input));
    }
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      const ir::TensorRef& updates = program.outputs[o].updates;
      if (updates) {
        std::size_t source = 0;
        while (program.inputs[source] != updates) ++source;
        pointers.push_back(pointers[source]);
        buffers.emplace_back();
        continue;
      }
      std::fill(outputs[o].bytes.begin(), outputs[o].bytes.end(), std::byte{0xff});
      buffers.push_back(upload(device, outputs[o]));
      pointers.push_back(place(buffers.back(), outputs[o]));
    }
    loaded->launch(pointers, sizes, nullptr, nullptr);
    device.synchronize(nullptr);
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      if (outputs[o].bytes.empty()) continue;
      const ir::TensorRef& updates = program.outputs[o].updates;
      if (updates) {
        device.download(outputs[o].bytes.data(), pointers[inputs.size() + o], outputs[o].bytes.size(), nullptr);
      } else {
        device.download(outputs[o].bytes.data(), buffers[inputs.size() + o].data(), outputs[o].bytes.size(), nullptr);
      }
      const std::vector<ir::Coordinate> coordinates = all_coordinates(outputs[o].host.shape);
      const std::vector<ir::Checked> expected = ir::evaluate_with_bounds(program, sizes, input_hosts, o, coordinates);
      const std::vector<std::int64_t>& strides = outputs[o].host.strides;
      for (std::size_t c = 0; c < coordinates.size(); ++c) {
        std::int64_t index = strides.empty() ? static_cast<std::int64_t>(c) : 0;
        for (std::size_t d = 0; d < strides.size(); ++d) index += coordinates[c][d] * strides[d];
        const double computed = element(outputs[o].host, index);
        if (ir::admits(expected[c], computed)) continue;
        return report(fmt::format("output {} [{}] is {}, the reference {} within {}", program.outputs[o].tensor->name,
                                  join(coordinates[c]), computed, expected[c].value, expected[c].bound));
      }
    }
  } catch (const std::exception& e) {
    return report(e.what());
  }
  return {};
}

std::string differ_generated(std::uint64_t seed, runtime::Device& device) {
  const ir::Program program = ir::generate_program(seed);
  const std::vector<std::int64_t> sizes = ir::generate_sizes(program, seed);
  const Target& target = device.info().target;
  return differ(program, sizes, device, seed % 2 ? choose_random(target, seed) : choose_fallback(target), seed);
}

}  // namespace quern::pipeline
