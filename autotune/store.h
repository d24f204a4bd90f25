#pragma once
// The tuning store: what was tuned and compiled, remembered in one SQLite file.
//
// It never stands in the way. A file that cannot be used (someone else's, corrupt, of a newer Quern) is left as it is
// and a store in memory takes its place; one that cannot be written (read-only, disk full) is read on, and what is new
// is kept in memory; a damaged entry is a miss. The first of these that happens is told, by one warning. Thread-safe;
// several processes may use one file at once.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autotune/records.h"

namespace quern::autotune {

class DamagedEntry;
class Database;
class SqliteError;

class Store {
 public:
  // The file at `path`, which the first record makes, with its folder; ":memory:" or empty: in memory. Throws nothing
  // for a bad file.
  explicit Store(const std::filesystem::path& path);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  // The file in use, or ":memory:".
  std::string location() const;

  std::optional<Winner> winner(const WinnerKey& key);

  // Winners of the same structure on the same device by the same strategy, the nearest first (problem.h: distance);
  // ties in the order of their ids, so that the answer depends on what is known alone.
  struct Near {
    Winner winner;
    std::vector<std::int64_t> shape;
    double distance = 0;
  };
  std::vector<Near> nearest(const WinnerKey& key);

  void record(const WinnerKey& key, const Winner& winner);
  void record(const WinnerKey& key, std::span<const Candidate> candidates);
  void record(const WinnerKey& key, const Candidate& candidate) { record(key, std::span(&candidate, 1)); }
  // In the order of their medians, the rejected ones last.
  std::vector<Candidate> candidates(const std::string& winner_id);

  std::optional<StoredBinary> binary(const BinaryKey& key);
  void record(const BinaryKey& key, const StoredBinary& stored);

  // All, or those whose id begins with `prefix`.
  std::vector<WinnerEntry> winners(std::string_view prefix = {});
  std::vector<BinaryEntry> binaries(std::string_view prefix = {});
  StoreStatistics statistics();

  // Removes the one winner (with its candidates) or binary whose id begins with `prefix`. Throws Error where it fits
  // none or several, or the file cannot be written.
  void erase(std::string_view prefix);
  void erase_everything();

 private:
  enum class Missing : std::uint8_t { leave, make };
  void open(Missing missing);
  // The first answer that is not empty, of memory and of the file; damaged entries are skipped with a warning.
  template <typename Answer>
  Answer first(const std::function<Answer(Database&)>& ask);
  void each(const std::function<void(Database&)>& work);
  void write(const std::function<void(Database&)>& work);
  Database& memory();
  // What is in the file changes, or an Error says why not.
  void change(const std::function<void(Database&)>& work);
  // Error where there should be a file and it is not used.
  void require_file() const;
  // `other_way` out, beside another file.
  void lose_file(const std::string& why, std::string_view other_way = ", or remove this one");
  void keep_in_memory(const std::string& why);
  void on_failure(const SqliteError& error);
  void warn_of_damage(const DamagedEntry& entry);
  void warn_once(const std::string& message);

  mutable std::mutex mutex_;
  std::filesystem::path path_;
  std::unique_ptr<Database> file_, memory_;
  bool opened_ = false;
  bool file_takes_writes_ = false;
  std::string why_lost_;  // the file is not used; empty: it is, or there is none
  bool warned_ = false;
};

}  // namespace quern::autotune
