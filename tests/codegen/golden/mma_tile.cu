__device__ __forceinline__ unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

// The first `source_bytes` come from global memory, zeros fill the rest.
template <int bytes>
__device__ __forceinline__ void cp_async(void* to, const void* from, int source_bytes) {
  const unsigned long long source = __cvta_generic_to_global(from);
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(source),
                 "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(source), "n"(bytes),
                 "r"(source_bytes)
                 : "memory");
  }
}
template <int bytes>
__device__ __forceinline__ void cp_async(void* to, const void* from) {
  const unsigned long long source = __cvta_generic_to_global(from);
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(source)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(to)), "l"(source), "n"(bytes)
                 : "memory");
  }
}

__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until at most `pending` groups are on their way.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// `count` 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
template <int count, bool transposed>
__device__ __forceinline__ void ldmatrix(void* to, const void* from) {
  unsigned* r = static_cast<unsigned*>(to);
  const unsigned place = shared_address(from);
  if constexpr (count == 4 && transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(place)
                 : "memory");
  } else if constexpr (count == 4) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(place)
                 : "memory");
  } else if constexpr (count == 2 && transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(place)
                 : "memory");
  } else if constexpr (count == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(place)
                 : "memory");
  } else if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(place) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(place) : "memory");
  }
}

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

struct bf16 {
  unsigned short bits;
};  // 1 sign, 8 exponent, 7 fraction bits

__device__ __forceinline__ void mma_m16n8k16_f32_bf16_bf16(float* d, const bf16* a, const bf16* b) {
  const unsigned* ra = reinterpret_cast<const unsigned*>(a);
  const unsigned* rb = reinterpret_cast<const unsigned*>(b);
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
}

extern "C" __global__ void __launch_bounds__(32) mma_tile(const bf16* __restrict__ x, const bf16* __restrict__ w,
    float* __restrict__ y) {
  const int lane = threadIdx.x % 32;

  extern __shared__ __align__(16) unsigned char shared[];
  bf16* const sx = (bf16*)shared;
  bf16* const sw = (bf16*)(shared + 512);

  cp_async<16>(&sx[lane * 8], &x[lane * 8]);
  cp_async<8>(&sw[lane * 4], &w[lane * 4], lane < 16 ? 8 : 0);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();

  alignas(16) bf16 a[8];
  alignas(16) bf16 b[4];
  ldmatrix<4, 0>(a, &sx[lane % 16 * 16 + lane / 16 * 8]);
  ldmatrix<2, 1>(b, &sw[lane % 16 * 8]);

  alignas(16) float acc[4];
  #pragma unroll
  for (int r = 0; r < 4; ++r) {
    acc[r] = 0.0f;
  }

  mma_m16n8k16_f32_bf16_bf16(acc, a, b);

  const int row = lane / 4;
  const int column = lane % 4 * 2;
  copy<8>(&y[row * 8 + column], acc);
  copy<8>(&y[(row + 8) * 8 + column], &acc[2]);
}
