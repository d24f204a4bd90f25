// The command `quern`. Exit codes: 0 fine, 1 a check failed, 2 the user's mistake, 3 a fault of Quern.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <system_error>

#include "cli/commands.h"
#include "quern/quern.h"

namespace {

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
  app.failure_message([](const CLI::App*, const CLI::Error& e) {
    return fmt::format("quern: {}\nRun with --help for more information.\n", e.what());
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
