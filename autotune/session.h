#pragma once
// Where a schedule and a binary come from: the store, the nearest known problem, the strategy, or the search.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "autotune/store.h"
#include "autotune/tune.h"
#include "ir/tensor.h"
#include "runtime/device.h"

namespace quern::autotune {

enum class Policy : std::uint8_t { frozen, nearest, tune };

// The schedule of one kernel and where it comes from: "store", "nearest: linear_gelu 512x512x512, distance 1",
// "default".
struct Choice {
  std::string schedule;
  std::string origin;
};

// One choice for each kernel of `program`, which has no symbols left, on a device. Frozen: a miss is an Error naming
// the missing key. Tune: what has no winner is tuned.
std::vector<Choice> choose_schedules(const ir::Program& program, runtime::Device& device, Store& store, Policy policy,
                                     const TuneSettings& settings);

// The key of a program's binary under these schedules.
BinaryKey binary_key(const ir::Program& program, const std::string& schedules, const Target& target,
                     const std::string& options, const std::string& nvrtc_path);

// The store at a location (store_location.h), shared by the process; ":memory:" for one that is not kept.
Store& shared_store(const std::string& location);

}  // namespace quern::autotune
