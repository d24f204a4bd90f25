#include "codegen/llvm/lanes.h"

#include <llvm/IR/Constants.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

#include "base/error.h"

namespace quern::codegen {

Lanes::Lanes(llvm::Module& module, int count, const Target& target)
    : module_(module),
      ir_(module.getContext(), llvm::TargetFolder(module.getDataLayout())),
      count_(count),
      vector_bytes_(target.cpu.vector_bytes),
      converts_half_(target.arch == "x86-64-v4" || target.arch == "x86-64-v3") {
  ensure(count > 0 && std::has_single_bit(static_cast<unsigned>(count)),
         "the lanes of a CPU kernel are a power of two");
}

llvm::Type* Lanes::register_type(DType dtype) {
  if (is_bool(dtype)) return ir_.getInt1Ty();
  if (dtype == DType::f64) return ir_.getDoubleTy();
  return is_float(dtype) ? ir_.getFloatTy() : storage_type(dtype);
}

llvm::Type* Lanes::storage_type(DType dtype) {
  if (dtype == DType::f64) return ir_.getDoubleTy();
  if (dtype == DType::f32) return ir_.getFloatTy();
  return ir_.getIntNTy(8 * static_cast<unsigned>(byte_size(dtype)));
}

Value Lanes::shaped_like(DType dtype, llvm::Value* value) {
  return value->getType()->isVectorTy() ? varying(dtype, value) : uniform(dtype, value);
}

Value Lanes::based(DType dtype, llvm::Value* scalar, llvm::Constant* offset) {
  if (offset->isNullValue()) return uniform(dtype, scalar);
  return {.dtype = dtype, .base = scalar, .offset = offset};
}

Value Lanes::lane(DType dtype) {
  std::vector<llvm::Constant*> numbers;
  for (int l = 0; l < count_; ++l) numbers.push_back(llvm::ConstantInt::get(register_type(dtype), l));
  Value result = based(dtype, llvm::ConstantInt::get(register_type(dtype), 0), llvm::ConstantVector::get(numbers));
  result.alignment = kLargestAlignment;
  return result;
}

Value Lanes::integer(DType dtype, std::int64_t value) {
  Value result = uniform(dtype, llvm::ConstantInt::get(register_type(dtype), static_cast<std::uint64_t>(value), true));
  result.alignment = alignment_of(value);
  return result;
}

std::int64_t Lanes::alignment_of(std::int64_t value) {
  if (value == 0) return kLargestAlignment;
  const auto bits = static_cast<std::uint64_t>(value);
  return static_cast<std::int64_t>(std::min(bits & (~bits + 1), static_cast<std::uint64_t>(kLargestAlignment)));
}

llvm::Value* Lanes::splat(llvm::Value* scalar) { return ir_.CreateVectorSplat(static_cast<unsigned>(count_), scalar); }

llvm::Value* Lanes::vector(const Value& value) {
  if (value.varying) return value.base;
  llvm::Value* all = splat(value.base);
  return value.offset ? ir_.CreateAdd(all, value.offset) : all;
}

llvm::Value* Lanes::any(llvm::Value* mask) {
  llvm::Type* word = ir_.getIntNTy(static_cast<unsigned>(count_));
  return ir_.CreateICmpNE(ir_.CreateBitCast(mask, word), llvm::ConstantInt::get(word, 0));
}

std::int64_t Lanes::offset_of(const Value& value, int lane) const {
  const auto* element = llvm::cast<llvm::ConstantInt>(value.offset->getAggregateElement(static_cast<unsigned>(lane)));
  return element->getSExtValue();
}

std::optional<std::int64_t> Lanes::stride(const Value& value) const {
  if (value.is_uniform()) return 0;
  if (value.varying) return std::nullopt;
  const std::int64_t first = offset_of(value, 0);
  const std::int64_t step = offset_of(value, 1) - first;
  for (int l = 2; l < count_; ++l) {
    if (offset_of(value, l) != first + l * step) return std::nullopt;
  }
  return step;
}

llvm::Type* shaped(llvm::Type* element, llvm::Value* like) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(like->getType());
  return vector ? llvm::FixedVectorType::get(element, vector->getNumElements()) : element;
}

llvm::Value* concatenate(IrBuilder& ir, std::vector<llvm::Value*> parts) {
  while (parts.size() > 1) {
    const unsigned length = llvm::cast<llvm::FixedVectorType>(parts[0]->getType())->getNumElements();
    std::vector<int> positions(2 * length);
    std::iota(positions.begin(), positions.end(), 0);
    for (std::size_t i = 0; i < parts.size() / 2; ++i) {
      parts[i] = ir.CreateShuffleVector(parts[2 * i], parts[2 * i + 1], positions);
    }
    parts.resize(parts.size() / 2);
  }
  return parts[0];
}

llvm::Constant* integer_like(llvm::Value* like, std::uint64_t value) {
  return llvm::ConstantInt::get(like->getType(), value);
}

llvm::Constant* real_like(llvm::Value* like, double value) { return llvm::ConstantFP::get(like->getType(), value); }

}  // namespace quern::codegen
