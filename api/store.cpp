#include "quern/store.h"

#include <filesystem>

#include "autotune/store.h"
#include "autotune/store_location.h"

namespace quern {
namespace {

StoredWinner winner_of(const autotune::WinnerEntry& entry) {
  const autotune::Evidence& evidence = entry.winner.evidence;
  return {.id = entry.id,
          .title = entry.title,
          .program = entry.program,
          .device = entry.device,
          .strategy = entry.strategy,
          .schedule = entry.winner.schedule,
          .shape = entry.shape,
          .seconds = evidence.median,
          .fallback_seconds = evidence.fallback_median,
          .tried = evidence.tried,
          .rejected = evidence.rejected,
          .compiler = evidence.compiler,
          .driver = evidence.driver,
          .time = evidence.time,
          .verification = evidence.verification};
}

// Looking does not make a store.
bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

std::string store_path(std::string_view path) { return autotune::store_path(path).string(); }

StoreContents store_contents(std::string_view path) {
  StoreContents contents{.path = store_path(path), .winners = {}, .binaries = {}};
  if (!exists(contents.path)) return contents;
  autotune::Store store(contents.path);
  for (const autotune::WinnerEntry& entry : store.winners()) contents.winners.push_back(winner_of(entry));
  for (const autotune::BinaryEntry& entry : store.binaries()) {
    contents.binaries.push_back({entry.id, entry.title, entry.schedule, entry.target, entry.bytes});
  }
  const autotune::StoreStatistics statistics = store.statistics();
  contents.candidates = statistics.candidates;
  contents.samples = statistics.samples;
  return contents;
}

std::int64_t clear_store(std::string_view id, std::string_view path) {
  const std::string file = store_path(path);
  if (id.empty() && !exists(file)) return 0;
  autotune::Store store(file);
  const auto entries = [&] { return static_cast<std::int64_t>(store.winners().size() + store.binaries().size()); };
  const std::int64_t before = entries();
  id.empty() ? store.erase_everything() : store.erase(id);
  return before - entries();
}

}  // namespace quern
