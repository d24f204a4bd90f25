#include "runtime/simulator/team.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "runtime/simulator/operation.h"

namespace quern::runtime::simulator {

using ir::Completion;
using ir::Location;

namespace {

// What fills fresh shared memory and registers: a NaN in every float dtype, and no small integer.
constexpr std::byte kPoison{0xff};
constexpr int kQuantum = 400;  // steps of a warp before another one may go on
constexpr Epoch kMost = ~Epoch{0};

}  // namespace

Team::Team(Launch& what, std::array<std::int64_t, 3> first, std::uint32_t number)
    : launch(what), code(what.code), number_in_grid(number), random(what.settings.seed * 0x9e3779b97f4a7c15u + number) {
  const auto& cluster = code.cluster;
  last_agent_ = static_cast<Agent>(cluster[0] * cluster[1] * cluster[2] * threads_per_block());
  int rank = 0;
  for (std::int64_t z = 0; z < cluster[2]; ++z) {
    for (std::int64_t y = 0; y < cluster[1]; ++y) {
      for (std::int64_t x = 0; x < cluster[0]; ++x) start_block(rank++, {first[0] + x, first[1] + y, first[2] + z});
    }
  }
}

Team::~Team() = default;

void Team::start_block(int rank, std::array<std::int64_t, 3> place) {
  blocks.push_back(std::make_unique<Block>());
  Block& block = *blocks.back();
  block.rank = rank;
  block.place = place;
  block.shared.assign(static_cast<std::size_t>(code.shared_bytes), kPoison);
  for (const BufferCode& buffer : code.buffers) {
    if (buffer.space != ir::Space::shared) continue;
    Window& window = block.windows.emplace_back();
    window.name = buffer.name;
    window.data = block.shared.data() + buffer.shared_offset;
    window.bytes = buffer.elements * buffer.element_bytes;
    window.granule = buffer.element_bytes;
    window.is_shared = true;
    if (checks()) window.shadow.reset(buffer.elements);
  }
  block.mbarriers.resize(static_cast<std::size_t>(code.barriers));
  block.warpgroups.resize(static_cast<std::size_t>(code.warps / 4));
  for (Warpgroup& group : block.warpgroups) group.products.agent = new_agent();
  block.alive = code.warps;
  for (int w = 0; w < code.warps; ++w) start_warp(block, w);
}

void Team::start_warp(Block& block, int index) {
  block.warps.push_back(std::make_unique<Warp>());
  Warp& warp = *block.warps.back();
  warp.block = &block;
  warp.index = index;
  warp.first_thread = static_cast<Agent>(block.rank * threads_per_block() + index * kLanes);
  warp.numbers = code.initial;
  for (std::size_t d = 0; d < code.block.size(); ++d) warp.numbers[code.block[d].number] = block.place[d];
  warp.numbers[code.warp.number] = index;
  warp.vectors.resize(code.vectors);
  for (int lane = 0; lane < kLanes; ++lane) warp.vectors[code.lane.number].i[static_cast<std::size_t>(lane)] = lane;
  warp.registers.assign(static_cast<std::size_t>(code.register_bytes * kLanes), kPoison);
  const auto registers = static_cast<std::size_t>(code.registers);
  warp.written.resize(registers);
  warp.in_flight.resize(registers);
  warp.read_in_flight.resize(registers);
  warp.fences_before.resize(registers);
  warp.strands.push_back({.pc = 0, .stop = -1, .mask = kAllLanes});
}

void Team::run() {
  std::vector<Warp*> alive;
  for (const auto& block : blocks) {
    for (const auto& warp : block->warps) alive.push_back(warp.get());
  }
  while (!alive.empty()) {
    bool progress = false;
    const std::size_t start = random() % alive.size();
    for (std::size_t i = 0; i < alive.size(); ++i) {
      Warp& warp = *alive[(start + i) % alive.size()];
      if (warp.ended) continue;
      if (advance(warp, 1 + static_cast<int>(random() % kQuantum))) progress = true;
      if (warp.ended) end(warp);
      // Asynchronous work completes at a moment of its own.
      if (!pending.empty() && random() % 8 == 0 && land_one()) progress = true;
    }
    std::erase_if(alive, [](const Warp* warp) { return warp->ended; });
    if (progress || alive.empty() || land_one()) continue;
    report_deadlock();
    break;
  }
  // What is still on its way belongs to blocks that ended with a finding.
  pending.clear();
}

void Team::end(Warp& warp) {
  Block& block = *warp.block;
  if (--block.alive > 0) return;
  if (checks()) check_waited(block);
  std::erase_if(pending, [&](const auto& operation) { return operation->warp().block == &block; });
  for (Window& window : block.windows) window.is_alive = false;
  ++changes;
}

// What was issued and never waited for may still be on its way into the block's memory, or out of it.
void Team::check_waited(const Block& block) {
  const auto left = [&](const Warp& warp, Mask lanes, std::uint32_t at) {
    statement = at;
    report(FindingKind::exited, warp, lanes, "", -1, "the block ends before this asynchronous work is waited for");
  };
  for (const auto& warp : block.warps) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const Groups& copies = warp->cp_async[static_cast<std::size_t>(lane)];
      const Groups& bulk = warp->bulk[static_cast<std::size_t>(lane)];
      if (copies.issued > copies.waited) left(*warp, Mask{1} << lane, copies.statement);
      if (bulk.issued > std::max(bulk.waited, bulk.reads_waited)) left(*warp, Mask{1} << lane, bulk.statement);
    }
  }
  for (std::size_t g = 0; g < block.warpgroups.size(); ++g) {
    const Groups& products = block.warpgroups[g].products;
    if (products.issued > products.waited) left(*block.warps[4 * g], kAllLanes, products.statement);
  }
  for (const Mbarrier& barrier : block.mbarriers) {
    if (barrier.expected > barrier.observed) left(*block.warps[0], 0, barrier.statement);
  }
}

