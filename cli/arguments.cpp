#include "cli/arguments.h"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace quern::cli {
namespace {

std::string trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return std::string(text);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(trimmed(part));
  return parts;
}

constexpr std::size_t kMostBytes = std::size_t{1} << 24;

std::string read_stream(std::istream& in, std::string_view what, const std::string& name) {
  std::string text(kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMostBytes) {
    throw Error(
        fmt::format("cannot read the {} '{}': it has more than {} bytes; programs are text", what, name, kMostBytes));
  }
  return text;
}

Policy parse_policy(const std::string& name) {
  if (name == "frozen") return Policy::frozen;
  if (name == "tune") return Policy::tune;
  if (name == "nearest") return Policy::nearest;
  throw Error(fmt::format("--policy is frozen, nearest or tune, not '{}'", name));
}

Workload parse_workload(const std::string& line) {
  const std::vector<std::string> parts = split(line, '|');
  if (parts.size() < 2 || parts.size() > 3) {
    throw Error("a workload is NAME | PROGRAM or NAME | PROGRAM | SIZES");
  }
  const Sizes sizes = parts.size() == 3 ? parse_sizes({parts[2]}) : Sizes{};
  Program program = load_program(parts[1]).bind(sizes);
  if (const std::vector<std::string> symbols = program.symbols(); !symbols.empty()) {
    throw Error(
        fmt::format("symbol {0} of {1} has no size; give it one, as in | {0}=1024", symbols[0], program.name()));
  }
  return {parts[0], std::move(program), parts[1], sizes};
}

}  // namespace

void add_program(CLI::App& command, ProgramArguments& arguments) {
  command.add_option("PROGRAM", arguments.program,
                     "a file, '-' for standard input, or a builder call (quern help builders)");
  command.add_option("-D,--size", arguments.sizes, "values of symbols: m=4096,k=64")->take_all();
}

void add_common(CLI::App& command, CommonArguments& arguments) {
  command.add_flag("--json", arguments.json, "print one JSON document instead of text");
  command.add_option("--device", arguments.device, "cuda, cuda:INDEX or cpu; the best one present where left out");
  command.add_option("--store", arguments.store, "path of the tuning store (else QUERN_STORE, else the user's cache)");
  command.add_flag("--no-store", arguments.no_store, "neither read nor write the tuning store");
  command.add_option("--nvrtc", arguments.nvrtc, "path of the NVRTC library");
  command.add_option("--threads", arguments.threads, "most CPU threads to run on; 0: all");
}

void add_choice(CLI::App& command, CommonArguments& arguments) {
  command.add_option("--schedule", arguments.schedule, "schedules of all kernels, separated by ';'");
  command.add_option("--policy", arguments.policy, "frozen, nearest (default) or tune");
}

void add_seed(CLI::App& command, std::uint64_t& seed, const std::string& description) {
  const auto is_seed = [](const std::string& text) -> std::string {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return {};
    return fmt::format("a seed is an integer from 0 to 2^64 - 1, not '{}'", text);
  };
  command.add_option("--seed", seed, description)->check(CLI::Validator(is_seed, "SEED"));
}

std::string read_text(const std::string& path, std::string_view what, std::string_view hint) {
  if (path == "-") return read_stream(std::cin, what, path);
  std::error_code no_folder;
  if (std::filesystem::is_directory(path, no_folder)) {
    throw Error(fmt::format("cannot read the {} '{}': it is a folder", what, path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(fmt::format("cannot read the {} '{}': {}{}", what, path, std::strerror(errno), hint));
  return read_stream(file, what, path);
}

Program load_program(const std::string& text) {
  if (text.empty())
    throw Error("no program given: name a file, '-' or a builder call such as \"softmax(m=1024, n=1024)\"");
  std::error_code no_file;  // a call may be longer than names of files
  if (!std::filesystem::exists(text, no_file) && text.find('(') != std::string::npos) return Program::parse(text);
  return Program::parse(read_text(text, "program", "; a builder call has parentheses"));
}

Sizes parse_sizes(const std::vector<std::string>& texts) {
  Sizes sizes;
  for (const std::string& text : texts) {
    for (const std::string& part : split(text, ',')) {
      const std::size_t equals = part.find('=');
      const std::string name = trimmed(part.substr(0, equals));
      const std::string digits = equals == std::string::npos ? "" : trimmed(part.substr(equals + 1));
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error == std::errc::result_out_of_range) {
        throw Error(fmt::format("'{}': a size fits 64 bits, up to 9223372036854775807", part));
      }
      if (name.empty() || digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
        throw Error(fmt::format("'{}' is no NAME=NUMBER; write sizes as -D m=4096,k=64", part));
      }
      if (const auto [known, added] = sizes.emplace(name, value); !added) {
        throw Error(
            fmt::format("'{}': {} is given already, as {}; give each symbol one size", part, name, known->second));
      }
    }
  }
  return sizes;
}

std::string simulator_of(const std::string& target) {
  if (target == "sim" || target.starts_with("sim:")) return target;
  throw Error(fmt::format(
      "target '{}' is compiled for, not run on; run on a device (--device) or on a simulator such as sim:sm_90a",
      target));
}

Options options_of(const CommonArguments& common, const Sizes& sizes) {
  Options options;
  options.device = common.device;
  options.store = common.store;
  options.use_store = !common.no_store;
  options.schedule = common.schedule;
  options.policy = parse_policy(common.policy);
  options.sizes = sizes;
  options.nvrtc = common.nvrtc;
  set_cpu_threads(common.threads);
  return options;
}

double parse_time(std::string_view option, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  const double scale = unit == "ms" ? 1e-3 : unit == "m" ? 60 : unit == "s" || unit.empty() ? 1 : -1;
  if (error != std::errc() || scale < 0 || !std::isfinite(value) || value < 0) {
    throw Error(fmt::format("{} is a time such as 30s, 2m or 500ms, not '{}'", option, text));
  }
  return value * scale;
}

std::vector<Workload> load_workloads(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw Error(
        fmt::format("cannot read the workloads '{}': {}; --workloads names their file", path, std::strerror(errno)));
  }
  std::vector<Workload> workloads;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    line = trimmed(line);
    if (line.empty() || line.front() == '#') continue;
    try {
      workloads.push_back(parse_workload(line));
    } catch (const Error& error) {
      throw Error(fmt::format("{}:{}: {}", path, number, error.what()));
    }
  }
  if (workloads.empty()) throw Error(fmt::format("the workloads '{}' hold no workload", path));
  return workloads;
}

std::vector<Workload> workloads_of(const ProgramArguments& arguments, const std::string& file) {
  if (file.empty()) return {one_workload(arguments)};
  if (!arguments.program.empty() || !arguments.sizes.empty()) {
    throw Error(fmt::format("--workloads {} stands instead of a program and its sizes, here is '{}' as well; give one",
                            file, arguments.program.empty() ? "-D " + arguments.sizes.front() : arguments.program));
  }
  return load_workloads(file);
}

Workload one_workload(const ProgramArguments& arguments) {
  const Sizes sizes = parse_sizes(arguments.sizes);
  const Program program = load_program(arguments.program).bind(sizes);
  return {program.name(), program, arguments.program, sizes};
}

std::atomic<bool>& interrupted() {
  static std::atomic<bool> flag = false;
  return flag;
}

void catch_interrupts() {
  interrupted() = false;  // before a signal may come
  // The second Ctrl-C ends the process at once.
  std::signal(SIGINT, [](int) {
    interrupted() = true;
    std::signal(SIGINT, SIG_DFL);
  });
}

}  // namespace quern::cli
