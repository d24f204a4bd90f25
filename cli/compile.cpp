#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct CompileArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string target, emit, output;
};

void write(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) throw Error(fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
}

Stage stage_of(const CompileArguments& arguments) {
  const Stage stage = parse_stage(arguments.emit);
  if (arguments.common.json && arguments.output.empty() && stage == Stage::cubin) {
    throw Error("a cubin is no text that a JSON document could hold; give its file with -o");
  }
  return stage;
}

// The text of one stage to its file, or to standard output.
void emit(const Executable& executable, Stage stage, const CompileArguments& arguments) {
  const std::string text = executable.emit(stage);
  if (!arguments.output.empty()) write(arguments.output, text);
  if (arguments.common.json) {
    Json json = {{"stage", arguments.emit}};
    json[arguments.output.empty() ? "text" : "file"] = arguments.output.empty() ? text : arguments.output;
    print_json(json);
  } else if (arguments.output.empty()) {
    fmt::print("{}", text);
  }
}

const char* backend_of(const std::string& target) {
  return target.starts_with("cpu") ? "LLVM" : target.starts_with("sim") ? "simulator" : "NVRTC";
}

int run_compile(const CompileArguments& arguments) {
  const Workload workload = one_workload(arguments.program);
  Options options = options_of(arguments.common, {});
  options.target = arguments.target;
  std::optional<Stage> stage;
  if (!arguments.emit.empty()) stage = stage_of(arguments);
  const Executable executable = compile(workload.program, options);
  if (stage) {
    emit(executable, *stage, arguments);
    return 0;
  }
  if (!arguments.output.empty()) executable.save(arguments.output);
  const Report report = executable.report();
  if (arguments.common.json) {
    Json json = to_json(report);
    json["target"] = executable.target();
    json["schedule"] = executable.schedule();
    print_json(json);
    return 0;
  }
  fmt::print("{} for {}: {}\n", workload.name, executable.target(), executable.schedule());
  fmt::print("compiled in {} (Quern) + {} ({}){}\n", time_text(report.compile_seconds),
             time_text(report.backend_seconds), backend_of(executable.target()),
             report.from_store ? ", from the store" : "");
  if (!arguments.output.empty()) fmt::print("saved to {}\n", arguments.output);
  return 0;
}

}  // namespace

void add_compile(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("compile", "compile a program, print a stage of it, or save it ahead of time");
  auto arguments = std::make_shared<CompileArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  add_choice(*command, arguments->common);
  command->add_option("--target", arguments->target, "cuda:sm_90a, cpu, ...: compile for it without a device");
  command->add_option("--emit", arguments->emit, "tensor, tile, thread, cuda, ptx, cubin, sass, llvm, asm or plan");
  command->add_option("-o,--output", arguments->output, "file for what is emitted, else for the compiled program");
  command->callback([arguments, &code] { code = run_compile(*arguments); });
}

}  // namespace quern::cli
