#include "codegen/llvm/convert.h"

#include "base/error.h"

namespace quern::codegen {
namespace {

constexpr int kSingleFraction = 23;
constexpr int kSingleBias = 127;
constexpr std::uint64_t kSingleMagnitude = 0x7fffffff;
constexpr std::uint64_t kSingleInfinity = 0x7f800000;

bool is_narrow(DType dtype) { return is_float(dtype) && byte_size(dtype) < 4; }

// A float format narrower than f32, in terms of its pattern.
struct Format {
  explicit Format(DType dtype) {
    fraction = info(dtype).digits - 1;
    const int exponent = 8 * byte_size(dtype) - 1 - fraction;
    bias = (1 << (exponent - 1)) - 1;
    sign_shift = fraction + exponent;
    infinity = ((1u << exponent) - 1) << fraction;
    // The 8-bit formats saturate, and e4m3 has no infinity but one NaN.
    const bool e4m3 = dtype == DType::f8e4m3;
    const std::uint64_t largest = e4m3 ? infinity + 6 : infinity - 1;
    overflow = byte_size(dtype) == 1 ? largest : infinity;
    nan = e4m3 || byte_size(dtype) == 1 ? (1u << sign_shift) - 1 : infinity | 1u << (fraction - 1);
    first_special = e4m3 ? nan : infinity;
  }
  int fraction;
  int bias;
  int sign_shift;
  std::uint64_t infinity;
  std::uint64_t overflow;  // what too large numbers become
  std::uint64_t nan;
  std::uint64_t first_special;  // the lowest pattern that is no number
  int dropped() const { return kSingleFraction - fraction; }
};

llvm::Value* as_bits(IrBuilder& ir, llvm::Value* single) {
  return ir.CreateBitCast(single, shaped(ir.getInt32Ty(), single));
}
llvm::Value* as_single(IrBuilder& ir, llvm::Value* bits) {
  return ir.CreateBitCast(bits, shaped(ir.getFloatTy(), bits));
}

llvm::Value* decode_bf16(IrBuilder& ir, llvm::Value* pattern) {
  llvm::Value* wide = ir.CreateZExt(pattern, shaped(ir.getInt32Ty(), pattern));
  return as_single(ir, ir.CreateShl(wide, 16));
}

// f16 through the processor's instructions.
llvm::Value* decode_half(IrBuilder& ir, llvm::Value* pattern) {
  return ir.CreateFPExt(ir.CreateBitCast(pattern, shaped(ir.getHalfTy(), pattern)), shaped(ir.getFloatTy(), pattern));
}
llvm::Value* encode_half(IrBuilder& ir, llvm::Value* single) {
  llvm::Value* half = ir.CreateFPTrunc(single, shaped(ir.getHalfTy(), single));
  return ir.CreateBitCast(half, shaped(ir.getInt16Ty(), single));
}

// Normal numbers move their exponent; subnormal ones are whole multiples of the smallest, which integers hold exactly.
llvm::Value* decode_any(IrBuilder& ir, const Format& format, llvm::Value* pattern) {
  llvm::Value* wide = ir.CreateZExt(pattern, shaped(ir.getInt32Ty(), pattern));
  llvm::Value* magnitude = ir.CreateAnd(wide, (1ull << format.sign_shift) - 1);
  llvm::Value* sign = ir.CreateShl(ir.CreateLShr(wide, format.sign_shift), 31);
  llvm::Value* shifted = ir.CreateShl(magnitude, format.dropped());
  const auto rebias = static_cast<std::uint64_t>(kSingleBias - format.bias) << kSingleFraction;
  llvm::Value* normal = ir.CreateAdd(shifted, integer_like(shifted, rebias));
  llvm::Value* count = ir.CreateUIToFP(magnitude, shaped(ir.getFloatTy(), magnitude));
  const double smallest = std::ldexp(1.0, 1 - format.bias - format.fraction);
  llvm::Value* subnormal = as_bits(ir, ir.CreateFMul(count, real_like(count, smallest)));
  llvm::Value* special = ir.CreateOr(shifted, kSingleInfinity);
  llvm::Value* is_subnormal = ir.CreateICmpULT(magnitude, integer_like(magnitude, 1ull << format.fraction));
  llvm::Value* is_special = ir.CreateICmpUGE(magnitude, integer_like(magnitude, format.first_special));
  llvm::Value* result = ir.CreateSelect(is_subnormal, subnormal, ir.CreateSelect(is_special, special, normal));
  return as_single(ir, ir.CreateOr(result, sign));
}

llvm::Value* encode_bf16(IrBuilder& ir, llvm::Value* single) {
  llvm::Value* bits = as_bits(ir, single);
  llvm::Value* odd = ir.CreateAnd(ir.CreateLShr(bits, 16), 1);
  llvm::Value* rounded = ir.CreateLShr(ir.CreateAdd(bits, ir.CreateAdd(odd, integer_like(bits, 0x7fff))), 16);
  llvm::Value* quiet = ir.CreateOr(ir.CreateLShr(bits, 16), 0x40);
  llvm::Value* result = ir.CreateSelect(ir.CreateFCmpUNO(single, single), quiet, rounded);
  return ir.CreateTrunc(result, shaped(ir.getInt16Ty(), single));
}

llvm::Value* encode_any(IrBuilder& ir, const Format& format, llvm::Value* single, llvm::Type* pattern_type) {
  llvm::Value* bits = as_bits(ir, single);
  llvm::Value* magnitude = ir.CreateAnd(bits, kSingleMagnitude);
  llvm::Value* sign = ir.CreateShl(ir.CreateLShr(bits, 31), format.sign_shift);
  // Normal: round to nearest even by adding just under half of the last place, one more when it is odd.
  llvm::Value* odd = ir.CreateAnd(ir.CreateLShr(magnitude, format.dropped()), 1);
  const std::uint64_t under_half = (1ull << (format.dropped() - 1)) - 1;
  const auto rebias = static_cast<std::uint64_t>(kSingleBias - format.bias) << kSingleFraction;
  llvm::Value* sum = ir.CreateAdd(ir.CreateAdd(magnitude, odd), integer_like(bits, under_half - rebias));
  llvm::Value* normal = ir.CreateLShr(sum, format.dropped());
  // Subnormal: adding a number whose last place is the format's smallest lets the hardware round to its multiple.
  llvm::Value* anchor = real_like(single, std::ldexp(1.0, kSingleFraction + 1 - format.bias - format.fraction));
  llvm::Value* anchored = as_bits(ir, ir.CreateFAdd(as_single(ir, magnitude), anchor));
  llvm::Value* subnormal = ir.CreateSub(anchored, as_bits(ir, anchor));
  const std::uint64_t first_normal = static_cast<std::uint64_t>(kSingleBias + 1 - format.bias) << kSingleFraction;
  llvm::Value* is_subnormal = ir.CreateICmpULT(magnitude, integer_like(bits, first_normal));
  llvm::Value* finite = ir.CreateSelect(is_subnormal, subnormal, normal);
  llvm::Value* overflow = integer_like(bits, format.overflow);
  llvm::Value* bounded = ir.CreateSelect(ir.CreateICmpULT(finite, overflow), finite, overflow);
  llvm::Value* is_nan = ir.CreateICmpUGT(magnitude, integer_like(bits, kSingleInfinity));
  llvm::Value* result = ir.CreateOr(ir.CreateSelect(is_nan, integer_like(bits, format.nan), bounded), sign);
  return ir.CreateTrunc(result, shaped(pattern_type, result));
}

llvm::Value* decode(Lanes& lanes, DType dtype, llvm::Value* pattern) {
  if (dtype == DType::bf16) return decode_bf16(lanes.ir(), pattern);
  if (dtype == DType::f16 && lanes.converts_half()) return decode_half(lanes.ir(), pattern);
  return decode_any(lanes.ir(), Format(dtype), pattern);
}

llvm::Value* encode(Lanes& lanes, DType dtype, llvm::Value* single) {
  if (dtype == DType::bf16) return encode_bf16(lanes.ir(), single);
  if (dtype == DType::f16 && lanes.converts_half()) return encode_half(lanes.ir(), single);
  return encode_any(lanes.ir(), Format(dtype), single, lanes.storage_type(dtype));
}

// The pattern of an f32 that the dtype holds exactly.
llvm::Value* exact_pattern(Lanes& lanes, DType dtype, llvm::Value* single) {
  if (dtype == DType::f8e5m2) {
    Format unsaturated(dtype);
    unsaturated.overflow = unsaturated.infinity;
    return encode_any(lanes.ir(), unsaturated, single, lanes.storage_type(dtype));
  }
  if (dtype != DType::bf16) return encode(lanes, dtype, single);
  IrBuilder& ir = lanes.ir();
  return ir.CreateTrunc(ir.CreateLShr(as_bits(ir, single), 16), shaped(ir.getInt16Ty(), single));
}

// f64 -> f32 rounded to odd (inexact results get an odd last place), so that rounding once more is as if from f64.
llvm::Value* narrow_to_odd(IrBuilder& ir, llvm::Value* wide) {
  llvm::Value* single = ir.CreateFPTrunc(wide, shaped(ir.getFloatTy(), wide));
  llvm::Value* back = ir.CreateFPExt(single, wide->getType());
  llvm::Value* bits = as_bits(ir, single);
  llvm::Value* above = ir.CreateFCmpOGT(ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, back),
                                        ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, wide));
  llvm::Value* truncated = ir.CreateSub(bits, ir.CreateZExt(above, bits->getType()));
  llvm::Value* inexact = ir.CreateFCmpONE(back, wide);
  return as_single(ir, ir.CreateOr(truncated, ir.CreateZExt(inexact, bits->getType())));
}

