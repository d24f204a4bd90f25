#pragma once
// The blocks of one cluster on their way: warps of 32 lanes with strands of diverged lanes, barriers, asynchronous
// work. Inside runtime/simulator/.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "runtime/simulator/clocks.h"
#include "runtime/simulator/lanes.h"
#include "runtime/simulator/launch.h"

namespace quern::runtime::simulator {

class Operation;
class Team;
struct Block;

// Lanes of a warp that run together, from `pc` to `stop`. Lanes that part at a branch are strands of their own until
// they meet behind it, so that one side may wait for what the other one does.
struct Strand {
  int pc = 0;
  int stop = 0;
  Mask mask = 0;
  int parent = -1;
  int children = 0;
  bool ended = false;
  bool waiting = false;
  std::uint64_t seen = 0;                   // Team::changes when it last tried to go on
  std::optional<std::uint64_t> generation;  // of the barrier that it has arrived at
};

// Asynchronous work of one thread in groups.
struct Groups {
  Epoch committed = 0;
  Epoch issued = 0;  // the last group that has work
  Epoch waited = 0;  // groups that are known to be done; reads_waited: to have read
  Epoch reads_waited = 0;
  std::uint32_t statement = 0;  // of the last work
  Agent agent = 0;              // 0: none yet
  Agent reads_agent = 0;        // of bulk groups: that of the reads alone
};

struct Warp {
  Block* block = nullptr;
  int index = 0;                                    // in its block
  Agent first_thread = 0;                           // in the team
  Epoch now = 1;                                    // the epoch of all its threads
  std::optional<std::uint64_t> cluster_generation;  // of the cluster's barrier, at which it has arrived
  bool ended = false;
  std::array<Clock, kLanes> clocks;
  std::array<Groups, kLanes> cp_async, bulk;
  std::vector<Strand> strands;  // children behind their parents

  std::vector<std::int64_t> numbers;  // uniform slots
  std::vector<Lanes> vectors;
  std::vector<std::byte> registers;  // element e of a lane of a fragment: base + (e * 32 + lane) * size
  // Of each element of the fragments: the lanes that wrote it; the wgmma group that writes or reads it, 0: none; how
  // many wgmma_fence there had been when it was written.
  std::vector<Mask> written;
  std::vector<Epoch> in_flight, read_in_flight, fences_before;
  Epoch fences = 1;
  // The axes of each statement's last asynchronous work, when it was issued.
  std::unordered_map<std::uint32_t, std::vector<std::int64_t>> issued_at;
};

// A barrier of threads, and what they release at it.
struct ThreadBarrier {
  std::int64_t arrived = 0;
  std::int64_t threads = 0;  // that it is for, as the arrivals say
  std::uint64_t generation = 0;
  std::uint32_t statement = 0;  // at which the first one arrived
  Release release;
  Knowledge passed;
};

struct Mbarrier {
  std::int64_t count = 0;    // arrivals of a phase; 0: not initialised
  std::int64_t pending = 0;  // arrivals that are still missing
  std::int64_t bytes = 0;    // announced, and not there yet
  Epoch phase = 0;           // phases completed
  bool published = false;    // by mbarrier_init_fence
  Access initialised;
  Agent agent = 0;
  Epoch expected = 0;  // the last phase that asynchronous work completes, and the last one that was waited for
  Epoch observed = 0;
  std::uint32_t statement = 0;   // of that work
  Release of_block, of_cluster;  // arrivals of the phase: within the block, and all
  Knowledge passed_block, passed_cluster;
};

// Four warps that execute wgmma together.
struct Warpgroup {
  Groups products;                       // its agent is the group's
  std::unique_ptr<Operation> gathering;  // an instruction that not all four warps have reached
  std::uint64_t generation = 0;          // instructions executed together
};

struct Block {
  int rank = 0;
  std::array<std::int64_t, 3> place{};
  std::vector<std::byte> shared;
  std::vector<Window> windows;  // of the shared buffers, in the order of Code::buffers' shared ones
  std::vector<Mbarrier> mbarriers;
  ThreadBarrier barrier;
  std::array<ThreadBarrier, 16> named;
  std::vector<Warpgroup> warpgroups;
  std::vector<std::unique_ptr<Warp>> warps;
  int alive = 0;  // warps
};

// How a warp touches memory.
struct Touch {
  bool write = false;
  bool atomic = false;
  bool async = false;
  bool bulk = false;  // by the asynchronous proxy's copies, which no warp's lanes coalesce
  Agent agent = 0;    // of asynchronous work; 0: the warp's own threads
  Epoch epoch = 0;    // of it
};

class Team {
 public:
  // `first`: the place of the cluster's first block; `number`: of the cluster in the grid, from 1.
  Team(Launch& launch, std::array<std::int64_t, 3> first, std::uint32_t number);
  ~Team();

  void run();

  // team.cpp: barriers and agents
  bool meet(Warp& warp, Strand& strand, ThreadBarrier& barrier, std::int64_t threads, Mask mask);
  void arrive(Warp& warp, ThreadBarrier& barrier, std::int64_t threads, Mask mask);
  void sync_warp(Warp& warp, Mask mask);
  Agent new_agent() { return ++last_agent_; }
  Mbarrier* mbarrier(ir::Location place, Warp& warp, int lane);
  void arrive(Warp& warp, int lane, ir::Location place, std::int64_t bytes, ir::Execution::Reach reach);
  void complete(ir::Location place, std::int64_t bytes);
  bool passed(Warp& warp, int lane, ir::Location place, std::int64_t parity, bool of_cluster);
  void wait(Warp& warp, Mask mask, ir::Completion kind, Epoch pending, bool reads_alone);
  void wait(Warpgroup& group, std::span<Warp* const> warps, Epoch pending);

