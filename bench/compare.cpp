#include "bench/compare.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"
#include "quern/host.h"

namespace quern::bench {
namespace {

constexpr std::size_t kMostSets = 256;
constexpr int kTurn = 5;           // samples of one side before the other's turn
constexpr double kHopeless = 4;    // times slower at the first look: no need of another
constexpr double kNearTie = 1.03;  // times slower at the first look: may be as fast
constexpr std::size_t kFinalists = 3;

std::size_t bytes_of(const Argument& argument) {
  std::size_t bytes = static_cast<std::size_t>(byte_size(argument.dtype));
  for (const std::int64_t extent : argument.extents) bytes *= static_cast<std::size_t>(extent);
  return bytes;
}

// The arguments of a launch on the device, several times over.
class LaunchData {
 public:
  LaunchData(const Program& program, const Device& device, std::span<const HostArray> inputs)
      : device_(device), arguments_(program.arguments()) {
    std::size_t bytes = 1;
    for (const Argument& argument : arguments_) bytes += bytes_of(argument);
    const auto wanted = 2 * static_cast<std::size_t>(device.info().l2_bytes);
    const std::size_t sets = std::clamp<std::size_t>((wanted + bytes - 1) / bytes, 1, kMostSets);
    for (std::size_t set = 0; set < sets; ++set) {
      std::vector<void*>& pointers = pointers_.emplace_back();
      for (std::size_t i = 0; i < arguments_.size(); ++i) {
        const DeviceBuffer& buffer = buffers_.emplace_back(device, bytes_of(arguments_[i]));
        if (i < inputs.size()) device.upload(buffer.data(), inputs[i].data.data(), buffer.size());
        pointers.push_back(buffer.data());
      }
    }
  }

  std::span<void* const> set(std::size_t number) const { return pointers_[number % pointers_.size()]; }
  std::size_t sets() const { return pointers_.size(); }

  // Runs `work` on the first set, its outputs filled before with what no right result holds.
  template <typename Work>
  std::vector<HostArray> outputs_of(const Work& work) const {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (arguments_[i].is_output) device_.fill(pointers_[0][i], 0xff, bytes_of(arguments_[i]));
    }
    work(set(0), nullptr);
    device_.synchronize();
    std::vector<HostArray> outputs;
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (!arguments_[i].is_output) continue;
      HostArray& output = outputs.emplace_back(arguments_[i].dtype, arguments_[i].extents);
      device_.download(output.data.data(), pointers_[0][i], output.data.size());
    }
    return outputs;
  }

 private:
  Device device_;
  std::vector<Argument> arguments_;
  std::vector<DeviceBuffer> buffers_;
  std::vector<std::vector<void*>> pointers_;
};

using Work = std::function<void(std::span<void* const> arguments, void* stream)>;

// Times launches, each on the next set.
class Timer {
 public:
  // Before a side is timed it runs alone for `settle` seconds.
  Timer(const Device& device, const LaunchData& data, double settle) : device_(device), data_(data), settle_(settle) {}

  void add(const Work& work, int warmup, int samples, std::vector<double>& seconds) {
    const auto next = [&](void* stream) { work(data_.set(turn_++), stream); };
    const std::vector<double> measured = device_.measure(next, warmup, samples);
    seconds.insert(seconds.end(), measured.begin(), measured.end());
  }

  // Lets the device come to rest on a side that is to be timed.
  void settle(const Work& work) {
    for (double spent = 0; spent < settle_;) {
      std::vector<double> seconds;
      add(work, 0, kTurn, seconds);
      spent = std::accumulate(seconds.begin(), seconds.end(), spent);
    }
  }

  // The median of a few launches; of one where that is far above `least`, what another way took. What is done once per
  // set of buffers is done before.
  double quick(const Work& work, bool touches_data, double least) {
    std::vector<double> seconds;
    add(work, 1, 1, seconds);
    if (seconds[0] > kHopeless * least) return seconds[0];
    for (std::size_t set = 0; touches_data && set < data_.sets(); ++set) work(data_.set(set), nullptr);
    device_.synchronize();
    add(work, 1, kTurn, seconds);
    return median(seconds);
  }

