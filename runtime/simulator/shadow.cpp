#include "runtime/simulator/shadow.h"

#include <algorithm>
#include <utility>

namespace quern::runtime::simulator {

bool ordered(const Access& before, const Access& now, const Issuer& issuer, bool* fence_alone) {
  if (before.team != now.team) return false;
  const Clock& clock = *issuer.clock;
  const auto knows = [](const TimesRef& times, Agent agent, Epoch epoch) {
    return times && at(*times, agent) >= epoch;
  };
  // Ordinary stores, those of cp.async among them, reach the asynchronous proxy through a fence.
  const bool needs_fence = now.async && before.write && !before.async;
  if (before.lanes == 0) {
    if (before.agent == now.agent && now.lanes == 0) return true;  // its own earlier work
    const auto passed = [&](const TimesRef& times, const std::vector<std::pair<Agent, Epoch>>& own) {
      const auto is_past = [&](const auto& known) {
        return known.first == before.agent && known.second >= before.epoch;
      };
      return knows(times, before.agent, before.epoch) || std::ranges::any_of(own, is_past);
    };
    if (!passed(clock.knows.all, clock.own_agents)) return false;
    if (!needs_fence || passed(clock.knows.visible, clock.own_visible_agents)) return true;
    if (fence_alone != nullptr) *fence_alone = true;
    return false;
  }
  bool known = true, visible = true;
  each_lane(before.lanes, [&](int lane) {
    const Agent thread = before.agent + static_cast<Agent>(lane);
    if (thread == issuer.thread) {
      visible = visible && clock.own_visible >= before.epoch;
    } else {
      known = known && knows(clock.knows.all, thread, before.epoch);
      visible = visible && knows(clock.knows.visible, thread, before.epoch);
    }
  });
  if (!known || !needs_fence) return known;
  if (!visible && fence_alone != nullptr) *fence_alone = true;
  return visible;
}

void Shadow::reset(std::int64_t elements) {
  pages_.clear();
  pages_.resize(static_cast<std::size_t>((elements + kPage - 1) / kPage));
  others_.clear();
  free_ = 0;
  all_written_ = false;
}

const Shadow::Cell* Shadow::find(std::int64_t element) const {
  const auto& page = pages_[static_cast<std::size_t>(element / kPage)];
  return page ? &(*page)[static_cast<std::size_t>(element % kPage)] : nullptr;
}

Shadow::Cell& Shadow::cell(std::int64_t element) {
  auto& page = pages_[static_cast<std::size_t>(element / kPage)];
  if (!page) page = std::make_unique<Page>();
  return (*page)[static_cast<std::size_t>(element % kPage)];
}

bool Shadow::written(std::int64_t element) const {
  if (all_written_) return true;
  const Cell* known = find(element);
  return known != nullptr && known->written;
}

void Shadow::set_written(std::int64_t element) { cell(element).written = true; }
void Shadow::set_hole(std::int64_t element, bool hole) { cell(element).hole = hole; }
bool Shadow::is_hole(std::int64_t element) const {
  const Cell* known = find(element);
  return known != nullptr && known->hole;
}

void Shadow::clear_others(Cell& cell) {
  while (cell.others != 0) {
    Other& other = others_[cell.others - 1];
    const std::uint32_t next = other.next;
    other.next = free_;
    free_ = cell.others;
    cell.others = next;
  }
}

// Accesses that happened before this one say nothing more: who comes after this one comes after them. Of other teams,
// which nothing orders, one stands for all.
void Shadow::add_other(Cell& cell, const Access& access, const Issuer& issuer) {
  std::uint32_t* link = &cell.others;
  bool foreign = false;
  while (*link != 0) {
    Other& other = others_[*link - 1];
    Access& known = other.access;
    const bool alike = known.write == access.write && known.atomic == access.atomic && known.async == access.async;
    if (known.team == access.team && alike && known.agent == access.agent && known.epoch == access.epoch) {
      known.lanes |= access.lanes;
      return;
    }
    const bool spare =
        known.team != access.team ? alike && std::exchange(foreign, true) : alike && ordered(known, access, issuer);
    if (!spare) {
      link = &other.next;
      continue;
    }
    const std::uint32_t place = *link;
    *link = other.next;
    other.next = free_;
    free_ = place;
  }
  std::uint32_t place = free_;
  if (place != 0) {
    free_ = others_[place - 1].next;
  } else {
    others_.emplace_back();
    place = static_cast<std::uint32_t>(others_.size());
  }
  others_[place - 1] = {access, cell.others};
  cell.others = place;
}

std::optional<Shadow::Conflict> Shadow::note(std::int64_t element, const Access& access, const Issuer& issuer) {
  Cell& at = cell(element);
  std::optional<Conflict> conflict;
  const auto look = [&](const Access& earlier) {
    if (conflict || !earlier.exists() || (!earlier.write && !access.write) || (earlier.atomic && access.atomic)) return;
    bool fence_alone = false;
    if (!ordered(earlier, access, issuer, &fence_alone)) conflict = Conflict{earlier, fence_alone};
  };
  look(at.write);
  if (access.write || at.others != 0) {
    for (std::uint32_t o = at.others; o != 0; o = others_[o - 1].next) look(others_[o - 1].access);
  }
  if (access.write && !access.atomic) {
    at.write = access;
    clear_others(at);
  } else {
    add_other(at, access, issuer);
  }
  if (access.write) at.written = true;
  return conflict;
}

void Shadow::forget_accesses() {
  others_.clear();
  free_ = 0;
  for (auto& page : pages_) {
    if (!page) continue;
    for (Cell& c : *page) {
      c.write = {};
      c.others = 0;
    }
  }
}

}  // namespace quern::runtime::simulator
