#include "codegen/llvm/based.h"

#include <algorithm>

#include "codegen/llvm/arithmetic.h"

namespace quern::codegen {
namespace {

using ir::Op;

// The division below holds offsets exactly in f32.
constexpr std::int64_t kLargestOffset = 4096;

Value aligned(Value value, std::int64_t alignment) {
  value.alignment = alignment;
  return value;
}

std::int64_t alignment_of_product(const Value& a, const Value& b) {
  return std::min(a.alignment * b.alignment, Lanes::kLargestAlignment);
}

llvm::Constant* offset_or_zero(Lanes& lanes, const Value& value) {
  return value.offset ? value.offset : llvm::Constant::getNullValue(lanes.vector_of(value.base->getType()));
}

Value combine(Lanes& lanes, Op op, const Value& a, const Value& b) {
  IrBuilder& ir = lanes.ir();
  llvm::Constant *left = offset_or_zero(lanes, a), *right = offset_or_zero(lanes, b);
  const bool adds = op == Op::add;
  llvm::Value* base = adds ? ir.CreateAdd(a.base, b.base) : ir.CreateSub(a.base, b.base);
  llvm::Value* offset = adds ? ir.CreateAdd(left, right) : ir.CreateSub(left, right);
  return aligned(lanes.based(a.dtype, base, llvm::cast<llvm::Constant>(offset)), std::min(a.alignment, b.alignment));
}

std::optional<Value> scale(Lanes& lanes, const Value& value, const Value& factor) {
  if (!llvm::isa<llvm::ConstantInt>(factor.base) || !factor.is_uniform()) return std::nullopt;
  IrBuilder& ir = lanes.ir();
  llvm::Value* offset = ir.CreateMul(value.offset, lanes.splat(factor.base));
  return aligned(lanes.based(value.dtype, ir.CreateMul(value.base, factor.base), llvm::cast<llvm::Constant>(offset)),
                 alignment_of_product(value, factor));
}

// With the base's quotient q and remainder r by d > 0, and s = d - r its distance to the next multiple, a lane at
// offset o has the quotient q, or q + 1 + (o - s) / d from o = s on, where all but q are no larger than the offsets.
llvm::Value* small_quotients(Lanes& lanes, const Value& value, llvm::Value* rest, llvm::Value* d,
                             std::int64_t largest) {
  IrBuilder& ir = lanes.ir();
  llvm::Value* limit = integer_like(d, static_cast<std::uint64_t>(largest + 1));
  const auto small = [&](llvm::Value* number) {
    llvm::Value* clamped = ir.CreateBinaryIntrinsic(llvm::Intrinsic::umin, number, limit);
    return lanes.splat(ir.CreateZExtOrTrunc(clamped, ir.getInt32Ty()));
  };
  llvm::Value* to_next = small(ir.CreateSub(d, rest));
  llvm::Value* divisor = small(d);
  llvm::Value* offset = ir.CreateZExtOrTrunc(value.offset, lanes.vector_of(ir.getInt32Ty()));
  llvm::Type* real = lanes.vector_of(ir.getFloatTy());
  llvm::Value* past = ir.CreateSub(offset, to_next);
  llvm::Value* quotient = ir.CreateFDiv(ir.CreateSIToFP(past, real), ir.CreateSIToFP(divisor, real));
  llvm::Value* more = ir.CreateAdd(ir.CreateFPToSI(quotient, offset->getType()), integer_like(offset, 1));
  llvm::Value* steps = ir.CreateSelect(ir.CreateICmpULT(offset, to_next), integer_like(offset, 0), more);
  return ir.CreateZExtOrTrunc(steps, value.offset->getType());
}

// The lanes' offsets lie in 0 .. kLargestOffset.
std::optional<std::int64_t> largest_offset(Lanes& lanes, const Value& value) {
  std::int64_t largest = 0;
  for (int l = 0; l < lanes.count(); ++l) {
    const std::int64_t offset = lanes.offset_of(value, l);
    if (offset < 0 || offset > kLargestOffset) return std::nullopt;
    largest = std::max(largest, offset);
  }
  return largest;
}

// Where the base is a multiple of a number that divides `by`, and that no offset reaches, all lanes share the quotient.
std::optional<Value> divide_aligned(Lanes& lanes, Op op, const Value& value, const Value& by, std::int64_t largest) {
  const std::int64_t common = std::min(value.alignment, by.alignment);
  if (largest >= common) return std::nullopt;
  const Value operands[] = {aligned(lanes.uniform(value.dtype, value.base), value.alignment), by};
  const Value result = apply(lanes, op, operands);
  if (op == Op::floor_div) return result;
  return aligned(lanes.based(value.dtype, result.base, value.offset), common);
}

// By a divisor above 0.
Value divide_positive(Lanes& lanes, Op op, const Value& value, const Value& by, std::int64_t largest) {
  IrBuilder& ir = lanes.ir();
  const Value operands[] = {lanes.uniform(value.dtype, value.base), by};
  llvm::Value* quotient = apply(lanes, Op::floor_div, operands).base;
  llvm::Value* rest = ir.CreateSub(value.base, ir.CreateMul(quotient, by.base));
  llvm::Value* steps = small_quotients(lanes, value, rest, by.base, largest);
  const bool divides = op == Op::floor_div;
  llvm::Value* base = divides ? quotient : rest;
  llvm::Value* each = divides ? steps : ir.CreateSub(value.offset, ir.CreateMul(steps, lanes.splat(by.base)));
  if (auto* constant = llvm::dyn_cast<llvm::Constant>(each)) return lanes.based(value.dtype, base, constant);
  return lanes.varying(value.dtype, ir.CreateAdd(lanes.splat(base), each));
}

// Division by a shared 64-bit divisor; one that is not above 0 is left to the general way, in a branch.
std::optional<Value> divide(Lanes& lanes, Op op, const Value& value, const Value& by) {
  const auto largest = largest_offset(lanes, value);
  if (!by.is_uniform() || value.dtype != DType::i64 || !largest) return std::nullopt;
  if (const auto* divisor = llvm::dyn_cast<llvm::ConstantInt>(by.base)) {
    if (divisor->getSExtValue() <= 0) return std::nullopt;
    if (const auto result = divide_aligned(lanes, op, value, by, *largest)) return result;
    return divide_positive(lanes, op, value, by, *largest);
  }
  IrBuilder& ir = lanes.ir();
  llvm::LLVMContext& context = lanes.module().getContext();
  llvm::Function* function = ir.GetInsertBlock()->getParent();
  auto* positive = llvm::BasicBlock::Create(context, "positive", function);
  auto* general = llvm::BasicBlock::Create(context, "general", function);
  auto* join = llvm::BasicBlock::Create(context, "divided", function);
  ir.CreateCondBr(ir.CreateICmpSGT(by.base, integer_like(by.base, 0)), positive, general);
  ir.SetInsertPoint(positive);
  llvm::Value* fast = lanes.vector(divide_positive(lanes, op, value, by, *largest));
  positive = ir.GetInsertBlock();
  ir.CreateBr(join);
  ir.SetInsertPoint(general);
  const Value operands[] = {lanes.varying(value.dtype, lanes.vector(value)), by};
  llvm::Value* slow = apply(lanes, op, operands).base;
  general = ir.GetInsertBlock();
  ir.CreateBr(join);
  ir.SetInsertPoint(join);
  llvm::PHINode* result = ir.CreatePHI(fast->getType(), 2);
  result->addIncoming(fast, positive);
  result->addIncoming(slow, general);
  return lanes.varying(value.dtype, result);
}

// Scalars, of which the alignment is followed.
std::optional<Value> apply_uniform(Lanes& lanes, Op op, std::span<const Value> x) {
  std::int64_t alignment = 1;
  if (op == Op::add || op == Op::sub || op == Op::min || op == Op::max || op == Op::mod) {
    alignment = std::min(x[0].alignment, x[1].alignment);
  } else if (op == Op::mul) {
    alignment = alignment_of_product(x[0], x[1]);
  }
  if (alignment == 1) return std::nullopt;
  return aligned(apply(lanes, op, x), alignment);
}

}  // namespace

std::optional<Value> apply_based(Lanes& lanes, Op op, std::span<const Value> x) {
  const auto is_varying = [](const Value& v) { return v.varying; };
  const auto is_based = [](const Value& v) { return v.offset != nullptr; };
  if (!is_integer(x[0].dtype) || std::ranges::any_of(x, is_varying)) return std::nullopt;
  if (std::ranges::none_of(x, is_based)) return apply_uniform(lanes, op, x);
  switch (op) {
    case Op::add:
    case Op::sub:
      return combine(lanes, op, x[0], x[1]);
    case Op::neg:
      return combine(lanes, Op::sub, lanes.integer(x[0].dtype, 0), x[0]);
    case Op::mul:
      return x[0].offset ? scale(lanes, x[0], x[1]) : scale(lanes, x[1], x[0]);
    case Op::floor_div:
    case Op::mod:
      return x[0].offset ? divide(lanes, op, x[0], x[1]) : std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace quern::codegen
