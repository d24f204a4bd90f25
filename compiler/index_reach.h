#pragma once
// How far from 0 the index arithmetic of a kernel reaches, where every offset is known to lie below 2^31 (the guard of
// a plan's variant): what may be computed in 32 bits. Thread form.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "ir/kernel.h"
#include "ir/simplify.h"

namespace quern::compiler {

// Offsets, extents and loop counters stay below this; what tiles add to them stays below 2^31.
inline constexpr std::int64_t kNarrowLimit = (std::int64_t{1} << 31) - (std::int64_t{1} << 20);

class IndexReach {
 public:
  explicit IndexReach(const ir::Kernel& kernel);

  // Whether an integer or bool expression and every i64 part of it stay within 32 bits. Counters (loops, blocks, warps,
  // lets of such) and symbols count as offsets, elements of tensors as anything.
  bool fits(const ir::Expr& e, const ir::Assumptions& assumptions) const;

  // A loop's counter reaches no further than its bounds.
  void enter(const ir::For& loop, const ir::Assumptions& assumptions);

 private:
  // A dense tensor's size: a product of symbols and a constant.
  struct Size {
    std::vector<ir::VarRef> symbols;
    std::int64_t constant = 1;
  };

  // The largest distance from 0; nothing where it may leave 32 bits.
  std::optional<std::int64_t> reach(const ir::Expr& e, const ir::Assumptions& assumptions) const;
  std::optional<std::int64_t> reach_of_call(const ir::Expr& e, const ir::Assumptions& assumptions) const;
  bool is_part_of_size(const ir::Expr& product) const;

  std::vector<Size> sizes_;
  std::set<ir::VarRef> positive_;  // symbols that are not 0 where a block runs
  std::map<ir::VarRef, std::int64_t> counters_;
};

}  // namespace quern::compiler
