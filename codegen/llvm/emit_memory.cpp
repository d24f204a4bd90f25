#include <vector>

#include "base/error.h"
#include "codegen/llvm/convert.h"
#include "codegen/llvm/emitter.h"

namespace quern::codegen {

using ir::Space;

namespace {

constexpr int kLargestElement = 8;

llvm::Align alignment(DType dtype) { return llvm::Align(static_cast<std::uint64_t>(byte_size(dtype))); }

}  // namespace

KernelEmitter::Place KernelEmitter::place(const ir::Tensor& tensor, const ir::Expr& index) {
  const Value at = convert(lanes_, DType::i64, expression(index));
  const Space space = ir::as_buffer(tensor).space;
  if (space == Space::fragment) {
    const Fragment& registers = fragment(tensor);
    return {.space = space, .dtype = tensor.dtype, .pointer = registers.memory, .size = registers.size, .index = at};
  }
  if (space == Space::shared) {
    const auto found = scratch_.find(&tensor);
    ensure(found != scratch_.end(), "a shared buffer is one of its kernel's");
    const Scratch& shared = found->second;
    return {.space = space,
            .dtype = tensor.dtype,
            .pointer = shared.pointer,
            .scope = shared.scope,
            .others = shared.others,
            .index = at};
  }
  const auto found = buffers_.find(&tensor);
  ensure(space == Space::global && found != buffers_.end(), "a global buffer is one of its kernel's parameters");
  return {.space = space,
          .dtype = tensor.dtype,
          .pointer = found->second,
          .scope = global_scope_,
          .others = all_scratch_,
          .index = at};
}

llvm::Value* KernelEmitter::active() {
  llvm::Value* some = guard_.mask && !guard_.certain ? lanes_.any(guard_.mask) : nullptr;
  if (!guard_.when || !some) return guard_.when ? guard_.when : some;
  return ir_.CreateAnd(guard_.when, some);
}

llvm::Value* KernelEmitter::mask_or_all(bool needed) {
  llvm::Value* when = guard_.when ? lanes_.splat(guard_.when) : nullptr;
  if (guard_.mask && when) return ir_.CreateAnd(guard_.mask, when);
  if (guard_.mask || when) return guard_.mask ? guard_.mask : when;
  return needed ? llvm::Constant::getAllOnesValue(lanes_.vector_of(ir_.getInt1Ty())) : nullptr;
}

// What guarded reads that do not happen read: zeros, as many as a vector of the largest elements.
llvm::Value* KernelEmitter::nothing() {
  constexpr const char* kName = "nothing";
  if (llvm::GlobalVariable* found = module_.getGlobalVariable(kName, true)) return found;
  auto* type = llvm::ArrayType::get(ir_.getInt8Ty(), static_cast<std::uint64_t>(lanes_.count() * kLargestElement));
  auto* zeros = new llvm::GlobalVariable(module_, type, true, llvm::GlobalValue::PrivateLinkage,
                                         llvm::Constant::getNullValue(type), kName);
  zeros->setAlignment(llvm::Align(64));
  return zeros;
}

void KernelEmitter::annotate(llvm::Value* access, const Place& place) {
  auto* instruction = llvm::dyn_cast<llvm::Instruction>(access);
  if (!instruction || !place.scope) return;
  instruction->setMetadata(llvm::LLVMContext::MD_alias_scope, place.scope);
  if (place.others->getNumOperands() > 0) instruction->setMetadata(llvm::LLVMContext::MD_noalias, place.others);
}

llvm::Value* KernelEmitter::element_pointer(const Place& place, llvm::Value* index) {
  return ir_.CreateGEP(lanes_.storage_type(place.dtype), place.pointer, index);
}

// Scalar base and constant offsets apart, as gathers take them.
llvm::Value* KernelEmitter::element_pointers(const Place& place, const Value& index) {
  llvm::Type* element = lanes_.storage_type(place.dtype);
  if (index.varying) return ir_.CreateGEP(element, place.pointer, index.base);
  if (!index.offset) return lanes_.splat(element_pointer(place, index.base));
  return ir_.CreateGEP(element, element_pointer(place, index.base), index.offset);
}

Value KernelEmitter::load(const Place& from) {
  if (from.space == Space::fragment) return load_fragment(from);
  llvm::Type* element = lanes_.storage_type(from.dtype);
  llvm::FixedVectorType* all = lanes_.vector_of(element);
  const auto stride = lanes_.stride(from.index);
  llvm::Value* bits = nullptr;
  if (stride == 0) {
    llvm::Value* pointer = element_pointer(from, from.index.base);
    if (llvm::Value* on = active()) pointer = ir_.CreateSelect(on, pointer, nothing());
    bits = ir_.CreateAlignedLoad(element, pointer, alignment(from.dtype));
  } else if (stride == 1) {
    llvm::Value* first = llvm::ConstantInt::getSigned(ir_.getInt64Ty(), lanes_.offset_of(from.index, 0));
    llvm::Value* pointer = element_pointer(from, ir_.CreateAdd(from.index.base, first));
    if (guard_.mask) {
      bits = ir_.CreateMaskedLoad(all, pointer, alignment(from.dtype), mask_or_all(true),
                                  llvm::Constant::getNullValue(all));
    } else {
      if (guard_.when) pointer = ir_.CreateSelect(guard_.when, pointer, nothing());
      bits = ir_.CreateAlignedLoad(all, pointer, alignment(from.dtype));
    }
  } else {
    bits = ir_.CreateMaskedGather(all, element_pointers(from, from.index), alignment(from.dtype), mask_or_all(true),
                                  llvm::Constant::getNullValue(all));
  }
  annotate(bits, from);
  return from_storage(lanes_, from.dtype, bits);
}

void KernelEmitter::store(const Place& to, const Value& value) {
  if (to.space == Space::fragment) return store_fragment(to, value);
  const auto stride = lanes_.stride(to.index);
  if (stride == 0) return store_one(to, value);
  llvm::Value* bits = to_storage(lanes_, value, true);
  llvm::Value* access = nullptr;
  if (stride == 1) {
    llvm::Value* first = llvm::ConstantInt::getSigned(ir_.getInt64Ty(), lanes_.offset_of(to.index, 0));
    llvm::Value* pointer = element_pointer(to, ir_.CreateAdd(to.index.base, first));
    access = guard_.mask
                 ? static_cast<llvm::Value*>(ir_.CreateMaskedStore(bits, pointer, alignment(to.dtype), guard_.mask))
                 : ir_.CreateAlignedStore(bits, pointer, alignment(to.dtype));
  } else {
    access = ir_.CreateMaskedScatter(bits, element_pointers(to, to.index), alignment(to.dtype), mask_or_all(true));
  }
  annotate(access, to);
}

// All lanes write one element: the value of some lane that is on.
void KernelEmitter::store_one(const Place& to, const Value& value) {
  llvm::Value* bits = to_storage(lanes_, value, !value.is_uniform());
  if (!value.is_uniform()) {
    llvm::Value* lane = ir_.getInt32(static_cast<std::uint32_t>(lanes_.count() - 1));
    if (guard_.mask) {
      llvm::Type* word = ir_.getIntNTy(static_cast<unsigned>(lanes_.count()));
      llvm::Value* mask = ir_.CreateBitCast(guard_.mask, word);
      lane = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::cttz, mask, ir_.getTrue());
    }
    bits = ir_.CreateExtractElement(bits, lane);
  }
  annotate(ir_.CreateAlignedStore(bits, element_pointer(to, to.index.base), alignment(to.dtype)), to);
}