// A 64-bit integer as f64 for a later rounding to few digits: bits below the 53rd only say that there are some.
llvm::Value* sticky_double(IrBuilder& ir, llvm::Value* value, bool is_signed) {
  constexpr std::uint64_t kLow = 0xfff;
  llvm::Value* magnitude = is_signed ? ir.CreateBinaryIntrinsic(llvm::Intrinsic::abs, value, ir.getFalse()) : value;
  llvm::Value* low = ir.CreateAnd(magnitude, kLow);
  llvm::Value* sticky = ir.CreateShl(ir.CreateZExt(ir.CreateICmpNE(low, integer_like(low, 0)), value->getType()), 12);
  llvm::Value* joined = ir.CreateOr(ir.CreateAnd(magnitude, ~kLow), sticky);
  llvm::Value* large = ir.CreateICmpUGE(magnitude, integer_like(value, 1ull << 53));
  llvm::Value* kept = ir.CreateSelect(large, joined, magnitude);
  llvm::Value* real = ir.CreateUIToFP(kept, shaped(ir.getDoubleTy(), value));
  if (!is_signed) return real;
  return ir.CreateSelect(ir.CreateICmpSLT(value, integer_like(value, 0)), ir.CreateFNeg(real), real);
}

Value narrow_from(Lanes& lanes, DType to, DType from, llvm::Value* value) {
  IrBuilder& ir = lanes.ir();
  if (is_narrow(from) || from == DType::f32) return round_result(lanes, to, value);
  if (!is_float(from)) {
    // Integers of up to 24 digits are exact in f32.
    if (info(from).digits <= 24) {
      llvm::Type* single = shaped(ir.getFloatTy(), value);
      return round_result(lanes, to,
                          is_signed_integer(from) ? ir.CreateSIToFP(value, single) : ir.CreateUIToFP(value, single));
    }
    if (byte_size(from) == 8) {
      value = sticky_double(ir, value, is_signed_integer(from));
    } else {
      llvm::Type* wide = shaped(ir.getDoubleTy(), value);
      value = is_signed_integer(from) ? ir.CreateSIToFP(value, wide) : ir.CreateUIToFP(value, wide);
    }
  }
  return round_result(lanes, to, narrow_to_odd(ir, value));
}

