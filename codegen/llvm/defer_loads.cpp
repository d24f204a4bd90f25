#include "codegen/llvm/defer_loads.h"

#include <llvm/ADT/SetVector.h>
#include <llvm/IR/Instructions.h>

namespace quern::codegen {
namespace {

// Loads, addresses and splats, which cost nothing where they stand.
bool is_deferrable(const llvm::Instruction& instruction) {
  if (const auto* load = llvm::dyn_cast<llvm::LoadInst>(&instruction)) return load->isSimple();
  return llvm::isa<llvm::GetElementPtrInst, llvm::InsertElementInst, llvm::ShuffleVectorInst, llvm::CastInst>(
      instruction);
}

class Block {
 public:
  explicit Block(llvm::BasicBlock& block) : block_(block) {}

  void run() {
    std::vector<llvm::Instruction*> order;
    for (llvm::Instruction& instruction : block_) order.push_back(&instruction);
    for (llvm::Instruction* instruction : order) {
      if (llvm::isa<llvm::PHINode>(instruction)) continue;
      if (is_deferrable(*instruction)) {
        waiting_.insert(instruction);
        continue;
      }
      // What leaves the block is placed at its end, and loads stay before writes.
      if (instruction->mayWriteToMemory() || instruction->isTerminator()) place_all(instruction);
      place_operands(instruction, instruction);
    }
  }

 private:
  void place_all(llvm::Instruction* before) {
    const std::vector<llvm::Instruction*> all = waiting_.takeVector();
    for (llvm::Instruction* instruction : all) instruction->moveBefore(before);
  }

  void place_operands(llvm::Instruction* instruction, llvm::Instruction* before) {
    for (llvm::Value* operand : instruction->operands()) {
      auto* waiting = llvm::dyn_cast<llvm::Instruction>(operand);
      if (!waiting || !waiting_.remove(waiting)) continue;
      place_operands(waiting, before);
      waiting->moveBefore(before);
    }
  }

  llvm::BasicBlock& block_;
  llvm::SetVector<llvm::Instruction*, std::vector<llvm::Instruction*>, llvm::DenseSet<llvm::Instruction*>> waiting_;
};

}  // namespace

void defer_loads(llvm::Function& function) {
  for (llvm::BasicBlock& block : function) Block(block).run();
}

}  // namespace quern::codegen
