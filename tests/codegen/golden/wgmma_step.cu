__device__ __forceinline__ unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

//   bits 0-13 address / 16, 16-29 leading / 16, 32-45 stride / 16, 62-63 swizzle: 0 none, 1 128 B, 2 64 B, 3 32 B
template <int leading, int stride, int swizzle>
__device__ __forceinline__ unsigned long long wgmma_descriptor(const void* place) {
  constexpr unsigned long long mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  constexpr unsigned long long high = mode << 62 | static_cast<unsigned long long>(stride >> 4) << 32;
  return high | static_cast<unsigned>(leading >> 4) << 16 | (shared_address(place) & 0x3ffff) >> 4;
}

// Before a batch: registers written by ordinary code become visible to it.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Until at most `pending` batches are on their way.
template <int pending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

// Keeps the compiler from moving uses of accumulators across a fence or a wait.
template <int count>
__device__ __forceinline__ void keep_in_place(float* registers) {
#pragma unroll
  for (int i = 0; i < count; ++i) asm volatile("" : "+f"(registers[i]));
}
template <int count>
__device__ __forceinline__ void keep_in_place(int* registers) {
#pragma unroll
  for (int i = 0; i < count; ++i) asm volatile("" : "+r"(registers[i]));
}

__device__ __forceinline__ void mbarrier_init(void* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}

// Makes initialised barriers visible to the cluster and to the asynchronous proxy.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(void* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives, and expects `bytes` more before the phase may end.
__device__ __forceinline__ void mbarrier_expect(void* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

__device__ __forceinline__ void mbarrier_wait(void* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
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

struct alignas(64) TensorMap {
  unsigned long long words[16];
};  // opaque, encoded by the driver

template <unsigned short multicast>
__device__ __forceinline__ void tma_load_2d(void* to, const TensorMap& map, void* barrier, int c0, int c1) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "h"(multicast)
        : "memory");
  }
}

struct bf16 {
  unsigned short bits;
};  // 1 sign, 8 exponent, 7 fraction bits

// Of each thread of the warp group.
template <int count, bool increase>
__device__ __forceinline__ void set_max_registers() {
  if constexpr (increase) {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
  } else {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
  }
}

template <int a_step, int b_step>
__device__ __forceinline__ void wgmma_m64n128k64_f32_bf16_bf16(float* d, unsigned long long a, unsigned long long b,
    bool accumulate) {
#define ACCUMULATOR \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
  "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, " \
  "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, " \
  "%62, %63}"
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "setp.ne.b32 p, %72, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " ACCUMULATOR ", %64, %68, p, 1, 1, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " ACCUMULATOR ", %65, %69, 1, 1, 1, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " ACCUMULATOR ", %66, %70, 1, 1, 1, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " ACCUMULATOR ", %67, %71, 1, 1, 1, 0, 0;\n"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]),
        "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]),
        "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]),
        "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]),
        "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]),
        "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]),
        "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "l"(a), "l"(a + a_step), "l"(a + 2 * a_step), "l"(a + 3 * a_step), "l"(b), "l"(b + b_step),
        "l"(b + 2 * b_step), "l"(b + 3 * b_step), "r"(static_cast<int>(accumulate)));
#undef ACCUMULATOR
}

extern "C" __global__ void __launch_bounds__(256, 1) wgmma_step(const bf16* __restrict__ x, const bf16* __restrict__ w,
    float* __restrict__ y, int steps, const __grid_constant__ TensorMap x_map,
    const __grid_constant__ TensorMap w_map) {
  const int warp = __shfl_sync(0xffffffff, threadIdx.x / 32, 0);
  __builtin_assume(0 <= warp && warp < 8);
  const int lane = threadIdx.x % 32;

  extern __shared__ __align__(1024) unsigned char shared[];
  bf16* const a = (bf16*)shared;
  bf16* const b = (bf16*)(shared + 16384);
  unsigned long long* const full = (unsigned long long*)(shared + 49152);
  unsigned long long* const empty = (unsigned long long*)(shared + 49168);

  if (warp == 0 && lane == 0) {
    #pragma unroll
    for (int s = 0; s < 2; ++s) {
      mbarrier_init(&full[s], 1);
      mbarrier_init(&empty[s], 1);
    }
    mbarrier_init_fence();
  }
  __syncthreads();

  if (warp < 4) {
    set_max_registers<40, 0>();

    if (warp == 0 && lane == 0) {
      #pragma unroll 1
      for (int k = 0; k < steps; ++k) {
        const int stage = k % 2;
        const int phase = k / 2 % 2;
        mbarrier_wait(&empty[stage], 1 - phase);
        mbarrier_expect(&full[stage], 24576);
        tma_load_2d<0>(&a[stage * 4096], x_map, &full[stage], k * 64, 0);
        tma_load_2d<0>(&b[stage * 8192], w_map, &full[stage], k * 64, 0);
      }
    }
  } else {
    set_max_registers<232, 1>();

    alignas(16) float acc[64];
    #pragma unroll 1
    for (int k = 0; k < steps; ++k) {
      const int stage = k % 2;
      const int phase = k / 2 % 2;
      mbarrier_wait(&full[stage], phase);
      unsigned long long a_tile;
      unsigned long long b_tile;
      a_tile = wgmma_descriptor<16, 1024, 128>(&a[stage * 4096]);
      b_tile = wgmma_descriptor<16, 1024, 128>(&b[stage * 8192]);
      keep_in_place<64>(acc);
      wgmma_fence();
      wgmma_m64n128k64_f32_bf16_bf16<2, 2>(acc, a_tile, b_tile, !(k == 0));
      wgmma_commit();
      wgmma_wait<0>();
      keep_in_place<64>(acc);
      if (warp % 4 + lane == 0) {
        mbarrier_arrive(&empty[stage]);
      }
    }

    #pragma unroll
    for (int r = 0; r < 32; ++r) {
      copy<8>(&y[((warp - 4) * 16 + lane / 4 + r % 2 * 8) * 128 + r / 2 * 8 + lane % 4 * 2], &acc[r * 2]);
    }
  }
}
