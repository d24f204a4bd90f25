#pragma once
// One SQLite database of tuning results: its schema and every statement on it. Reports by exceptions; store.h decides
// what becomes of them. One thread at a time.

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "autotune/records.h"
#include "autotune/sqlite.h"

namespace quern::autotune {

// An entry whose contents do not fit its checksum, or do not read.
class DamagedEntry : public std::runtime_error {
 public:
  DamagedEntry(std::string entry, const std::string& message) : std::runtime_error(message), entry_(std::move(entry)) {}
  const std::string& entry() const { return entry_; }

 private:
  std::string entry_;
};

using OnDamage = std::function<void(const DamagedEntry&)>;

class Database {
 public:
  // Opens and, where it may write, brings the schema up to date. An empty path: in memory. Throws SqliteError; Error
  // for a file of a newer Quern or of another program.
  explicit Database(const std::filesystem::path& path);

  // Why the file cannot be written; empty: it can.
  const std::string& why_read_only() const { return why_read_only_; }

  std::optional<Winner> winner(const WinnerKey& key) const;
  // Winners of the same structure, device and strategy, as listed rows.
  std::vector<WinnerEntry> relatives(const WinnerKey& key) const;
  void put_winner(const WinnerKey& key, const Winner& winner);
  // Adds the samples to those that the same schedule has; its rejection becomes this one.
  void put_candidates(const WinnerKey& key, std::span<const Candidate> candidates);
  std::vector<Candidate> candidates(const std::string& task) const;

  std::optional<StoredBinary> binary(const BinaryKey& key) const;
  void put_binary(const BinaryKey& key, const StoredBinary& stored);

  // All, or those whose id begins with `prefix`.
  std::vector<WinnerEntry> list_winners(std::string_view prefix = {}, const OnDamage& on_damage = {}) const;
  std::vector<BinaryEntry> list_binaries(std::string_view prefix = {}) const;
  // A winner goes with its candidates.
  void erase_winner(const std::string& id);
  void erase_binary(const std::string& id);
  void erase_everything();
  StoreStatistics statistics() const;

 private:
  void migrate();
  std::int64_t pragma(const std::string& name) const;
  void put_task(const WinnerKey& key);

  std::string why_read_only_;  // set as the connection is made
  Connection connection_;
};

}  // namespace quern::autotune
