#include <fmt/format.h>

#include <iterator>
#include <optional>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct ExplainArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string target;
  bool simulate = false;
};

void print_kernel(const KernelReport& k, std::size_t number, std::size_t count, bool from_store) {
  fmt::print("kernel {} of {}: {} ({})\n", number, count, k.name, k.strategy);
  fmt::print("  schedule   {}   [{}]\n", k.schedule, k.origin);
  for (const std::string& reason : k.passed_over) fmt::print("  not        {}\n", reason);
  for (const std::string& axis : k.axes) fmt::print("  axis       {}\n", axis);
  fmt::print("  memory     {} read, {} written\n", bytes_text(k.bytes_read), bytes_text(k.bytes_written));
  fmt::print("  work       {} operations\n", k.operations < 0 ? "?" : fmt::format("{:.4g}", k.operations));
  if (k.roofline_seconds >= 0) fmt::print("  roofline   {}, bound by {}\n", time_text(k.roofline_seconds), k.bound);
  if (k.registers >= 0) {
    fmt::print("  resources  {} registers, {} B spilled, {} B shared memory\n", k.registers, k.spill_bytes,
               k.shared_bytes);
  } else if (from_store) {
    fmt::print("  resources  the store's binary does not tell; --no-store compiles it anew\n");
  }
  fmt::print("  program\n");
  std::string line;
  for (const char c : k.program + "\n") {
    if (c != '\n') {
      line += c;
    } else if (!line.empty()) {
      fmt::print("    {}\n", line);
      line.clear();
    }
  }
}

// Runs the program in the simulator of the target's architecture, on random inputs; the report is then of the simulated
// kernels, which are those of the GPU.
std::optional<RunReport> simulate_if_asked(const ExplainArguments& arguments, const Workload& workload,
                                           Options& options) {
  if (!arguments.simulate) return std::nullopt;
  if (options.device.starts_with("cpu")) {
    throw Error(
        fmt::format("--simulate is of GPU kernels, not of --device {}; give --target cuda:sm_90a", options.device));
  }
  const std::string target = options.target.empty() ? "sim:sm_90a" : options.target;
  const std::size_t colon = target.find(':');
  if (target.starts_with("cpu"))
    throw Error("--simulate is of GPU kernels: a target such as cuda:sm_90a, not " + target);
  options.device = simulator_of("sim" + (colon == std::string::npos ? ":" + target : target.substr(colon)));
  options.target.clear();
  const std::vector<HostArray> inputs = random_inputs(workload.program, {}, 1);
  return run_host(compile(workload.program, options), inputs);
}

int run_explain(const ExplainArguments& arguments) {
  const Workload workload = one_workload(arguments.program);
  Options options = options_of(arguments.common, {});
  options.target = arguments.target;
  const std::optional<RunReport> simulated = simulate_if_asked(arguments, workload, options);
  const Executable executable = compile(workload.program, options);
  const Report report = executable.report();
  if (arguments.common.json) {
    Json json = to_json(report);
    if (simulated) json["simulation"] = Json::parse(simulated->simulation->json);
    print_json(json);
    return simulated && !simulated->passed() ? 1 : 0;
  }
  fmt::print("{} for {}: {}, {} of workspace\n", workload.name, executable.target(),
             counted(std::ssize(report.kernels), "kernel", "kernels"),
             bytes_text(static_cast<double>(report.workspace_bytes)));
  for (std::size_t k = 0; k < report.kernels.size(); ++k) {
    print_kernel(report.kernels[k], k + 1, report.kernels.size(), report.from_store);
  }
  for (const std::string& variant : report.variants) fmt::print("variant {}\n", variant);
  if (report.roofline_seconds >= 0) {
    fmt::print("whole program: {} moved, {:.4g} operations, roofline {}\n", bytes_text(report.bytes), report.operations,
               time_text(report.roofline_seconds));
  }
  if (!simulated) return 0;
  fmt::print("simulated on {}: {}{}", options.device, simulated->simulation->findings_text,
             simulated->simulation->counts_text);
  return simulated->passed() ? 0 : 1;
}

}  // namespace

void add_explain(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("explain", "axis roles, fusion, schedules and why, resources, roofline");
  auto arguments = std::make_shared<ExplainArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  add_choice(*command, arguments->common);
  command->add_option("--target", arguments->target, "explain for a target without a device");
  command->add_flag("--simulate", arguments->simulate,
                    "run it in the simulator of the target: findings, and counts of each statement");
  command->callback([arguments, &code] { code = run_explain(*arguments); });
}

}  // namespace quern::cli
