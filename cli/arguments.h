#pragma once
// What the commands share on the command line: the program, its sizes, the device, the store, and how results print.

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quern/quern.h"

namespace quern::cli {

using Json = nlohmann::ordered_json;

// Options of every command that takes a program.
struct ProgramArguments {
  std::string program;             // a file, "-", or a builder call
  std::vector<std::string> sizes;  // "m=4096,k=64"
};

struct CommonArguments {
  bool json = false;
  std::string device;
  std::string store;
  bool no_store = false;
  std::string schedule;
  std::string policy = "nearest";
  std::string nvrtc;
  int threads = 0;
};

void add_program(CLI::App& command, ProgramArguments& arguments);
void add_common(CLI::App& command, CommonArguments& arguments);

// The options --schedule and --policy of the commands that take schedules, rather than find them.
void add_choice(CLI::App& command, CommonArguments& arguments);

// The option --seed.
void add_seed(CLI::App& command, std::uint64_t& seed, const std::string& description);

// The text of a file, or of standard input ("-"). Throws Error that says `what` cannot be read, and the hint.
std::string read_text(const std::string& path, std::string_view what, std::string_view hint = "");

// The program of `text`: a builder call (it has parentheses and is no file), standard input, or a file's contents.
// Throws Error where the file cannot be read or is no text.
Program load_program(const std::string& text);

// "m=4096,k=64" as sizes. Throws Error naming the part that is no NAME=NUMBER.
Sizes parse_sizes(const std::vector<std::string>& texts);

// The simulator that `target` names. Throws Error for other targets, which are compiled for and not run on.
std::string simulator_of(const std::string& target);

Options options_of(const CommonArguments& common, const Sizes& sizes);

// Seconds: "30s", "2m", "500ms", "10". Throws Error naming `option` for what is none.
double parse_time(std::string_view option, const std::string& text);

// One line of a workloads file: NAME | PROGRAM [| SIZES]; empty lines and those that begin with # are left out.
struct Workload {
  std::string name;
  Program program;     // its sizes bound
  std::string source;  // as it was written: a file, "-", or a builder call
  Sizes sizes;         // that were given
};
std::vector<Workload> load_workloads(const std::string& path);
// The one program of the arguments as a workload, its sizes bound.
Workload one_workload(const ProgramArguments& arguments);

// The workloads of the file where one is named, else the one program. Error where both are given.
std::vector<Workload> workloads_of(const ProgramArguments& arguments, const std::string& file);

// Set by Ctrl-C from catch_interrupts() on, which is for commands that look at it between steps; the others end at
// once.
std::atomic<bool>& interrupted();
void catch_interrupts();

}  // namespace quern::cli
