#pragma once
// Who knows what happened before: vector clocks over the threads of a team (the blocks of a cluster) and over its
// asynchronous agents (copy engines, warpgroups, mbarriers). An access is ordered before another one where the second
// one's thread knows the first one's agent to have passed its epoch (FastTrack's rule, Flanagan and Freund 2009).
// Inside runtime/simulator/.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace quern::runtime::simulator {

using Epoch = std::uint32_t;
using Agent = std::uint32_t;

// The epoch that each agent has passed, by its number; 0 beyond the end. Shared and immutable.
using Times = std::vector<Epoch>;
using TimesRef = std::shared_ptr<const Times>;

inline Epoch at(const Times& times, Agent agent) { return agent < times.size() ? times[agent] : 0; }
inline void raise(Times& times, Agent agent, Epoch epoch) {
  if (agent >= times.size()) times.resize(agent + 1);
  if (times[agent] < epoch) times[agent] = epoch;
}

// What a thread knows: of everything, and of that which the asynchronous proxy sees too.
struct Knowledge {
  TimesRef all, visible;
};

// One thread's.
struct Clock {
  Knowledge knows;
  Epoch own_visible = 0;  // its own accesses up to here are fenced
  // Asynchronous work of its own that it has waited for, and what of it is fenced.
  std::vector<std::pair<Agent, Epoch>> own_agents, own_visible_agents;
};

// The join of what several threads release.
class Release {
 public:
  // `epoch`: of the thread `self` now.
  void add(const Clock& clock, Agent self, Epoch epoch);
  void add(const Knowledge& knowledge);
  // Of asynchronous work alone, whose agents come after those of the `threads`.
  void add_work(const Clock& clock, Agent threads);
  void add(Agent agent, Epoch epoch) { raise(all_, agent, epoch); }
  Knowledge knowledge() const;
  void clear();

 private:
  Times all_, visible_;
  std::vector<TimesRef> joined_all_, joined_visible_;  // so that what many threads share is joined once
};

// Adds what others released to what a thread knows. Remembers the last join, for the threads of a warp share theirs.
class Joiner {
 public:
  void acquire(Clock& clock, const Knowledge& released);

 private:
  struct Memo {
    TimesRef a, b, result;
  };
  TimesRef join(const TimesRef& a, const TimesRef& b, Memo& memo);
  Memo all_, visible_;
};

}  // namespace quern::runtime::simulator
