#pragma once
// SQLite with owners for its handles and exceptions for its codes. One thread at a time per connection.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace quern::autotune {

// What SQLite refused, in its own words. Never leaves autotune/: the store turns it into a warning.
class SqliteError : public std::runtime_error {
 public:
  SqliteError(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
  // The primary result code, such as SQLITE_FULL.
  int code() const { return code_ & 0xff; }

 private:
  int code_;
};

// Why a file was refused: SQLite's own words, or that the disk is full, which it may call an I/O error.
std::string reason_of(const SqliteError& error, const std::filesystem::path& file);

class Connection {
 public:
  enum class Mode { read_write, immutable };

  // A file (created where it is missing, unless immutable), or a database of its own in memory for an empty path.
  explicit Connection(const std::filesystem::path& path, Mode mode = Mode::read_write);

  void execute(const std::string& sql);
  bool read_only() const;
  int changes() const;  // rows that the last statement changed

 private:
  friend class Statement;
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

// One prepared statement. Parameters are bound in order; a text or blob is copied.
class Statement {
 public:
  Statement(const Connection& connection, std::string_view sql);

  template <typename... Values>
  Statement& bind(const Values&... values) {
    (bind_next(values), ...);
    return *this;
  }

  bool step();  // to the next row; false when there is none
  void run() {
    while (step()) {
    }
  }

  std::int64_t integer(int column) const;
  std::string text(int column) const;
  std::span<const std::byte> blob(int column) const;  // until the next step

 private:
  void bind_next(std::int64_t value);
  void bind_next(std::string_view value);
  void bind_next(std::span<const std::byte> value);
  void check(int code) const;

  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };
  sqlite3* connection_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  int next_ = 1;
};

// Everything until commit() happens as a whole or not at all; holds the right to write from the start.
class Transaction {
 public:
  explicit Transaction(Connection& connection);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  void commit();

 private:
  Connection* connection_;
};

}  // namespace quern::autotune
