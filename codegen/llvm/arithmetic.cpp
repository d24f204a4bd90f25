#include "codegen/llvm/arithmetic.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "codegen/llvm/convert.h"

namespace quern::codegen {
namespace {

using ir::Op;
using Operands = std::span<llvm::Value* const>;

bool is_comparison(Op op) { return op >= Op::eq && op <= Op::ge; }

// Results that are one of the operands or a whole number, which a narrow float holds without rounding; f8e5m2 has an
// infinity as an operand, but none as a result.
bool keeps_precision(Op op, DType dtype) {
  if (dtype == DType::f8e5m2) return false;
  return op == Op::neg || op == Op::min || op == Op::max || op == Op::abs || op == Op::floor || op == Op::ceil ||
         op == Op::round;
}

llvm::CmpInst::Predicate predicate(Op op, DType dtype) {
  using P = llvm::CmpInst;
  const int which = static_cast<int>(op) - static_cast<int>(Op::eq);
  constexpr P::Predicate kFloat[] = {P::FCMP_OEQ, P::FCMP_UNE, P::FCMP_OLT, P::FCMP_OLE, P::FCMP_OGT, P::FCMP_OGE};
  constexpr P::Predicate kSigned[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_SLT, P::ICMP_SLE, P::ICMP_SGT, P::ICMP_SGE};
  constexpr P::Predicate kUnsigned[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_ULT, P::ICMP_ULE, P::ICMP_UGT, P::ICMP_UGE};
  return (is_float(dtype) ? kFloat : is_signed_integer(dtype) ? kSigned : kUnsigned)[which];
}

bool is_number(llvm::Value* value) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(value);
  if (constant && constant->getType()->isVectorTy()) constant = constant->getSplatValue();
  const auto* real = llvm::dyn_cast_or_null<llvm::ConstantFP>(constant);
  return real && !real->isNaN();
}

// A NaN operand gives NaN. The processor's minimum gives its second operand when either is NaN, so only a NaN in the
// first one needs care.
llvm::Value* float_extreme(IrBuilder& ir, llvm::CmpInst::Predicate better, llvm::Value* a, llvm::Value* b) {
  if (is_number(b)) std::swap(a, b);
  llvm::Value* chosen = ir.CreateSelect(ir.CreateFCmp(better, a, b), a, b);
  return is_number(a) ? chosen : ir.CreateSelect(ir.CreateFCmpUNO(a, a), a, chosen);
}

llvm::Value* extreme(IrBuilder& ir, Op op, DType dtype, llvm::Value* a, llvm::Value* b) {
  const bool least = op == Op::min;
  if (is_float(dtype)) return float_extreme(ir, least ? llvm::CmpInst::FCMP_OLT : llvm::CmpInst::FCMP_OGT, a, b);
  const auto id = is_signed_integer(dtype) ? (least ? llvm::Intrinsic::smin : llvm::Intrinsic::smax)
                                           : (least ? llvm::Intrinsic::umin : llvm::Intrinsic::umax);
  return ir.CreateBinaryIntrinsic(id, a, b);
}

llvm::Value* absolute(IrBuilder& ir, DType dtype, llvm::Value* a) {
  if (is_float(dtype)) return ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, a);
  return is_signed_integer(dtype) ? ir.CreateBinaryIntrinsic(llvm::Intrinsic::abs, a, ir.getFalse()) : a;
}

// The integer constant in all elements.
std::optional<llvm::APInt> constant_of(llvm::Value* value) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(value);
  if (constant && constant->getType()->isVectorTy()) constant = constant->getSplatValue();
  const auto* number = llvm::dyn_cast_or_null<llvm::ConstantInt>(constant);
  return number ? std::optional(number->getValue()) : std::nullopt;
}

// Quotient rounded down and remainder with the divisor's sign; both 0 for a zero divisor.
struct Division {
  llvm::Value* quotient;
  llvm::Value* remainder;
};

Division divide_unsigned(IrBuilder& ir, llvm::Value* a, llvm::Value* b) {
  llvm::Value* zero = integer_like(a, 0);
  llvm::Value* is_zero = ir.CreateICmpEQ(b, zero);
  llvm::Value* divisor = ir.CreateSelect(is_zero, integer_like(a, 1), b);
  return {ir.CreateSelect(is_zero, zero, ir.CreateUDiv(a, divisor)),
          ir.CreateSelect(is_zero, zero, ir.CreateURem(a, divisor))};
}

Division divide_signed(IrBuilder& ir, llvm::Value* a, llvm::Value* b) {
  llvm::Value* zero = integer_like(a, 0);
  if (const auto divisor = constant_of(b); divisor && divisor->isStrictlyPositive() && divisor->isPowerOf2()) {
    return {ir.CreateAShr(a, divisor->logBase2()), ir.CreateAnd(a, integer_like(a, divisor->getZExtValue() - 1))};
  }
  // -1 would overflow on the lowest integer: the quotient is then the negation, which wraps.
  llvm::Value* is_zero = ir.CreateICmpEQ(b, zero);
  llvm::Value* is_negation = ir.CreateICmpEQ(b, llvm::Constant::getAllOnesValue(b->getType()));
  llvm::Value* divisor = ir.CreateSelect(ir.CreateOr(is_zero, is_negation), integer_like(a, 1), b);
  llvm::Value* truncated = ir.CreateSDiv(a, divisor);
  llvm::Value* rest = ir.CreateSub(a, ir.CreateMul(truncated, divisor));
  llvm::Value* differs = ir.CreateICmpSLT(ir.CreateXor(rest, divisor), zero);
  llvm::Value* adjust = ir.CreateAnd(ir.CreateICmpNE(rest, zero), differs);
  llvm::Value* quotient = ir.CreateSub(truncated, ir.CreateZExt(adjust, a->getType()));
  llvm::Value* remainder = ir.CreateAdd(rest, ir.CreateSelect(adjust, divisor, zero));
  quotient = ir.CreateSelect(is_negation, ir.CreateNeg(a), quotient);
  // With -1 the divisor in use was 1, whose remainder is 0 already.
  return {ir.CreateSelect(is_zero, zero, quotient), ir.CreateSelect(is_zero, zero, remainder)};
}