// Each lane's own register, as the number of its element in the fragment's memory.
llvm::Value* KernelEmitter::flat_register(const Value& index) {
  llvm::Value* rows = lanes_.vector(index);
  llvm::Value* first = ir_.CreateMul(rows, integer_like(rows, static_cast<std::uint64_t>(lanes_.count())));
  return ir_.CreateAdd(first, lanes_.vector(lanes_.lane(DType::i64)));
}

// Registers: [size x <lanes x T>], so that constant indices are SSA values once promoted.
Value KernelEmitter::load_fragment(const Place& from) {
  llvm::Type* element = is_bool(from.dtype) ? ir_.getInt8Ty() : lanes_.register_type(from.dtype);
  llvm::FixedVectorType* all = lanes_.vector_of(element);
  const auto as_value = [&](llvm::Value* loaded) {
    if (is_bool(from.dtype)) loaded = ir_.CreateICmpNE(loaded, integer_like(loaded, 0));
    return lanes_.varying(from.dtype, loaded);
  };
  if (!from.index.is_uniform()) {
    llvm::Value* pointers = ir_.CreateGEP(element, from.pointer, flat_register(from.index));
    return as_value(
        ir_.CreateMaskedGather(all, pointers, llvm::Align(1), mask_or_all(true), llvm::Constant::getNullValue(all)));
  }
  llvm::Value* index = from.index.base;
  if (const auto* number = llvm::dyn_cast<llvm::ConstantInt>(index)) {
    // Beyond the registers only where the read does not happen.
    if (number->getSExtValue() < 0 || number->getSExtValue() >= from.size)
      return as_value(llvm::Constant::getNullValue(all));
  } else if (llvm::Value* on = active()) {
    index = ir_.CreateSelect(on, index, ir_.getInt64(0));
  }
  return as_value(ir_.CreateLoad(all, ir_.CreateGEP(all, from.pointer, index)));
}

