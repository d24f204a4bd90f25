#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct SimulateArguments {
  std::string kernel;
  std::vector<std::string> sizes;
  SimulateOptions options;
  bool values_alone = false;
  bool counts = false;
  bool json = false;
};

int run_simulate(SimulateArguments arguments) {
  const std::string text = read_text(arguments.kernel, "kernel program");
  arguments.options.checks = !arguments.values_alone;
  const Simulation simulation = simulate(text, parse_sizes(arguments.sizes), arguments.options);
  if (arguments.json) {
    print_json(Json::parse(simulation.json));
  } else {
    fmt::print("{}{}", simulation.findings_text, arguments.counts ? simulation.counts_text : "");
  }
  return simulation.clean() ? 0 : 1;
}

}  // namespace

void add_simulate(CLI::App& app, int& code) {
  CLI::App* command =
      app.add_subcommand("simulate", "run a kernel program (docs/kernel_language.md) in the simulator on random data");
  auto arguments = std::make_shared<SimulateArguments>();
  command->add_option("KERNEL", arguments->kernel, "a file in tile or thread form, or '-' for standard input")
      ->required();
  command->add_option("-D", arguments->sizes, "values of symbols: m=128,k=64")->take_all();
  command->add_option("--target", arguments->options.target, "the simulator: sim:sm_90a");
  add_seed(*command, arguments->options.seed, "of the data, and of the order of warps and completions");
  command->add_flag("--counts", arguments->counts, "print memory transactions and bank conflicts of each statement");
  command->add_flag("--values-alone", arguments->values_alone, "neither check nor count");
  command->add_flag("--json", arguments->json, "print findings and counts as JSON");
  command->callback([arguments, &code] { code = run_simulate(*arguments); });
}

}  // namespace quern::cli
