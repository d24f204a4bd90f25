#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "cli/commands.h"
#include "cli/output.h"
#if QUERN_WITH_BENCH
#include "bench/compare.h"
#endif

namespace quern::cli {
namespace {

struct BenchArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string workloads;
  std::vector<std::string> against;
  int samples = 30;
  int runs = 5;
  double settle = 0;
  std::uint64_t seed = 1;
};

int run_alone(const BenchArguments& arguments, const std::vector<Workload>& all) {
  Table table({"workload", "median", "least", "rate", "roofline", "schedule"});
  Json json = Json::array();
  for (const Workload& workload : all) {
    const std::vector<HostArray> inputs = random_inputs(workload.program, {}, arguments.seed);
    const Executable executable = compile(workload.program, options_of(arguments.common, {}));
    const auto stop = [] { return interrupted().load(); };
    const RunReport run =
        run_host(executable, inputs, {},
                 {.warmup = 5, .samples = arguments.samples, .seed = arguments.seed, .interrupted = stop});
    const Report report = executable.report();
    const double least = run.samples.empty() ? 0 : *std::min_element(run.samples.begin(), run.samples.end());
    table.add({workload.name, time_text(run.seconds), time_text(least), rate_text(report, run.seconds),
               fmt::format("{:.0f} %", run.seconds > 0 ? 100 * report.roofline_seconds / run.seconds : 0),
               executable.schedule()});
    json.push_back({{"name", workload.name},
                    {"seconds", run.seconds},
                    {"samples", run.samples},
                    {"schedule", executable.schedule()},
                    {"report", to_json(report)}});
    if (interrupted()) break;
  }
  if (arguments.common.json) {
    print_json(json);
  } else {
    fmt::print("{}", table.text());
  }
  return 0;
}

#if QUERN_WITH_BENCH

// The names in "cublas,cudnn onednn".
std::vector<bench::Peer> peers_of(const std::vector<std::string>& texts) {
  std::vector<bench::Peer> peers;
  for (const std::string& text : texts) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      peers.push_back(bench::find_peer(text.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  return peers;
}

Json to_json(const bench::Comparison& comparison, const Workload& workload, const std::string& schedule) {
  return {
      {"name", workload.name},           {"program", workload.source},      {"schedule", schedule},
      {"peer", comparison.peer},         {"library", comparison.library},   {"variant", comparison.variant},
      {"variants", comparison.variants}, {"ours_seconds", comparison.ours}, {"peer_seconds", comparison.theirs},
      {"ratio", comparison.ratio},       {"ratios", comparison.ratios},     {"disagreement", comparison.disagreement},
      {"left_out", comparison.left_out}};
}

std::string range_text(const std::vector<double>& ratios) {
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  return fmt::format("{:.3f}..{:.3f}", *least, *most);
}

int run_against(const BenchArguments& arguments, const std::vector<Workload>& all) {
  const std::vector<bench::Peer> against = peers_of(arguments.against);
  Table table({"workload", "ours", "rate", "peer", "time", "ratio", "runs", "peer's variant"});
  Json cases = Json::array();
  std::map<std::string, std::vector<double>> ratios;
  std::string faults, notes;
  Progress progress;
  for (const Workload& workload : all) {
    if (interrupted()) break;
    progress.show(workload.name);
    const Executable executable = compile(workload.program, options_of(arguments.common, {}));
    const bench::WorkloadResult result = bench::compare(executable, workload.source, workload.sizes, against,
                                                        {.samples = arguments.samples,
                                                         .runs = arguments.runs,
                                                         .settle = arguments.settle,
                                                         .seed = arguments.seed,
                                                         .interrupted = [] { return interrupted().load(); }});
    if (!result.right) faults += fmt::format("{}: ours: {}\n", workload.name, result.check);
    for (const bench::Comparison& c : result.comparisons) {
      if (c.ratios.empty()) continue;  // interrupted
      table.add({workload.name, time_text(c.ours), rate_text(result.report, c.ours), c.peer, time_text(c.theirs),
                 fmt::format("{:.3f}", c.ratio), range_text(c.ratios), c.variant});
      cases.push_back(to_json(c, workload, executable.schedule()));
      cases.back()["right"] = result.right;
      ratios[c.peer].push_back(c.ratio);
      if (!c.disagreement.empty()) faults += fmt::format("{}: {}: {}\n", workload.name, c.peer, c.disagreement);
      if (!c.left_out.empty()) notes += fmt::format("{}: {}: left out: {}\n", workload.name, c.peer, c.left_out);
    }
  }
  progress.clear();
  Json means = Json::object();
  for (const auto& [peer, list] : ratios) means[peer] = bench::geometric_mean(list);
  if (arguments.common.json) {
    print_json({{"cases", cases}, {"geometric_mean", means}});
  } else {
    fmt::print("{}", table.text());
    for (const auto& [peer, list] : ratios) {
      fmt::print("geometric mean against {}: {:.3f} over {}\n", peer, bench::geometric_mean(list),
                 counted(std::ssize(list), "case", "cases"));
    }
  }
  fmt::print(stderr, "{}{}", notes, faults);
  return faults.empty() ? 0 : 1;
}

#else

int run_against(const BenchArguments&, const std::vector<Workload>&) {
  throw Error("this quern was built without peers to compare with: build it with QUERN_BUILD_BENCH=ON");
}

#endif

int run_bench(const BenchArguments& arguments) {
  catch_interrupts();
  if (arguments.samples < 1) throw Error(fmt::format("--samples is 1 or more, not {}", arguments.samples));
  if (arguments.runs < 1) throw Error(fmt::format("--runs is 1 or more, not {}", arguments.runs));
  const std::vector<Workload> all = workloads_of(arguments.program, arguments.workloads);
  return arguments.against.empty() ? run_alone(arguments, all) : run_against(arguments, all);
}

}  // namespace

void add_bench(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("bench", "time programs, alone or against other libraries");
  auto arguments = std::make_shared<BenchArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  add_choice(*command, arguments->common);
  command->add_option("--workloads", arguments->workloads,
                      "a file of NAME | PROGRAM | SIZES lines instead of one program");
  command
      ->add_option(
          "--against", arguments->against,
          "peers, separated by commas: cublas, cudnn, onednn, openblas, memcpy. Ratios above 1: ours is faster")
      ->take_all();
  command->add_option("--samples", arguments->samples, "launches of each side to time in one run");
  command->add_option("--runs", arguments->runs, "runs against a peer, of which the median counts");
  command->add_option_function<std::string>(
      "--settle", [arguments](const std::string& text) { arguments->settle = parse_time("--settle", text); },
      "how long a side runs before its turn is timed: 200ms. Where power limits clocks, the sides of "
      "short turns share them");
  add_seed(*command, arguments->seed, "of the data");
  command->callback([arguments, &code] { code = run_bench(*arguments); });
}

}  // namespace quern::cli
