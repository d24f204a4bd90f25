#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct BenchArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string workloads;
  int samples = 30;
  std::uint64_t seed = 1;
};

int run_bench(const BenchArguments& arguments) {
  const std::vector<Workload> all = arguments.workloads.empty() ? std::vector{one_workload(arguments.program)}
                                                                : load_workloads(arguments.workloads);
  Table table({"workload", "median", "least", "rate", "roofline", "schedule"});
  Json json = Json::array();
  for (const Workload& workload : all) {
    const Executable executable = compile(workload.program, options_of(arguments.common, {}));
    const RunReport run = run_host(executable, random_inputs(workload.program, {}, arguments.seed), {},
                                   {.warmup = 5, .samples = arguments.samples, .seed = arguments.seed});
    const Report report = executable.report();
    const bool arithmetic = !report.kernels.empty() && report.kernels.front().bound == "arithmetic";
    const double least = run.samples.empty() ? 0 : *std::min_element(run.samples.begin(), run.samples.end());
    table.add({workload.name, time_text(run.seconds), time_text(least),
               arithmetic ? rate_text(report.operations, run.seconds, "FLOP/s") : rate_text(report.bytes, run.seconds, "B/s"),
               fmt::format("{:.0f} %", run.seconds > 0 ? 100 * report.roofline_seconds / run.seconds : 0),
               executable.schedule()});
    json.push_back({{"name", workload.name}, {"seconds", run.seconds}, {"samples", run.samples},
                    {"schedule", executable.schedule()}, {"report", to_json(report)}});
    if (interrupted()) break;
  }
  if (arguments.common.json) {
    print_json(json);
  } else {
    fmt::print("{}", table.text());
  }
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("bench", "time programs");
  auto arguments = std::make_shared<BenchArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  command->add_option("--workloads", arguments->workloads, "a file of NAME | PROGRAM | SIZES lines instead of one program");
  command->add_option("--samples", arguments->samples, "launches to time");
  command->add_option("--seed", arguments->seed, "of the data");
  command->callback([arguments, &code] { code = run_bench(*arguments); });
}

}  // namespace quern::cli
