#pragma once
// Attention, recovered from its definitions (canonical ones): scores of queries and keys, a softmax of them along the
// keys, and the sum over the keys of its numerators times values. What the analyses of analysis.h take for three or
// four kernels can be one with an online softmax (ir/rescaling.h). Thread-safe.

#include <string>
#include <variant>
#include <vector>

#include "ir/rewrite.h"
#include "ir/tensor.h"

namespace quern::compiler {

// All expressions are of the axes below.
struct Attention {
  const ir::Definition* scores;   // sum over `depth` of q * k
  const ir::Definition* largest;  // of the logits along the keys
  const ir::Definition* total;    // the sum of the numerators; null where it is not asked for
  const ir::Definition* product;  // the sum over the keys of numerators * v

  std::vector<ir::Axis> batch;
  ir::Axis row, column;  // of the product
  ir::Axis key, depth;

  ir::Expr q, k, v;                 // reads of the inputs: of batch and of row x depth, key x depth, key x column
  ir::Expr logit;                   // of batch, row and key: reads the scores, and inputs
  ir::Substitution total_to_space;  // the total's axes
  DType numerator{};                // what the numerators are rounded to: q, k and v have this dtype too

  struct Member {
    const ir::Definition* definition;  // an output
    ir::Substitution to_space;         // its axes as axes of the product
  };
  std::vector<Member> outputs;
};

// The reductions of the attention whose last sum is `product`, in order: its scores, the maximum, its total where the
// program has it, and itself. Where it is no such sum, none: with the reason where a softmax weighs its terms.
struct AttentionCore {
  std::vector<const ir::Definition*> definitions;
  std::string reason;
};
AttentionCore attention_core(const ir::Program& canonical, const ir::Definition& product);

// A kernel's program as attention, or why it is something else, or more.
std::variant<Attention, std::string> analyze_attention(const ir::Program& group);

}  // namespace quern::compiler
