#include "bench/compare.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"
#include "quern/host.h"

namespace quern::bench {
namespace {

constexpr std::size_t kMostSets = 256;
constexpr int kTurn = 5;         // samples of one side before the other's turn
constexpr double kHopeless = 4;  // times slower at the first look: no need of another

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
    for (double spent = 0; spent < settle_;) {
      for (const double second : device_.measure(next, 0, kTurn)) spent += second;
    }
    const std::vector<double> measured = device_.measure(next, warmup, samples);
    seconds.insert(seconds.end(), measured.begin(), measured.end());
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

// The variants that the peer does not refuse to run, the fastest first.
std::vector<const Variant*> by_speed(const PeerCase& peer, Timer& timer) {
  std::vector<std::pair<double, const Variant*>> timed;
  double least = std::numeric_limits<double>::infinity();
  std::string refusal;
  for (const Variant& variant : peer.variants) {
    try {
      timed.emplace_back(timer.quick(variant.run, peer.computes, least), &variant);
      least = std::min(least, timed.back().first);
    } catch (const Error& error) {
      refusal = error.what();
    }
  }
  if (timed.empty()) throw Error(refusal);
  std::ranges::stable_sort(timed, {}, [](const auto& one) { return one.first; });
  std::vector<const Variant*> ranked(timed.size());
  std::ranges::transform(timed, ranked.begin(), [](const auto& one) { return one.second; });
  return ranked;
}

// What the outputs of two sides are checked with.
struct Check {
  const Program& program;
  std::span<const HostArray> inputs;
  std::uint64_t seed;

  // One line per wrong output.
  std::string faults(std::span<const HostArray> outputs, std::span<const HostArray> others) const {
    std::string text;
    for (const OutputCheck& check : check_outputs(program, {}, inputs, outputs, seed, others)) {
      if (!check.passed()) text += fmt::format("{}{}", text.empty() ? "" : "; ", check.text());
    }
    return text;
  }
};

// The variant that counts, and what it left in the outputs.
struct Choice {
  const Variant* variant = nullptr;
  std::vector<HostArray> outputs;  // none where the peer computes none
  std::string faults;
  std::string left_out;
};

// The first variant whose outputs are right; the first of all where none is.
Choice first_right(std::span<const Variant* const> ranked, const LaunchData& data, const Check& check,
                   std::span<const HostArray> our_outputs) {
  Choice wrong;
  std::set<std::string_view> wrong_ways;
  for (const Variant* variant : ranked) {
    if (wrong_ways.contains(variant->way)) continue;
    std::vector<HostArray> outputs = data.outputs_of(variant->run);
    std::string faults = check.faults(outputs, our_outputs);
    if (faults.empty()) return {variant, std::move(outputs), "", wrong.left_out};
    wrong_ways.insert(variant->way);
    wrong.left_out += fmt::format("{}{}: {}", wrong.left_out.empty() ? "" : "; ", variant->name, faults);
    if (wrong.variant != nullptr) continue;
    wrong.variant = variant;
    wrong.outputs = std::move(outputs);
    wrong.faults = std::move(faults);
  }
  wrong.left_out.clear();
  return wrong;
}

// One run: both sides take turns. One that is interrupted does not count.
void run_once(Timer& timer, const Work& ours, const Work& theirs, double scale, const CompareOptions& options,
              Comparison& result, std::vector<double>& ours_runs, std::vector<double>& theirs_runs) {
  std::vector<double> our_seconds, their_seconds;
  for (int done = 0; done < options.samples; done += kTurn) {
    if (options.interrupted()) return;
    const int count = std::min(kTurn, options.samples - done);
    timer.change_sides();
    timer.add(ours, 2, count, our_seconds);
    timer.change_sides();
    timer.add(theirs, 2, count, their_seconds);
  }
  ours_runs.push_back(median(our_seconds));
  theirs_runs.push_back(median(their_seconds) * scale);
  result.ratios.push_back(theirs_runs.back() / ours_runs.back());
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
    const std::vector<const Variant*> ranked = by_speed(cases[i], timer);
    Choice choice{.variant = ranked.front(), .outputs = {}, .faults = {}, .left_out = {}};
    if (cases[i].computes) {
      choice = first_right(ranked, data, check, our_outputs);
      others = std::move(choice.outputs);
    }
    comparison.variant = choice.variant->name;
    comparison.disagreement = choice.faults;
    comparison.left_out = choice.left_out;
    std::vector<double> our_runs, their_runs;
    for (int run = 0; run < options.runs && !options.interrupted(); ++run) {
      run_once(timer, ours, choice.variant->run, cases[i].scale, options, comparison, our_runs, their_runs);
    }
    comparison.ours = median(our_runs);
    comparison.theirs = median(their_runs);
    comparison.ratio = median(comparison.ratios);
  }
  // What was interrupted before the end of a run is told to nobody, so that nobody waits for its check.
  const bool told = std::ranges::any_of(result.comparisons, [](const Comparison& c) { return !c.ratios.empty(); });
  const std::string faults = told ? check.faults(our_outputs, others) : "";
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
