#include "autotune/tune.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <ctime>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>

#include "autotune/compiler_version.h"
#include "autotune/measure.h"
#include "autotune/statistics.h"
#include "autotune/verify.h"
#include "base/error.h"
#include "pipeline/build_digest.h"
#include "pipeline/compile.h"

namespace quern::autotune {
namespace {

using compiler::Schedule;
using compiler::Strategy;
using Clock = std::chrono::steady_clock;

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr std::size_t kFinalists = 6;
constexpr int kFirstSamples = 3, kMoreSamples = 8, kRounds = 5;
constexpr double kTooSlow = 2;          // times the best, after the first samples
constexpr double kSampleSeconds = 0.2;  // that the samples of one candidate may take

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// One candidate on its way.
struct Entry {
  Schedule schedule;
  std::string text;
  std::string rejection;
  std::unique_ptr<pipeline::Artifact> artifact;
  std::unique_ptr<runtime::LoadedProgram> loaded;
  std::vector<double> samples;

  double time() const { return rejection.empty() && !samples.empty() ? median(samples) : kNever; }
};

double doublings(const Schedule& a, const Schedule& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    sum += std::abs(std::log2((static_cast<double>(a.values[i]) + 1) / (static_cast<double>(b.values[i]) + 1)));
  }
  return sum;
}

class KernelTuner {
 public:
  KernelTuner(const ir::Program& kernel, runtime::Device& device, Store& store, const TuneSettings& settings,
              const TuneObserver& observer, Clock::time_point start, double budget)
      : kernel_(kernel),
        strategy_(compiler::strategy_for(kernel, device.info().target)),
        device_(device),
        target_(device.info().target),
        store_(store),
        settings_(settings),
        observer_(observer),
        start_(start),
        budget_(budget),
        key_(winner_key(kernel, strategy_, device.info())) {}

  KernelResult run(int number, int count, bool& stopped) {
    step_ = {.title = key_.problem.title, .kernel = number, .kernels = count};
    const auto known = store_.winner(key_);
    if (known && is_legal(known->schedule, kernel_, strategy_, target_)) {
      return {key_.problem.title,
              known->schedule,
              text_of(strategy_.fallback(kernel_, target_)),
              known->evidence.median,
              known->evidence.fallback_median,
              0,
              0,
              0,
              true};
    }
    ProblemData data(kernel_, device_, settings_.seed);
    list_candidates();
    search(data, stopped);
    rerun_finalists(data);
    return finish(data, !stopped);
  }

 private:
  std::string text_of(const Schedule& schedule) const { return compiler::to_string(schedule, strategy_.fields); }

  // Legal ones, the fallback first, then the nearest to it; the others are recorded with their reasons.
  void list_candidates() {
    const Schedule first = strategy_.fallback(kernel_, target_);
    std::vector<Schedule> all = strategy_.candidates(kernel_, target_);
    std::erase(all, first);
    std::stable_sort(all.begin(), all.end(),
                     [&](const Schedule& a, const Schedule& b) { return doublings(a, first) < doublings(b, first); });
    all.insert(all.begin(), first);
    std::vector<Candidate> illegal;
    for (const Schedule& schedule : all) {
      const compiler::Verdict verdict = strategy_.check(kernel_, schedule, target_);
      if (verdict) {
        entries_.push_back({schedule, text_of(schedule), {}, nullptr, nullptr, {}});
      } else {
        illegal.push_back({text_of(schedule), {}, verdict.reason, std::string(build_digest())});
      }
    }
    store_.record(key_, illegal);
    illegal_ = static_cast<int>(illegal.size());
    ensure(!entries_.empty(), "a strategy's fallback is legal");
    step_.candidates = static_cast<int>(entries_.size());
  }

  void compile(Entry& entry) const {
    try {
      const auto choose = [&](const ir::Program& kernel, const Strategy& strategy) {
        return strategy.fields.strategy == strategy_.fields.strategy ? entry.schedule
                                                                     : strategy.fallback(kernel, target_);
      };
      entry.artifact = std::make_unique<pipeline::Artifact>(
          pipeline::compile(pipeline::schedule_program(kernel_, target_, choose), target_,
                            {.fast_variant_only = true, .nvrtc_path = settings_.nvrtc}));
    } catch (const std::exception& e) {
      entry.rejection = fmt::format("does not compile: {}", e.what());
    }
  }

