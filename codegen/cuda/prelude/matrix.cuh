// Matrix fragments between registers and shared memory, and what surrounds wgmma. The products themselves are printed
// from their shapes. See types.cuh for the markers.
#include "memory.cuh"

// @ldmatrix
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

// @stmatrix
template <int count, bool transposed>
__device__ __forceinline__ void stmatrix(void* to, const void* from) {
  const unsigned* r = static_cast<const unsigned*>(from);
  const unsigned place = shared_address(to);
  if constexpr (count == 4 && transposed) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared::cta.b16 [%0], {%1, %2, %3, %4};" ::"r"(place), "r"(r[0]),
                 "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
  } else if constexpr (count == 4) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared::cta.b16 [%0], {%1, %2, %3, %4};" ::"r"(place), "r"(r[0]),
                 "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
  } else if constexpr (count == 2 && transposed) {
    asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared::cta.b16 [%0], {%1, %2};" ::"r"(place), "r"(r[0]),
                 "r"(r[1])
                 : "memory");
  } else if constexpr (count == 2) {
    asm volatile("stmatrix.sync.aligned.m8n8.x2.shared::cta.b16 [%0], {%1, %2};" ::"r"(place), "r"(r[0]), "r"(r[1])
                 : "memory");
  } else if constexpr (transposed) {
    asm volatile("stmatrix.sync.aligned.m8n8.x1.trans.shared::cta.b16 [%0], {%1};" ::"r"(place), "r"(r[0]) : "memory");
  } else {
    asm volatile("stmatrix.sync.aligned.m8n8.x1.shared::cta.b16 [%0], {%1};" ::"r"(place), "r"(r[0]) : "memory");
  }
}

// @wgmma_descriptor
//   bits 0-13 address / 16, 16-29 leading / 16, 32-45 stride / 16, 62-63 swizzle: 0 none, 1 128 B, 2 64 B, 3 32 B
template <int leading, int stride, int swizzle>
__device__ __forceinline__ unsigned long long wgmma_descriptor(const void* place) {
  constexpr unsigned long long mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  constexpr unsigned long long high = mode << 62 | static_cast<unsigned long long>(stride >> 4) << 32;
  return high | static_cast<unsigned>(leading >> 4) << 16 | (shared_address(place) & 0x3ffff) >> 4;
}

// @wgmma_fence
// Before a batch: registers written by ordinary code become visible to it.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// @wgmma_commit
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// @wgmma_wait
// Until at most `pending` batches are on their way.
template <int pending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

// @keep_in_place
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

// @opaque
// A number that the assembler does not know: it unrolls loops of a few products all the same, and then serialises them.
__device__ __forceinline__ int opaque(int number) {
  asm volatile("" : "+r"(number));
  return number;
}

// @keep_in_place f16
template <int count>
__device__ __forceinline__ void keep_in_place(f16* registers) {
  keep_in_place<count / 2>(reinterpret_cast<int*>(registers));
}
