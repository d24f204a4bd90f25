// Exchanges between the lanes of a warp; barriers of groups of warps, of clusters and grids. See types.cuh for the
// markers.

// @shuffle_xor
template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int lane_mask) {
  return __shfl_xor_sync(0xffffffff, value, lane_mask);
}

// @shuffle_xor bf16
__device__ __forceinline__ bf16 shuffle_xor(bf16 value, int lane_mask) {
  return {static_cast<unsigned short>(__shfl_xor_sync(0xffffffff, static_cast<unsigned>(value.bits), lane_mask))};
}

// @shuffle_xor f16
__device__ __forceinline__ f16 shuffle_xor(f16 value, int lane_mask) {
  return {static_cast<unsigned short>(__shfl_xor_sync(0xffffffff, static_cast<unsigned>(value.bits), lane_mask))};
}

// @shuffle_xor f8e4m3
__device__ __forceinline__ f8e4m3 shuffle_xor(f8e4m3 value, int lane_mask) {
  return {static_cast<unsigned char>(__shfl_xor_sync(0xffffffff, static_cast<unsigned>(value.bits), lane_mask))};
}

// @shuffle_xor f8e5m2
__device__ __forceinline__ f8e5m2 shuffle_xor(f8e5m2 value, int lane_mask) {
  return {static_cast<unsigned char>(__shfl_xor_sync(0xffffffff, static_cast<unsigned>(value.bits), lane_mask))};
}

// @shuffle_index
template <typename T>
__device__ __forceinline__ T shuffle_index(T value, int lane) {
  return __shfl_sync(0xffffffff, value, lane);
}

// @shuffle_index bf16
__device__ __forceinline__ bf16 shuffle_index(bf16 value, int lane) {
  return {static_cast<unsigned short>(__shfl_sync(0xffffffff, static_cast<unsigned>(value.bits), lane))};
}

// @shuffle_index f16
__device__ __forceinline__ f16 shuffle_index(f16 value, int lane) {
  return {static_cast<unsigned short>(__shfl_sync(0xffffffff, static_cast<unsigned>(value.bits), lane))};
}

// @shuffle_index f8e4m3
__device__ __forceinline__ f8e4m3 shuffle_index(f8e4m3 value, int lane) {
  return {static_cast<unsigned char>(__shfl_sync(0xffffffff, static_cast<unsigned>(value.bits), lane))};
}

// @shuffle_index f8e5m2
__device__ __forceinline__ f8e5m2 shuffle_index(f8e5m2 value, int lane) {
  return {static_cast<unsigned char>(__shfl_sync(0xffffffff, static_cast<unsigned>(value.bits), lane))};
}

// @named_barrier
template <int threads>
__device__ __forceinline__ void named_barrier(int id) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(threads) : "memory");
}

// @named_arrive
template <int threads>
__device__ __forceinline__ void named_arrive(int id) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "n"(threads) : "memory");
}

// @set_max_registers
// Of each thread of the warp group.
template <int count, bool increase>
__device__ __forceinline__ void set_max_registers() {
  if constexpr (increase) {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
  } else {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
  }
}

// @cluster_arrive
__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

// @cluster_wait
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// @grid_dependency_wait
__device__ __forceinline__ void grid_dependency_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// @grid_dependency_launch
__device__ __forceinline__ void grid_dependency_launch() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
