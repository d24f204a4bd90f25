// Atomic updates of global memory: *place = combine(*place, value). See types.cuh for the markers.

// @compare_and_swap
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

// @atomic_update
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

// @UnsignedOf
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

// @Unsigned
template <int bytes>
using Unsigned = typename UnsignedOf<bytes>::Type;

// @atomic_add
template <typename T>
__device__ __forceinline__ void atomic_add(T* place, T value) {
  atomicAdd(place, value);
}
__device__ __forceinline__ void atomic_add(long long* place, long long value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(place), static_cast<unsigned long long>(value));
}

// @atomic_add f16
__device__ __forceinline__ void atomic_add(f16* place, f16 value) {
  asm volatile("red.global.add.noftz.f16 [%0], %1;" ::"l"(__cvta_generic_to_global(place)), "h"(value.bits) : "memory");
}

// @atomic_add bf16
__device__ __forceinline__ void atomic_add(bf16* place, bf16 value) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.noftz.bf16 [%0], %1;" ::"l"(__cvta_generic_to_global(place)), "h"(value.bits)
               : "memory");
#else
  atomic_update(place, value, [](bf16 a, bf16 b) { return to_bf16(to_float(a) + to_float(b)); });
#endif
}

// @atomic_min
template <typename T>
__device__ __forceinline__ void atomic_min(T* place, T value) {
  atomicMin(place, value);
}

// @atomic_max
template <typename T>
__device__ __forceinline__ void atomic_max(T* place, T value) {
  atomicMax(place, value);
}