  // The threads of the side whose turn it was spin a while before they sleep.
  void change_sides() const {
    if (!device_.info().is_gpu) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

 private:
  Device device_;
  const LaunchData& data_;
  double settle_;
  std::size_t turn_ = 0;
};

// What a variant took at the first look.
struct Look {
  double seconds;
  const Variant* variant;
};

// The variants that the peer does not refuse to run, the fastest first.
std::vector<Look> by_speed(const PeerCase& peer, Timer& timer) {
  std::vector<Look> looks;
  double least = std::numeric_limits<double>::infinity();
  std::string refusal;
  for (const Variant& variant : peer.variants) {
    try {
      looks.push_back({timer.quick(variant.run, peer.computes, least), &variant});
      least = std::min(least, looks.back().seconds);
    } catch (const Error& error) {
      refusal = error.what();
    }
  }
  if (looks.empty()) throw Error(refusal);
  std::ranges::stable_sort(looks, {}, &Look::seconds);
  return looks;
}

// What the outputs of two sides are checked with.
struct Check {
  const Program& task;
  std::span<const HostArray> inputs;
  std::uint64_t seed;

  // One line per wrong output of what computes `program`.
  std::string faults(const Program& program, std::span<const HostArray> outputs,
                     std::span<const HostArray> others) const {
    std::string text;
    for (const OutputCheck& check : check_outputs(program, {}, inputs, outputs, seed, others)) {
      if (!check.passed()) text += fmt::format("{}{}", text.empty() ? "" : "; ", check.text());
    }
    return text;
  }
};

// The variants of which the fastest counts.
struct Finalists {
  std::vector<const Variant*> variants;
  std::vector<HostArray> outputs;  // of the first; none where the peer computes none
  std::string faults;              // of the first, where no variant is right
  std::string left_out;
};

// Of the variants whose outputs are right the fastest, and those that may be as fast; the first of all where none is.
Finalists finalists_of(std::span<const Look> looks, const LaunchData& data, const Check& check,
                       std::span<const HostArray> our_outputs) {
  Finalists right, wrong;
  std::set<std::string_view> wrong_ways;
  double most = std::numeric_limits<double>::infinity();
  for (const Look& look : looks) {
    if (right.variants.size() == kFinalists || look.seconds > most) break;
    if (wrong_ways.contains(look.variant->way)) continue;
    std::vector<HostArray> outputs = data.outputs_of(look.variant->run);
    std::string faults = check.faults(look.variant->computes.value_or(check.task), outputs, our_outputs);
    if (faults.empty()) {
      if (right.variants.empty()) {
        right.outputs = std::move(outputs);
        most = kNearTie * look.seconds;
      }
      right.variants.push_back(look.variant);
      continue;
    }
    wrong_ways.insert(look.variant->way);
    right.left_out += fmt::format("{}{}: {}", right.left_out.empty() ? "" : "; ", look.variant->name, faults);
    if (wrong.variants.empty()) wrong = {{look.variant}, std::move(outputs), std::move(faults), ""};
  }
  return right.variants.empty() ? wrong : right;
}

// Seconds of each run of one side.
using Runs = std::vector<double>;

// One run: the sides take turns. One that is interrupted does not count.
void run_once(Timer& timer, std::span<const Work* const> sides, const CompareOptions& options, std::span<Runs> runs) {
  std::vector<std::vector<double>> seconds(sides.size());
  for (int done = 0; done < options.samples; done += kTurn) {
    const int count = std::min(kTurn, options.samples - done);
    for (std::size_t side = 0; side < sides.size(); ++side) {
      if (options.interrupted()) return;
      timer.change_sides();
      timer.settle(*sides[side]);
      timer.add(*sides[side], 2, count, seconds[side]);
    }
  }
  for (std::size_t side = 0; side < sides.size(); ++side) runs[side].push_back(median(seconds[side]));
}

// Runs ours and the finalists, and fills in the figures of the fastest of them.
void race(Timer& timer, const Work& ours, const Finalists& finalists, double scale, const CompareOptions& options,
          Comparison& result) {
  std::vector<const Work*> sides{&ours};
  for (const Variant* variant : finalists.variants) sides.push_back(&variant->run);
  std::vector<Runs> runs(sides.size());
  for (int run = 0; run < options.runs && !options.interrupted(); ++run) run_once(timer, sides, options, runs);
  const auto fastest = std::ranges::min_element(runs.begin() + 1, runs.end(), {}, median);
  result.variant = finalists.variants[static_cast<std::size_t>(fastest - runs.begin() - 1)]->name;
  result.ours = median(runs[0]);
  result.theirs = median(*fastest) * scale;
  for (std::size_t run = 0; run < fastest->size(); ++run) {
    result.ratios.push_back((*fastest)[run] * scale / runs[0][run]);
  }
  result.ratio = median(result.ratios);
}

std::string names_of(std::span<const Peer> list) {
  std::string text;
  for (const Peer& peer : list) text += fmt::format("\n  {}: {}", peer.name, peer.offers);
  return text;
}

}  // namespace

