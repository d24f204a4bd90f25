#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

int run_builders(bool json) {
  Json all = Json::array();
  for (const BuilderInfo& builder : builders()) {
    Json parameters = Json::array();
    if (!json) fmt::print("{}: {}\n", builder.name, builder.doc);
    for (const BuilderParameter& p : builder.parameters) {
      parameters.push_back({{"name", p.name}, {"default", p.fallback}, {"values", p.values}, {"doc", p.doc}});
      if (json) continue;
      fmt::print("  {:<22} {} ({})\n",
                 p.fallback.empty() ? std::string(p.name) : fmt::format("{}={}", p.name, p.fallback), p.doc, p.values);
    }
    all.push_back({{"name", builder.name}, {"doc", builder.doc}, {"parameters", parameters}});
  }
  if (json) print_json(all);
  return 0;
}

}  // namespace

void add_help(CLI::App& app, int& code) {
  CLI::App* help = app.add_subcommand("help", "what there is to know: builders");
  help->require_subcommand(0, 1);
  help->callback([&app, help] {
    if (!help->get_subcommands().empty()) return;
    fmt::print("{}", app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal));
  });
  CLI::App* command = help->add_subcommand("builders", "the builder calls with their parameters and defaults");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print one JSON document instead of text");
  command->callback([json, &code] { code = run_builders(*json); });
}

}  // namespace quern::cli
