#include <fmt/format.h>

#include <iterator>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct ExplainArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string target;
};

void print_kernel(const KernelReport& k, std::size_t number, std::size_t count) {
  fmt::print("kernel {} of {}: {} ({})\n", number, count, k.name, k.strategy);
  fmt::print("  schedule   {}   [{}]\n", k.schedule, k.origin);
  for (const std::string& axis : k.axes) fmt::print("  axis       {}\n", axis);
  fmt::print("  memory     {} read, {} written\n", bytes_text(k.bytes_read), bytes_text(k.bytes_written));
  fmt::print("  work       {:.4g} operations\n", k.operations);
  if (k.roofline_seconds >= 0) fmt::print("  roofline   {}, bound by {}\n", time_text(k.roofline_seconds), k.bound);
  if (k.registers >= 0) {
    fmt::print("  resources  {} registers, {} B spilled, {} B shared memory\n", k.registers, k.spill_bytes,
               k.shared_bytes);
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

int run_explain(const ExplainArguments& arguments) {
  const Workload workload = one_workload(arguments.program);
  Options options = options_of(arguments.common, {});
  options.target = arguments.target;
  const Executable executable = compile(workload.program, options);
  const Report report = executable.report();
  if (arguments.common.json) {
    print_json(to_json(report));
    return 0;
  }
  fmt::print("{} for {}: {}, {} of workspace\n", workload.name, executable.target(),
             counted(std::ssize(report.kernels), "kernel", "kernels"),
             bytes_text(static_cast<double>(report.workspace_bytes)));
  for (std::size_t k = 0; k < report.kernels.size(); ++k) print_kernel(report.kernels[k], k + 1, report.kernels.size());
  for (const std::string& variant : report.variants) fmt::print("variant {}\n", variant);
  if (report.roofline_seconds >= 0) {
    fmt::print("whole program: {} moved, {:.4g} operations, roofline {}\n", bytes_text(report.bytes), report.operations,
               time_text(report.roofline_seconds));
  }
  return 0;
}

}  // namespace

void add_explain(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("explain", "axis roles, fusion, schedules and why, resources, roofline");
  auto arguments = std::make_shared<ExplainArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  command->add_option("--target", arguments->target, "explain for a target without a device");
  command->callback([arguments, &code] { code = run_explain(*arguments); });
}

}  // namespace quern::cli