llvm::Value* float_to_integer(IrBuilder& ir, DType to, llvm::Value* value, llvm::Type* type) {
  const auto id = is_signed_integer(to) ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat;
  return ir.CreateIntrinsic(id, {shaped(type, value), value->getType()}, {value});
}

Value convert_plain(Lanes& lanes, DType to, DType from, llvm::Value* value) {
  IrBuilder& ir = lanes.ir();
  if (is_narrow(to)) return narrow_from(lanes, to, from, value);
  llvm::Type* type = shaped(lanes.register_type(to), value);
  const auto wrap = [&](llvm::Value* result) { return lanes.shaped_like(to, result); };
  if (is_float(to)) {
    if (is_float(from)) return wrap(ir.CreateFPCast(value, type));
    return wrap(is_signed_integer(from) ? ir.CreateSIToFP(value, type) : ir.CreateUIToFP(value, type));
  }
  if (is_bool(to)) {
    if (is_float(from)) return wrap(ir.CreateFCmpUNE(value, real_like(value, 0)));
    return wrap(ir.CreateICmpNE(value, integer_like(value, 0)));
  }
  if (is_float(from)) return wrap(float_to_integer(ir, to, value, lanes.register_type(to)));
  return wrap(is_signed_integer(from) ? ir.CreateSExtOrTrunc(value, type) : ir.CreateZExtOrTrunc(value, type));
}