// --- Asynchronous work ----------------------------------------------------------------------------------------------

void Team::land(Operation& operation, Mask lanes) {
  const Mask all = operation.mask();
  operation.set_mask(0, lanes);
  operation.run(Operation::Phase::landing);
  operation.set_mask(0, all & ~lanes);
  ++changes;
}

// Any of it, but products of a warpgroup in their order.
bool Team::land_one() {
  if (pending.empty()) return false;
  std::size_t chosen = random() % pending.size();
  if (pending[chosen]->completion() == Completion::wgmma_group) {
    const Warp& warp = pending[chosen]->warp();
    chosen = 0;
    while (pending[chosen]->completion() != Completion::wgmma_group || &pending[chosen]->warp() != &warp) ++chosen;
  }
  const std::uint32_t at_hand = statement;
  const std::unique_ptr<Operation> operation = std::move(pending[chosen]);
  pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(chosen));
  land(*operation, operation->mask());
  statement = at_hand;
  return true;
}

void Team::wait(Warp& warp, Mask mask, Completion kind, Epoch most, bool reads_alone) {
  auto& groups = kind == Completion::cp_async_group ? warp.cp_async : warp.bulk;
  const auto done = [&](int lane) {
    const Epoch committed = groups[static_cast<std::size_t>(lane)].committed;
    return committed > most ? committed - most : 0;
  };
  for (auto& operation : pending) {
    if (operation->completion() != kind || &operation->warp() != &warp) continue;
    Mask lanes = 0;
    each_lane(mask & operation->mask(), [&](int lane) {
      if (operation->group(lane) <= done(lane)) lanes |= Mask{1} << lane;
    });
    // What has been read may still be on its way to global memory; nobody can tell but by its values.
    if (lanes != 0) land(*operation, lanes);
  }
  std::erase_if(pending, [&](const auto& operation) {
    return operation->completion() == kind && &operation->warp() == &warp && operation->mask() == 0;
  });
  each_lane(mask, [&](int lane) {
    Groups& own = groups[static_cast<std::size_t>(lane)];
    if (own.agent == 0) return;
    own.reads_waited = std::max(own.reads_waited, done(lane));
    if (!reads_alone) own.waited = own.reads_waited;
    auto& known = warp.clocks[static_cast<std::size_t>(lane)].own_agents;
    const auto raise = [&](Agent agent) {
      for (auto& [a, epoch] : known) {
        if (a == agent) return void(epoch = std::max(epoch, done(lane)));
      }
      known.emplace_back(agent, done(lane));
    };
    if (kind == Completion::bulk_group) raise(own.reads_agent);
    if (!reads_alone) raise(own.agent);
  });
}

