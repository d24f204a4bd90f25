#pragma once
// The search: candidates compiled in parallel, measured one at a time, the best of them verified and remembered.
//
// Candidates come in the order of their distance from the strategy's fallback (the sum over the fields of the doublings
// between them), so that a budget that ends early has seen the likely ones. One that is twice as slow as the best after
// its first samples is measured no further. The finalists are measured again, in turns. Those within kNearTie of the
// best count as equal, and the first of them in the candidates' order wins: tuning twice gives the same answer.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "autotune/store.h"
#include "ir/tensor.h"
#include "runtime/device.h"

namespace quern::autotune {

inline constexpr double kNearTie = 0.02;

struct TuneSettings {
  double budget_seconds = 30;
  int compile_threads = 0;  // 0: host_threads()
  std::uint64_t seed = 1;
  std::string nvrtc;
};

struct TuneStep {
  std::string title;
  int kernel = 0, kernels = 1;
  std::string schedule, rejection;
  int tried = 0, candidates = 0;
  double seconds = 0, best_seconds = 0, elapsed_seconds = 0;
};
// Returns false to stop: what was measured is kept, no winner is.
using TuneObserver = std::function<bool(const TuneStep&)>;

struct KernelResult {
  std::string title, schedule, fallback;
  double seconds = 0, fallback_seconds = 0;
  int tried = 0, candidates = 0, rejected = 0;
  bool from_store = false;
};

struct TuneResult {
  std::vector<KernelResult> kernels;
  double elapsed_seconds = 0;
  bool stopped = false;  // by the observer
};

// A winner for every kernel of `program`, which has no symbols left, on `device`. Throws Error where no candidate of a
// kernel compiles, and InternalError where none computes the right result.
TuneResult tune(const ir::Program& program, runtime::Device& device, Store& store, const TuneSettings& settings,
                const TuneObserver& observer);

// The winner's key of a kernel without symbols on a device.
WinnerKey winner_key(const ir::Program& kernel, const compiler::Strategy& strategy, const runtime::DeviceInfo& device);

// Whether a schedule that a store holds is one of the strategy's, and legal there: rules may have changed.
bool is_legal(const std::string& schedule, const ir::Program& kernel, const compiler::Strategy& strategy,
              const Target& target);

// Which of the candidates wins by their medians (seconds, in candidates' order; infinite: out of the race): the first
// within kNearTie of the best. -1 where all are out.
int pick_winner(const std::vector<double>& medians);

}  // namespace quern::autotune
