// Conversions between number types. See types.cuh for the markers.
#include "types.cuh"

// @to_float bf16
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

// @to_bf16
__device__ __forceinline__ bf16 to_bf16(float x) {
  bf16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
}

// @to_float f16
__device__ __forceinline__ float to_float(f16 x) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
}

// @to_f16
__device__ __forceinline__ f16 to_f16(float x) {
  f16 result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
}

// @set_last_bit
__device__ __forceinline__ float set_last_bit(float x, bool inexact) {
  return __uint_as_float(__float_as_uint(x) | (inexact ? 1u : 0u));
}

// @round_to_odd
// The neighbour of x towards zero, its last bit set where x lies between floats: rounding that to a type of at most 22
// digits gives what rounding x at once would give.
__device__ __forceinline__ float round_to_odd(double x) {
  const float toward_zero = __double2float_rz(x);
  return set_last_bit(toward_zero, toward_zero != x);
}
__device__ __forceinline__ float round_to_odd(int x) {
  const float toward_zero = __int2float_rz(x);
  return set_last_bit(toward_zero, static_cast<int>(toward_zero) != x);
}
__device__ __forceinline__ float round_to_odd(unsigned x) {
  const float toward_zero = __uint2float_rz(x);
  return set_last_bit(toward_zero, static_cast<unsigned>(toward_zero) != x);
}
__device__ __forceinline__ float round_to_odd(long long x) {
  const float toward_zero = __ll2float_rz(x);
  return set_last_bit(toward_zero, static_cast<long long>(toward_zero) != x);
}
__device__ __forceinline__ float round_to_odd(unsigned long long x) {
  const float toward_zero = __ull2float_rz(x);
  return set_last_bit(toward_zero, static_cast<unsigned long long>(toward_zero) != x);
}

// @round_to_f8
// The bits of x in a float of 8 bits with `digits` fraction bits, to nearest even, beyond `largest` saturated.
template <int digits, int bias, unsigned largest>
__device__ __forceinline__ unsigned char round_to_f8(float x) {
  const unsigned sign = (__float_as_uint(x) >> 24) & 0x80;
  const unsigned bits = __float_as_uint(x) & 0x7fffffff;
  if (bits > 0x7f800000) return 0x7f;
  unsigned code;
  if (bits < (128u - bias) << 23) {
    // Below the normal numbers: their last place becomes the last place of the sum.
    const float shifter = __uint_as_float((127u + 24 - digits - bias) << 23);
    code = __float_as_uint(__uint_as_float(bits) + shifter) - __float_as_uint(shifter);
  } else {
    const int dropped = 23 - digits;
    const unsigned rounded = bits + ((1u << (dropped - 1)) - 1) + ((bits >> dropped) & 1);
    code = (rounded >> dropped) - ((127u - bias) << digits);
  }
  return sign | (code < largest ? code : largest);
}

// @to_f8e4m3
__device__ __forceinline__ f8e4m3 to_f8e4m3(float x) {
#if __CUDA_ARCH__ >= 890
  unsigned short pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(x));
  return {static_cast<unsigned char>(pair)};
#else
  return {round_to_f8<3, 7, 0x7e>(x)};
#endif
}

// @to_f8e5m2
__device__ __forceinline__ f8e5m2 to_f8e5m2(float x) {
#if __CUDA_ARCH__ >= 890
  unsigned short pair;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(x));
  return {static_cast<unsigned char>(pair)};
#else
  return {round_to_f8<2, 15, 0x7b>(x)};
#endif
}

// @to_float f8e4m3
__device__ __forceinline__ float to_float(f8e4m3 x) {
#if __CUDA_ARCH__ >= 890
  float result;
  asm("{\n"
      ".reg .b32 pair;\n"
      ".reg .b16 low, high;\n"
      "cvt.rn.f16x2.e4m3x2 pair, %1;\n"
      "mov.b32 {low, high}, pair;\n"
      "cvt.f32.f16 %0, low;\n"
      "}"
      : "=f"(result)
      : "h"(static_cast<unsigned short>(x.bits)));
  return result;
#else
  const unsigned sign = static_cast<unsigned>(x.bits & 0x80) << 24;
  const unsigned code = x.bits & 0x7f;
  // The exponent's bias changes from 7 to 127, for denormals too.
  const float scaled = __uint_as_float(code << 20) * 0x1p120f;
  return __uint_as_float(sign | (code == 0x7f ? 0x7fffffffu : __float_as_uint(scaled)));
#endif
}

// @to_float f8e5m2
__device__ __forceinline__ float to_float(f8e5m2 x) {
  float result;  // an f16 with the last 8 bits cut off
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(static_cast<unsigned short>(x.bits << 8)));
  return result;
}

// Float to integer: truncated, saturated, 0 for NaN. The hardware gives 0 for NaN from float to 32 bits only.

// @to_i8
__device__ __forceinline__ signed char to_i8(float x) { return min(max(__float2int_rz(x), -128), 127); }
__device__ __forceinline__ signed char to_i8(double x) { return x != x ? 0 : min(max(__double2int_rz(x), -128), 127); }

// @to_i16
__device__ __forceinline__ short to_i16(float x) { return min(max(__float2int_rz(x), -32768), 32767); }
__device__ __forceinline__ short to_i16(double x) { return x != x ? 0 : min(max(__double2int_rz(x), -32768), 32767); }

// @to_i32
__device__ __forceinline__ int to_i32(float x) { return __float2int_rz(x); }
__device__ __forceinline__ int to_i32(double x) { return x != x ? 0 : __double2int_rz(x); }

// @to_i64
__device__ __forceinline__ long long to_i64(float x) { return x != x ? 0 : __float2ll_rz(x); }
__device__ __forceinline__ long long to_i64(double x) { return x != x ? 0 : __double2ll_rz(x); }

// @to_u8
__device__ __forceinline__ unsigned char to_u8(float x) { return min(__float2uint_rz(x), 255u); }
__device__ __forceinline__ unsigned char to_u8(double x) { return x != x ? 0 : min(__double2uint_rz(x), 255u); }

// @to_u16
__device__ __forceinline__ unsigned short to_u16(float x) { return min(__float2uint_rz(x), 65535u); }
__device__ __forceinline__ unsigned short to_u16(double x) { return x != x ? 0 : min(__double2uint_rz(x), 65535u); }

// @to_u32
__device__ __forceinline__ unsigned to_u32(float x) { return __float2uint_rz(x); }
__device__ __forceinline__ unsigned to_u32(double x) { return x != x ? 0 : __double2uint_rz(x); }

// @to_u64
__device__ __forceinline__ unsigned long long to_u64(float x) { return x != x ? 0 : __float2ull_rz(x); }
__device__ __forceinline__ unsigned long long to_u64(double x) { return x != x ? 0 : __double2ull_rz(x); }
