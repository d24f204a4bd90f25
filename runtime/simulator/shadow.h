#pragma once
// What is known of each element of a piece of memory: whether it was written, and by whom it was written and read last,
// for the search of races. Inside runtime/simulator/.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/simulator/clocks.h"
#include "runtime/simulator/lanes.h"

namespace quern::runtime::simulator {

// One access by lanes of a warp, or by an asynchronous agent.
struct Access {
  std::uint32_t team = 0;  // the cluster's number in the grid
  std::uint32_t statement = 0;
  Agent agent = 0;  // the warp's first thread, or the asynchronous agent
  Mask lanes = 0;   // of the warp; 0: an asynchronous agent
  Epoch epoch = 0;
  bool write = false;
  bool atomic = false;
  bool async = false;  // through the asynchronous proxy

  bool exists() const { return epoch != 0; }
};

// The thread that makes an access, or that issued the asynchronous work that makes it.
struct Issuer {
  Agent thread = 0;
  const Clock* clock = nullptr;
};

// Whether `before` happened before what the issuer does now through a proxy. `fence_alone`: it did, but for a fence.
bool ordered(const Access& before, const Access& now, const Issuer& issuer, bool* fence_alone = nullptr);

class Shadow {
 public:
  explicit Shadow(std::int64_t elements = 0) { reset(elements); }
  void reset(std::int64_t elements);

  // The earlier access that conflicts with this one, if there is one; the access is noted.
  struct Conflict {
    Access earlier;
    bool fence_alone = false;
  };
  std::optional<Conflict> note(std::int64_t element, const Access& access, const Issuer& issuer);

  bool written(std::int64_t element) const;
  void set_written(std::int64_t element);
  // Of all elements: an input.
  void set_all_written() { all_written_ = true; }
  // Elements that are never valid: between the rows of a strided tensor.
  void set_hole(std::int64_t element, bool hole = true);
  bool is_hole(std::int64_t element) const;
  // Accesses of earlier launches order nothing and conflict with nothing.
  void forget_accesses();

 private:
  static constexpr std::int64_t kPage = 1024;
  struct Cell {
    Access write;
    std::uint32_t others = 0;  // reads and atomics: 1 + the place of the first in others_
    bool written = false;
    bool hole = false;
  };
  struct Other {
    Access access;
    std::uint32_t next = 0;
  };
  using Page = std::array<Cell, kPage>;

  const Cell* find(std::int64_t element) const;
  Cell& cell(std::int64_t element);
  void clear_others(Cell& cell);
  void add_other(Cell& cell, const Access& access, const Issuer& issuer);

  std::vector<std::unique_ptr<Page>> pages_;
  std::vector<Other> others_;
  std::uint32_t free_ = 0;
  bool all_written_ = false;
};

}  // namespace quern::runtime::simulator
