// Copies of 1, 2, 4, 8 or 16 bytes in one access, aligned to their size, between registers and memory, with what to do
// about caches: `streaming` data is used once and evicted first, `no_allocate` data stays out of the first-level cache,
// `evict_last` data should stay in the second-level one. See types.cuh for the markers.

// @WordOf
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

// @Word
template <int bytes>
using Word = typename WordOf<bytes>::Type;

// @copy
template <int bytes>
__device__ __forceinline__ void copy(void* to, const void* from) {
  *static_cast<Word<bytes>*>(to) = *static_cast<const Word<bytes>*>(from);
}

// @load_streaming
template <int bytes>
__device__ __forceinline__ void load_streaming(void* to, const void* from) {
  *static_cast<Word<bytes>*>(to) = __ldcs(static_cast<const Word<bytes>*>(from));
}

// @store_streaming
template <int bytes>
__device__ __forceinline__ void store_streaming(void* to, const void* from) {
  __stcs(static_cast<Word<bytes>*>(to), *static_cast<const Word<bytes>*>(from));
}
template <typename T>
__device__ __forceinline__ void store_streaming(T* to, T value) {
  store_streaming<sizeof(T)>(to, &value);
}

// @load_no_allocate
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

// @store_no_allocate
template <int bytes>
__device__ __forceinline__ void store_no_allocate(void* to, const void* from) {
  const unsigned long long place = __cvta_generic_to_global(to);
  const Word<bytes>& word = *static_cast<const Word<bytes>*>(from);
  if constexpr (bytes == 16) {
    asm volatile("st.global.L1::no_allocate.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(place), "r"(word.x), "r"(word.y),
                 "r"(word.z), "r"(word.w)
                 : "memory");
  } else if constexpr (bytes == 8) {
    asm volatile("st.global.L1::no_allocate.v2.u32 [%0], {%1, %2};" ::"l"(place), "r"(word.x), "r"(word.y) : "memory");
  } else if constexpr (bytes == 4) {
    asm volatile("st.global.L1::no_allocate.u32 [%0], %1;" ::"l"(place), "r"(word) : "memory");
  } else if constexpr (bytes == 2) {
    asm volatile("st.global.L1::no_allocate.u16 [%0], %1;" ::"l"(place), "h"(word) : "memory");
  } else {
    *static_cast<Word<bytes>*>(to) = word;
  }
}
template <typename T>
__device__ __forceinline__ void store_no_allocate(T* to, T value) {
  store_no_allocate<sizeof(T)>(to, &value);
}

// @evict_last_policy
__device__ __forceinline__ unsigned long long evict_last_policy() {
  unsigned long long policy;
  asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// @load_evict_last
template <int bytes>
__device__ __forceinline__ void load_evict_last(void* to, const void* from) {
  const unsigned long long place = __cvta_generic_to_global(from);
  Word<bytes>& word = *static_cast<Word<bytes>*>(to);
  if constexpr (bytes == 16) {
    asm volatile("ld.global.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
                 : "=r"(word.x), "=r"(word.y), "=r"(word.z), "=r"(word.w)
                 : "l"(place), "l"(evict_last_policy())
                 : "memory");
  } else if constexpr (bytes == 8) {
    asm volatile("ld.global.L2::cache_hint.v2.u32 {%0, %1}, [%2], %3;"
                 : "=r"(word.x), "=r"(word.y)
                 : "l"(place), "l"(evict_last_policy())
                 : "memory");
  } else if constexpr (bytes == 4) {
    asm volatile("ld.global.L2::cache_hint.u32 %0, [%1], %2;"
                 : "=r"(word)
                 : "l"(place), "l"(evict_last_policy())
                 : "memory");
  } else if constexpr (bytes == 2) {
    asm volatile("ld.global.L2::cache_hint.u16 %0, [%1], %2;"
                 : "=h"(word)
                 : "l"(place), "l"(evict_last_policy())
                 : "memory");
  } else {
    word = *static_cast<const Word<bytes>*>(from);
  }
}

// @store_evict_last
template <int bytes>
__device__ __forceinline__ void store_evict_last(void* to, const void* from) {
  const unsigned long long place = __cvta_generic_to_global(to);
  const Word<bytes>& word = *static_cast<const Word<bytes>*>(from);
  if constexpr (bytes == 16) {
    asm volatile("st.global.L2::cache_hint.v4.u32 [%0], {%1, %2, %3, %4}, %5;" ::"l"(place), "r"(word.x), "r"(word.y),
                 "r"(word.z), "r"(word.w), "l"(evict_last_policy())
                 : "memory");
  } else if constexpr (bytes == 8) {
    asm volatile("st.global.L2::cache_hint.v2.u32 [%0], {%1, %2}, %3;" ::"l"(place), "r"(word.x), "r"(word.y),
                 "l"(evict_last_policy())
                 : "memory");
  } else if constexpr (bytes == 4) {
    asm volatile("st.global.L2::cache_hint.u32 [%0], %1, %2;" ::"l"(place), "r"(word), "l"(evict_last_policy())
                 : "memory");
  } else if constexpr (bytes == 2) {
    asm volatile("st.global.L2::cache_hint.u16 [%0], %1, %2;" ::"l"(place), "h"(word), "l"(evict_last_policy())
                 : "memory");
  } else {
    *static_cast<Word<bytes>*>(to) = word;
  }
}
template <typename T>
__device__ __forceinline__ void store_evict_last(T* to, T value) {
  store_evict_last<sizeof(T)>(to, &value);
}

// @shared_address
__device__ __forceinline__ unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}
