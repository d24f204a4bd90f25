#pragma once
// The meanings of the table's rows (ir/intrinsics.cpp), by family. Inside ir/.

#include "ir/meaning.h"

namespace quern::ir::meanings {

// Calls body(lane) for the lanes that take part.
template <typename Body>
void each(Execution& x, const Body& body) {
  for (int lane = 0; lane < x.lanes(); ++lane) {
    if (x.active(lane)) body(lane);
  }
}

// meanings_sync.cpp: barriers, groups, fences
bool barrier(Execution& x);
bool named_barrier(Execution& x);
bool named_arrive(Execution& x);
bool warp_sync(Execution& x);
bool cp_async_commit(Execution& x);
bool cp_async_wait(Execution& x);
bool mbarrier_init(Execution& x);
bool mbarrier_init_fence(Execution& x);
bool mbarrier_arrive(Execution& x);
bool mbarrier_arrive_cluster(Execution& x);
bool mbarrier_release_cluster(Execution& x);
bool mbarrier_expect(Execution& x);
bool mbarrier_wait(Execution& x);
bool mbarrier_wait_cluster(Execution& x);
bool tma_store_commit(Execution& x);
bool tma_store_wait(Execution& x);
bool tma_store_wait_read(Execution& x);
bool fence_proxy_async(Execution& x);
bool wgmma_fence(Execution& x);
bool wgmma_commit(Execution& x);
bool wgmma_wait(Execution& x);
bool set_max_registers(Execution& x);
bool cluster_arrive(Execution& x);
bool cluster_wait(Execution& x);
bool nothing(Execution& x);  // hints, and what a single launch cannot see

// meanings_copy.cpp: between lanes, and between global and shared memory
bool shuffle_xor(Execution& x);
bool shuffle_index(Execution& x);
bool cp_async(Execution& x);
bool tma_load(Execution& x);
bool tma_im2col(Execution& x);
bool tma_store(Execution& x);
bool tma_reduce_add(Execution& x);

// meanings_matrix.cpp: fragments and products
bool ldmatrix(Execution& x);
bool stmatrix(Execution& x);
bool mma_sync(Execution& x);
bool wgmma_descriptor(Execution& x);
bool wgmma(Execution& x);
bool wgmma_registers(Execution& x);

}  // namespace quern::ir::meanings