void Team::wait(Warpgroup& group, std::span<Warp* const> warps, Epoch most) {
  Groups& products = group.products;
  const Epoch done = products.committed > most ? products.committed - most : 0;
  products.waited = std::max(products.waited, done);
  for (std::size_t i = 0; i < pending.size();) {
    Operation& operation = *pending[i];
    const bool is_ours = operation.completion() == Completion::wgmma_group && &operation.warp() == warps[0];
    if (!is_ours || operation.group(0) > done) {
      ++i;
      continue;
    }
    const std::unique_ptr<Operation> landing = std::move(pending[i]);
    pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(i));
    land(*landing, landing->mask());
  }
  for (Warp* warp : warps) {
    for (Clock& clock : warp->clocks) {
      auto& known = clock.own_agents;
      const auto found = std::ranges::find(known, products.agent, &std::pair<Agent, Epoch>::first);
      if (found == known.end()) {
        known.emplace_back(products.agent, done);
      } else {
        found->second = std::max(found->second, done);
      }
    }
    const auto end_of = [&](Epoch& epoch) {
      if (epoch <= done) epoch = 0;
    };
    std::ranges::for_each(warp->in_flight, end_of);
    std::ranges::for_each(warp->read_in_flight, end_of);
  }
}

// --- Barriers of threads --------------------------------------------------------------------------------------------

void Team::arrive(Warp& warp, ThreadBarrier& barrier, std::int64_t threads, Mask mask) {
  if (barrier.arrived == 0) barrier.threads = threads;
  if (barrier.threads != threads) {
    report(FindingKind::barrier, warp, mask, "", -1,
           fmt::format("this barrier is for {} threads here, for {} where others arrived", threads, barrier.threads));
  }
  each_lane(mask, [&](int lane) {
    barrier.release.add(warp.clocks[static_cast<std::size_t>(lane)], warp.first_thread + static_cast<Agent>(lane),
                        warp.now);
  });
  ++warp.now;
  barrier.arrived += kLanes;  // barriers count whole warps
  ++changes;
  if (barrier.arrived < barrier.threads) return;
  if (barrier.arrived > barrier.threads) {
    report(FindingKind::barrier, warp, mask, "", -1,
           fmt::format("{} threads arrive at a barrier for {}", barrier.arrived, barrier.threads));
  }
  barrier.passed = barrier.release.knowledge();
  barrier.release.clear();
  barrier.arrived = 0;
  ++barrier.generation;
}

bool Team::meet(Warp& warp, Strand& strand, ThreadBarrier& barrier, std::int64_t threads, Mask mask) {
  if (!strand.generation) {
    strand.generation = barrier.generation;
    ++launch.counts[statement].barrier_waits;
    arrive(warp, barrier, threads, mask);
  }
  if (*strand.generation == barrier.generation) return false;
  strand.generation.reset();
  each_lane(mask, [&](int lane) {
    Clock& clock = warp.clocks[static_cast<std::size_t>(lane)];
    clock.own_agents.clear();  // they are in what all released
    clock.own_visible_agents.clear();
    joiner.acquire(clock, barrier.passed);
  });
  return true;
}

void Team::sync_warp(Warp& warp, Mask mask) {
  Release release;
  each_lane(mask, [&](int lane) {
    release.add(warp.clocks[static_cast<std::size_t>(lane)], warp.first_thread + static_cast<Agent>(lane), warp.now);
  });
  ++warp.now;
  const Knowledge all = release.knowledge();
  each_lane(mask, [&](int lane) { joiner.acquire(warp.clocks[static_cast<std::size_t>(lane)], all); });
}

// --- Mbarriers ------------------------------------------------------------------------------------------------------

Mbarrier* Team::mbarrier(Location place, Warp& warp, int lane) {
  if (place.owner < 0 || place.owner >= static_cast<int>(blocks.size())) {
    report(FindingKind::out_of_bounds, warp, Mask{1} << lane, "mbarrier", -1,
           fmt::format("the cluster has no block of rank {}", place.owner));
    return nullptr;
  }
  Block& block = *blocks[static_cast<std::size_t>(place.owner)];
  for (const BufferCode& buffer : code.buffers) {
    if (buffer.space != ir::Space::barrier) continue;
    const std::int64_t number = (place.offset - buffer.shared_offset) / 8;
    const bool is_inside = place.offset >= buffer.shared_offset && number < buffer.elements;
    if (&buffer - code.buffers.data() == place.buffer && !is_inside) {
      report(FindingKind::out_of_bounds, warp, Mask{1} << lane, buffer.name, number,
             fmt::format("{} has {} mbarriers", buffer.name, buffer.elements));
      return nullptr;
    }
    if (!is_inside || (place.buffer >= 0 && &buffer - code.buffers.data() != place.buffer)) continue;
    if (block.alive == 0) {
      report(FindingKind::exited, warp, Mask{1} << lane, buffer.name, number,
             fmt::format("block {} of the cluster has ended", place.owner));
      return nullptr;
    }
    return &block.mbarriers[static_cast<std::size_t>(buffer.place + number)];
  }
  report(FindingKind::out_of_bounds, warp, Mask{1} << lane, "", -1, "no mbarrier lies at this place");
  return nullptr;
}

