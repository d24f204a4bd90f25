#pragma once
// The executable meaning of intrinsics: what each does to registers, bytes and barriers, over the lanes that execute it
// together. A meaning stands beside the intrinsic's other facts in the table (ir/intrinsics.h) and knows nothing of
// time: when the effects of an asynchronous one land follows from its declared completion and proxies, and is the
// executor's business (runtime/simulator/).

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/plan.h"
#include "ir/kernel.h"

namespace quern::ir {

// Where an operand points.
struct Location {
  Space space = Space::global;
  // global: the number of the memory region; shared memory and mbarriers: the block's rank in its cluster; fragment:
  // the number of the declaration
  int owner = 0;
  // Bytes: from the region's begin, in the block's shared memory, in the lane's registers.
  std::int64_t offset = 0;
  int buffer = -1;  // that the operand names; -1: none, as behind a descriptor's bits

  Location operator+(std::int64_t bytes) const { return {space, owner, offset + bytes, buffer}; }
};

// A tensor map with the numbers of one launch; axis 0 is the innermost one.
struct BoundTensorMap {
  TensorMapParameter::Mode mode{};
  DType dtype{};
  Location base;
  std::vector<std::int64_t> dims;             // elements
  std::vector<std::int64_t> byte_strides;     // of all axes
  std::vector<std::int64_t> element_strides;  // of all axes
  std::vector<std::int64_t> box;              // tiled: elements per axis
  std::vector<std::int64_t> lower, upper;     // im2col: corners of the spatial axes
  std::int64_t channels = 0, pixels = 0;      // im2col: moved at once
  int swizzle_bytes = 0;                      // 0, 32, 64, 128
  TensorMapParameter::Fill fill{};
};

// What a meaning acts on: one execution of an intrinsic by one warp (32 lanes) or warpgroup (128), some of which may
// be masked off. Operands are as each lane evaluated them.
class Execution {
 public:
  virtual ~Execution() = default;

  virtual int lanes() const = 0;
  virtual bool active(int lane) const = 0;
  virtual int rank() const = 0;  // of the block in its cluster

  virtual std::int64_t number(std::size_t operand, int lane) const = 0;        // i, t, c, d
  virtual std::uint64_t bits(std::size_t operand, int lane) const = 0;         // v: as stored
  virtual Location place(std::size_t operand, int lane) const = 0;             // s, g, b, r
  virtual int element_bytes(std::size_t operand) const = 0;                    // of a place's buffer, of a value
  virtual const BoundTensorMap& map(std::size_t operand, int lane) const = 0;  // m
  virtual std::size_t operands() const = 0;

  // Bytes of memory or of the lane's registers.
  virtual void load(int lane, Location from, std::span<std::byte> to) = 0;
  virtual void store(int lane, Location to, std::span<const std::byte> from) = 0;
  // Adds elements to memory, each atomically.
  virtual void add(int lane, Location to, DType dtype, std::span<const std::byte> from) = 0;

  // So many multiply-adds of the tensor cores happen, for the record.
  virtual void multiplied(std::int64_t count) = 0;

  // A use that the instruction does not allow; what it does then is undefined.
  virtual void refuse(int lane, const std::string& reason) = 0;

  // Barriers. Those that return a bool say whether the lanes may go on; where not, nothing has happened yet but their
  // arrival, and the meaning is tried again.
  virtual void sync_warp() = 0;
  virtual bool meet() = 0;  // all threads of the block
  virtual bool meet(std::int64_t barrier, std::int64_t threads) = 0;
  virtual void arrive(std::int64_t barrier, std::int64_t threads) = 0;
  virtual void cluster_arrive() = 0;
  virtual bool cluster_meet() = 0;

  // Mbarriers.
  virtual void init(int lane, Location barrier, std::int64_t count) = 0;
  virtual void publish_barriers() = 0;  // what was initialised, to the cluster and the asynchronous proxy
  // Whom an arrival tells what came before it: the block, the cluster, or the cluster, of asynchronous work alone.
  enum class Reach : std::uint8_t { block, cluster, asynchronous };
  virtual void arrive(int lane, Location barrier, std::int64_t expected_bytes, Reach reach) = 0;
  virtual bool passed(int lane, Location barrier, std::int64_t parity, bool of_cluster) = 0;
  virtual void complete(Location barrier, std::int64_t bytes) = 0;  // by the asynchronous proxy

  // Groups of asynchronous work, and fences.
  virtual void commit(Completion kind) = 0;
  virtual void wait(Completion kind, std::int64_t pending, bool reads_alone) = 0;
  virtual void fence_async() = 0;      // of memory written by ordinary stores
  virtual void fence_registers() = 0;  // of registers that wgmma uses
  virtual void set_registers(std::int64_t count, bool increase) = 0;
};

}  // namespace quern::ir