  // Compiles a batch on all threads, then measures it with the machine to itself.
  void search(const ProblemData& data, bool& stopped) {
    const std::size_t threads = settings_.compile_threads > 0 ? static_cast<std::size_t>(settings_.compile_threads)
                                                              : static_cast<std::size_t>(host_threads());
    const std::size_t batch = 2 * threads;
    // The fallback is measured whatever the budget is: there is an answer.
    const auto over = [&] { return tried_ > 0 && seconds_since(start_) > budget_; };
    for (std::size_t from = 0; from < entries_.size() && !stopped && !over(); from += batch) {
      const std::size_t to = std::min(from + batch, entries_.size());
      std::atomic<std::size_t> next = from;
      std::vector<std::jthread> workers;
      for (std::size_t t = 0; t < threads; ++t) {
        workers.emplace_back([&] {
          for (std::size_t i = next++; i < to; i = next++) compile(entries_[i]);
        });
      }
      workers.clear();
      for (std::size_t i = from; i < to; ++i) {
        try_one(entries_[i], data);
        ++tried_;
        stopped = !report(entries_[i]);
        if (stopped || over()) break;
      }
    }
    for (Entry& entry : entries_) {
      if (entry.samples.empty()) entry.artifact.reset();
    }
  }

  void try_one(Entry& entry, const ProblemData& data) {
    if (entry.rejection.empty()) {
      try {
        entry.loaded = device_.load(entry.artifact->plan, entry.artifact->binary);
        entry.samples = measure(*entry.loaded, data, device_, 1, kFirstSamples);
        const double first = median(entry.samples);
        if (first < kTooSlow * best_) {
          const int more =
              static_cast<int>(std::clamp(kSampleSeconds / std::max(first, 1e-6), 1.0, double{kMoreSamples}));
          const std::vector<double> rest = measure(*entry.loaded, data, device_, 0, more);
          entry.samples.insert(entry.samples.end(), rest.begin(), rest.end());
        }
        best_ = std::min(best_, entry.time());
      } catch (const std::exception& e) {
        entry.rejection = fmt::format("does not run: {}", e.what());
      }
    }
    if (entry.time() > kTooSlow * best_ && &entry != &entries_[0]) entry.loaded.reset();
    record(entry);
  }

  void record(const Entry& entry) {
    store_.record(key_, Candidate{entry.text, entry.samples, entry.rejection, std::string(build_digest())});
  }

  bool report(const Entry& entry) {
    step_.schedule = entry.text;
    step_.rejection = entry.rejection;
    step_.tried = tried_;
    step_.seconds = entry.samples.empty() ? 0 : median(entry.samples);
    step_.best_seconds = std::isfinite(best_) ? best_ : 0;
    step_.elapsed_seconds = seconds_since(start_);
    return !observer_ || observer_(step_);
  }

  // The fastest and the fallback, which they are compared with, in turns, so that a drift of the clocks meets all.
  void rerun_finalists(const ProblemData& data) {
    std::vector<Entry*> order;
    for (Entry& entry : entries_) {
      if (entry.loaded && std::isfinite(entry.time())) order.push_back(&entry);
    }
    const auto fallback_first = [&](const Entry* a, const Entry* b) {
      return std::pair(a != &entries_[0], a->time()) < std::pair(b != &entries_[0], b->time());
    };
    std::stable_sort(order.begin(), order.end(), fallback_first);
    order.resize(std::min(order.size(), kFinalists + 1));
    if (order.size() < 2) return;
    for (Entry* entry : order) entry->samples.clear();
    for (int round = 0; round < kRounds; ++round) {
      for (Entry* entry : order) {
        const std::vector<double> more = measure(*entry->loaded, data, device_, 1, 2);
        entry->samples.insert(entry->samples.end(), more.begin(), more.end());
      }
    }
    for (Entry& entry : entries_) {
      const bool finalist = std::find(order.begin(), order.end(), &entry) != order.end();
      if (finalist) {
        record(entry);
      } else {
        entry.loaded.reset();
      }
    }
  }

