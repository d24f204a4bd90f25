#pragma once
// Tensor maps (TMA descriptors): encoding the logical form of a plan, and remembering the last ones.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/plan.h"
#include "runtime/cuda/driver.h"

namespace quern::runtime::cuda {

// The numbers of one tensor map at one launch: address, then dims, strides and corners in the plan's order.
inline constexpr std::size_t kTensorMapNumbers = 1 + 5 + 4 + 3 + 3;
using TensorMapKey = std::array<std::uint64_t, kTensorMapNumbers>;

TensorMapKey tensor_map_key(const TensorMapParameter& map, std::uint64_t base, const PlanContext& context);

// Encodes `map` with the numbers of `key`. Throws InternalError naming them when the driver refuses: a variant's guards
// must exclude what the hardware can't do.
CUtensorMap encode_tensor_map(const TensorMapParameter& map, const TensorMapKey& key);

// The last maps encoded for one parameter. Readers and writers take no lock: an entry is words guarded by a counter
// that is odd while they change (a sequence lock), and who meets a change encodes for himself.
class TensorMapCache {
 public:
  // The map for `key`, encoded now unless it is remembered. Never allocates.
  CUtensorMap get(const TensorMapParameter& map, const TensorMapKey& key);

 private:
  static constexpr std::size_t kEntries = 16;
  static constexpr std::size_t kMapWords = sizeof(CUtensorMap) / sizeof(std::uint64_t);
  static constexpr std::size_t kWords = kTensorMapNumbers + kMapWords;

  struct Entry {
    std::atomic<std::uint32_t> sequence{0};
    std::array<std::atomic<std::uint64_t>, kWords> words{};
  };

  static bool read(const Entry& entry, const TensorMapKey& key, CUtensorMap& map);
  static void write(Entry& entry, const TensorMapKey& key, const CUtensorMap& map);

  std::array<Entry, kEntries> entries_;
};

}  // namespace quern::runtime::cuda
