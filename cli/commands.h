#pragma once
// The commands. Each adds itself to the application and runs as its callback; its exit code goes to `code`: 0 fine, 1 a
// check failed. What the user can mend leaves as Error (2), faults of ours as InternalError (3).

#include <CLI/CLI.hpp>

namespace quern::cli {

void add_devices(CLI::App& app, int& code);
void add_compile(CLI::App& app, int& code);
void add_run(CLI::App& app, int& code);
void add_tune(CLI::App& app, int& code);
void add_bench(CLI::App& app, int& code);
void add_simulate(CLI::App& app, int& code);
void add_explain(CLI::App& app, int& code);
void add_cache(CLI::App& app, int& code);
void add_demo(CLI::App& app, int& code);
void add_help(CLI::App& app, int& code);

}  // namespace quern::cli