namespace {

// Who arrives at or waits for an mbarrier knows that it was initialised.
void check_initialised(Team& team, Warp& warp, int lane, const Mbarrier& barrier) {
  if (!team.checks()) return;
  if (barrier.count == 0) {
    team.report(FindingKind::barrier, warp, Mask{1} << lane, "", -1, "this mbarrier was never initialised");
    return;
  }
  const Access now{
      .team = team.number_in_grid, .agent = warp.first_thread, .lanes = Mask{1} << lane, .epoch = warp.now};
  const Issuer issuer{warp.first_thread + static_cast<Agent>(lane), &warp.clocks[static_cast<std::size_t>(lane)]};
  if (ordered(barrier.initialised, now, issuer)) return;
  team.report(FindingKind::race, warp, Mask{1} << lane, "mbarrier", -1,
              "nothing orders this after the mbarrier's initialisation", barrier.initialised.statement);
}

void end_phase(Team& team, Mbarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  ++barrier.phase;
  barrier.pending = barrier.count;
  for (auto& [release, passed] : {std::pair<Release&, Knowledge&>{barrier.of_block, barrier.passed_block},
                                  std::pair<Release&, Knowledge&>{barrier.of_cluster, barrier.passed_cluster}}) {
    release.add(passed);
    release.add(barrier.agent, barrier.phase);
    passed = release.knowledge();
    release.clear();
  }
  ++team.changes;
}

}  // namespace

void Team::arrive(Warp& warp, int lane, Location place, std::int64_t bytes, ir::Execution::Reach reach) {
  Mbarrier* barrier = mbarrier(place, warp, lane);
  if (barrier == nullptr) return;
  check_initialised(*this, warp, lane, *barrier);
  if (barrier->count == 0) return;
  if (barrier->pending == 0) {
    report(FindingKind::barrier, warp, Mask{1} << lane, "mbarrier", -1,
           fmt::format("more arrivals than the {} of a phase, whose bytes are still on their way", barrier->count));
    return;
  }
  const Clock& clock = warp.clocks[static_cast<std::size_t>(lane)];
  const Agent self = warp.first_thread + static_cast<Agent>(lane);
  using Reach = ir::Execution::Reach;
  if (reach == Reach::asynchronous) {
    const auto threads = static_cast<Agent>(static_cast<int>(blocks.size()) * threads_per_block());
    barrier->of_cluster.add_work(clock, threads);
    barrier->of_block.add_work(clock, threads);
  } else {
    barrier->of_cluster.add(clock, self, warp.now);
    // An arrival from another block is seen by those who wait for the cluster.
    if (reach == Reach::block || place.owner == warp.block->rank) barrier->of_block.add(clock, self, warp.now);
  }
  ++warp.now;
  --barrier->pending;
  barrier->bytes += bytes;
  end_phase(*this, *barrier);
}

void Team::complete(Location place, std::int64_t bytes) {
  Warp& any = *blocks[0]->warps[0];
  Mbarrier* barrier = mbarrier(place, any, 0);
  if (barrier == nullptr || barrier->count == 0) return;
  barrier->bytes -= bytes;
  end_phase(*this, *barrier);
}

bool Team::passed(Warp& warp, int lane, Location place, std::int64_t parity, bool of_cluster) {
  Mbarrier* barrier = mbarrier(place, warp, lane);
  if (barrier == nullptr) return true;
  check_initialised(*this, warp, lane, *barrier);
  if (barrier->count == 0) return true;
  if (static_cast<std::int64_t>(barrier->phase & 1) == parity) return false;
  ++launch.counts[statement].barrier_waits;
  barrier->observed = std::max(barrier->observed, barrier->phase);
  joiner.acquire(warp.clocks[static_cast<std::size_t>(lane)],
                 of_cluster ? barrier->passed_cluster : barrier->passed_block);
  return true;
}