  // The best one that is right; the store remembers that of a whole search, or of all that the budget took.
  KernelResult finish(ProblemData& data, bool remember) {
    int rejected = illegal_;
    for (const Entry& entry : entries_) rejected += entry.rejection.empty() ? 0 : 1;
    const double fallback_time = std::isfinite(entries_[0].time()) ? entries_[0].time() : 0;
    while (true) {
      std::vector<double> medians;
      for (const Entry& entry : entries_) medians.push_back(entry.loaded ? entry.time() : kNever);
      const int best = pick_winner(medians);
      if (best < 0) {
        throw InternalError(fmt::format("no candidate of {} runs and is right; the first: {}", key_.problem.title,
                                        entries_[0].rejection));
      }
      Entry& winner = entries_[static_cast<std::size_t>(best)];
      const Verification verification = verify(*winner.loaded, kernel_, data, device_, settings_.seed);
      if (!verification.failure.empty()) {
        winner.rejection = verification.failure;
        ++rejected;
        record(winner);
        continue;
      }
      Evidence evidence;
      evidence.device_name = device_.info().name;
      evidence.compiler = compiler_version(target_, settings_.nvrtc);
      evidence.build = std::string(build_digest());
      evidence.verification = verification.text;
      evidence.time = now_utc();
      evidence.median = winner.time();
      evidence.fallback_median = fallback_time;
      evidence.band = kNearTie;
      evidence.tried = tried_;
      evidence.rejected = rejected;
      if (remember) store_.record(key_, Winner{winner.text, evidence});
      return {key_.problem.title, winner.text, entries_[0].text, winner.time(), fallback_time, tried_, step_.candidates,
              rejected,           false};
    }
  }

  const ir::Program& kernel_;
  const Strategy& strategy_;
  runtime::Device& device_;
  Target target_;
  Store& store_;
  const TuneSettings& settings_;
  const TuneObserver& observer_;
  Clock::time_point start_;
  double budget_;
  WinnerKey key_;
  TuneStep step_;
  std::vector<Entry> entries_;
  double best_ = kNever;
  int tried_ = 0, illegal_ = 0;
};

// An extern takes its one schedule, where the target takes it at all.
void require_runnable(const ir::Program& kernel, const Target& target) {
  const Strategy& strategy = compiler::strategy_for(kernel, target);
  const compiler::Verdict verdict = strategy.check(kernel, strategy.fallback(kernel, target), target);
  if (!verdict) fail("{} cannot be tuned for {}: {}", kernel.name, to_text(target), verdict.reason);
}

}  // namespace

int pick_winner(const std::vector<double>& medians) {
  const auto best = std::min_element(medians.begin(), medians.end());
  if (best == medians.end() || !std::isfinite(*best)) return -1;
  const auto first =
      std::find_if(medians.begin(), medians.end(), [&](double m) { return m <= *best * (1 + kNearTie); });
  return static_cast<int>(first - medians.begin());
}

WinnerKey winner_key(const ir::Program& kernel, const Strategy& strategy, const runtime::DeviceInfo& device) {
  return {problem_of(kernel, {}), device_identity(device), std::string(strategy.fields.strategy),
          strategy_version(strategy)};
}

bool is_legal(const std::string& schedule, const ir::Program& kernel, const Strategy& strategy, const Target& target) {
  try {
    return static_cast<bool>(strategy.check(kernel, compiler::parse_schedule(schedule, strategy.fields), target));
  } catch (const Error&) {
    return false;
  }
}

TuneResult tune(const ir::Program& program, runtime::Device& device, Store& store, const TuneSettings& settings,
                const TuneObserver& observer) {
  const Clock::time_point start = Clock::now();
  const std::vector<ir::Program> kernels = pipeline::kernels_of(program, device.info().target);
  for (const ir::Program& kernel : kernels) {
    if (!kernel.externs.empty()) require_runnable(kernel, device.info().target);
  }
  TuneResult result;
  for (std::size_t k = 0; k < kernels.size() && !result.stopped; ++k) {
    if (!kernels[k].externs.empty()) {  // nothing to choose
      result.kernels.push_back({"extern " + kernels[k].externs[0].name, "extern", "extern", 0, 0, 0, 0, 0, true});
      continue;
    }
    // Each kernel has its share of what is left.
    const double elapsed = seconds_since(start);
    const double share = std::max(0.0, settings.budget_seconds - elapsed) / static_cast<double>(kernels.size() - k);
    KernelTuner tuner(kernels[k], device, store, settings, observer, start, elapsed + share);
    result.kernels.push_back(tuner.run(static_cast<int>(k), static_cast<int>(kernels.size()), result.stopped));
  }
  result.elapsed_seconds = seconds_since(start);
  return result;
}

}  // namespace quern::autotune
