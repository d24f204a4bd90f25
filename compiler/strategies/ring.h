#pragma once
// What a warp-specialised kernel on Hopper is made of besides its products (hopper.md 4.1): one warpgroup fills rings
// of stages in shared memory, by bulk copies or by its own loads, and others empty them. Thread-safe: values.

#include <cstdint>
#include <string>
#include <vector>

#include "ir/kernel.h"
#include "ir/simplify.h"

namespace quern::compiler {

// The mbarriers of `stages` stages: step i takes stage i % stages, in the phase after the one of step i - stages.
class Ring {
 public:
  Ring() = default;
  // Adds its barriers to the kernel: "full", and "empty" where it is filled more than once, behind the prefix.
  // `readers`: arrivals that empty a stage, of all blocks of the cluster; 0: none does, it is filled once.
  Ring(ir::Kernel& kernel, const std::string& prefix, std::int64_t stages, bool bulk, std::int64_t readers,
       std::int64_t cluster = 1);

  ir::Expr stage_of(const ir::Expr& step) const { return mod(step, stages_); }
  // The barrier at which bulk copies into a stage arrive.
  ir::Expr full(const ir::Expr& stage) const { return read(full_, {stage}); }

  // One thread's, before all else.
  std::vector<ir::Stmt> init(const ir::Expr& stage) const;
  // The producer's: once the step's stage is empty, the loads, of `bytes` in all, and that it is full.
  std::vector<ir::Stmt> fill(const ir::Expr& step, const ir::Expr& stage, std::int64_t bytes,
                             std::vector<ir::Stmt> loads) const;
  // A consumer's: until the step's stage is full.
  ir::Stmt await(const ir::Expr& step, const ir::Expr& stage) const;
  // A consumer's: it has read the stage. One of its threads says so, to all blocks that fill it.
  ir::Stmt release(const ir::Expr& stage, const char* name) const;

 private:
  // The parity of the barriers' phase that the step's turn of the ring ends.
  ir::Expr parity_of(const ir::Expr& step) const { return ir::simplify(mod(div(step, stages_), 2)); }

  ir::BufferRef full_, empty_;
  std::int64_t stages_ = 0, readers_ = 0, cluster_ = 1;
  bool bulk_ = true;
};

// The first threads' part, before the others may use a barrier.
ir::Stmt set_up_barriers(std::vector<ir::Stmt> inits);

// The kernel's warps, and the roles that they take: the producer's warpgroup, of which one thread issues bulk copies,
// and the consumers'.
int warps_of(std::int64_t consumers);
ir::Stmt producer_role(std::int64_t consumers, bool bulk, std::vector<ir::Stmt> body);
ir::Stmt consumer_role(std::int64_t consumers, const ir::VarRef& group, std::vector<ir::Stmt> body);

// Registers of a consumer's thread, as the roles hand them over.
int consumer_registers(std::int64_t consumers);

}  // namespace quern::compiler
