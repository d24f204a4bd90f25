#include "autotune/store.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "autotune/database.h"
#include "autotune/statistics.h"
#include "autotune/store_location.h"
#include "base/error.h"
#include "base/log.h"

namespace quern::autotune {
namespace {

constexpr std::string_view kInMemory = ":memory:";

// Failures after which the file still reads.
bool reads_on(const SqliteError& error) {
  switch (error.code()) {
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PERM:
      return true;
    default:
      return false;
  }
}

template <typename Entry>
void append_new(std::vector<Entry>& to, std::vector<Entry> more) {
  for (Entry& entry : more) {
    const bool known = std::any_of(to.begin(), to.end(), [&](const Entry& old) { return old.id == entry.id; });
    if (!known) to.push_back(std::move(entry));
  }
}

}  // namespace

Store::Store(const std::filesystem::path& path) : path_(path == kInMemory ? std::filesystem::path() : path) {
  open(Missing::leave);
}

Store::~Store() = default;

void Store::open(Missing missing) {
  if (opened_ || path_.empty()) return;
  std::error_code ignored;
  if (missing == Missing::leave && !std::filesystem::exists(path_, ignored)) return;
  opened_ = true;
  try {
    prepare_store_folder(path_);
  } catch (const Error& e) {
    return lose_file(e.what(), "");
  }
  try {
    file_ = std::make_unique<Database>(path_);
    file_takes_writes_ = true;
    if (const std::string& why = file_->why_read_only(); !why.empty()) keep_in_memory(why);
  } catch (const Error& e) {
    lose_file(e.what());
  } catch (const SqliteError& e) {
    lose_file(e.what());
  }
}

std::string Store::location() const {
  const std::lock_guard lock(mutex_);
  return path_.empty() || !why_lost_.empty() ? std::string(kInMemory) : path_.string();
}

Database& Store::memory() {
  if (!memory_) memory_ = std::make_unique<Database>(std::filesystem::path());
  return *memory_;
}

void Store::lose_file(const std::string& why, std::string_view other_way) {
  file_.reset();
  file_takes_writes_ = false;
  why_lost_ = why;
  warn_once(
      fmt::format("the tuning store {} is not used, what is tuned now is kept in memory: {}. Choose another file "
                  "with QUERN_STORE (or --store){}",
                  path_.string(), why, other_way));
}

void Store::keep_in_memory(const std::string& why) {
  if (!file_takes_writes_) return;
  file_takes_writes_ = false;
  warn_once(
      fmt::format("the tuning store {} cannot be written, what is tuned now is kept in memory: {}. Choose another "
                  "file with QUERN_STORE (or --store)",
                  path_.string(), why));
}

void Store::warn_of_damage(const DamagedEntry& entry) {
  warn_once(fmt::format(
      "the tuning store {}: {}; it is not used. Tuning again replaces it; where that is no help, remove the "
      "file, or choose another with QUERN_STORE (or --store)",
      path_.string(), entry.what()));
}

void Store::warn_once(const std::string& message) {
  if (!std::exchange(warned_, true)) log_warning(message);
}

void Store::on_failure(const SqliteError& error) {
  if (reads_on(error)) {
    keep_in_memory(reason_of(error, path_));
  } else {
    lose_file(error.what());
  }
}

template <typename Answer>
Answer Store::first(const std::function<Answer(Database&)>& ask) {
  const std::lock_guard lock(mutex_);
  open(Missing::leave);
  for (Database* layer : {memory_.get(), file_.get()}) {
    if (!layer) continue;
    try {
      if (Answer answer = ask(*layer)) return answer;
    } catch (const DamagedEntry& e) {
      warn_of_damage(e);
    } catch (const SqliteError& e) {
      lose_file(e.what());
    }
  }
  return {};
}

void Store::each(const std::function<void(Database&)>& work) {
  const std::lock_guard lock(mutex_);
  open(Missing::leave);
  for (Database* layer : {memory_.get(), file_.get()}) {
    if (!layer) continue;
    try {
      work(*layer);
    } catch (const SqliteError& e) {
      on_failure(e);
    }
  }
}

void Store::write(const std::function<void(Database&)>& work) {
  const std::lock_guard lock(mutex_);
  open(Missing::make);
  if (file_ && file_takes_writes_) {
    try {
      work(*file_);
      return;
    } catch (const SqliteError& e) {
      on_failure(e);
    }
  }
  work(memory());
}

void Store::change(const std::function<void(Database&)>& work) {
  const std::lock_guard lock(mutex_);
  if (memory_) work(*memory_);
  if (!file_) return;
  const auto refuse = [&](const std::string& why) {
    fail("the tuning store {} cannot be changed: {}", path_.string(), why);
  };
  if (!file_->why_read_only().empty()) refuse(file_->why_read_only());
  try {
    work(*file_);
  } catch (const SqliteError& e) {
    refuse(reason_of(e, path_) + (reads_on(e) ? "" : "; remove it, or choose another with QUERN_STORE (or --store)"));
  }
}

std::optional<Winner> Store::winner(const WinnerKey& key) {
  return first<std::optional<Winner>>([&](Database& layer) { return layer.winner(key); });
}

std::vector<Store::Near> Store::nearest(const WinnerKey& key) {
  std::vector<WinnerEntry> entries;
  each([&](Database& layer) { append_new(entries, layer.relatives(key)); });
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  std::vector<Near> near;
  for (WinnerEntry& entry : entries) {
    const double away = distance(key.problem.shape, entry.shape);
    near.push_back({std::move(entry.winner), std::move(entry.shape), away});
  }
  std::stable_sort(near.begin(), near.end(), [](const Near& a, const Near& b) { return a.distance < b.distance; });
  return near;
}

void Store::record(const WinnerKey& key, const Winner& winner) {
  write([&](Database& layer) { layer.put_winner(key, winner); });
}

void Store::record(const WinnerKey& key, std::span<const Candidate> candidates) {
  if (!candidates.empty()) write([&](Database& layer) { layer.put_candidates(key, candidates); });
}

std::vector<Candidate> Store::candidates(const std::string& winner_id) {
  std::vector<Candidate> all;
  each([&](Database& layer) {
    for (Candidate& candidate : layer.candidates(winner_id)) all.push_back(std::move(candidate));
  });
  std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    const bool a_out = !a.rejection.empty(), b_out = !b.rejection.empty();
    return a_out != b_out ? b_out : median(a.samples) < median(b.samples);
  });
  return all;
}

