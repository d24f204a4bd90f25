#pragma once
// Compiled programs against the reference evaluator, on any device.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ir/bounds.h"
#include "ir/generate.h"
#include "ir/tensor.h"
#include "pipeline/compile.h"
#include "pipeline/schedule_program.h"
#include "runtime/device.h"

namespace quern::pipeline {

// A choice of schedules out of each strategy's legal candidates, the same for the same seed.
ChooseSchedule choose_random(const Target& target, std::uint64_t seed);

// Dense arguments of a program in a device's memory: inputs made from `seed`, then outputs.
struct DeviceArguments {
  std::vector<runtime::Buffer> buffers;
  std::vector<void*> pointers;
};
DeviceArguments device_arguments(const ir::Program& program, std::span<const std::int64_t> sizes,
                                 runtime::Device& device, std::uint64_t seed);

// What a program gives on inputs made from `seed`: computed once, when a run has come to its end without findings,
// since it takes longer than most runs.
class Reference {
 public:
  Reference(const ir::Program& program, std::span<const std::int64_t> sizes, std::uint64_t seed);

  // Runs a compiled program over poisoned outputs and compares every output element (of large outputs corners and some
  // others). Empty: right; else the first that is wrong, or what the simulator found. Thread-safe.
  std::string mismatch(const Artifact& artifact, runtime::Device& device) const;
  // The same of what `choose` makes of the program; else what is wrong and what to paste to see it again. Thread-safe.
  std::string differ(runtime::Device& device, const ChooseSchedule& choose) const;

 private:
  struct Output {
    std::vector<ir::Coordinate> coordinates;
    std::vector<ir::Checked> expected;
  };

  void evaluate() const;
  std::string difference(std::size_t number, const ir::HostTensor& computed) const;

  ir::Program program_;
  std::vector<std::int64_t> sizes_;
  std::uint64_t seed_;
  std::vector<ir::OwnedTensor> inputs_;
  mutable std::once_flag evaluated_;
  mutable std::vector<Output> outputs_;
};

// For one run.
std::string mismatch(const Artifact& artifact, const ir::Program& program, std::span<const std::int64_t> sizes,
                     runtime::Device& device, std::uint64_t seed);

std::string differ(const ir::Program& program, std::span<const std::int64_t> sizes, runtime::Device& device,
                   const ChooseSchedule& choose, std::uint64_t seed);

// The same for the random program of a seed.
std::string differ_generated(std::uint64_t seed, runtime::Device& device);

// The first few differences of the random programs of `count` seeds; QUERN_FUZZ_SEED and QUERN_FUZZ_COUNT choose
// others.
std::vector<std::string> differences_of_generated(runtime::Device& device, std::uint64_t count);

// The same for the cases below, under the fallback and under random schedules.
struct ShapeCase;
std::vector<std::string> differences_of_shapes(const ShapeCase& shapes, runtime::Device& device);

// Programs and sizes that every device is tried on: odd, prime, empty, aligned and ragged ones.
struct ShapeCase {
  const char* name;
  const char* text;
  std::vector<std::vector<std::int64_t>> sizes;
};
std::span<const ShapeCase> shape_cases();

}  // namespace quern::pipeline
