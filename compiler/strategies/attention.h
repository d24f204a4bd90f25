#pragma once
// attention: scores, online softmax and mixture of values in one kernel on Hopper's tensor cores (hopper.md 9). A block
// holds some rows of queries; one warpgroup brings tiles of keys and values, the others compute 64 rows each, with the
// probabilities in registers as wgmma's first operand. The algorithm is FlashAttention's (Dao et al., 2022; Shah et
// al., 2024). What is here is shared by the schedule's rules (attention.cpp) and the writer (attention_emit.cpp).

#include <optional>
#include <span>

#include "compiler/attention.h"
#include "compiler/schedule.h"
#include "compiler/strategies/strategy.h"
#include "ir/simplify.h"

namespace quern::compiler {

// block: rows of queries and keys that a block holds at a time; consumers: warpgroups that compute; stages of the ring
// of keys and values; overlap: whether the next tile's scores and the last one's mixture are multiplied during a
// softmax.
extern const FieldList kAttentionFields;

struct AttentionSchedule {
  std::int64_t bm, bn, consumers, stages;
  bool overlap;

  explicit AttentionSchedule(const Schedule& schedule);
};

// The logits as the kernel forms them: `factor` times `value` where `seen` holds, -inf elsewhere.
struct Logit {
  ir::Expr value;
  double factor = 1;  // above 0
  ir::Expr seen;      // absent: everywhere
};
Logit split_logit(const ir::Expr& logit);

// The keys below it are all that row `row` may see: a bound that does not fall from row to row. Absent: none is known.
ir::Expr key_limit(const Attention& attention, const ir::Assumptions& known);

ir::Kernel emit_attention(const ir::Program& program, const Schedule& schedule, const Target& target,
                          std::span<const ir::Fact> facts);

}  // namespace quern::compiler
