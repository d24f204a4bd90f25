#pragma once
// How results print: numbers with their units, tables, a line of progress.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"

namespace quern::cli {

std::string time_text(double seconds);                                                 // "12.3 us"
std::string rate_text(double amount, double seconds, std::string_view unit);           // "4235 GB/s", "44.9 TFLOP/s"
std::string rate_text(const Report& report, double seconds);                           // of what bounds the program
std::string bytes_text(double bytes);                                                  // "1.5 GB"
std::string counted(std::int64_t count, std::string_view one, std::string_view many);  // "1 kernel", "2 kernels"

// Rows of cells under a header, columns as wide as they need to be.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// One line on standard error that is overwritten at a terminal; elsewhere nothing until done.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(const std::string& text);
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
};

// Tunes with a line of progress, stopped by Ctrl-C.
TuneReport tune_shown(const Program& program, const Options& options, const std::string& name);

Json to_json(const Report& report);
Json to_json(const TuneReport& report);
Json to_json(const OutputCheck& check);

void print_json(const Json& json);

}  // namespace quern::cli
