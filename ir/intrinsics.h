#pragma once
// The one table of intrinsics: what the hardware does beyond loads, stores and arithmetic, each described once, as
// data. An intrinsic is a statement; one that gives a value writes it to its first operand. Operands are expressions;
// a place in memory is a read of its buffer (the address is taken, nothing is read), a dtype the constant of its
// number.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quern::ir {

enum class IntrinsicId : std::uint8_t {
  // barriers and warps
  barrier,        // ()                              all threads of the block
  named_barrier,  // (id, threads)                   bar.sync of a group of warps
  named_arrive,   // (id, threads)
  warp_sync,      // ()
  shuffle_xor,    // (to, value, lane mask)          registers of another lane
  shuffle_index,  // (to, value, lane)
  // asynchronous copies, sm_80
  cp_async,         // (shared place, global place, bytes, source bytes)   the rest is filled with zeros
  cp_async_commit,  // ()
  cp_async_wait,    // (groups that may stay pending)
  // mbarriers, sm_90
  mbarrier_init,             // (barrier, count)
  mbarrier_init_fence,       // ()
  mbarrier_arrive,           // (barrier)
  mbarrier_arrive_cluster,   // (barrier, cluster rank)
  mbarrier_release_cluster,  // (barrier, cluster rank)         orders asynchronous work alone, ordinary accesses are
                             // not
  mbarrier_expect,           // (barrier, bytes)                arrives and expects bytes
  mbarrier_wait,             // (barrier, parity)
  mbarrier_wait_cluster,     // (barrier, parity)         acquires at cluster scope
  // bulk copies, sm_90; map: the index of a tensor map among the launch's maps
  tma_load,             // (shared place, map, barrier, multicast mask, c0, c1, ...)
  tma_im2col,           // (shared place, map, barrier, multicast mask, c, w, h, n, offset_w, offset_h)
  tma_store,            // (map, shared place, c0, c1, ...)
  tma_reduce_add,       // (map, shared place, c0, c1, ...)
  tma_store_commit,     // ()
  tma_store_wait,       // (groups that may stay pending)        written globally
  tma_store_wait_read,  // (groups that may stay pending)      shared memory reusable
  tma_prefetch_map,     // (map)
  fence_proxy_async,    // ()                              generic writes to shared before asynchronous reads
  // matrix fragments and products
  ldmatrix,          // (to registers, shared place, count, transposed)
  stmatrix,          // (shared place, from registers, count, transposed)
  mma_sync,          // (acc, a, b registers, m, n, k, a dtype, b dtype, acc dtype)
  wgmma_descriptor,  // (to, shared place, leading bytes, stride bytes, swizzle bytes or 0)   a u64
  // Both add up the products of 64 x n by `slices` of 32 bytes of k, which lie a step apart: in units of 16 bytes, or
  // in
  // elements of registers. The first product alone may replace the accumulator instead.
  //   (acc, a, b descriptor, accumulate, n, slices, a step, b step, dtypes of a, b, acc, [a transposed,] b transposed)
  wgmma,            // a: a descriptor
  wgmma_registers,  // a: registers, never transposed
  wgmma_fence,
  wgmma_commit,  // ()
  wgmma_wait,    // (groups that may stay pending)
  // roles and clusters
  set_max_registers,  // (count, increase)
  cluster_arrive,
  cluster_wait,  // ()
  grid_dependency_wait,
  grid_dependency_launch,  // ()
};
inline constexpr int kIntrinsicCount = static_cast<int>(IntrinsicId::grid_dependency_launch) + 1;

class Execution;
// Whether the lanes go on; false: they wait.
using Meaning = bool (*)(Execution& execution);

enum class ExecutionScope : std::uint8_t { thread, warp, warpgroup, block, cluster };
enum class Completion : std::uint8_t { at_once, cp_async_group, bulk_group, wgmma_group, mbarrier };
enum class Proxy : std::uint8_t { none, generic, async };

struct IntrinsicRow {
  IntrinsicId id;
  std::string_view name;
  // One letter per operand, the last one for all that follow. Places: s shared, g global, b mbarrier, r registers.
  // Values: v any, i integer, t truth (bool). Known when compiling (template arguments in CUDA): c integer or truth,
  // d dtype, m index of a tensor map.
  std::string_view operands;
  int min_args;
  int max_args;
  ExecutionScope scope;   // whose threads must execute it together
  Proxy reads_through;    // how it reads memory, if it does
  Proxy writes_through;   // how it writes memory, if it does
  Completion completion;  // when its effects land
  int min_arch;           // 80, 90, ...; arch-specific ('a') where `arch_specific`
  bool arch_specific;
  std::string_view prelude;  // the device function that spells it in CUDA; empty: printed from its operands
  Meaning meaning;           // what it does, executable (ir/meaning.h)
};

const IntrinsicRow& row(IntrinsicId id);
std::span<const IntrinsicRow> intrinsics();
// The letter of operand `position`.
inline char operand_kind(const IntrinsicRow& row, std::size_t position) {
  return row.operands[position < row.operands.size() ? position : row.operands.size() - 1];
}
std::optional<IntrinsicId> parse_intrinsic(std::string_view name);

}  // namespace quern::ir
