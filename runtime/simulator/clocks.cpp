#include "runtime/simulator/clocks.h"

#include <algorithm>

namespace quern::runtime::simulator {
namespace {

void join(Times& into, const Times& other) {
  if (into.size() < other.size()) into.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
}

}  // namespace

void Release::add(const Knowledge& knowledge) {
  const auto add_once = [](Times& into, std::vector<TimesRef>& joined, const TimesRef& times) {
    if (!times || std::ranges::find(joined, times) != joined.end()) return;
    join(into, *times);
    joined.push_back(times);
  };
  add_once(all_, joined_all_, knowledge.all);
  add_once(visible_, joined_visible_, knowledge.visible);
}

void Release::add(const Clock& clock, Agent self, Epoch epoch) {
  add(clock.knows);
  raise(all_, self, epoch);
  raise(visible_, self, clock.own_visible);
  for (const auto& [agent, passed] : clock.own_agents) raise(all_, agent, passed);
  for (const auto& [agent, passed] : clock.own_visible_agents) raise(visible_, agent, passed);
}

void Release::add_work(const Clock& clock, Agent threads) {
  const auto raise_known = [&](Times& into, const TimesRef& times) {
    for (std::size_t agent = threads + 1; times && agent < times->size(); ++agent) {
      raise(into, static_cast<Agent>(agent), (*times)[agent]);
    }
  };
  raise_known(all_, clock.knows.all);
  raise_known(visible_, clock.knows.visible);
  for (const auto& [agent, passed] : clock.own_agents) raise(all_, agent, passed);
  for (const auto& [agent, passed] : clock.own_visible_agents) raise(visible_, agent, passed);
}

Knowledge Release::knowledge() const {
  return {std::make_shared<const Times>(all_), std::make_shared<const Times>(visible_)};
}

void Release::clear() {
  all_.clear();
  visible_.clear();
  joined_all_.clear();
  joined_visible_.clear();
}

TimesRef Joiner::join(const TimesRef& a, const TimesRef& b, Memo& memo) {
  if (!a || a == b) return b;
  if (!b) return a;
  if (memo.a == a && memo.b == b) return memo.result;
  auto joined = std::make_shared<Times>(*a);
  simulator::join(*joined, *b);
  memo = {a, b, std::move(joined)};
  return memo.result;
}

void Joiner::acquire(Clock& clock, const Knowledge& released) {
  clock.knows.all = join(clock.knows.all, released.all, all_);
  clock.knows.visible = join(clock.knows.visible, released.visible, visible_);
}

}  // namespace quern::runtime::simulator
