#include "autotune/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace quern::autotune {
namespace {

constexpr std::int64_t kApplicationId = 0x5175726e;  // "Qurn", in the file's header

// Step i brings schema version i to i + 1; steps are never changed once released.
constexpr std::array kMigrations = {R"(
  CREATE TABLE problems(id TEXT PRIMARY KEY, title TEXT NOT NULL, program TEXT NOT NULL, structure TEXT NOT NULL,
                        shape TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE tasks(id TEXT PRIMARY KEY, problem TEXT NOT NULL REFERENCES problems(id), device TEXT NOT NULL,
                     strategy TEXT NOT NULL, strategy_version TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE candidates(task TEXT NOT NULL REFERENCES tasks(id), schedule TEXT NOT NULL, samples TEXT NOT NULL,
                          rejection TEXT NOT NULL, build TEXT NOT NULL, PRIMARY KEY(task, schedule)) WITHOUT ROWID;
  CREATE TABLE winners(task TEXT PRIMARY KEY REFERENCES tasks(id), schedule TEXT NOT NULL, evidence TEXT NOT NULL,
                       checksum TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE binaries(id TEXT PRIMARY KEY, any_compiler TEXT NOT NULL, title TEXT NOT NULL, schedule TEXT NOT NULL,
                        target TEXT NOT NULL, plan TEXT NOT NULL, code BLOB NOT NULL, checksum TEXT NOT NULL);
  CREATE INDEX problems_by_structure ON problems(structure);
  CREATE INDEX tasks_by_problem ON tasks(problem);
  CREATE INDEX binaries_by_any_compiler ON binaries(any_compiler);
)"};

// Write-ahead logging shares memory between processes, which file systems over a network do not.
bool shares_memory(const std::filesystem::path& file) {
  constexpr std::array<std::int64_t, 10> kNetworks = {
      0x6969,      // NFS
      0x517b,      // SMB
      0xfe534d42,  // SMB2
      0xff534d42,  // CIFS
      0x0bd00bd0,  // Lustre
      0x47504653,  // GPFS
      0x65735546,  // FUSE
      0x01021997,  // 9P
      0x00c36400,  // Ceph
      0x5346414f,  // AFS
  };
  struct statfs about{};
  if (statfs(file.c_str(), &about) != 0) return false;
  const auto type = static_cast<std::int64_t>(about.f_type) & 0xffffffff;
  return std::find(kNetworks.begin(), kNetworks.end(), type) == kNetworks.end();
}

// SQLite gives its journals the rights of the file: nobody else reads or writes them.
std::filesystem::path created_privately(std::filesystem::path path) {
  if (path.empty()) return path;
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file >= 0) close(file);
  return path;
}

bool lacks_rights(const SqliteError& error) {
  return error.code() == SQLITE_CANTOPEN || error.code() == SQLITE_READONLY;
}
bool lacks_room(const SqliteError& error) { return error.code() == SQLITE_FULL || error.code() == SQLITE_IOERR; }

constexpr const char* kReadOnly = "it is read-only";

// A database in write-ahead mode makes files beside itself even to be read. Where it cannot, be it for want of rights
// or of room, it is read as it is and `why_read_only` says so.
Connection connect(const std::filesystem::path& path, std::string& why_read_only) {
  try {
    Connection connection(created_privately(path));
    Statement(connection, "SELECT count(*) FROM sqlite_schema").run();
    if (connection.read_only()) why_read_only = kReadOnly;
    return connection;
  } catch (const SqliteError& e) {
    if (path.empty() || !(lacks_rights(e) || lacks_room(e))) throw;
    why_read_only = lacks_rights(e) ? kReadOnly : reason_of(e, path);
    return Connection(path, Connection::Mode::immutable);
  }
}

std::string join(const std::vector<std::int64_t>& numbers) { return fmt::format("{}", fmt::join(numbers, " ")); }
std::string join(const std::vector<double>& numbers) { return fmt::format("{}", fmt::join(numbers, " ")); }

template <typename Number>
std::vector<Number> numbers_in(const std::string& text) {
  std::vector<Number> numbers;
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    Number number{};
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) break;
    numbers.push_back(number);
    at = next + (next < end);
  }
  return numbers;
}

std::string checksum(std::string_view id, const std::string& schedule, const std::string& evidence) {
  return to_text(Digest::Builder().add(id).add(schedule).add(evidence).finish());
}

std::string checksum(std::string_view id, const std::string& target, const std::string& plan,
                     std::span<const std::byte> code) {
  return to_text(Digest::Builder().add(id).add(target).add(plan).add(code).finish());
}

Winner read_winner(const std::string& task, const std::string& schedule, const std::string& evidence,
                   const std::string& sum) {
  if (checksum(task, schedule, evidence) != sum) {
    throw DamagedEntry(task, fmt::format("winner {} is damaged: its checksum does not fit", task));
  }
  try {
    return {schedule, evidence_from_json(evidence)};
  } catch (const Error& e) {
    throw DamagedEntry(task, fmt::format("winner {} is damaged: {}", task, e.what()));
  }
}

constexpr std::string_view kWinnerColumns =
    "SELECT w.task, p.title, p.program, t.device, t.strategy, p.shape, w.schedule, w.evidence, w.checksum "
    "FROM winners w LEFT JOIN tasks t ON t.id = w.task LEFT JOIN problems p ON p.id = t.problem ";

// Damaged rows are left out: they are no winners.
std::vector<WinnerEntry> read_winners(Statement& statement, const OnDamage& on_damage) {
  std::vector<WinnerEntry> entries;
  while (statement.step()) {
    try {
      if (statement.text(1).empty()) {
        throw DamagedEntry(statement.text(0),
                           fmt::format("winner {} is damaged: its problem is not there", statement.text(0)));
      }
      entries.push_back(
          {.id = statement.text(0),
           .title = statement.text(1),
           .program = statement.text(2),
           .device = statement.text(3),
           .strategy = statement.text(4),
           .shape = numbers_in<std::int64_t>(statement.text(5)),
           .winner = read_winner(statement.text(0), statement.text(6), statement.text(7), statement.text(8))});
    } catch (const DamagedEntry& e) {
      if (on_damage) on_damage(e);
    }
  }
  return entries;
}

}  // namespace

