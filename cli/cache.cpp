#include <fmt/format.h>

#include <iterator>

#include "cli/commands.h"
#include "cli/output.h"

namespace quern::cli {
namespace {

struct CacheArguments {
  bool json = false;
  std::string store, id;
};

constexpr std::size_t kShownId = 8;

Json to_json(const StoredWinner& w) {
  return {{"id", w.id},
          {"title", w.title},
          {"device", w.device},
          {"strategy", w.strategy},
          {"schedule", w.schedule},
          {"seconds", w.seconds},
          {"fallback_seconds", w.fallback_seconds},
          {"tried", w.tried},
          {"rejected", w.rejected},
          {"compiler", w.compiler},
          {"driver", w.driver},
          {"time", w.time},
          {"verification", w.verification},
          {"program", w.program}};
}

int run_ls(const CacheArguments& arguments) {
  const StoreContents contents = store_contents(arguments.store);
  if (arguments.json) {
    Json json;
    json["path"] = contents.path;
    json["winners"] = Json::array();
    for (const StoredWinner& w : contents.winners) json["winners"].push_back(to_json(w));
    json["binaries"] = Json::array();
    for (const StoredBinary& b : contents.binaries) {
      json["binaries"].push_back(
          {{"id", b.id}, {"title", b.title}, {"schedule", b.schedule}, {"target", b.target}, {"bytes", b.bytes}});
    }
    json["candidates"] = contents.candidates;
    json["samples"] = contents.samples;
    print_json(json);
    return 0;
  }
  Table table({"id", "kernel", "device", "time", "schedule"});
  for (const StoredWinner& w : contents.winners) {
    table.add({w.id.substr(0, kShownId), w.title, w.device, time_text(w.seconds), w.schedule});
  }
  fmt::print("{}\n{}{}, {}, {}, {}\n", contents.path.empty() ? "no store" : contents.path, table.text(),
             counted(std::ssize(contents.winners), "winner", "winners"),
             counted(std::ssize(contents.binaries), "binary", "binaries"),
             counted(contents.candidates, "candidate", "candidates"), counted(contents.samples, "sample", "samples"));
  return 0;
}

int run_show(const CacheArguments& arguments) {
  int shown = 0;
  Json json = Json::array();
  for (const StoredWinner& w : store_contents(arguments.store).winners) {
    if (!w.id.starts_with(arguments.id)) continue;
    ++shown;
    json.push_back(to_json(w));
    if (arguments.json) continue;
    fmt::print("{}\n  {}\n  device       {}\n  schedule     {}\n  time         {} (default {})\n", w.id, w.title,
               w.device, w.schedule, time_text(w.seconds), time_text(w.fallback_seconds));
    fmt::print(
        "  tried        {}, rejected {}\n  compiler     {}\n  driver       {}\n  verified     {}\n  when         "
        "{}\n{}\n",
        w.tried, w.rejected, w.compiler, w.driver, w.verification, w.time, w.program);
  }
  if (shown == 0)
    throw Error(
        fmt::format("no winner in the store has an id that begins with '{}'; see quern cache ls", arguments.id));
  if (arguments.json) print_json(json);
  return 0;
}

int run_clear(const CacheArguments& arguments) {
  const std::int64_t removed = clear_store(arguments.id, arguments.store);
  if (arguments.json) {
    print_json({{"removed", removed}});
  } else {
    fmt::print("{} removed\n", counted(removed, "entry", "entries"));
  }
  return 0;
}

}  // namespace

void add_cache(CLI::App& app, int& code) {
  CLI::App* cache = app.add_subcommand("cache", "the tuning store: what it holds, and clearing it");
  cache->require_subcommand(1);
  auto arguments = std::make_shared<CacheArguments>();
  const auto add = [&](const char* name, const char* doc, int (*run)(const CacheArguments&), bool takes_id,
                       bool needs_id) {
    CLI::App* command = cache->add_subcommand(name, doc);
    command->add_flag("--json", arguments->json, "print one JSON document instead of text");
    command->add_option("--store", arguments->store, "path of the tuning store");
    if (takes_id) {
      // An empty one comes from a variable that is not set; it does not stand for everything.
      CLI::Option* id =
          command->add_option("ID", arguments->id, "the beginning of an id")->check([](const std::string& text) {
            return text.empty() ? "it is empty" : "";
          });
      if (needs_id) id->required();
    }
    command->callback([arguments, run, &code] { code = run(*arguments); });
  };
  add("ls", "all winners", run_ls, false, false);
  add("show", "one winner with its evidence", run_show, true, true);
  add("clear", "remove one entry, or everything", run_clear, true, false);
}

}  // namespace quern::cli