std::optional<StoredBinary> Store::binary(const BinaryKey& key) {
  return first<std::optional<StoredBinary>>([&](Database& layer) { return layer.binary(key); });
}

void Store::record(const BinaryKey& key, const StoredBinary& stored) {
  write([&](Database& layer) { layer.put_binary(key, stored); });
}

std::vector<WinnerEntry> Store::winners(std::string_view prefix) {
  std::vector<WinnerEntry> entries;
  each([&](Database& layer) {
    append_new(entries, layer.list_winners(prefix, [this](const DamagedEntry& e) { warn_of_damage(e); }));
  });
  return entries;
}

std::vector<BinaryEntry> Store::binaries(std::string_view prefix) {
  std::vector<BinaryEntry> entries;
  each([&](Database& layer) { append_new(entries, layer.list_binaries(prefix)); });
  return entries;
}

StoreStatistics Store::statistics() {
  StoreStatistics sum;
  each([&](Database& layer) { sum += layer.statistics(); });
  return sum;
}

void Store::require_file() const {
  if (!why_lost_.empty()) fail("the tuning store {} cannot be changed: {}", path_.string(), why_lost_);
}

void Store::erase(std::string_view prefix) {
  require_file();
  const std::vector<WinnerEntry> winners = this->winners(prefix);
  const std::vector<BinaryEntry> binaries = this->binaries(prefix);
  const std::size_t fits = winners.size() + binaries.size();
  if (fits == 0) fail("the tuning store {} holds no entry whose id begins with '{}'", location(), prefix);
  if (fits > 1) fail("{} entries of the tuning store {} begin with '{}'; give more digits", fits, location(), prefix);
  change([&](Database& layer) {
    if (!winners.empty()) layer.erase_winner(winners[0].id);
    if (!binaries.empty()) layer.erase_binary(binaries[0].id);
  });
}

void Store::erase_everything() {
  require_file();
  change([](Database& layer) { layer.erase_everything(); });
}

}  // namespace quern::autotune