WorkloadResult compare(const Executable& executable, std::string_view source, const Sizes& sizes,
                       std::span<const Peer> against, const CompareOptions& options) {
  const Device device = *executable.device();
  WorkloadResult result;
  result.report = executable.report();
  const Task task{.call = parse_call(source, sizes),
                  .device = device,
                  .bytes = result.report.bytes,
                  .memory_bound = result.report.bound == "memory"};
  std::vector<PeerCase> cases;
  for (const Peer& peer : against) {
    std::optional<PeerCase> made = peer.make(task);
    if (!made) continue;
    cases.push_back(std::move(*made));
    result.comparisons.push_back({.peer = std::string(peer.name),
                                  .library = cases.back().library,
                                  .variant = {},
                                  .variants = static_cast<int>(cases.back().variants.size()),
                                  .ratios = {},
                                  .disagreement = {},
                                  .left_out = {}});
  }
  if (cases.empty()) {
    fail("no peer can be compared in {} on {}:{}\nBuilder calls are recognised, programs in the language are not.",
         source, device.info().id, names_of(against));
  }

  const std::vector<HostArray> inputs = random_inputs(executable.program(), {}, options.seed);
  const LaunchData data(executable.program(), device, inputs);
  const DeviceBuffer workspace(device, executable.workspace_bytes());
  const Work ours = [&](std::span<void* const> arguments, void* stream) {
    executable.launch(arguments, {}, stream, workspace.data());
  };
  for (std::size_t set = 0; set < data.sets(); ++set) executable.prepare(data.set(set));
  const Check check{executable.program(), inputs, options.seed};
  const std::vector<HostArray> our_outputs = data.outputs_of(ours);

  Timer timer(device, data, options.settle);
  std::vector<HostArray> others;
  for (std::size_t i = 0; i < cases.size() && !options.interrupted(); ++i) {
    Comparison& comparison = result.comparisons[i];
    const std::vector<Look> looks = by_speed(cases[i], timer);
    Finalists finalists{.variants = {looks.front().variant}, .outputs = {}, .faults = {}, .left_out = {}};
    if (cases[i].computes) finalists = finalists_of(looks, data, check, our_outputs);
    race(timer, ours, finalists, cases[i].scale, options, comparison);
    comparison.disagreement = std::move(finalists.faults);
    comparison.left_out = std::move(finalists.left_out);
    if (cases[i].computes) others = std::move(finalists.outputs);
  }
  // What was interrupted before the end of a run is told to nobody, so that nobody waits for its check.
  const bool told = std::ranges::any_of(result.comparisons, [](const Comparison& c) { return !c.ratios.empty(); });
  const std::string faults = told ? check.faults(check.task, our_outputs, others) : "";
  result.right = faults.empty();
  result.check = faults;
  return result;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

double geometric_mean(std::span<const double> values) {
  if (values.empty()) return 0;
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace quern::bench
