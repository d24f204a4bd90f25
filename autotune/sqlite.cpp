#include "autotune/sqlite.h"

#include <sqlite3.h>
#include <sys/statvfs.h>

namespace quern::autotune {
namespace {

constexpr int kBusyMilliseconds = 5000;
constexpr std::uint64_t kIndexBytes = 32768;  // of the file that a write-ahead log is read by

// A path as a URI: SQLite takes options only there.
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      constexpr std::string_view kDigits = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      uri += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

std::string reason_of(const SqliteError& error, const std::filesystem::path& file) {
  struct statvfs about{};
  const bool full = error.code() == SQLITE_IOERR && statvfs(file.c_str(), &about) == 0 &&
                    std::uint64_t{about.f_bavail} * about.f_frsize < kIndexBytes;
  return full ? "the disk is full" : error.what();
}

void Connection::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
void Statement::Finalize::operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }

Connection::Connection(const std::filesystem::path& path, Mode mode) {
  const bool immutable = mode == Mode::immutable;
  const std::string name = path.empty() ? ":memory:" : immutable ? immutable_uri(path.string()) : path.string();
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (immutable ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) throw SqliteError(code, handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
}

void Connection::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errmsg(handle_.get()));
}

bool Connection::read_only() const { return sqlite3_db_readonly(handle_.get(), "main") == 1; }
int Connection::changes() const { return sqlite3_changes(handle_.get()); }

Statement::Statement(const Connection& connection, std::string_view sql) : connection_(connection.handle_.get()) {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v2(connection_, sql.data(), static_cast<int>(sql.size()), &handle, nullptr);
  handle_.reset(handle);
  check(code);
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errmsg(connection_));
}

void Statement::bind_next(std::int64_t value) { check(sqlite3_bind_int64(handle_.get(), next_++, value)); }

void Statement::bind_next(std::string_view value) {
  // A null pointer would be NULL rather than the empty text.
  const char* data = value.data() ? value.data() : "";
  check(sqlite3_bind_text64(handle_.get(), next_++, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::bind_next(std::span<const std::byte> value) {
  check(sqlite3_bind_blob64(handle_.get(), next_++, value.data(), value.size(), SQLITE_TRANSIENT));
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) throw SqliteError(code, sqlite3_errmsg(connection_));
  return false;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return data ? std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))) : "";
}

std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(handle_.get(), column));
  return {data, data ? static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column)) : 0};
}

Transaction::Transaction(Connection& connection) : connection_(&connection) { connection.execute("BEGIN IMMEDIATE"); }

Transaction::~Transaction() {
  if (!connection_) return;
  try {
    connection_->execute("ROLLBACK");
  } catch (const SqliteError&) {
    // SQLite has rolled back by itself, or will when the connection closes.
  }
}

void Transaction::commit() {
  connection_->execute("COMMIT");
  connection_ = nullptr;
}

}  // namespace quern::autotune