void KernelEmitter::store_fragment(const Place& to, const Value& value) {
  llvm::Value* all = lanes_.vector(value);
  if (is_bool(to.dtype)) all = ir_.CreateZExt(all, lanes_.vector_of(ir_.getInt8Ty()));
  if (!to.index.is_uniform()) {
    llvm::Value* pointers = ir_.CreateGEP(all->getType()->getScalarType(), to.pointer, flat_register(to.index));
    ir_.CreateMaskedScatter(all, pointers, llvm::Align(1), mask_or_all(true));
    return;
  }
  if (const auto* number = llvm::dyn_cast<llvm::ConstantInt>(to.index.base)) {
    ensure(number->getSExtValue() >= 0 && number->getSExtValue() < to.size,
           "a store hits one of its fragment's registers");
  }
  llvm::Value* pointer = ir_.CreateGEP(all->getType(), to.pointer, to.index.base);
  if (guard_.mask) all = ir_.CreateSelect(guard_.mask, all, ir_.CreateLoad(all->getType(), pointer));
  ir_.CreateStore(all, pointer);
}

// `width` elements of each lane, of which the lanes' follow one another: whole vectors, shuffled in registers. Says
// false, having done nothing, where they do not or some lanes are off.
bool KernelEmitter::move_wide(const Place& registers, const Place& memory, int width, bool to_registers) {
  const bool dense = lanes_.stride(memory.index) == width && width > 1;
  if (registers.space != Space::fragment || memory.space == Space::fragment || !dense || guard_.mask) return false;
  if (!registers.index.is_uniform()) return false;
  llvm::Value* first = llvm::ConstantInt::getSigned(ir_.getInt64Ty(), lanes_.offset_of(memory.index, 0));
  llvm::Value* pointer = element_pointer(memory, ir_.CreateAdd(memory.index.base, first));
  const auto register_place = [&](int i) {
    Place place = registers;
    place.index.base = ir_.CreateAdd(place.index.base, ir_.getInt64(static_cast<std::uint64_t>(i)));
    return place;
  };
  std::vector<int> positions;
  if (to_registers) {
    auto* type =
        llvm::FixedVectorType::get(lanes_.storage_type(memory.dtype), static_cast<unsigned>(width * lanes_.count()));
    llvm::Value* bits = ir_.CreateAlignedLoad(type, pointer, alignment(memory.dtype));
    annotate(bits, memory);
    for (int i = 0; i < width; ++i) {
      positions.clear();
      for (int l = 0; l < lanes_.count(); ++l) positions.push_back(l * width + i);
      store_fragment(register_place(i), from_storage(lanes_, memory.dtype, ir_.CreateShuffleVector(bits, positions)));
    }
    return true;
  }
  std::vector<llvm::Value*> parts;
  for (int i = 0; i < width; ++i) parts.push_back(to_storage(lanes_, load_fragment(register_place(i)), true));
  for (int l = 0; l < lanes_.count(); ++l) {
    for (int i = 0; i < width; ++i) positions.push_back(i * lanes_.count() + l);
  }
  llvm::Value* joined = ir_.CreateShuffleVector(concatenate(ir_, parts), positions);
  annotate(ir_.CreateAlignedStore(joined, pointer, alignment(memory.dtype)), memory);
  return true;
}

