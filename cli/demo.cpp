// The main job, as scripts/run does it: tune the examples on the best device present, check what they compute, and say
// how fast they are.

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct DemoArguments {
  CommonArguments common;
  std::string workloads;
  std::string budget = "20s";
  std::uint64_t seed = 1;
};

struct DemoResult {
  std::string name, schedule;
  double seconds = 0, fallback_seconds = 0;
  Report report;
  std::vector<OutputCheck> checks;
  bool passed = false;
};

DemoResult run_one(const Workload& workload, const Options& options, std::uint64_t seed, int& tried) {
  const TuneReport tuned = tune_shown(workload.program, options, workload.name);
  tried += tuned.tried;
  DemoResult result{.name = workload.name};
  for (const TunedKernel& k : tuned.kernels) {
    result.seconds += k.seconds;
    result.fallback_seconds += k.fallback_seconds;
  }
  Progress progress;
  progress.show(fmt::format("{}: checking", workload.name));
  const Executable executable = compile(workload.program, options);
  result.schedule = executable.schedule();
  // What was tuned before was checked as a whole then.
  const RunReport run = run_host(executable, random_inputs(workload.program, {}, seed), {},
                                 {.check = true, .check_all = tuned.tried > 0, .seed = seed});
  result.report = executable.report();
  result.checks = run.checks;
  result.passed = run.passed();
  return result;
}

std::vector<std::string> row_of(const DemoResult& r) {
  return {r.name,
          time_text(r.seconds),
          rate_text(r.report, r.seconds),
          r.seconds > 0 ? fmt::format("{:.0f} %", 100 * r.report.roofline_seconds / r.seconds) : "-",
          r.seconds > 0 ? fmt::format("{:.2f}x", r.fallback_seconds / r.seconds) : "-",
          r.passed ? "right" : "WRONG",
          r.schedule};
}

int run_demo(const DemoArguments& arguments) {
  catch_interrupts();
  const Device device = Device::open(arguments.common.device);
  const DeviceInfo info = device.info();
  Options options = options_of(arguments.common, {});
  options.device = info.id;
  options.budget_seconds = parse_time("--budget", arguments.budget);
  options.seed = arguments.seed;
  const std::string file = !arguments.workloads.empty() ? arguments.workloads
                           : info.is_gpu                ? "examples/gpu.workloads"
                                                        : "examples/cpu.workloads";
  const std::vector<Workload> workloads = load_workloads(file);
  if (!arguments.common.json) {
    fmt::print("device {}: {} ({}), workloads of {}\n", info.id, info.name, info.target, file);
    if (!info.is_gpu) {
      fmt::print(
          "no GPU, so the sizes are smaller ones; with a GPU this needs its driver (libcuda.so.1) and NVRTC: {}\n",
          devices().why_no_gpu);
    }
  }
  Table table({"workload", "time", "rate", "roofline", "gain", "check", "schedule"});
  Json json;
  int tried = 0;
  std::size_t done = 0;
  bool passed = true;
  for (const Workload& workload : workloads) {
    const DemoResult result = run_one(workload, options, arguments.seed, tried);
    table.add(row_of(result));
    passed = passed && result.passed;
    Json one = {
        {"name", result.name},         {"seconds", result.seconds}, {"fallback_seconds", result.fallback_seconds},
        {"schedule", result.schedule}, {"passed", result.passed},   {"report", to_json(result.report)}};
    for (const OutputCheck& check : result.checks) {
      one["checks"].push_back(to_json(check));
      if (!arguments.common.json && !check.passed()) fmt::print("{}: {}\n", result.name, check.text());
    }
    json["workloads"].push_back(std::move(one));
    ++done;
    if (interrupted()) break;
  }
  json["device"] = info.id;
  json["tried"] = tried;
  if (arguments.common.json) {
    print_json(json);
  } else {
    fmt::print(
        "{}{} candidates tried{}; gain is over the untuned default, roofline the share of what the device could do at "
        "best\n",
        table.text(), tried,
        interrupted() ? fmt::format(", stopped after {} of {} workloads", done, workloads.size()) : "");
  }
  return passed ? 0 : 1;
}

}  // namespace

void add_demo(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("demo", "tune, run and check the examples on the best device present");
  auto arguments = std::make_shared<DemoArguments>();
  add_common(*command, arguments->common);
  command->add_option("--workloads", arguments->workloads, "a file of NAME | PROGRAM | SIZES lines");
  command->add_option("--budget", arguments->budget, "time to tune each program: 30s, 2m, 500ms");
  add_seed(*command, arguments->seed, "of the data");
  command->callback([arguments, &code] { code = run_demo(*arguments); });
}

}  // namespace quern::cli
