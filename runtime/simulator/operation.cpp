#include "runtime/simulator/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/intrinsics.h"

namespace quern::runtime::simulator {

using ir::Completion;
using ir::Location;
using ir::Space;

Operation::Operation(Team& team, const Step& step, std::size_t warps)
    : team_(team), step_(step), row_(ir::row(step.intrinsic)), warps_(warps), masks_(warps) {
  captures_.resize(step.operands.size());
  for (std::size_t n = 0; n < captures_.size(); ++n) {
    const Operand& operand = step.operands[n];
    Capture& capture = captures_[n];
    capture.numbers.resize(warps * kLanes);
    capture.buffer = operand.buffer;
    if (operand.buffer == kNone) {
      capture.element_bytes = byte_size(team.code.values[operand.value].dtype);
      continue;
    }
    const BufferCode& buffer = team.code.buffers[operand.buffer];
    capture.element_bytes = buffer.element_bytes;
    capture.base.space = buffer.space;
    if (buffer.space == Space::global) {
      capture.base.owner = static_cast<int>(buffer.place);
      capture.base.offset = team.launch.globals[static_cast<std::size_t>(buffer.place)]->origin;
    } else if (buffer.space == Space::fragment) {
      capture.base.owner = static_cast<int>(operand.buffer);
    } else {
      capture.base.offset = buffer.shared_offset;
      capture.base.buffer = static_cast<int>(operand.buffer);
    }
  }
}

void Operation::capture(Warp& warp, std::size_t position, Mask mask) {
  warps_[position] = &warp;
  masks_[position] = mask;
  ++captured_;
  for (std::size_t n = 0; n < captures_.size(); ++n) {
    Capture& capture = captures_[n];
    std::int64_t* numbers = &capture.numbers[position * kLanes];
    const Value& value = team_.code.values[step_.operands[n].value];
    const bool is_place = capture.buffer != kNone;
    if (value.uniform) {
      std::int64_t number = team_.number(warp, step_.operands[n].value);
      if (is_place) number = Team::byte_offset(number, capture.element_bytes, 0);
      std::fill_n(numbers, kLanes, number);
    } else {
      Lanes lanes;
      team_.evaluate(warp, step_.operands[n].value, mask, lanes);
      each_lane(mask, [&](int lane) {
        numbers[lane] = 0;
        if (is_place) {
          numbers[lane] = Team::byte_offset(lanes.i[lane], capture.element_bytes, 0);
        } else {
          store_lane(value.dtype, reinterpret_cast<std::byte*>(&numbers[lane]), lanes, lane);
          if (!is_float(value.dtype)) numbers[lane] = lanes.i[lane];
        }
      });
    }
  }
}

bool Operation::run(Phase phase, Strand* strand) {
  phase_ = phase;
  strand_ = strand;
  accessed_.clear();
  team_.statement = step_.statement;
  const bool goes_on = row_.meaning(*this);
  if (phase != Phase::landing) count_accesses();
  return goes_on;
}

void Operation::join_group() {
  if (row_.completion == Completion::wgmma_group) {
    Groups& products = warp().block->warpgroups[static_cast<std::size_t>(warp().index / 4)].products;
    if (team_.checks()) warp().issued_at[step_.statement] = team_.axes_of(warp(), masks_[0]);
    products.issued = products.committed + 1;
    products.statement = step_.statement;
    groups_.fill(products.issued);
    return;
  }
  if (row_.completion == Completion::mbarrier) return;
  auto& groups = row_.completion == Completion::cp_async_group ? warp().cp_async : warp().bulk;
  if (team_.checks()) warp().issued_at[step_.statement] = team_.axes_of(warp(), masks_[0]);
  each_lane(masks_[0], [&](int lane) {
    Groups& own = groups[static_cast<std::size_t>(lane)];
    if (own.agent == 0) {
      own.agent = team_.new_agent();
      own.reads_agent = team_.new_agent();
    }
    own.issued = own.committed + 1;
    own.statement = step_.statement;
    groups_[static_cast<std::size_t>(lane)] = own.issued;
  });
}

// --- Operands -------------------------------------------------------------------------------------------------------

std::int64_t Operation::number(std::size_t operand, int lane) const {
  return captures_[operand].numbers[static_cast<std::size_t>(lane)];
}

std::uint64_t Operation::bits(std::size_t operand, int lane) const {
  return static_cast<std::uint64_t>(number(operand, lane));
}

Location Operation::place(std::size_t operand, int lane) const {
  Location place = captures_[operand].base;
  if (place.space == Space::shared || place.space == Space::barrier) place.owner = rank();
  return place + number(operand, lane);
}

int Operation::element_bytes(std::size_t operand) const { return captures_[operand].element_bytes; }

const ir::BoundTensorMap& Operation::map(std::size_t operand, int lane) const {
  return team_.launch.maps.at(static_cast<std::size_t>(number(operand, lane)));
}

// --- Memory and registers -------------------------------------------------------------------------------------------

// Whose access it is: asynchronous work is its agent's until it is waited for.
Touch Operation::touch_of(int lane, const Location& place, bool write) const {
  Touch touch{.write = write, .async = (write ? row_.writes_through : row_.reads_through) == ir::Proxy::async};
  if (!is_async()) return touch;
  touch.bulk = touch.async;
  const std::size_t own = static_cast<std::size_t>(lane % kLanes);
  touch.epoch = groups_[own];
  switch (row_.completion) {
    case Completion::cp_async_group:
      touch.agent = warp().cp_async[own].agent;
      break;
    case Completion::bulk_group:
      touch.agent = write ? warp().bulk[own].agent : warp().bulk[own].reads_agent;
      break;
    case Completion::wgmma_group:
      touch.agent = warp().block->warpgroups[static_cast<std::size_t>(warp().index / 4)].products.agent;
      break;
    case Completion::mbarrier: {
      // The barrier of the block that the data goes to.
      std::size_t barrier = 0;
      while (operand_kind(row_, barrier) != 'b') ++barrier;
      Location counted = this->place(barrier, lane);
      if (place.space == Space::shared) counted.owner = place.owner;
      const Mbarrier* found = team_.mbarrier(counted, warp(), lane);
      if (found != nullptr) touch.agent = found->agent;
      touch.epoch = found != nullptr ? found->phase + 1 : 1;
      break;
    }
    case Completion::at_once:
      break;
  }
  return touch;
}

std::byte* Operation::memory(int lane, Location place, std::size_t bytes, bool write, bool atomic) {
  const auto size = static_cast<std::int64_t>(bytes);
  Warp& warp = warp_of(lane);
  std::int64_t offset = 0;
  Window* window = team_.window_at(warp, lane % kLanes, place, size, write, offset);
  if (window == nullptr) return nullptr;
  if (phase_ == Phase::landing) return window->data + offset;
  Touch how = touch_of(lane, place, write);
  how.atomic = atomic;
  if (team_.checks()) {
    team_.touch_one(warp, lane % kLanes, *window, offset, size, how);
    // A product's operands are read for all warps of the group.
    for (std::size_t w = 1; w < warps_.size() && how.bulk; ++w) {
      team_.touch_one(*warps_[w], 0, *window, offset, size, how);
    }
    if (how.bulk && !window->is_shared) {
      Counts& counts = team_.launch.counts[step_.statement];
      (write ? counts.bulk_written : counts.bulk_read) += size;
    }
    if (!how.bulk) {
      const auto same = [&](const Accessed& a) {
        return a.window == window && a.write == write && a.bytes == size && (a.mask >> (lane % kLanes) & 1) == 0;
      };
      auto found = std::ranges::find_if(accessed_, same);
      if (found == accessed_.end()) found = accessed_.insert(found, {window, write, size});
      found->mask |= Mask{1} << (lane % kLanes);
      found->offsets[static_cast<std::size_t>(lane % kLanes)] = offset;
    }
  }
  return window->data + offset;
}

void Operation::count_accesses() {
  for (const Accessed& a : accessed_) {
    if (a.window->is_shared) {
      team_.count_shared(a.offsets, a.mask, a.bytes, a.write);
    } else {
      team_.count_global(a.offsets, a.mask, *a.window, a.bytes, a.write);
    }
  }
}

// Registers of wgmma: in use until it is waited for, and handed over by a fence.
void Operation::check_wgmma_registers(Warp& warp, const Registers& registers, bool write) {
  const BufferCode& fragment = team_.code.buffers[registers.number];
  const bool is_accumulator = registers.number == captures_[0].buffer;
  for (std::int64_t e = registers.first; e < registers.first + registers.count; ++e) {
    const auto at = static_cast<std::size_t>(fragment.place + e);
    if (warp.in_flight[at] != 0 && !is_accumulator) {
      team_.report(FindingKind::in_flight, warp, kAllLanes, fragment.name, e,
                   "wgmma reads registers that another one, not waited for, writes");
      return;
    }
    if (warp.fences_before[at] == warp.fences || warp.fences == 1) {
      team_.report(FindingKind::in_flight, warp, kAllLanes, fragment.name, e,
                   "wgmma takes over registers without a wgmma_fence since they were last written");
      return;
    }
    if (write) {
      warp.in_flight[at] = groups_[0];
      warp.fences_before[at] = 0;
    }
    if (!write && !is_accumulator) warp.read_in_flight[at] = groups_[0];
  }
}

Operation::Registers Operation::registers_at(const Location& place, std::size_t bytes) const {
  const auto number = static_cast<std::uint32_t>(place.owner);
  const int size = team_.code.buffers[number].element_bytes;
  return {number, place.offset / size, static_cast<std::int64_t>(bytes) / size, static_cast<std::size_t>(size)};
}

// Whether the lane may go on to the data.
bool Operation::check_registers(int lane, const Registers& registers, bool write) {
  if (phase_ == Phase::landing) return true;
  Warp& warp = warp_of(lane);
  const BufferCode& fragment = team_.code.buffers[registers.number];
  const Mask bit = Mask{1} << (lane % kLanes);
  if (row_.completion != Completion::wgmma_group) {
    return team_.touch_registers(warp, bit, fragment, registers.first, registers.count, write);
  }
  // All lanes of a warp hold the same registers.
  if (lane % kLanes == 0) check_wgmma_registers(warp, registers, write);
  for (std::int64_t e = registers.first; write && e < registers.first + registers.count; ++e) {
    warp.written[static_cast<std::size_t>(fragment.place + e)] |= bit;
  }
  return true;
}

void Operation::load_registers(int lane, const Location& from, std::span<std::byte> to) {
  const Registers registers = registers_at(from, to.size());
  if (!check_registers(lane, registers, false)) return;
  for (std::int64_t e = 0; e < registers.count; ++e) {
    std::memcpy(&to[static_cast<std::size_t>(e) * registers.size],
                team_.register_at(warp_of(lane), registers.number, registers.first + e, lane % kLanes), registers.size);
  }
}

void Operation::store_registers(int lane, const Location& to, std::span<const std::byte> from) {
  const Registers registers = registers_at(to, from.size());
  if (!check_registers(lane, registers, true) || phase_ == Phase::footprint) return;
  for (std::int64_t e = 0; e < registers.count; ++e) {
    std::memcpy(team_.register_at(warp_of(lane), registers.number, registers.first + e, lane % kLanes),
                &from[static_cast<std::size_t>(e) * registers.size], registers.size);
  }
}

void Operation::load(int lane, Location from, std::span<std::byte> to) {
  std::ranges::fill(to, std::byte{0});
  if (from.space == Space::fragment) return load_registers(lane, from, to);
  const std::byte* bytes = memory(lane, from, to.size(), false, false);
  if (bytes != nullptr && phase_ != Phase::footprint) std::memcpy(to.data(), bytes, to.size());
}

void Operation::store(int lane, Location to, std::span<const std::byte> from) {
  if (to.space == Space::fragment) return store_registers(lane, to, from);
  std::byte* bytes = memory(lane, to, from.size(), true, false);
  if (bytes != nullptr && phase_ != Phase::footprint) std::memcpy(bytes, from.data(), from.size());
}

void Operation::add(int lane, Location to, DType dtype, std::span<const std::byte> from) {
  std::byte* bytes = memory(lane, to, from.size(), true, true);
  if (bytes == nullptr || phase_ == Phase::footprint) return;
  const std::int64_t count = static_cast<std::int64_t>(from.size()) / byte_size(dtype);
  for (std::int64_t e = 0; e < count; ++e) {
    if (is_float(dtype)) {
      store_element(dtype, bytes, e, load_element(dtype, bytes, e) + load_element(dtype, from.data(), e));
    } else {
      const auto sum = static_cast<std::uint64_t>(load_integer(dtype, bytes, e)) +
                       static_cast<std::uint64_t>(load_integer(dtype, from.data(), e));
      store_integer(dtype, bytes, e, static_cast<std::int64_t>(sum));
    }
  }
}

void Operation::multiplied(std::int64_t count) {
  if (phase_ != Phase::landing) team_.launch.counts[step_.statement].products += count;
}

void Operation::refuse(int lane, const std::string& reason) {
  if (phase_ == Phase::landing) return;
  team_.report(FindingKind::misuse, warp_of(lane), Mask{1} << (lane % kLanes), "", -1, reason);
}

// --- Barriers -------------------------------------------------------------------------------------------------------

void Operation::sync_warp() { team_.sync_warp(warp(), masks_[0]); }

// One and the same statement for all threads, as __syncthreads() is.
bool Operation::meet() {
  ThreadBarrier& barrier = warp().block->barrier;
  const bool arrives = !strand_->generation;
  if (arrives && barrier.arrived == 0) barrier.statement = step_.statement;
  if (arrives && barrier.statement != step_.statement) {
    team_.report(FindingKind::barrier, warp(), masks_[0], "", -1, "the warps of a block are at different barriers",
                 barrier.statement);
  }
  return team_.meet(warp(), *strand_, barrier, team_.threads_per_block(), masks_[0]);
}

ThreadBarrier* Operation::named(std::int64_t barrier) {
  auto& all = warp().block->named;
  if (barrier >= 0 && barrier < static_cast<std::int64_t>(all.size())) return &all[static_cast<std::size_t>(barrier)];
  team_.report(FindingKind::limit, warp(), masks_[0], "", -1,
               fmt::format("there is no barrier {}: a block has 0 to 15", barrier));
  return nullptr;
}

bool Operation::meet(std::int64_t barrier, std::int64_t threads) {
  ThreadBarrier* found = named(barrier);
  return found == nullptr || team_.meet(warp(), *strand_, *found, threads, masks_[0]);
}

void Operation::arrive(std::int64_t barrier, std::int64_t threads) {
  ThreadBarrier* found = named(barrier);
  if (found != nullptr) team_.arrive(warp(), *found, threads, masks_[0]);
}

void Operation::cluster_arrive() {
  warp().block->warps[static_cast<std::size_t>(warp().index)]->cluster_generation = team_.cluster_barrier.generation;
  const auto threads = static_cast<std::int64_t>(team_.blocks.size()) * team_.threads_per_block();
  team_.arrive(warp(), team_.cluster_barrier, threads, masks_[0]);
}

bool Operation::cluster_meet() {
  Warp& own = warp();
  if (!own.cluster_generation) {
    team_.report(FindingKind::barrier, own, masks_[0], "", -1, "cluster_wait without a cluster_arrive before it");
    return true;
  }
  if (team_.cluster_barrier.generation == *own.cluster_generation) return false;
  own.cluster_generation.reset();
  for (Clock& clock : own.clocks) team_.joiner.acquire(clock, team_.cluster_barrier.passed);
  return true;
}

void Operation::init(int lane, Location barrier, std::int64_t count) {
  Warp& own = warp_of(lane);
  Mbarrier* found = team_.mbarrier(barrier, own, lane);
  if (found == nullptr) return;
  if (count < 1 || count > (1 << 20) - 1) {
    return refuse(lane, fmt::format("an mbarrier counts 1 to 1048575 arrivals, not {}", count));
  }
  if (found->count > 0) {
    const Access now{
        .team = team_.number_in_grid, .agent = own.first_thread, .lanes = Mask{1} << lane, .epoch = own.now};
    const Issuer issuer{own.first_thread + static_cast<Agent>(lane), &own.clocks[static_cast<std::size_t>(lane)]};
    const bool is_race = !ordered(found->initialised, now, issuer);
    team_.report(is_race ? FindingKind::race : FindingKind::barrier, own, Mask{1} << lane, "mbarrier", -1,
                 is_race ? "two threads initialise this mbarrier, and nothing orders them"
                         : "this mbarrier is initialised again",
                 found->initialised.statement);
  }
  const Agent agent = found->agent == 0 ? team_.new_agent() : found->agent;
  *found = {};
  found->count = found->pending = count;
  found->agent = agent;
  found->initialised = {.team = team_.number_in_grid,
                        .statement = step_.statement,
                        .agent = own.first_thread,
                        .lanes = Mask{1} << lane,
                        .epoch = own.now,
                        .write = true};
  ++team_.changes;
}

void Operation::publish_barriers() {
  Warp& own = warp();
  for (const auto& block : team_.blocks) {
    for (Mbarrier& barrier : block->mbarriers) {
      const bool is_own = barrier.initialised.agent == own.first_thread && (barrier.initialised.lanes & masks_[0]) != 0;
      if (barrier.initialised.exists() && is_own) barrier.published = true;
    }
  }
}

void Operation::arrive(int lane, Location barrier, std::int64_t expected_bytes, Reach reach) {
  team_.arrive(warp_of(lane), lane, barrier, expected_bytes, reach);
}

bool Operation::passed(int lane, Location barrier, std::int64_t parity, bool of_cluster) {
  return team_.passed(warp_of(lane), lane, barrier, parity, of_cluster);
}

void Operation::complete(Location barrier, std::int64_t bytes) {
  if (phase_ == Phase::footprint) {
    // The barrier is there, and known to the asynchronous proxy.
    Mbarrier* found = team_.mbarrier(barrier, warp(), 0);
    if (found == nullptr) return;
    found->expected = found->phase + 1;
    found->statement = step_.statement;
    if (found->count > 0 && !found->published) {
      team_.report(FindingKind::missing_fence, warp(), masks_[0], "mbarrier", -1,
                   "the asynchronous proxy uses an mbarrier without mbarrier_init_fence after its initialisation",
                   found->initialised.statement);
    }
    return;
  }
  team_.complete(barrier, bytes);
}

// --- Groups and fences ----------------------------------------------------------------------------------------------

void Operation::commit(Completion kind) {
  if (kind == Completion::wgmma_group) {
    ++warp().block->warpgroups[static_cast<std::size_t>(warp().index / 4)].products.committed;
    return;
  }
  auto& groups = kind == Completion::cp_async_group ? warp().cp_async : warp().bulk;
  each_lane(masks_[0], [&](int lane) { ++groups[static_cast<std::size_t>(lane)].committed; });
}

void Operation::wait(Completion kind, std::int64_t pending, bool reads_alone) {
  const auto most = static_cast<Epoch>(pending);
  ++team_.launch.counts[step_.statement].barrier_waits;
  if (kind == Completion::wgmma_group) {
    team_.wait(warp().block->warpgroups[static_cast<std::size_t>(warp().index / 4)], warps_, most);
  } else {
    team_.wait(warp(), masks_[0], kind, most, reads_alone);
  }
  team_.statement = step_.statement;
}

void Operation::fence_async() {
  Warp& own = warp();
  each_lane(masks_[0], [&](int lane) {
    Clock& clock = own.clocks[static_cast<std::size_t>(lane)];
    clock.knows.visible = clock.knows.all;
    clock.own_visible_agents = clock.own_agents;
    clock.own_visible = own.now;
  });
  ++own.now;
}

void Operation::fence_registers() {
  for (Warp* own : warps_) ++own->fences;
}

void Operation::set_registers(std::int64_t count, bool) {
  if (count >= 24 && count <= 256 && count % 8 == 0) return;
  team_.report(FindingKind::misuse, warp(), masks_[0], "", -1,
               fmt::format("setmaxnreg takes multiples of 8 from 24 to 256, not {}", count));
}

// --- Issuing --------------------------------------------------------------------------------------------------------

namespace {

std::string_view scope_name(ir::ExecutionScope scope) {
  switch (scope) {
    case ir::ExecutionScope::warp:
      return "warp";
    case ir::ExecutionScope::warpgroup:
      return "warpgroup";
    default:
      return "block";
  }
}

}  // namespace

// Issues what has all its operands: at once, or later.
bool Team::issue(std::unique_ptr<Operation> operation, Strand* strand) {
  using Phase = Operation::Phase;
  if (operation->completion() == Completion::at_once) return operation->run(Phase::immediate, strand);
  operation->join_group();
  if (checks()) operation->run(Phase::footprint);
  pending.push_back(std::move(operation));
  return true;
}

bool Team::execute(Warp& warp, Strand& strand, const Step& step) {
  const ir::IntrinsicRow& row = ir::row(step.intrinsic);
  const bool is_first_try = !strand.waiting;
  if (row.scope != ir::ExecutionScope::thread && strand.mask != kAllLanes && is_first_try) {
    report(FindingKind::barrier, warp, strand.mask, "", -1,
           fmt::format("{} is for whole warps of the {}, but only the lanes {:#010x} of warp {} execute it", row.name,
                       scope_name(row.scope), strand.mask, warp.index));
  }
  if (is_first_try) {
    Counts& counts = launch.counts[step.statement];
    ++counts.warps;
    counts.threads += std::popcount(strand.mask);
  }
  if (row.scope != ir::ExecutionScope::warpgroup) {
    auto operation = std::make_unique<Operation>(*this, step, 1);
    operation->capture(warp, 0, strand.mask);
    return issue(std::move(operation), &strand);
  }
  const auto number = static_cast<std::size_t>(warp.index / 4);
  if (number >= warp.block->warpgroups.size()) {
    report(FindingKind::misuse, warp, strand.mask, "", -1,
           fmt::format("{} takes the four warps of a warpgroup, and the block ends within it", row.name));
    return true;
  }
  Warpgroup& group = warp.block->warpgroups[number];
  if (strand.generation) {
    if (group.generation == *strand.generation) return false;
    strand.generation.reset();
    return true;
  }
  if (group.gathering && &group.gathering->step() != &step) {
    report(FindingKind::misuse, warp, strand.mask, "", -1,
           fmt::format("the warps of a warpgroup execute different instructions: {} here", row.name),
           group.gathering->step().statement);
    return true;
  }
  if (!group.gathering) group.gathering = std::make_unique<Operation>(*this, step, 4);
  group.gathering->capture(warp, static_cast<std::size_t>(warp.index % 4), strand.mask);
  if (!group.gathering->is_complete()) {
    strand.generation = group.generation;
    return false;
  }
  ++group.generation;
  ++changes;
  return issue(std::move(group.gathering), nullptr);
}

}  // namespace quern::runtime::simulator