// Wrapping integers modulo 2^bits commutes with adding the lanes' constants, and so does widening a known base.
std::optional<Value> convert_based(Lanes& lanes, DType to, const Value& value) {
  if (!value.offset || !is_integer(to)) return std::nullopt;
  const bool narrows = byte_size(to) <= byte_size(value.dtype);
  if (!narrows && !llvm::isa<llvm::Constant>(value.base)) return std::nullopt;
  IrBuilder& ir = lanes.ir();
  llvm::Type* element = lanes.register_type(to);
  if (!narrows) {
    llvm::Value* all = lanes.vector(value);
    all = is_signed_integer(value.dtype) ? ir.CreateSExt(all, lanes.vector_of(element))
                                         : ir.CreateZExt(all, lanes.vector_of(element));
    return lanes.based(to, llvm::ConstantInt::get(element, 0), llvm::cast<llvm::Constant>(all));
  }
  auto* offset = llvm::cast<llvm::Constant>(ir.CreateTrunc(value.offset, lanes.vector_of(element)));
  return lanes.based(to, ir.CreateTrunc(value.base, element), offset);
}

}  // namespace

Value convert(Lanes& lanes, DType to, const Value& value) {
  if (value.dtype == to) return value;
  if (const auto based = convert_based(lanes, to, value)) return *based;
  return convert_plain(lanes, to, value.dtype, lanes.as(value, !value.is_uniform()));
}

Value round_result(Lanes& lanes, DType dtype, llvm::Value* value) {
  if (!is_narrow(dtype)) return lanes.shaped_like(dtype, value);
  llvm::Value* pattern = encode(lanes, dtype, value);
  Value result = lanes.shaped_like(dtype, decode(lanes, dtype, pattern));
  result.bits = pattern;
  return result;
}

Value from_storage(Lanes& lanes, DType dtype, llvm::Value* bits) {
  IrBuilder& ir = lanes.ir();
  if (is_bool(dtype)) return lanes.shaped_like(dtype, ir.CreateICmpNE(bits, integer_like(bits, 0)));
  if (!is_narrow(dtype)) return lanes.shaped_like(dtype, bits);
  Value result = lanes.shaped_like(dtype, decode(lanes, dtype, bits));
  result.bits = bits;
  return result;
}

llvm::Value* to_storage(Lanes& lanes, const Value& value, bool vector_shape) {
  IrBuilder& ir = lanes.ir();
  if (value.bits) return vector_shape && !value.varying ? lanes.splat(value.bits) : value.bits;
  llvm::Value* plain = lanes.as(value, vector_shape);
  if (is_bool(value.dtype)) return ir.CreateZExt(plain, shaped(ir.getInt8Ty(), plain));
  return is_narrow(value.dtype) ? exact_pattern(lanes, value.dtype, plain) : plain;
}

}  // namespace quern::codegen