  // warp.cpp: runs a warp's strands until none can go on, or for some steps. Whether anything happened.
  bool advance(Warp& warp, int steps);
  bool step(Warp& warp, std::size_t strand);
  void count(const Warp& warp, const Step& at, Mask mask);
  void branch_at(Warp& warp, std::size_t strand, const Step& at);
  void loop_at(Warp& warp, std::size_t strand, const Step& at);
  void next_at(Warp& warp, Strand& strand, const Step& at);
  void store_at(Warp& warp, Mask mask, const Step& at);
  void atomic_at(Warp& warp, Mask mask, const Step& at);
  void move_at(Warp& warp, Mask mask, const Step& at);
  Window& window_of(Warp& warp, const BufferCode& buffer);
  // A place in a window, in bytes; far below every window where 64 bits do not hold it.
  static std::int64_t byte_offset(std::int64_t element, int element_bytes, std::int64_t origin) {
    constexpr std::int64_t kNowhere = -(std::int64_t{1} << 62);
    std::int64_t bytes = 0;
    if (__builtin_mul_overflow(element, element_bytes, &bytes)) return kNowhere;
    return __builtin_add_overflow(bytes, origin, &bytes) ? kNowhere : bytes;
  }
  // values.cpp
  void evaluate(Warp& warp, std::uint32_t value, Mask mask, Lanes& result);
  void read(Warp& warp, const Value& value, Mask mask, Lanes& result);
  void places(Warp& warp, std::uint32_t index, Mask mask, std::array<std::int64_t, kLanes>& elements);
  std::int64_t number(const Warp& warp, std::uint32_t value) const;
  // operation.cpp: whether the strand goes on
  bool execute(Warp& warp, Strand& strand, const Step& step);
  bool issue(std::unique_ptr<Operation> operation, Strand* strand);

  // access.cpp
  // Checks and counts an access of `bytes` at `offsets` of a window by lanes; those that may not go on leave the mask.
  void touch(Warp& warp, Window& window, const std::array<std::int64_t, kLanes>& offsets, std::int64_t bytes,
             const Touch& how, Mask& mask);
  void touch_one(Warp& warp, int lane, Window& window, std::int64_t offset, std::int64_t bytes, const Touch& how);
  bool is_inside(Warp& warp, int lane, const Window& window, std::int64_t offset, std::int64_t bytes, bool write);
  void count_shared(const std::array<std::int64_t, kLanes>& offsets, Mask mask, std::int64_t bytes, bool write);
  void count_global(const std::array<std::int64_t, kLanes>& offsets, Mask mask, const Window& window,
                    std::int64_t bytes, bool write);
  // Registers of a lane: [first, first + count) of a fragment. Whether they are there.
  bool touch_registers(Warp& warp, Mask mask, const BufferCode& fragment, std::int64_t first, std::int64_t count,
                       bool write);
  std::byte* register_at(Warp& warp, std::uint32_t buffer, std::int64_t element, int lane) const;
  // The window that holds a place, null (and reported) where none does.
  Window* window_at(Warp& warp, int lane, ir::Location place, std::int64_t bytes, bool write, std::int64_t& offset);

  // Notes a finding at the statement at hand; `message` gives its text, which is made once for all repetitions.
  // `other`: the earlier statement of a race.
  template <typename Message>
  void report(FindingKind kind, const Warp& warp, Mask lanes, const std::string& buffer, std::int64_t element,
              const Message& message, std::uint32_t other = kNone) {
    if (is_repeated(kind, warp, lanes, buffer, other)) return;
    if constexpr (std::is_invocable_v<Message>) {
      add_finding(kind, warp, lanes, buffer, element, message(), other);
    } else {
      add_finding(kind, warp, lanes, buffer, element, std::string(message), other);
    }
  }

  Launch& launch;
  const Code& code;
  std::uint32_t number_in_grid;
  std::vector<std::unique_ptr<Block>> blocks;
  ThreadBarrier cluster_barrier;
  std::uint64_t changes = 1;    // of what waiting strands may wait for
  std::uint32_t statement = 0;  // at hand
  std::vector<std::unique_ptr<Operation>> pending;
  Joiner joiner;
  std::mt19937_64 random;

  bool checks() const { return launch.settings.checks; }
  int threads_per_block() const { return code.warps * kLanes; }
  void land(Operation& operation, Mask lanes);
  std::vector<std::int64_t> axes_of(const Warp& warp, Mask lanes) const;

 private:
  bool is_repeated(FindingKind kind, const Warp& warp, Mask lanes, const std::string& buffer, std::uint32_t other);
  void add_finding(FindingKind kind, const Warp& warp, Mask lanes, const std::string& buffer, std::int64_t element,
                   std::string message, std::uint32_t other);
  void start_block(int rank, std::array<std::int64_t, 3> place);
  void start_warp(Block& block, int index);
  void end(Warp& warp);
  void check_waited(const Block& block);
  bool land_one();
  void report_deadlock();
  Agent last_agent_ = 0;
};

}  // namespace quern::runtime::simulator
