#pragma once
// One kernel in thread form -> one LLVM function of the type CpuKernelFunction, unoptimised.
//
// All lanes run in lockstep. A condition that differs by lane becomes a mask: stores write under it, reads happen under
// it, fragments keep the other lanes' elements. A uniform condition is a branch around statements; inside an
// expression it sends the addresses of its reads to a block of zeros instead. `unroll` and `vector` loops of a known
// length are unrolled here, so that fragments are indexed by constants and become registers.

#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "codegen/llvm/lanes.h"
#include "ir/kernel.h"

namespace quern::codegen {

class KernelEmitter {
 public:
  KernelEmitter(const ir::Kernel& kernel, const Target& target, llvm::Module& module);
  void emit();

 private:
  // Which lanes an expression or statement is for.
  struct Guard {
    llvm::Value* when = nullptr;  // i1, null: true; inside expressions only
    llvm::Value* mask = nullptr;  // vector of i1, null: all lanes
    bool certain = true;          // some lane of the mask is on
  };

  // An element in memory or registers; `index` counts elements.
  struct Place {
    ir::Space space;
    DType dtype;
    llvm::Value* pointer;   // of element 0
    std::int64_t size = 0;  // registers of a fragment
    llvm::MDNode* scope = nullptr;
    llvm::MDNode* others = nullptr;
    Value index;
  };

  struct Fragment {
    llvm::AllocaInst* memory;
    std::int64_t size;
  };
  struct Scratch {
    llvm::Value* pointer;
    llvm::MDNode* scope;
    llvm::MDNode* others;
  };

  // emit_statements.cpp
  void statement(const ir::Stmt& stmt);
  void emit(const ir::Block& block);
  void emit(const ir::Alloc& alloc);
  void emit(const ir::For& loop);
  void emit(const ir::If& branch);
  void emit(const ir::Let& let);
  void emit(const ir::Store& store);
  void emit(const ir::Move& move);
  void emit(const ir::Intrinsic& intrinsic);
  template <typename TileForm>
  void emit(const TileForm&);
  void emit_loop(const ir::For& loop, const Value& lo, const Value& hi, const Value& step);
  void emit_varying_loop(const ir::For& loop, const Value& lo, const Value& hi, const Value& step);
  void emit_masked(const ir::Stmt& body, llvm::Value* mask);
  void shuffle(const ir::Intrinsic& intrinsic);
  llvm::Value* permuted(llvm::Value* vector, llvm::Value* from);

  // emit_expressions.cpp
  Value expression(const ir::Expr& e);
  Value evaluate(const ir::Expr& e);
  Value literal(const ir::Node& node);
  Value call(const ir::Expr& e);
  Value call_expanded(const ir::Expr& e);
  Value select(const ir::Expr& e);
  Value logical(const ir::Expr& e);
  Value guarded(const ir::Expr& e, const Value& condition);
  bool reads_memory(const ir::Expr& e);
  llvm::Value* lanes_where(const Value& condition);  // as a mask

  // emit_memory.cpp
  Place place(const ir::Tensor& tensor, const ir::Expr& index);
  Value load(const Place& place);
  Value load_fragment(const Place& place);
  void store(const Place& place, const Value& value);
  void store_fragment(const Place& place, const Value& value);
  void store_one(const Place& place, const Value& value);
  void store_atomic(const Place& place, ir::Reducer reducer, const Value& value);
  void exchange(const Place& place, llvm::Value* pointer, ir::Reducer reducer, const Value& element);
  bool move_wide(const Place& registers, const Place& memory, int width, bool to_registers);
  llvm::Value* active();                  // i1: some lane reads; null: certainly
  llvm::Value* mask_or_all(bool needed);  // the lanes that read, as a vector; null where all do and none is needed
  llvm::Value* element_pointer(const Place& place, llvm::Value* index);
  llvm::Value* element_pointers(const Place& place, const Value& index);
  llvm::Value* flat_register(const Value& index);
  llvm::Value* nothing();
  void annotate(llvm::Value* access, const Place& place);

  // emitter.cpp
  void open_function();
  void load_parameters(llvm::Value* arguments);
  void place_scratch(llvm::Value* scratch);
  void bind_block(llvm::Value* id, std::span<llvm::Value* const> grid);
  llvm::BasicBlock* new_block(std::string_view name);
  llvm::AllocaInst* entry_alloca(llvm::Type* type, std::string_view name);
  Fragment& fragment(const ir::Tensor& tensor);
  void forget() { memo_.assign(1, {}); }  // values read may have changed

  using Memo = std::unordered_map<const ir::Node*, Value>;

  const ir::Kernel& kernel_;
  llvm::Module& module_;
  Lanes lanes_;
  IrBuilder& ir_;
  llvm::Function* function_ = nullptr;
  Guard guard_;
  bool in_full_body_ = false;  // in the body of a condition that all lanes meet
  std::unordered_map<const ir::Variable*, Value> variables_;
  std::unordered_map<const ir::Tensor*, llvm::Value*> buffers_;
  std::unordered_map<const ir::Tensor*, Scratch> scratch_;
  std::unordered_map<const ir::Tensor*, Fragment> fragments_;
  // Memos are keyed by address: made expressions are kept as long as the memos.
  std::unordered_map<const ir::Node*, bool> reads_memory_;
  std::unordered_map<const ir::Node*, ir::Expr> expansions_;
  std::vector<ir::Expr> kept_;
  llvm::MDNode* global_scope_ = nullptr;
  llvm::MDNode* all_scratch_ = nullptr;
  std::vector<Memo> memo_ = std::vector<Memo>(1);  // of the current statement; one layer for each guard
};

}  // namespace quern::codegen
