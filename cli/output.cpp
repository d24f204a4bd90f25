#include "cli/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace quern::cli {
namespace {

std::string scaled(double value, std::string_view unit) {
  constexpr std::string_view kPrefixes[] = {"", "k", "M", "G", "T", "P"};
  std::size_t prefix = 0;
  while (value >= 1000 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  return fmt::format("{:.{}f} {}{}", value, value < 10 ? 2 : value < 100 ? 1 : 0, kPrefixes[prefix], unit);
}

}  // namespace

std::string time_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.2f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

std::string rate_text(double amount, double seconds, std::string_view unit) {
  return seconds > 0 && amount >= 0 ? scaled(amount / seconds, unit) : "-";
}

std::string rate_text(const Report& report, double seconds) {
  return report.bound == "arithmetic" ? rate_text(report.operations, seconds, "FLOP/s")
                                      : rate_text(report.bytes, seconds, "B/s");
}

std::string bytes_text(double bytes) { return bytes < 0 ? "?" : scaled(bytes, "B"); }

std::string counted(std::int64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) line += fmt::format("{:<{}}  ", row[c], widths[c]);
    while (line.ends_with(' ')) line.pop_back();
    text += line + '\n';
  }
  return text;
}

Progress::Progress() : terminal_(isatty(STDERR_FILENO) != 0) {}
Progress::~Progress() { clear(); }

void Progress::show(const std::string& text) {
  if (!terminal_) return;
  fmt::print(stderr, "\r\033[K{}", text);
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
}

TuneReport tune_shown(const Program& program, const Options& options, const std::string& name) {
  Progress progress;
  progress.show(fmt::format("{}: compiling", name));
  return tune(program, options, [&](const TuneProgress& p) {
    progress.show(fmt::format("{}: kernel {}/{}, {}/{} candidates, best {}, {:.0f} s", name, p.kernel_index + 1,
                              p.kernel_count, p.tried, p.candidates, time_text(p.best_seconds), p.elapsed_seconds));
    return !interrupted();
  });
}

Json to_json(const Report& report) {
  Json json;
  json["kernels"] = Json::array();
  for (const KernelReport& k : report.kernels) {
    json["kernels"].push_back({{"name", k.name},
                               {"strategy", k.strategy},
                               {"schedule", k.schedule},
                               {"origin", k.origin},
                               {"passed_over", k.passed_over},
                               {"axes", k.axes},
                               {"bytes_read", k.bytes_read},
                               {"bytes_written", k.bytes_written},
                               {"operations", k.operations},
                               {"roofline_seconds", k.roofline_seconds},
                               {"bound", k.bound},
                               {"registers", k.registers},
                               {"spill_bytes", k.spill_bytes},
                               {"shared_bytes", k.shared_bytes},
                               {"program", k.program}});
  }
  json["variants"] = report.variants;
  json["workspace_bytes"] = report.workspace_bytes;
  json["bytes"] = report.bytes;
  json["operations"] = report.operations;
  json["roofline_seconds"] = report.roofline_seconds;
  json["bound"] = report.bound;
  json["compile_seconds"] = report.compile_seconds;
  json["backend_seconds"] = report.backend_seconds;
  json["from_store"] = report.from_store;
  return json;
}

Json to_json(const TuneReport& report) {
  Json json;
  json["kernels"] = Json::array();
  for (const TunedKernel& k : report.kernels) {
    json["kernels"].push_back({{"title", k.title},
                               {"schedule", k.schedule},
                               {"fallback", k.fallback},
                               {"seconds", k.seconds},
                               {"fallback_seconds", k.fallback_seconds},
                               {"tried", k.tried},
                               {"candidates", k.candidates},
                               {"rejected", k.rejected},
                               {"from_store", k.from_store}});
  }
  json["tried"] = report.tried;
  json["elapsed_seconds"] = report.elapsed_seconds;
  json["stopped"] = report.stopped;
  return json;
}

Json to_json(const OutputCheck& check) {
  return {{"output", check.output},           {"checked", check.checked},
          {"elements", check.elements},       {"wrong", check.wrong},
          {"worst_ratio", check.worst_ratio}, {"worst_index", check.worst_index},
          {"worst_value", check.worst_value}, {"worst_expected", check.worst_expected},
          {"worst_bound", check.worst_bound}, {"undecided", check.undecided}};
}

void print_json(const Json& json) {
  // Names of files need not be UTF-8.
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace quern::cli
