template <typename T>
__device__ __forceinline__ T wrap_sub(T a, T b) {
  return static_cast<T>(static_cast<unsigned long long>(a) - static_cast<unsigned long long>(b));
}

template <typename T>
__device__ __forceinline__ T q_max(T a, T b) {
  return a < b ? b : a;
}
__device__ __forceinline__ float q_max(float a, float b) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
__device__ __forceinline__ double q_max(double a, double b) { return a > b || a != a ? a : b; }

// The bits at `place` before; `desired` is stored where they were `expected`.
__device__ __forceinline__ unsigned compare_and_swap(unsigned* place, unsigned expected, unsigned desired) {
  return atomicCAS(place, expected, desired);
}
__device__ __forceinline__ unsigned long long compare_and_swap(unsigned long long* place, unsigned long long expected,
                                                               unsigned long long desired) {
  return atomicCAS(place, expected, desired);
}
__device__ __forceinline__ unsigned short compare_and_swap(unsigned short* place, unsigned short expected,
                                                           unsigned short desired) {
  unsigned short before;
  asm volatile("atom.global.cas.b16 %0, [%1], %2, %3;"
               : "=h"(before)
               : "l"(__cvta_generic_to_global(place)), "h"(expected), "h"(desired)
               : "memory");
  return before;
}
__device__ __forceinline__ unsigned char compare_and_swap(unsigned char* place, unsigned char expected,
                                                          unsigned char desired) {
  // The word around the byte; where another byte of it changes meanwhile, the caller tries again.
  const unsigned long long address = reinterpret_cast<unsigned long long>(place);
  unsigned* word = reinterpret_cast<unsigned*>(address & ~3ull);
  const unsigned shift = (address & 3) * 8;
  const unsigned around = *const_cast<volatile unsigned*>(word) & ~(0xffu << shift);
  const unsigned before = atomicCAS(word, around | expected << shift, around | desired << shift);
  if ((before & ~(0xffu << shift)) != around) return ~expected;
  return before >> shift;
}

template <int bytes>
struct UnsignedOf;
template <>
struct UnsignedOf<1> {
  using Type = unsigned char;
};
template <>
struct UnsignedOf<2> {
  using Type = unsigned short;
};
template <>
struct UnsignedOf<4> {
  using Type = unsigned;
};
template <>
struct UnsignedOf<8> {
  using Type = unsigned long long;
};

template <int bytes>
using Unsigned = typename UnsignedOf<bytes>::Type;

template <typename T, typename Value, typename Combine>
__device__ __forceinline__ void atomic_update(T* place, Value value, Combine combine) {
  using Bits = Unsigned<sizeof(T)>;
  Bits* bits = reinterpret_cast<Bits*>(place);
  while (true) {
    const Bits expected = *const_cast<volatile Bits*>(bits);
    T current;
    memcpy(&current, &expected, sizeof(T));
    const T combined = combine(current, value);
    Bits desired;
    memcpy(&desired, &combined, sizeof(T));
    if (compare_and_swap(bits, expected, desired) == expected) return;
  }
}

template <typename T>
__device__ __forceinline__ void atomic_add(T* place, T value) {
  atomicAdd(place, value);
}
__device__ __forceinline__ void atomic_add(long long* place, long long value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(place), static_cast<unsigned long long>(value));
}

struct bf16 {
  unsigned short bits;
};  // 1 sign, 8 exponent, 7 fraction bits

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

__device__ __forceinline__ bf16 to_bf16(float x) {
  bf16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
  return result;
}

__device__ __forceinline__ void atomic_add(bf16* place, bf16 value) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.noftz.bf16 [%0], %1;" ::"l"(__cvta_generic_to_global(place)), "h"(value.bits)
               : "memory");
#else
  atomic_update(place, value, [](bf16 a, bf16 b) { return to_bf16(to_float(a) + to_float(b)); });
#endif
}

extern "C" __global__ void __launch_bounds__(128) scatter(const float* __restrict__ x, const int* __restrict__ g,
    float* __restrict__ sum_, bf16* __restrict__ half, float* __restrict__ largest, unsigned char* __restrict__ any_,
    long long* __restrict__ count, int n) {
  const int block = blockIdx.x;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;

  const int i = block * 128 + warp * 32 + lane;
  if (i < n) {
    const int into = wrap_sub(g[i], 1);
    const float v = x[i];
    atomic_add(&sum_[into], v);
    atomic_add(&half[into], to_bf16(v));
    atomic_update(&largest[into], v, [](float a, float b) { return q_max(a, b); });
    atomic_update(&any_[into], 0.0f < v, [](bool a, bool b) { return a || b; });
    atomic_add(&count[into], 1ll);
  }
}