// --- Reports --------------------------------------------------------------------------------------------------------

bool Team::is_repeated(FindingKind kind, const Warp& warp, Mask lanes, const std::string& buffer, std::uint32_t other) {
  // Of two accesses that race either may come first.
  const auto found =
      launch.known.find(std::tuple(kind, std::min(statement, other), std::max(statement, other), buffer));
  if (found == launch.known.end()) return launch.is_full();
  Finding& known = launch.findings[found->second.place];
  ++known.count;
  const bool is_here = known.block == warp.block->place && found->second.statement == statement;
  if (!is_here || known.threads.size() >= Launch::kMostThreads) return true;
  each_lane(lanes, [&](int lane) {
    const int thread = warp.index * kLanes + lane;
    const bool is_new = std::ranges::find(known.threads, thread) == known.threads.end();
    if (is_new && known.threads.size() < Launch::kMostThreads) known.threads.push_back(thread);
  });
  return true;
}

// The values of the loops around the statement at hand.
std::vector<std::int64_t> Team::axes_of(const Warp& warp, Mask lanes) const {
  const auto lane = static_cast<std::size_t>(lanes == 0 ? 0 : __builtin_ctz(lanes));
  std::vector<std::int64_t> values;
  for (const auto& [axis, slot] : code.statements[statement].axes) {
    values.push_back(slot.uniform ? warp.numbers[slot.number] : warp.vectors[slot.number].i[lane]);
  }
  return values;
}

void Team::add_finding(FindingKind kind, const Warp& warp, Mask lanes, const std::string& buffer, std::int64_t element,
                       std::string message, std::uint32_t other) {
  const Statement& at = code.statements[statement];
  Finding finding{.kind = kind,
                  .kernel = code.name,
                  .statement = at.text,
                  .line = at.line,
                  .other_statement = {},
                  .axes = {},
                  .block = warp.block->place,
                  .threads = {},
                  .buffer = buffer,
                  .element = element,
                  .message = std::move(message)};
  each_lane(lanes, [&](int lane) {
    if (finding.threads.size() < Launch::kMostThreads) finding.threads.push_back(warp.index * kLanes + lane);
  });
  if (other != kNone) {
    finding.other_statement = code.statements[other].text;
    finding.other_line = code.statements[other].line;
  }
  // Of work that outlives its block as they were when it was issued.
  const auto issued = warp.issued_at.find(statement);
  const bool is_past = kind == FindingKind::exited && issued != warp.issued_at.end();
  const std::vector<std::int64_t> values = is_past ? issued->second : axes_of(warp, lanes);
  for (std::size_t a = 0; a < at.axes.size(); ++a) finding.axes.emplace_back(at.axes[a].first, values[a]);
  launch.known.emplace(std::tuple(kind, std::min(statement, other), std::max(statement, other), buffer),
                       Launch::Known{launch.findings.size(), statement});
  launch.findings.push_back(std::move(finding));
}

void Team::report_deadlock() {
  // Who waits where; warps that wait at the same statement together.
  std::map<std::pair<std::uint32_t, int>, std::vector<int>> waiting;
  std::vector<int> ended;
  const Warp* first = nullptr;
  for (const auto& block : blocks) {
    for (const auto& warp : block->warps) {
      if (warp->ended) ended.push_back(warp->index);
      for (const Strand& strand : warp->strands) {
        if (!strand.waiting || strand.ended || strand.children > 0) continue;
        const std::uint32_t at = code.steps[static_cast<std::size_t>(strand.pc)].statement;
        waiting[{at, block->rank}].push_back(warp->index);
        if (first == nullptr) {
          first = warp.get();
          statement = at;
        }
      }
    }
  }
  std::string who;
  for (const auto& [place, warps] : waiting) {
    if (!who.empty()) who += "; ";
    if (blocks.size() > 1) who += fmt::format("block {} of the cluster, ", place.second);
    who += fmt::format("{} {} at `{}`", warps.size() == 1 ? "warp" : "warps", fmt::join(warps, ", "),
                       code.statements[place.first].text);
  }
  if (!ended.empty()) {
    who += fmt::format("; {} {} ended", ended.size() == 1 ? "warp" : "warps", fmt::join(ended, ", "));
  }
  if (first == nullptr) first = blocks[0]->warps[0].get();
  report(FindingKind::deadlock, *first, 0, "", -1, "nobody can go on: " + who);
}

}  // namespace quern::runtime::simulator