Division divide(IrBuilder& ir, DType dtype, llvm::Value* a, llvm::Value* b) {
  return is_signed_integer(dtype) ? divide_signed(ir, a, b) : divide_unsigned(ir, a, b);
}

// Amounts below 0 and of the width or more shift everything out.
llvm::Value* shift(IrBuilder& ir, Op op, DType dtype, llvm::Value* a, llvm::Value* amount) {
  const std::uint64_t width = 8 * static_cast<std::uint64_t>(byte_size(dtype));
  llvm::Value* inside = ir.CreateICmpULT(amount, integer_like(amount, width));
  const bool arithmetic = op == Op::shift_right && is_signed_integer(dtype);
  llvm::Value* safe = ir.CreateSelect(inside, amount, integer_like(amount, arithmetic ? width - 1 : 0));
  if (arithmetic) return ir.CreateAShr(a, safe);
  llvm::Value* shifted = op == Op::shift_left ? ir.CreateShl(a, safe) : ir.CreateLShr(a, safe);
  return ir.CreateSelect(inside, shifted, integer_like(a, 0));
}

llvm::Value* instruction(Lanes& lanes, Op op, DType dtype, Operands x) {
  IrBuilder& ir = lanes.ir();
  const bool real = is_float(dtype);
  switch (op) {
    case Op::add:
      return real ? ir.CreateFAdd(x[0], x[1]) : ir.CreateAdd(x[0], x[1]);
    case Op::sub:
      return real ? ir.CreateFSub(x[0], x[1]) : ir.CreateSub(x[0], x[1]);
    case Op::mul:
      return real ? ir.CreateFMul(x[0], x[1]) : ir.CreateMul(x[0], x[1]);
    case Op::div:
      return ir.CreateFDiv(x[0], x[1]);
    case Op::neg:
      return real ? ir.CreateFNeg(x[0]) : ir.CreateNeg(x[0]);
    case Op::floor_div:
      return divide(ir, dtype, x[0], x[1]).quotient;
    case Op::mod:
      return divide(ir, dtype, x[0], x[1]).remainder;
    case Op::min:
    case Op::max:
      return extreme(ir, op, dtype, x[0], x[1]);
    case Op::abs:
      return absolute(ir, dtype, x[0]);
    case Op::logical_and:
    case Op::bit_and:
      return ir.CreateAnd(x[0], x[1]);
    case Op::logical_or:
    case Op::bit_or:
      return ir.CreateOr(x[0], x[1]);
    case Op::bit_xor:
      return ir.CreateXor(x[0], x[1]);
    case Op::logical_not:
    case Op::bit_not:
      return ir.CreateNot(x[0]);
    case Op::shift_left:
    case Op::shift_right:
      return shift(ir, op, dtype, x[0], x[1]);
    default:
      throw InternalError(fmt::format("the scalar function {} has no CPU spelling", ir::row(op).name));
  }
}

// Rows whose `cpu` spelling says more than an instruction on floats.
llvm::Value* spelled(Lanes& lanes, const ir::ScalarFunction& function, Operands x) {
  constexpr std::string_view kIntrinsic = "llvm.";
  if (!function.cpu.starts_with(kIntrinsic)) return call_libm(lanes, function.cpu, x);
  const llvm::Intrinsic::ID id = llvm::Function::lookupIntrinsicID(llvm::StringRef(function.cpu));
  ensure(id != llvm::Intrinsic::not_intrinsic, "a row's CPU spelling names an intrinsic of LLVM");
  return lanes.ir().CreateIntrinsic(id, {x[0]->getType()}, llvm::ArrayRef(x.data(), x.size()));
}

bool is_integer_or_instruction(Op op, DType dtype, const ir::ScalarFunction& function) {
  return function.cpu.empty() || !is_float(dtype) || op == Op::min || op == Op::max || op == Op::abs;
}

}  // namespace

Value apply(Lanes& lanes, Op op, std::span<const Value> operands) {
  const DType dtype = operands.back().dtype;
  const bool as_vector = std::ranges::any_of(operands, [](const Value& v) { return !v.is_uniform(); });
  std::vector<llvm::Value*> x;
  for (const Value& operand : operands) x.push_back(lanes.as(operand, as_vector));
  IrBuilder& ir = lanes.ir();
  if (is_comparison(op)) {
    llvm::Value* result = ir.CreateCmp(predicate(op, dtype), x[0], x[1]);
    return lanes.shaped_like(DType::boolean, result);
  }
  const ir::ScalarFunction& function = ir::row(op);
  llvm::Value* result =
      is_integer_or_instruction(op, dtype, function) ? instruction(lanes, op, dtype, x) : spelled(lanes, function, x);
  return keeps_precision(op, dtype) ? lanes.shaped_like(dtype, result) : round_result(lanes, dtype, result);
}

}  // namespace quern::codegen
