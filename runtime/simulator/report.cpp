#include "runtime/simulator/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

namespace quern::runtime::simulator {
namespace {

constexpr std::array<std::string_view, 12> kNames = {"uninitialised", "out-of-bounds", "misaligned", "race",
                                                     "missing-fence", "in-flight",     "barrier",    "exited",
                                                     "deadlock",      "limit",         "unwritten",  "misuse"};

using Json = nlohmann::ordered_json;

// One list of the counters' names, for the sum and both forms.
template <typename CountsRef, typename Visit>
void each_counter(CountsRef& c, const Visit& visit) {
  visit("warps", c.warps);
  visit("threads", c.threads);
  visit("global_read", c.global_read);
  visit("global_written", c.global_written);
  visit("sectors", c.sectors);
  visit("sectors_needed", c.sectors_needed);
  visit("shared_read", c.shared_read);
  visit("shared_written", c.shared_written);
  visit("wavefronts", c.wavefronts);
  visit("wavefronts_needed", c.wavefronts_needed);
  visit("bulk_read", c.bulk_read);
  visit("bulk_written", c.bulk_written);
  visit("float_work", c.float_work);
  visit("integer_work", c.integer_work);
  visit("special_work", c.special_work);
  visit("products", c.products);
  visit("atomics", c.atomics);
  visit("barrier_waits", c.barrier_waits);
}

Json json_of(const Counts& counts) {
  Json json;
  each_counter(counts, [&](const char* name, std::int64_t value) { json[name] = value; });
  return json;
}

std::string place_of(const std::string& statement, int line) {
  return line > 0 ? fmt::format("`{}` (line {} of the CUDA text)", statement, line) : fmt::format("`{}`", statement);
}

std::string percent(double share) { return fmt::format("{:.0f}%", 100 * share); }

std::string summary(const Counts& c) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (c.sectors > 0) {
    add(fmt::format("global {} B read, {} B written in {} sectors ({} coalesced)", c.global_read, c.global_written,
                    c.sectors, percent(c.coalescing())));
  }
  if (c.bulk_read + c.bulk_written > 0) add(fmt::format("bulk {} B read, {} B written", c.bulk_read, c.bulk_written));
  if (c.wavefronts > 0) {
    add(fmt::format("shared {} B read, {} B written in {} wavefronts ({} bank conflicts)", c.shared_read,
                    c.shared_written, c.wavefronts, c.bank_conflicts()));
  }
  if (c.products > 0) add(fmt::format("{} products of tensor cores", c.products));
  if (c.atomics > 0) add(fmt::format("{} atomics", c.atomics));
  if (c.barrier_waits > 0) add(fmt::format("{} waits", c.barrier_waits));
  return text;
}

}  // namespace

std::string_view name(FindingKind kind) { return kNames.at(static_cast<std::size_t>(kind)); }

Counts& Counts::operator+=(const Counts& other) {
  std::array<std::int64_t, 32> values{};
  std::size_t i = 0;
  each_counter(other, [&](const char*, std::int64_t value) { values[i++] = value; });
  i = 0;
  each_counter(*this, [&](const char*, std::int64_t& value) { value += values[i++]; });
  return *this;
}

Counts Report::total() const {
  Counts sum;
  for (const KernelCounts& kernel : kernels) sum += kernel.total;
  return sum;
}

void add(Report launch, Report& report) {
  std::ranges::move(launch.findings, std::back_inserter(report.findings));
  std::ranges::move(launch.kernels, std::back_inserter(report.kernels));
}

std::string to_text(const Finding& f) {
  std::string text = fmt::format("{}: {}\n  kernel {}", name(f.kind), f.message, f.kernel);
  if (!f.statement.empty()) text += "\n  at " + place_of(f.statement, f.line);
  if (!f.other_statement.empty()) text += "\n  and " + place_of(f.other_statement, f.other_line);
  if (!f.axes.empty()) {
    text += "\n  where ";
    for (std::size_t i = 0; i < f.axes.size(); ++i) {
      text += fmt::format("{}{} = {}", i == 0 ? "" : ", ", f.axes[i].first, f.axes[i].second);
    }
  }
  text += fmt::format("\n  block ({})", fmt::join(f.block, ", "));
  if (!f.threads.empty()) {
    text += fmt::format(", {} {}", f.threads.size() == 1 ? "thread" : "threads", fmt::join(f.threads, ", "));
  }
  if (!f.buffer.empty()) text += fmt::format(", {}", f.buffer);
  if (f.element >= 0) text += fmt::format("[{}]", f.element);
  if (f.count > 1) text += fmt::format("\n  {} times", f.count);
  return text + "\n";
}

std::string findings_text(const Report& report) {
  std::string text;
  for (const Finding& finding : report.findings) text += to_text(finding);
  const std::size_t count = report.findings.size();
  return text + fmt::format("{} {}\n", count, count == 1 ? "finding" : "findings");
}

std::string counts_text(const Report& report) {
  std::string text;
  for (const KernelCounts& kernel : report.kernels) {
    text += fmt::format("kernel {}: {} blocks, {} warp steps; {} float, {} integer, {} special instructions\n",
                        kernel.kernel, kernel.blocks, kernel.total.warps, kernel.total.float_work,
                        kernel.total.integer_work, kernel.total.special_work);
    for (const StatementCounts& s : kernel.statements) {
      const std::string counted = summary(s.counts);
      if (counted.empty()) continue;
      text += s.line > 0 ? fmt::format("  line {:4} {}\n", s.line, s.statement) : fmt::format("  {}\n", s.statement);
      text += fmt::format("            {}\n", counted);
    }
    text += fmt::format("  in sum    {}\n", summary(kernel.total));
  }
  return text;
}

std::string to_json(const Report& report) {
  Json json;
  json["findings"] = Json::array();
  for (const Finding& f : report.findings) {
    Json axes = Json::object();
    for (const auto& [axis, value] : f.axes) axes[axis] = value;
    json["findings"].push_back({{"kind", name(f.kind)},
                                {"message", f.message},
                                {"kernel", f.kernel},
                                {"statement", f.statement},
                                {"line", f.line},
                                {"other_statement", f.other_statement},
                                {"other_line", f.other_line},
                                {"axes", axes},
                                {"block", f.block},
                                {"threads", f.threads},
                                {"buffer", f.buffer},
                                {"element", f.element},
                                {"count", f.count}});
  }
  json["kernels"] = Json::array();
  for (const KernelCounts& kernel : report.kernels) {
    Json statements = Json::array();
    for (const StatementCounts& s : kernel.statements) {
      statements.push_back({{"statement", s.statement}, {"line", s.line}, {"counts", json_of(s.counts)}});
    }
    json["kernels"].push_back({{"kernel", kernel.kernel},
                               {"blocks", kernel.blocks},
                               {"total", json_of(kernel.total)},
                               {"statements", std::move(statements)}});
  }
  return json.dump(2);
}

}  // namespace quern::runtime::simulator