// Lane by lane, as lanes may hit one element.
void KernelEmitter::store_atomic(const Place& to, ir::Reducer reducer, const Value& value) {
  ensure(to.space == Space::global, "an atomic store is to global memory");
  llvm::Value* pointers = element_pointers(to, to.index);
  llvm::Value* values = lanes_.vector(value);
  llvm::Value* mask = mask_or_all(true);
  const Guard outer = guard_;
  guard_ = {};
  llvm::BasicBlock* before = ir_.GetInsertBlock();
  llvm::BasicBlock* head = new_block("lane");
  llvm::BasicBlock* update = new_block("update");
  llvm::BasicBlock* next = new_block("next");
  llvm::BasicBlock* after = new_block("join");
  ir_.CreateBr(head);
  ir_.SetInsertPoint(head);
  llvm::PHINode* lane = ir_.CreatePHI(ir_.getInt32Ty(), 2, "lane");
  lane->addIncoming(ir_.getInt32(0), before);
  ir_.CreateCondBr(ir_.CreateExtractElement(mask, lane), update, next);
  ir_.SetInsertPoint(update);
  exchange(to, ir_.CreateExtractElement(pointers, lane), reducer,
           lanes_.uniform(value.dtype, ir_.CreateExtractElement(values, lane)));
  ir_.CreateBr(next);
  ir_.SetInsertPoint(next);
  llvm::Value* following = ir_.CreateAdd(lane, ir_.getInt32(1));
  lane->addIncoming(following, next);
  ir_.CreateCondBr(ir_.CreateICmpULT(following, ir_.getInt32(static_cast<std::uint32_t>(lanes_.count()))), head, after);
  ir_.SetInsertPoint(after);
  guard_ = outer;
}

// *pointer = combine(*pointer, element), by comparing and exchanging until nobody came between.
void KernelEmitter::exchange(const Place& place, llvm::Value* pointer, ir::Reducer reducer, const Value& element) {
  llvm::Type* word = ir_.getIntNTy(8 * static_cast<unsigned>(byte_size(place.dtype)));
  llvm::LoadInst* initial = ir_.CreateAlignedLoad(word, pointer, alignment(place.dtype));
  initial->setAtomic(llvm::AtomicOrdering::Monotonic);
  llvm::BasicBlock* before = ir_.GetInsertBlock();
  llvm::BasicBlock* attempt = new_block("attempt");
  llvm::BasicBlock* done = new_block("exchanged");
  ir_.CreateBr(attempt);
  ir_.SetInsertPoint(attempt);
  llvm::PHINode* old = ir_.CreatePHI(word, 2, "old");
  old->addIncoming(initial, before);
  llvm::Value* bits = ir_.CreateBitCast(old, lanes_.storage_type(place.dtype));
  const ir::VarRef left = ir::make_var("old", place.dtype), right = ir::make_var("element", place.dtype);
  variables_[left.get()] = from_storage(lanes_, place.dtype, bits);
  variables_[right.get()] = element;
  const ir::Expr states[] = {ir::Expr(left), ir::Expr(right)};
  const std::vector<ir::Expr> combined = ir::row(reducer).combine(std::span(states, 1), std::span(states + 1, 1));
  ensure(combined.size() == 1, "an atomic store combines states of one number");
  kept_.push_back(combined[0]);
  llvm::Value* desired = to_storage(lanes_, expression(combined[0]), false);
  llvm::Value* result = ir_.CreateAtomicCmpXchg(pointer, old, ir_.CreateBitCast(desired, word), alignment(place.dtype),
                                                llvm::AtomicOrdering::Monotonic, llvm::AtomicOrdering::Monotonic);
  old->addIncoming(ir_.CreateExtractValue(result, 0), ir_.GetInsertBlock());
  ir_.CreateCondBr(ir_.CreateExtractValue(result, 1), done, attempt);
  ir_.SetInsertPoint(done);
}

}  // namespace quern::codegen
