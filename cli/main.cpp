// The command `quern`. Exit codes: 0 fine, 1 a check failed, 2 the user's mistake, 3 a fault of Quern.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include "cli/commands.h"
#include "quern/quern.h"

namespace {

// What is wrong with the command line. A word that is no command is named, with those that there are.
std::string complaint(const CLI::App* app, const CLI::Error& e) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  std::vector<std::string> rest = app->remaining();
  std::erase_if(rest, [](const std::string& word) { return word.starts_with('-'); });
  if (e.get_name() != "RequiredError" || app->get_require_subcommand_min() == 0 || rest.empty()) return e.what();
  std::string commands;
  for (const CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; })) {
    commands += (commands.empty() ? "" : ", ") + command->get_name();
  }
  return fmt::format("unknown command '{}'; there are: {}", rest.front(), commands);
}

int guarded(CLI::App& app, int argc, char** argv, const int& code) {
  try {
    app.parse(argc, argv);
    if (std::fflush(stdout) != 0) {
      throw quern::Error(fmt::format("cannot write standard output: {}", std::strerror(errno)));
    }
    return code;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const quern::Error& e) {
    fmt::print(stderr, "quern: {}\n", e.what());
    return 2;
  } catch (const std::system_error& e) {  // fmt could not write
    fmt::print(stderr, "quern: {}\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "quern: internal error: {}\nPlease report it with the command line and the program.\n",
               e.what());
    return 3;
  }
}

}  // namespace

int main(int argc, char** argv) {
  quern::set_log_callback([](quern::LogLevel level, std::string_view message) {
    // What QUERN_DUMP asks for comes as notes.
    fmt::print(stderr, "quern: {}{}\n", level == quern::LogLevel::warning ? "warning: " : "", message);
  });
  int code = 0;
  CLI::App app("Tensor expressions to tuned GPU and CPU kernels.", "quern");
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* whole, const CLI::Error& e) {
    return fmt::format("quern: {}\nRun with --help for more information.\n", complaint(whole, e));
  });
  app.set_version_flag("--version", std::string(quern::version()));
  quern::cli::add_devices(app, code);
  quern::cli::add_compile(app, code);
  quern::cli::add_run(app, code);
  quern::cli::add_tune(app, code);
  quern::cli::add_bench(app, code);
  quern::cli::add_explain(app, code);
  quern::cli::add_simulate(app, code);
  quern::cli::add_cache(app, code);
  quern::cli::add_demo(app, code);
  quern::cli::add_help(app, code);
  return guarded(app, argc, argv, code);
}
