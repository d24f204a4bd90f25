// Barriers in shared memory that count arrivals and bytes (sm_90). A phase ends when both counts are met; waiting names
// the parity of the phase. See types.cuh for the markers.
#include "memory.cuh"

// @mbarrier_init
__device__ __forceinline__ void mbarrier_init(void* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}

// @mbarrier_init_fence
// Makes initialised barriers visible to the cluster and to the asynchronous proxy.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// @mbarrier_arrive
__device__ __forceinline__ void mbarrier_arrive(void* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// @mbarrier_arrive_cluster
// At the barrier in the same place of the cluster's block `rank`.
__device__ __forceinline__ void mbarrier_arrive_cluster(void* barrier, int rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}

// @mbarrier_release_cluster
// The same without the fence of ordinary accesses, which takes as long as a step of products does.
__device__ __forceinline__ void mbarrier_release_cluster(void* barrier, int rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}

// @mbarrier_expect
// Arrives, and expects `bytes` more before the phase may end.
__device__ __forceinline__ void mbarrier_expect(void* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// @mbarrier_wait
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

// @mbarrier_wait_cluster
// For barriers at which other blocks of the cluster arrive.
__device__ __forceinline__ void mbarrier_wait_cluster(void* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}
