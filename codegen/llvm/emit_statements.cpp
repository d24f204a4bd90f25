#include <algorithm>

#include "base/error.h"
#include "codegen/llvm/arithmetic.h"
#include "codegen/llvm/convert.h"
#include "codegen/llvm/emitter.h"

namespace quern::codegen {

using ir::Expr;

namespace {

constexpr int kMaskedVectorBytes = 64;  // vectors whose instructions take masks

std::optional<std::int64_t> known(const Value& value) {
  const auto* number = value.is_uniform() ? llvm::dyn_cast<llvm::ConstantInt>(value.base) : nullptr;
  return number ? std::optional(number->getSExtValue()) : std::nullopt;
}

}  // namespace

void KernelEmitter::statement(const ir::Stmt& stmt) {
  std::visit(
      [this](const auto& node) {
        forget();
        emit(node);
      },
      stmt->value);
}

template <typename TileForm>
void KernelEmitter::emit(const TileForm&) {
  throw InternalError("kernel '" + kernel_.name + "' has a statement of tile form, which no code generator sees");
}

void KernelEmitter::emit(const ir::Block& block) {
  for (const ir::Stmt& stmt : block.body) statement(stmt);
}

// Without this store a fragment that is written under a mask would carry its last contents around loops.
void KernelEmitter::emit(const ir::Alloc& alloc) {
  const Fragment& place = fragment(*alloc.buffer);
  llvm::Type* type = place.memory->getAllocatedType();
  for (std::int64_t i = 0; i < place.size; ++i) {
    ir_.CreateStore(llvm::UndefValue::get(type->getArrayElementType()),
                    ir_.CreateConstGEP2_64(type, place.memory, 0, i));
  }
}

void KernelEmitter::emit(const ir::For& loop) {
  const Value lo = expression(loop.lo), hi = expression(loop.hi), step = expression(loop.step);
  ensure(step.is_uniform(), "the lanes of a loop share its step");
  const bool unrolls = loop.kind == ir::ForKind::unroll || loop.kind == ir::ForKind::vector;
  const auto first = known(lo), last = known(hi), by = known(step);
  if (unrolls && first && last && by) {
    ensure(*by > 0, "a loop's step is positive");
    for (std::int64_t i = *first; i < *last; i += *by) {
      variables_[loop.var.get()] = lanes_.integer(loop.var->dtype, i);
      statement(loop.body);
    }
  } else if (lo.is_uniform() && hi.is_uniform()) {
    emit_loop(loop, lo, hi, step);
  } else {
    emit_varying_loop(loop, lo, hi, step);
  }
}

void KernelEmitter::emit_loop(const ir::For& loop, const Value& lo, const Value& hi, const Value& step) {
  const auto below = is_signed_integer(loop.var->dtype) ? llvm::CmpInst::ICMP_SLT : llvm::CmpInst::ICMP_ULT;
  llvm::BasicBlock* before = ir_.GetInsertBlock();
  llvm::BasicBlock* body = new_block(loop.var->name);
  llvm::BasicBlock* after = new_block(loop.var->name + ".end");
  ir_.CreateCondBr(ir_.CreateICmp(below, lo.base, hi.base), body, after);
  ir_.SetInsertPoint(body);
  llvm::PHINode* counter = ir_.CreatePHI(lo.base->getType(), 2, loop.var->name);
  counter->addIncoming(lo.base, before);
  Value& value = variables_[loop.var.get()] = lanes_.uniform(loop.var->dtype, counter);
  value.alignment = std::min(lo.alignment, step.alignment);
  statement(loop.body);
  const bool is_signed = is_signed_integer(loop.var->dtype);
  llvm::Value* next = ir_.CreateAdd(counter, step.base, "", !is_signed, is_signed);
  counter->addIncoming(next, ir_.GetInsertBlock());
  llvm::BranchInst* back = ir_.CreateCondBr(ir_.CreateICmp(below, next, hi.base), body, after);
  if (loop.kind == ir::ForKind::rolled) {
    llvm::LLVMContext& context = module_.getContext();
    llvm::MDNode* disable = llvm::MDNode::get(context, llvm::MDString::get(context, "llvm.loop.unroll.disable"));
    llvm::MDNode* properties = llvm::MDNode::getDistinct(context, {nullptr, disable});
    properties->replaceOperandWith(0, properties);
    back->setMetadata(llvm::LLVMContext::MD_loop, properties);
  }
  after->moveAfter(ir_.GetInsertBlock());
  ir_.SetInsertPoint(after);
}

// Each lane has its own range: the loop runs while some lane is in its range, under a mask of those.
void KernelEmitter::emit_varying_loop(const ir::For& loop, const Value& lo, const Value& hi, const Value& step) {
  const auto below = is_signed_integer(loop.var->dtype) ? llvm::CmpInst::ICMP_SLT : llvm::CmpInst::ICMP_ULT;
  const Guard outer = guard_;
  llvm::Value* last = lanes_.vector(hi);
  llvm::Value* start = lanes_.vector(lo);
  llvm::BasicBlock* before = ir_.GetInsertBlock();
  llvm::BasicBlock* head = new_block(loop.var->name);
  llvm::BasicBlock* body = new_block(loop.var->name + ".body");
  llvm::BasicBlock* after = new_block(loop.var->name + ".end");
  ir_.CreateBr(head);
  ir_.SetInsertPoint(head);
  llvm::PHINode* counter = ir_.CreatePHI(start->getType(), 2, loop.var->name);
  counter->addIncoming(start, before);
  llvm::Value* mask = ir_.CreateICmp(below, counter, last);
  if (outer.mask) mask = ir_.CreateAnd(mask, outer.mask);
  ir_.CreateCondBr(lanes_.any(mask), body, after);
  ir_.SetInsertPoint(body);
  guard_ = {.mask = mask};
  variables_[loop.var.get()] = lanes_.varying(loop.var->dtype, counter);
  statement(loop.body);
  guard_ = outer;
  counter->addIncoming(ir_.CreateAdd(counter, lanes_.splat(step.base)), ir_.GetInsertBlock());
  ir_.CreateBr(head);
  after->moveAfter(ir_.GetInsertBlock());
  ir_.SetInsertPoint(after);
}

// The body for the lanes of `mask`, skipped when there are none. Masks are dear before AVX-512, and mostly full: there
// an outermost mask gets a second body without one.
void KernelEmitter::emit_masked(const ir::Stmt& body, llvm::Value* mask) {
  if (const auto* constant = llvm::dyn_cast<llvm::Constant>(mask); constant && constant->isNullValue()) return;
  const Guard outer = guard_;
  llvm::BasicBlock* after = new_block("join");
  const auto emit_body = [&](const Guard& guard) {
    guard_ = guard;
    statement(body);
    guard_ = outer;
    ir_.CreateBr(after);
  };
  if (lanes_.vector_bytes() < kMaskedVectorBytes && !outer.mask && !in_full_body_ && !llvm::isa<llvm::Constant>(mask)) {
    llvm::BasicBlock* all = new_block("all");
    llvm::BasicBlock* part = new_block("part");
    ir_.CreateCondBr(lanes_.any(ir_.CreateNot(mask)), part, all);
    ir_.SetInsertPoint(all);
    in_full_body_ = true;
    emit_body(outer);
    in_full_body_ = false;
    part->moveAfter(ir_.GetInsertBlock());
    ir_.SetInsertPoint(part);
  }
  llvm::BasicBlock* some = new_block("some");
  ir_.CreateCondBr(lanes_.any(mask), some, after);
  ir_.SetInsertPoint(some);
  emit_body({.mask = mask});
  after->moveAfter(&function_->back());
  ir_.SetInsertPoint(after);
}

void KernelEmitter::emit(const ir::If& branch) {
  const Value condition = expression(branch.condition);
  if (!condition.is_uniform()) {
    llvm::Value* mask = lanes_where(condition);
    llvm::Value* rest = ir_.CreateNot(mask);
    if (guard_.mask) {
      mask = ir_.CreateAnd(mask, guard_.mask);
      rest = ir_.CreateAnd(rest, guard_.mask);
    }
    emit_masked(branch.then, mask);
    if (branch.otherwise) emit_masked(branch.otherwise, rest);
    return;
  }
  if (const auto truth = known(condition)) {
    const ir::Stmt& taken = *truth != 0 ? branch.then : branch.otherwise;
    if (taken) statement(taken);
    return;
  }
  llvm::BasicBlock* then = new_block("then");
  llvm::BasicBlock* otherwise = branch.otherwise ? new_block("else") : nullptr;
  llvm::BasicBlock* after = new_block("join");
  ir_.CreateCondBr(condition.base, then, otherwise ? otherwise : after);
  ir_.SetInsertPoint(then);
  statement(branch.then);
  ir_.CreateBr(after);
  if (otherwise) {
    otherwise->moveAfter(ir_.GetInsertBlock());
    ir_.SetInsertPoint(otherwise);
    statement(branch.otherwise);
    ir_.CreateBr(after);
  }
  after->moveAfter(ir_.GetInsertBlock());
  ir_.SetInsertPoint(after);
}

void KernelEmitter::emit(const ir::Let& let) {
  const Value value = expression(let.value);
  if (!value.base->hasName()) value.base->setName(let.var->name);
  variables_[let.var.get()] = value;
}

void KernelEmitter::emit(const ir::Store& node) {
  const Value value = expression(node.value);
  ensure(node.index.size() == 1, "a store of thread form has one index");
  const Place to = place(*node.buffer, node.index[0]);
  if (node.atomic) {
    store_atomic(to, *node.atomic, value);
  } else {
    store(to, value);
  }
}

void KernelEmitter::emit(const ir::Move& move) {
  const Place to = place(*move.to, move.to_index);
  const Place from = place(*move.from, move.from_index);
  const bool to_registers = to.space == ir::Space::fragment;
  if (move_wide(to_registers ? to : from, to_registers ? from : to, move.width, to_registers)) return;
  std::vector<Value> elements;  // all are read before the first is written
  const auto shifted = [this](Place element, int by) {
    element.index.base =
        ir_.CreateAdd(element.index.base, integer_like(element.index.base, static_cast<std::uint64_t>(by)));
    return element;
  };
  for (int i = 0; i < move.width; ++i) elements.push_back(load(shifted(from, i)));
  for (int i = 0; i < move.width; ++i) store(shifted(to, i), elements[static_cast<std::size_t>(i)]);
}

void KernelEmitter::emit(const ir::Intrinsic& intrinsic) {
  switch (intrinsic.id) {
    case ir::IntrinsicId::barrier:  // one warp in lockstep
    case ir::IntrinsicId::warp_sync:
      return;
    case ir::IntrinsicId::shuffle_xor:
    case ir::IntrinsicId::shuffle_index:
      return shuffle(intrinsic);
    default:
      throw InternalError(fmt::format("kernel '{}': a CPU has no {}", kernel_.name, ir::row(intrinsic.id).name));
  }
}

// to = value of another lane: its number xor a mask, or given. Numbers wrap at the warp.
void KernelEmitter::shuffle(const ir::Intrinsic& intrinsic) {
  const Expr& to = intrinsic.args[0];
  const Value value = expression(intrinsic.args[1]);
  const Value other = convert(lanes_, DType::i32, expression(intrinsic.args[2]));
  if (!value.is_uniform()) {
    llvm::Value* from = lanes_.vector(other);
    if (intrinsic.id == ir::IntrinsicId::shuffle_xor)
      from = ir_.CreateXor(from, lanes_.vector(lanes_.lane(DType::i32)));
    from = ir_.CreateAnd(from, static_cast<std::uint64_t>(lanes_.count() - 1));
    llvm::Value* result = permuted(lanes_.vector(value), from);
    store(place(*to->tensor, to->args[0]), lanes_.varying(value.dtype, result));
  } else {
    store(place(*to->tensor, to->args[0]), value);
  }
}

// vector[from[l]] for every lane l.
llvm::Value* KernelEmitter::permuted(llvm::Value* vector, llvm::Value* from) {
  const auto size = static_cast<unsigned>(lanes_.count());
  if (const auto* constant = llvm::dyn_cast<llvm::Constant>(from)) {
    std::vector<int> lanes;
    for (unsigned l = 0; l < size; ++l) {
      const auto* lane = llvm::cast<llvm::ConstantInt>(constant->getAggregateElement(l));
      lanes.push_back(static_cast<int>(lane->getZExtValue()));
    }
    return ir_.CreateShuffleVector(vector, lanes);
  }
  llvm::Value* result = llvm::PoisonValue::get(vector->getType());
  for (unsigned l = 0; l < size; ++l) {
    llvm::Value* element = ir_.CreateExtractElement(vector, ir_.CreateExtractElement(from, l));
    result = ir_.CreateInsertElement(result, element, l);
  }
  return result;
}

}  // namespace quern::codegen
