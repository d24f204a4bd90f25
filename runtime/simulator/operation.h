#pragma once
// One execution of an intrinsic by a warp or a warpgroup: what its meaning (ir/meaning.h) acts on. Asynchronous ones
// are run twice: when issued, for what they will touch, and when they land, for the data. Inside runtime/simulator/.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/meaning.h"
#include "runtime/simulator/team.h"

namespace quern::runtime::simulator {

class Operation final : public ir::Execution {
 public:
  enum class Phase : std::uint8_t {
    immediate,  // checks and data
    footprint,  // checks alone
    landing,    // data alone
  };

  Operation(Team& team, const Step& step, std::size_t warps);
  // Evaluates the operands in a warp, which becomes the group's `position`.
  void capture(Warp& warp, std::size_t position, Mask mask);
  bool is_complete() const { return captured_ == warps_.size(); }
  // As the meaning says; counts what an immediate one or a footprint touched.
  bool run(Phase phase, Strand* strand = nullptr);
  // The group that asynchronous work joins, of each lane or of the warpgroup.
  void join_group();

  const Step& step() const { return step_; }
  ir::Completion completion() const { return row_.completion; }
  Warp& warp(std::size_t position = 0) const { return *warps_[position]; }
  Mask mask(std::size_t position = 0) const { return masks_[position]; }
  void set_mask(std::size_t position, Mask mask) { masks_[position] = mask; }
  Epoch group(int lane) const { return groups_[static_cast<std::size_t>(lane)]; }

  int lanes() const override { return static_cast<int>(warps_.size()) * kLanes; }
  bool active(int lane) const override {
    return masks_[static_cast<std::size_t>(lane / kLanes)] >> (lane % kLanes) & 1;
  }
  int rank() const override { return warp().block->rank; }
  std::int64_t number(std::size_t operand, int lane) const override;
  std::uint64_t bits(std::size_t operand, int lane) const override;
  ir::Location place(std::size_t operand, int lane) const override;
  int element_bytes(std::size_t operand) const override;
  const ir::BoundTensorMap& map(std::size_t operand, int lane) const override;
  std::size_t operands() const override { return captures_.size(); }
  void load(int lane, ir::Location from, std::span<std::byte> to) override;
  void store(int lane, ir::Location to, std::span<const std::byte> from) override;
  void add(int lane, ir::Location to, DType dtype, std::span<const std::byte> from) override;
  void multiplied(std::int64_t count) override;
  void refuse(int lane, const std::string& reason) override;
  void sync_warp() override;
  bool meet() override;
  bool meet(std::int64_t barrier, std::int64_t threads) override;
  void arrive(std::int64_t barrier, std::int64_t threads) override;
  void cluster_arrive() override;
  bool cluster_meet() override;
  void init(int lane, ir::Location barrier, std::int64_t count) override;
  void publish_barriers() override;
  void arrive(int lane, ir::Location barrier, std::int64_t expected_bytes, Reach reach) override;
  bool passed(int lane, ir::Location barrier, std::int64_t parity, bool of_cluster) override;
  void complete(ir::Location barrier, std::int64_t bytes) override;
  void commit(ir::Completion kind) override;
  void wait(ir::Completion kind, std::int64_t pending, bool reads_alone) override;
  void fence_async() override;
  void fence_registers() override;
  void set_registers(std::int64_t count, bool increase) override;

 private:
  struct Capture {
    std::vector<std::int64_t> numbers;  // of each lane: the value, its bits, or bytes from the base
    ir::Location base;
    int element_bytes = 0;
    std::uint32_t buffer = kNone;
  };

  Warp& warp_of(int lane) const { return *warps_[static_cast<std::size_t>(lane / kLanes)]; }
  bool is_async() const { return row_.completion != ir::Completion::at_once; }
  Touch touch_of(int lane, const ir::Location& place, bool write) const;
  // The bytes at a place of memory; null where they may not be touched.
  std::byte* memory(int lane, ir::Location place, std::size_t bytes, bool write, bool atomic);
  // Elements of a fragment that a lane holds.
  struct Registers {
    std::uint32_t number;  // of the buffer
    std::int64_t first, count;
    std::size_t size;  // bytes of an element
  };
  Registers registers_at(const ir::Location& place, std::size_t bytes) const;
  bool check_registers(int lane, const Registers& registers, bool write);
  void check_wgmma_registers(Warp& warp, const Registers& registers, bool write);
  void load_registers(int lane, const ir::Location& from, std::span<std::byte> to);
  void store_registers(int lane, const ir::Location& to, std::span<const std::byte> from);
  ThreadBarrier* named(std::int64_t barrier);
  void count_accesses();

  struct Accessed {
    Window* window;
    bool write;
    std::int64_t bytes;
    Mask mask = 0;
    std::array<std::int64_t, kLanes> offsets{};
  };

  Team& team_;
  const Step& step_;
  const ir::IntrinsicRow& row_;
  std::vector<Warp*> warps_;
  std::vector<Mask> masks_;
  std::size_t captured_ = 0;
  std::vector<Capture> captures_;
  std::array<Epoch, kLanes> groups_{};
  Phase phase_ = Phase::immediate;
  Strand* strand_ = nullptr;
  std::vector<Accessed> accessed_;  // by the lanes of a warp, to be counted together
};

}  // namespace quern::runtime::simulator
