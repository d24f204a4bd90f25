#include "ir/intrinsics.h"

#include <array>

#include "base/error.h"
#include "ir/meanings.h"

namespace quern::ir {
namespace {

using enum IntrinsicId;
using Scope = ExecutionScope;
using Done = Completion;

// id, name, operands, fewest, most, scope, reads, writes through, completion, architecture, its 'a' variant, prelude,
// meaning
constexpr std::array<IntrinsicRow, kIntrinsicCount> kRows{{
    {barrier, "barrier", "", 0, 0, Scope::block, Proxy::none, Proxy::none, Done::at_once, 80, false, "__syncthreads",
     meanings::barrier},
    {named_barrier, "named_barrier", "ic", 2, 2, Scope::warp, Proxy::none, Proxy::none, Done::at_once, 80, false,
     "named_barrier", meanings::named_barrier},
    {named_arrive, "named_arrive", "ic", 2, 2, Scope::warp, Proxy::none, Proxy::none, Done::at_once, 80, false,
     "named_arrive", meanings::named_arrive},
    {warp_sync, "warp_sync", "", 0, 0, Scope::warp, Proxy::none, Proxy::none, Done::at_once, 80, false, "__syncwarp",
     meanings::warp_sync},
    {shuffle_xor, "shuffle_xor", "rvi", 3, 3, Scope::warp, Proxy::none, Proxy::none, Done::at_once, 80, false,
     "shuffle_xor", meanings::shuffle_xor},
    {shuffle_index, "shuffle_index", "rvi", 3, 3, Scope::warp, Proxy::none, Proxy::none, Done::at_once, 80, false,
     "shuffle_index", meanings::shuffle_index},

    {cp_async, "cp_async", "sgci", 4, 4, Scope::thread, Proxy::generic, Proxy::generic, Done::cp_async_group, 80, false,
     "cp_async", meanings::cp_async},
    {cp_async_commit, "cp_async_commit", "", 0, 0, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 80, false,
     "cp_async_commit", meanings::cp_async_commit},
    {cp_async_wait, "cp_async_wait", "c", 1, 1, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 80, false,
     "cp_async_wait", meanings::cp_async_wait},

    {mbarrier_init, "mbarrier_init", "bi", 2, 2, Scope::thread, Proxy::none, Proxy::generic, Done::at_once, 90, false,
     "mbarrier_init", meanings::mbarrier_init},
    {mbarrier_init_fence, "mbarrier_init_fence", "", 0, 0, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90,
     false, "mbarrier_init_fence", meanings::mbarrier_init_fence},
    {mbarrier_arrive, "mbarrier_arrive", "b", 1, 1, Scope::thread, Proxy::generic, Proxy::generic, Done::at_once, 90,
     false, "mbarrier_arrive", meanings::mbarrier_arrive},
    {mbarrier_arrive_cluster, "mbarrier_arrive_cluster", "bi", 2, 2, Scope::thread, Proxy::generic, Proxy::generic,
     Done::at_once, 90, false, "mbarrier_arrive_cluster", meanings::mbarrier_arrive_cluster},
    {mbarrier_release_cluster, "mbarrier_release_cluster", "bi", 2, 2, Scope::thread, Proxy::generic, Proxy::generic,
     Done::at_once, 90, false, "mbarrier_release_cluster", meanings::mbarrier_release_cluster},
    {mbarrier_expect, "mbarrier_expect", "bi", 2, 2, Scope::thread, Proxy::generic, Proxy::generic, Done::at_once, 90,
     false, "mbarrier_expect", meanings::mbarrier_expect},
    {mbarrier_wait, "mbarrier_wait", "bi", 2, 2, Scope::thread, Proxy::generic, Proxy::none, Done::at_once, 90, false,
     "mbarrier_wait", meanings::mbarrier_wait},
    {mbarrier_wait_cluster, "mbarrier_wait_cluster", "bi", 2, 2, Scope::thread, Proxy::generic, Proxy::none,
     Done::at_once, 90, false, "mbarrier_wait_cluster", meanings::mbarrier_wait_cluster},

    {tma_load, "tma_load", "smbci", 5, 9, Scope::thread, Proxy::async, Proxy::async, Done::mbarrier, 90, false,
     "tma_load", meanings::tma_load},
    {tma_im2col, "tma_im2col", "smbci", 8, 12, Scope::thread, Proxy::async, Proxy::async, Done::mbarrier, 90, false,
     "tma_im2col", meanings::tma_im2col},
    {tma_store, "tma_store", "msi", 3, 7, Scope::thread, Proxy::async, Proxy::async, Done::bulk_group, 90, false,
     "tma_store", meanings::tma_store},
    {tma_reduce_add, "tma_reduce_add", "msi", 3, 7, Scope::thread, Proxy::async, Proxy::async, Done::bulk_group, 90,
     false, "tma_reduce_add", meanings::tma_reduce_add},
    {tma_store_commit, "tma_store_commit", "", 0, 0, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90, false,
     "tma_store_commit", meanings::tma_store_commit},
    {tma_store_wait, "tma_store_wait", "c", 1, 1, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90, false,
     "tma_store_wait", meanings::tma_store_wait},
    {tma_store_wait_read, "tma_store_wait_read", "c", 1, 1, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90,
     false, "tma_store_wait_read", meanings::tma_store_wait_read},
    {tma_prefetch_map, "tma_prefetch_map", "m", 1, 1, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90, false,
     "tma_prefetch_map", meanings::nothing},
    {fence_proxy_async, "fence_proxy_async", "", 0, 0, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90,
     false, "fence_proxy_async", meanings::fence_proxy_async},

    {ldmatrix, "ldmatrix", "rscc", 4, 4, Scope::warp, Proxy::generic, Proxy::none, Done::at_once, 80, false, "ldmatrix",
     meanings::ldmatrix},
    {stmatrix, "stmatrix", "srcc", 4, 4, Scope::warp, Proxy::none, Proxy::generic, Done::at_once, 90, false, "stmatrix",
     meanings::stmatrix},
    {mma_sync, "mma_sync", "rrrcccddd", 9, 9, Scope::warp, Proxy::none, Proxy::none, Done::at_once, 80, false, "",
     meanings::mma_sync},
    {wgmma_descriptor, "wgmma_descriptor", "rsccc", 5, 5, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90,
     true, "wgmma_descriptor", meanings::wgmma_descriptor},
    {wgmma, "wgmma", "riitccccdddcc", 13, 13, Scope::warpgroup, Proxy::async, Proxy::none, Done::wgmma_group, 90, true,
     "", meanings::wgmma},
    {wgmma_registers, "wgmma_registers", "rritccccdddc", 12, 12, Scope::warpgroup, Proxy::async, Proxy::none,
     Done::wgmma_group, 90, true, "", meanings::wgmma_registers},
    {wgmma_fence, "wgmma_fence", "", 0, 0, Scope::warpgroup, Proxy::none, Proxy::none, Done::at_once, 90, true,
     "wgmma_fence", meanings::wgmma_fence},
    {wgmma_commit, "wgmma_commit", "", 0, 0, Scope::warpgroup, Proxy::none, Proxy::none, Done::at_once, 90, true,
     "wgmma_commit", meanings::wgmma_commit},
    {wgmma_wait, "wgmma_wait", "c", 1, 1, Scope::warpgroup, Proxy::none, Proxy::none, Done::at_once, 90, true,
     "wgmma_wait", meanings::wgmma_wait},

    {set_max_registers, "set_max_registers", "cc", 2, 2, Scope::warpgroup, Proxy::none, Proxy::none, Done::at_once, 90,
     true, "set_max_registers", meanings::set_max_registers},
    {cluster_arrive, "cluster_arrive", "", 0, 0, Scope::cluster, Proxy::none, Proxy::none, Done::at_once, 90, false,
     "cluster_arrive", meanings::cluster_arrive},
    {cluster_wait, "cluster_wait", "", 0, 0, Scope::cluster, Proxy::none, Proxy::none, Done::at_once, 90, false,
     "cluster_wait", meanings::cluster_wait},
    {grid_dependency_wait, "grid_dependency_wait", "", 0, 0, Scope::thread, Proxy::none, Proxy::none, Done::at_once, 90,
     false, "grid_dependency_wait", meanings::nothing},
    {grid_dependency_launch, "grid_dependency_launch", "", 0, 0, Scope::thread, Proxy::none, Proxy::none, Done::at_once,
     90, false, "grid_dependency_launch", meanings::nothing},
}};

constexpr bool rows_in_order() {
  for (int i = 0; i < kIntrinsicCount; ++i) {
    if (static_cast<int>(kRows[i].id) != i) return false;
  }
  return true;
}
static_assert(rows_in_order(), "the rows stand in the order of IntrinsicId");

}  // namespace

const IntrinsicRow& row(IntrinsicId id) {
  const int index = static_cast<int>(id);
  ensure(index < kIntrinsicCount, "the intrinsic is in the table");
  return kRows[index];
}

std::span<const IntrinsicRow> intrinsics() { return kRows; }

std::optional<IntrinsicId> parse_intrinsic(std::string_view name) {
  for (const IntrinsicRow& row : kRows) {
    if (row.name == name) return row.id;
  }
  return std::nullopt;
}

}  // namespace quern::ir
