// Bulk copies of tensor tiles between global and shared memory (sm_90). A load completes on an mbarrier, which counts
// the bytes of the whole box; with a `multicast` mask it lands at the same place of every block of the cluster that the
// mask names. Stores complete by groups. Coordinates count elements, innermost first. See types.cuh for the markers.
#include "mbarrier.cuh"
#include "types.cuh"

// @tma_load_1d
template <unsigned short multicast>
__device__ __forceinline__ void tma_load_1d(void* to, const TensorMap& map, void* barrier, int c0) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.1d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.1d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3}], [%2], %4;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "h"(multicast)
        : "memory");
  }
}

// @tma_load_2d
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

// @tma_load_3d
template <unsigned short multicast>
__device__ __forceinline__ void tma_load_3d(void* to, const TensorMap& map, void* barrier, int c0, int c1, int c2) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "h"(multicast)
        : "memory");
  }
}

// @tma_load_4d
template <unsigned short multicast>
__device__ __forceinline__ void tma_load_4d(void* to, const TensorMap& map, void* barrier, int c0, int c1, int c2,
                                            int c3) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4, %5, %6}], [%2], %7;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "h"(multicast)
        : "memory");
  }
}

// @tma_load_5d
template <unsigned short multicast>
__device__ __forceinline__ void tma_load_5d(void* to, const TensorMap& map, void* barrier, int c0, int c1, int c2,
                                            int c3, int c4) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4), "h"(multicast)
        : "memory");
  }
}

// @tma_im2col_3d
// The box starts at channel c of the pixel at w (h, d) of image n; the offsets name the filter tap.
template <unsigned short multicast>
__device__ __forceinline__ void tma_im2col_3d(void* to, const TensorMap& map, void* barrier, int c, int w, int n,
                                              unsigned short offset_w) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5}], [%2], {%6};" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(n), "h"(offset_w)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4, %5}], [%2], {%6}, %7;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(n), "h"(offset_w), "h"(multicast)
        : "memory");
  }
}

// @tma_im2col_4d
template <unsigned short multicast>
__device__ __forceinline__ void tma_im2col_4d(void* to, const TensorMap& map, void* barrier, int c, int w, int h, int n,
                                              unsigned short offset_w, unsigned short offset_h) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8}, %9;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h),
        "h"(multicast)
        : "memory");
  }
}

// @tma_im2col_5d
template <unsigned short multicast>
__device__ __forceinline__ void tma_im2col_5d(void* to, const TensorMap& map, void* barrier, int c, int w, int h, int d,
                                              int n, unsigned short offset_w, unsigned short offset_h,
                                              unsigned short offset_d) {
  if constexpr (multicast == 0) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], {%8, %9, %10};" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(d), "r"(n), "h"(offset_w), "h"(offset_h),
        "h"(offset_d)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%3, %4, %5, %6, %7}], [%2], {%8, %9, %10}, %11;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(d), "r"(n), "h"(offset_w), "h"(offset_h),
        "h"(offset_d), "h"(multicast)
        : "memory");
  }
}

// @tma_store_1d
__device__ __forceinline__ void tma_store_1d(const TensorMap& map, const void* from, int c0) {
  asm volatile("cp.async.bulk.tensor.1d.global.shared::cta.tile.bulk_group [%0, {%2}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(c0)
               : "memory");
}

// @tma_reduce_add_1d
__device__ __forceinline__ void tma_reduce_add_1d(const TensorMap& map, const void* from, int c0) {
  asm volatile("cp.reduce.async.bulk.tensor.1d.global.shared::cta.add.tile.bulk_group [%0, {%2}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(c0)
               : "memory");
}

// @tma_store_2d
__device__ __forceinline__ void tma_store_2d(const TensorMap& map, const void* from, int c0, int c1) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(c0), "r"(c1)
               : "memory");
}

// @tma_reduce_add_2d
__device__ __forceinline__ void tma_reduce_add_2d(const TensorMap& map, const void* from, int c0, int c1) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map),
      "r"(shared_address(from)), "r"(c0), "r"(c1)
      : "memory");
}

// @tma_store_3d
__device__ __forceinline__ void tma_store_3d(const TensorMap& map, const void* from, int c0, int c1, int c2) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2)
               : "memory");
}

// @tma_reduce_add_3d
__device__ __forceinline__ void tma_reduce_add_3d(const TensorMap& map, const void* from, int c0, int c1, int c2) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(&map),
      "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
}

// @tma_store_4d
__device__ __forceinline__ void tma_store_4d(const TensorMap& map, const void* from, int c0, int c1, int c2, int c3) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map),
               "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
               : "memory");
}

// @tma_reduce_add_4d
__device__ __forceinline__ void tma_reduce_add_4d(const TensorMap& map, const void* from, int c0, int c1, int c2,
                                                  int c3) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.4d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map),
      "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}

// @tma_store_5d
__device__ __forceinline__ void tma_store_5d(const TensorMap& map, const void* from, int c0, int c1, int c2, int c3,
                                             int c4) {
  asm volatile(
      "cp.async.bulk.tensor.5d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5, %6}], [%1];" ::"l"(&map),
      "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
      : "memory");
}

// @tma_reduce_add_5d
__device__ __forceinline__ void tma_reduce_add_5d(const TensorMap& map, const void* from, int c0, int c1, int c2,
                                                  int c3, int c4) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.5d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4, %5, %6}], [%1];" ::"l"(
          &map),
      "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
      : "memory");
}

// @tma_store_commit
__device__ __forceinline__ void tma_store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

// @tma_store_wait
// Until all but `pending` groups are written to global memory.
template <int pending>
__device__ __forceinline__ void tma_store_wait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(pending) : "memory");
}

// @tma_store_wait_read
// Until the shared memory of all but `pending` groups may be overwritten.
template <int pending>
__device__ __forceinline__ void tma_store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}

// @tma_prefetch_map
__device__ __forceinline__ void tma_prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// @fence_proxy_async
// Makes ordinary writes to shared memory visible to bulk copies and wgmma.
__device__ __forceinline__ void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
