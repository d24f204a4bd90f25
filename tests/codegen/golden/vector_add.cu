// kernel add(x: f32[n], y: f32[n]) -> (z: f32[n]) { z[i] = x[i] + y[i] }
//
// four elements per thread

template <int bytes>
struct WordOf;
template <>
struct WordOf<1> {
  using Type = unsigned char;
};
template <>
struct WordOf<2> {
  using Type = unsigned short;
};
template <>
struct WordOf<4> {
  using Type = unsigned;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};

template <int bytes>
using Word = typename WordOf<bytes>::Type;

template <int bytes>
__device__ __forceinline__ void copy(void* to, const void* from) {
  *static_cast<Word<bytes>*>(to) = *static_cast<const Word<bytes>*>(from);
}

template <int bytes>
__device__ __forceinline__ void store_streaming(void* to, const void* from) {
  __stcs(static_cast<Word<bytes>*>(to), *static_cast<const Word<bytes>*>(from));
}
template <typename T>
__device__ __forceinline__ void store_streaming(T* to, T value) {
  store_streaming<sizeof(T)>(to, &value);
}

// Of memory that the kernel does not write.
template <int bytes>
__device__ __forceinline__ void load_no_allocate(void* to, const void* from) {
  const unsigned long long place = __cvta_generic_to_global(from);
  Word<bytes>& word = *static_cast<Word<bytes>*>(to);
  if constexpr (bytes == 16) {
    asm("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(word.x), "=r"(word.y), "=r"(word.z), "=r"(word.w)
        : "l"(place));
  } else if constexpr (bytes == 8) {
    asm("ld.global.nc.L1::no_allocate.L2::256B.v2.u32 {%0, %1}, [%2];" : "=r"(word.x), "=r"(word.y) : "l"(place));
  } else if constexpr (bytes == 4) {
    asm("ld.global.nc.L1::no_allocate.L2::256B.u32 %0, [%1];" : "=r"(word) : "l"(place));
  } else if constexpr (bytes == 2) {
    asm("ld.global.nc.L1::no_allocate.L2::256B.u16 %0, [%1];" : "=h"(word) : "l"(place));
  } else {
    word = *static_cast<const Word<bytes>*>(from);
  }
}

extern "C" __global__ void __launch_bounds__(256) add(const float* __restrict__ x, const float* __restrict__ y,
    float* __restrict__ z, long long n) {
  const long long block = blockIdx.x;
  const long long warp = threadIdx.x / 32;
  const long long lane = threadIdx.x % 32;

  const long long i = block * 1024 + warp * 128 + lane * 4;
  if (i + 4 <= n) {
    alignas(16) float a[4];
    alignas(16) float b[4];
    load_no_allocate<16>(a, &x[i]);
    copy<16>(b, &y[i]);

    #pragma unroll
    for (long long r = 0; r < 4; ++r) {
      a[r] += b[r];
    }

    store_streaming<16>(&z[i], a);
  } else {
    #pragma unroll 1
    for (long long t = i; t < n; ++t) {
      z[t] = x[t] + y[t];
    }
  }
}
