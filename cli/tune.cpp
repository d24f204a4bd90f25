#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct TuneArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string workloads;
  std::string budget = "30s";
  std::uint64_t seed = 1;
};

int run_tune(const TuneArguments& arguments) {
  catch_interrupts();
  const std::vector<Workload> all = workloads_of(arguments.program, arguments.workloads);
  Options options = options_of(arguments.common, {});
  options.budget_seconds = parse_time("--budget", arguments.budget);
  options.seed = arguments.seed;
  Table table({"kernel", "time", "default", "gain", "tried", "rejected", "schedule"});
  Json json = Json::array();
  int tried = 0, cut = 0;
  for (const Workload& workload : all) {
    const TuneReport report = tune_shown(workload.program, options, workload.name);
    tried += report.tried;
    json.push_back(to_json(report));
    json.back()["name"] = workload.name;
    for (const TunedKernel& k : report.kernels) {
      table.add({k.title, time_text(k.seconds), time_text(k.fallback_seconds),
                 fmt::format("{:.2f}x", k.seconds > 0 ? k.fallback_seconds / k.seconds : 1),
                 k.tried < k.candidates ? fmt::format("{} of {}", k.tried, k.candidates) : std::to_string(k.tried),
                 std::to_string(k.rejected), k.schedule});
      if (k.tried < k.candidates && !report.stopped) ++cut;
    }
    if (interrupted()) break;
  }
  if (arguments.common.json) {
    print_json(json);
  } else {
    fmt::print("{}{} candidates tried{}\n", table.text(), tried,
               interrupted() ? "; stopped, the samples are kept"
               : cut > 0 ? "; the budget ended before the others: 'quern cache clear ID' and a longer --budget try them"
                         : "");
  }
  return 0;
}

}  // namespace

void add_tune(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("tune", "find the best schedules on a device and remember them");
  auto arguments = std::make_shared<TuneArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  command->add_option("--workloads", arguments->workloads,
                      "a file of NAME | PROGRAM | SIZES lines instead of one program");
  command->add_option("--budget", arguments->budget, "time for each program: 30s, 2m, 500ms");
  add_seed(*command, arguments->seed, "of the data that is measured with");
  command->callback([arguments, &code] { code = run_tune(*arguments); });
}

}  // namespace quern::cli
