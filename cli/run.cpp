#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "cli/commands.h"
#include "cli/npy.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct RunArguments {
  ProgramArguments program;
  CommonArguments common;
  std::string target;
  std::vector<std::string> in, out;
  std::uint64_t seed = 1;
  bool check = false;
  int samples = 0;
};

// NAME=PATH pairs, each name an argument of the program on that side.
std::map<std::string, std::string> files_of(const std::vector<std::string>& texts, const Program& program,
                                            bool outputs) {
  std::map<std::string, std::string> files;
  std::string known;
  for (const Argument& a : program.arguments()) {
    if (a.is_output == outputs) known += (known.empty() ? "" : ", ") + a.name;
  }
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    bool found = false;
    for (const Argument& a : program.arguments()) found = found || (a.is_output == outputs && a.name == name);
    if (equals == std::string::npos || !found) {
      throw Error(fmt::format("'{}' is no NAME=FILE.npy with an {} of the program ({})", text,
                              outputs ? "output" : "input", known));
    }
    if (!files.emplace(name, text.substr(equals + 1)).second) {
      throw Error(fmt::format("{} {} has two files; give one", outputs ? "output" : "input", name));
    }
  }
  return files;
}

// Two outputs in one file would leave the second alone; what is no regular file, such as /dev/null, may take both.
void check_distinct(const std::map<std::string, std::string>& files) {
  namespace fs = std::filesystem;
  std::map<fs::path, std::string> outputs;
  for (const auto& [output, file] : files) {
    if (fs::exists(file) && !fs::is_regular_file(file)) continue;
    const auto [first, is_new] = outputs.emplace(fs::weakly_canonical(fs::absolute(file)), output);
    if (!is_new)
      throw Error(fmt::format("outputs {} and {} both go to '{}'; give each its file", first->second, output, file));
  }
}

std::vector<HostArray> load_inputs(const Program& program, const std::map<std::string, std::string>& files) {
  std::vector<HostArray> arrays;
  for (const Argument& a : program.arguments()) {
    if (a.is_output) continue;
    const auto it = files.find(a.name);
    if (it == files.end()) {
      throw Error(fmt::format("input {} has no file: give --in {}=FILE.npy, or no --in at all for random inputs",
                              a.name, a.name));
    }
    arrays.push_back(read_npy(it->second, a.dtype, a.name));
  }
  return arrays;
}

int run_run(const RunArguments& arguments) {
  if (arguments.samples < 0) throw Error(fmt::format("--samples is 0 or more, not {}", arguments.samples));
  const Program program = load_program(arguments.program.program);
  const Sizes given = parse_sizes(arguments.program.sizes);
  const auto in = files_of(arguments.in, program, false), out = files_of(arguments.out, program, true);
  check_distinct(out);
  std::vector<HostArray> inputs;
  Sizes sizes = given;
  if (!in.empty()) {
    inputs = load_inputs(program, in);
    sizes = infer_sizes(program, inputs, given);
  } else {
    inputs = random_inputs(program, given, arguments.seed);
  }
  const Program bound = program.bind(sizes);
  Options options = options_of(arguments.common, {});
  if (!arguments.target.empty()) {
    if (!options.device.empty()) {
      throw Error(
          fmt::format("a program runs on one device: --device {} or --target {}", options.device, arguments.target));
    }
    options.device = simulator_of(arguments.target);
  }
  const Executable executable = compile(bound, options);
  const RunReport report =
      run_host(executable, inputs, {},
               {.check = arguments.check, .warmup = 2, .samples = arguments.samples, .seed = arguments.seed});
  std::size_t next = 0;
  Json json;
  json["device"] = executable.device()->info().id;
  json["schedule"] = executable.schedule();
  json["outputs"] = Json::array();
  for (const Argument& a : program.arguments()) {
    if (!a.is_output) continue;
    const HostArray& array = report.outputs[next++];
    if (const auto it = out.find(a.name); it != out.end()) write_npy(it->second, array);
    double sum = 0;
    for (std::int64_t i = 0; i < array.size(); ++i) sum += array.value(i);
    json["outputs"].push_back({{"name", a.name}, {"type", array.type()}, {"sum", sum}});
    if (!arguments.common.json) fmt::print("{}: {}, sum {:.6g}\n", a.name, array.type(), sum);
  }
  json["checks"] = Json::array();
  for (const OutputCheck& check : report.checks) {
    json["checks"].push_back(to_json(check));
    if (!arguments.common.json) fmt::print("check {}\n", check.text());
  }
  if (!report.samples.empty()) {
    json["seconds"] = report.seconds;
    json["samples"] = report.samples;
    if (!arguments.common.json)
      fmt::print("median of {} launches: {}\n", report.samples.size(), time_text(report.seconds));
  }
  if (report.simulation) {
    json["simulation"] = Json::parse(report.simulation->json);
    if (!arguments.common.json) fmt::print("simulated: {}", report.simulation->findings_text);
  }
  if (arguments.common.json) print_json(json);
  return report.passed() ? 0 : 1;
}

}  // namespace

void add_run(CLI::App& app, int& code) {
  CLI::App* command = app.add_subcommand("run", "run a program on .npy files or on random inputs");
  auto arguments = std::make_shared<RunArguments>();
  add_program(*command, arguments->program);
  add_common(*command, arguments->common);
  add_choice(*command, arguments->common);
  command->add_option("--in", arguments->in, "an input: NAME=FILE.npy; random ones where none is given")->take_all();
  command->add_option("--out", arguments->out, "where an output goes: NAME=FILE.npy")->take_all();
  add_seed(*command, arguments->seed, "of random inputs and of the elements checked");
  command->add_flag("--check", arguments->check, "compare with the reference evaluator; exit 1 where it differs");
  command->add_option("--target", arguments->target, "a simulator to run on, as --device: sim:sm_90a");
  command->add_option("--samples", arguments->samples, "launches to time");
  command->callback([arguments, &code] { code = run_run(*arguments); });
}

}  // namespace quern::cli
