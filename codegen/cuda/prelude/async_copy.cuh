// Asynchronous copies from global to shared memory (sm_80). See types.cuh for the markers.
#include "memory.cuh"

// @cp_async
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

// @cp_async_commit
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// @cp_async_wait
// Until at most `pending` groups are on their way.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
