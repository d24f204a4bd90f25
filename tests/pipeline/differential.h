#pragma once
// Compiled programs against the reference evaluator, on any device.

#include <cstdint>
#include <string>

#include "ir/tensor.h"
#include "pipeline/schedule_program.h"
#include "runtime/device.h"

namespace quern::pipeline {

// A choice of schedules out of each strategy's legal candidates, the same for the same seed.
ChooseSchedule choose_random(const Target& target, std::uint64_t seed);

// Compiles the program for `device` by `choose`, runs it on inputs made from `seed` over poisoned outputs, and compares
// every output element with the reference. Empty: right; else what is wrong and what to paste to see it again.
std::string differ(const ir::Program& program, std::span<const std::int64_t> sizes, runtime::Device& device,
                   const ChooseSchedule& choose, std::uint64_t seed);

// The same for the random program of a seed.
std::string differ_generated(std::uint64_t seed, runtime::Device& device);

}  // namespace quern::pipeline