Database::Database(const std::filesystem::path& path) : connection_(connect(path, why_read_only_)) {
  const bool in_memory = path.empty();
  const std::int64_t version = pragma("user_version");
  const bool empty = version == 0 && [&] {
    Statement count(connection_, "SELECT count(*) FROM sqlite_schema");
    return count.step() && count.integer(0) == 0;
  }();
  const std::int64_t application = pragma("application_id");
  if (application != kApplicationId && !(empty && application == 0)) fail("it is not a tuning store of Quern");
  if (version > static_cast<std::int64_t>(kMigrations.size())) {
    fail("a newer Quern wrote it: its version is {}, this Quern reads up to {}", version, kMigrations.size());
  }
  if (!in_memory && why_read_only_.empty()) {
    connection_.execute(shares_memory(path) ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE");
    connection_.execute("PRAGMA synchronous=NORMAL");
  }
  if (version < static_cast<std::int64_t>(kMigrations.size())) migrate();
}

std::int64_t Database::pragma(const std::string& name) const {
  Statement statement(connection_, "PRAGMA " + name);
  ensure(statement.step(), "a pragma has a value");
  return statement.integer(0);
}

void Database::migrate() {
  Transaction transaction(connection_);
  // Another process may have been quicker.
  for (auto version = static_cast<std::size_t>(pragma("user_version")); version < kMigrations.size(); ++version) {
    connection_.execute(kMigrations[version]);
  }
  connection_.execute(fmt::format("PRAGMA user_version={}", kMigrations.size()));
  connection_.execute(fmt::format("PRAGMA application_id={}", kApplicationId));
  transaction.commit();
}

void Database::put_task(const WinnerKey& key) {
  const std::string problem = to_text(key.problem.digest);
  Statement(connection_, "INSERT OR IGNORE INTO problems VALUES(?,?,?,?,?)")
      .bind(problem, key.problem.title, key.problem.program, to_text(key.problem.structure), join(key.problem.shape))
      .run();
  Statement(connection_, "INSERT OR IGNORE INTO tasks VALUES(?,?,?,?,?)")
      .bind(to_text(id(key)), problem, key.device, key.strategy, key.strategy_version)
      .run();
}

std::optional<Winner> Database::winner(const WinnerKey& key) const {
  const std::string task = to_text(id(key));
  Statement row(connection_, "SELECT schedule, evidence, checksum FROM winners WHERE task=?");
  if (!row.bind(task).step()) return std::nullopt;
  return read_winner(task, row.text(0), row.text(1), row.text(2));
}

std::vector<WinnerEntry> Database::relatives(const WinnerKey& key) const {
  Statement rows(connection_, std::string(kWinnerColumns) +
                                  "WHERE p.structure=? AND t.device=? AND t.strategy=? AND t.strategy_version=?");
  return read_winners(rows.bind(to_text(key.problem.structure), key.device, key.strategy, key.strategy_version), {});
}

void Database::put_winner(const WinnerKey& key, const Winner& winner) {
  const std::string task = to_text(id(key)), evidence = to_json(winner.evidence);
  Transaction transaction(connection_);
  put_task(key);
  Statement(connection_, "INSERT OR REPLACE INTO winners VALUES(?,?,?,?)")
      .bind(task, winner.schedule, evidence, checksum(task, winner.schedule, evidence))
      .run();
  transaction.commit();
}

void Database::put_candidates(const WinnerKey& key, std::span<const Candidate> candidates) {
  Transaction transaction(connection_);
  put_task(key);
  for (const Candidate& candidate : candidates) {
    Statement(connection_,
              "INSERT INTO candidates VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET "
              "samples=trim(samples || ' ' || excluded.samples), rejection=excluded.rejection, build=excluded.build")
        .bind(to_text(id(key)), candidate.schedule, join(candidate.samples), candidate.rejection, candidate.build)
        .run();
  }
  transaction.commit();
}

std::vector<Candidate> Database::candidates(const std::string& task) const {
  Statement rows(connection_, "SELECT schedule, samples, rejection, build FROM candidates WHERE task=?");
  rows.bind(task);
  std::vector<Candidate> candidates;
  while (rows.step()) {
    candidates.push_back({rows.text(0), numbers_in<double>(rows.text(1)), rows.text(2), rows.text(3)});
  }
  return candidates;
}

std::optional<StoredBinary> Database::binary(const BinaryKey& key) const {
  const bool any = key.compiler.empty();
  Statement row(connection_,
                std::string("SELECT id, title, target, plan, code, checksum, schedule FROM binaries WHERE ") +
                    (any ? "any_compiler=? ORDER BY rowid DESC LIMIT 1" : "id=?"));
  if (!row.bind(to_text(any ? id_without_compiler(key) : id(key))).step()) return std::nullopt;
  const std::string entry = row.text(0), target = row.text(2), plan = row.text(3);
  const auto code = row.blob(4);
  if (checksum(entry, row.text(6) + target, plan, code) != row.text(5)) {
    throw DamagedEntry(entry, fmt::format("binary {} is damaged: its checksum does not fit", entry));
  }
  try {
    return StoredBinary{row.text(1), row.text(6), plan_from_json(plan), {target, {code.begin(), code.end()}}};
  } catch (const Error& e) {
    throw DamagedEntry(entry, fmt::format("binary {} is damaged: {}", entry, e.what()));
  }
}

void Database::put_binary(const BinaryKey& key, const StoredBinary& stored) {
  const std::string entry = to_text(id(key)), plan = to_json(stored.plan);
  const std::span<const std::byte> code = stored.binary.bytes;
  Statement(connection_, "INSERT OR REPLACE INTO binaries VALUES(?,?,?,?,?,?,?,?)")
      .bind(entry, to_text(id_without_compiler(key)), stored.title, stored.schedule, stored.binary.target, plan, code,
            checksum(entry, stored.schedule + stored.binary.target, plan, code))
      .run();
}

std::vector<WinnerEntry> Database::list_winners(std::string_view prefix, const OnDamage& on_damage) const {
  Statement rows(connection_, std::string(kWinnerColumns) +
                                  "WHERE substr(w.task, 1, ?)=? ORDER BY p.title, t.device, t.strategy, w.task");
  return read_winners(rows.bind(static_cast<std::int64_t>(prefix.size()), prefix), on_damage);
}

std::vector<BinaryEntry> Database::list_binaries(std::string_view prefix) const {
  Statement rows(connection_,
                 "SELECT id, title, schedule, target, length(code) FROM binaries WHERE substr(id, 1, ?)=? "
                 "ORDER BY title, target, schedule, id");
  rows.bind(static_cast<std::int64_t>(prefix.size()), prefix);
  std::vector<BinaryEntry> entries;
  while (rows.step()) {
    entries.push_back({rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.integer(4)});
  }
  return entries;
}

void Database::erase_winner(const std::string& id) {
  Transaction transaction(connection_);
  Statement(connection_, "DELETE FROM winners WHERE task=?").bind(id).run();
  Statement(connection_, "DELETE FROM candidates WHERE task=?").bind(id).run();
  Statement(connection_, "DELETE FROM tasks WHERE id=?").bind(id).run();
  connection_.execute("DELETE FROM problems WHERE id NOT IN (SELECT problem FROM tasks)");
  transaction.commit();
}

void Database::erase_binary(const std::string& id) {
  Statement(connection_, "DELETE FROM binaries WHERE id=?").bind(id).run();
}

void Database::erase_everything() {
  Transaction transaction(connection_);
  for (const char* table : {"winners", "candidates", "tasks", "problems", "binaries"}) {
    connection_.execute(fmt::format("DELETE FROM {}", table));
  }
  transaction.commit();
  connection_.execute("VACUUM");
}

StoreStatistics Database::statistics() const {
  Statement row(connection_,
                "SELECT (SELECT count(*) FROM problems), (SELECT count(*) FROM winners), "
                "(SELECT count(*) FROM candidates), "
                "(SELECT coalesce(sum(length(samples) - length(replace(samples, ' ', '')) + (samples != '')), 0) "
                "FROM candidates), "
                "(SELECT count(*) FROM binaries), (SELECT coalesce(sum(length(code)), 0) FROM binaries)");
  ensure(row.step(), "an aggregate has a row");
  return {row.integer(0), row.integer(1), row.integer(2), row.integer(3), row.integer(4), row.integer(5)};
}

}  // namespace quern::autotune
