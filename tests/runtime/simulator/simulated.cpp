#include "tests/runtime/simulator/simulated.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "ir/kernel_parser.h"
#include "ir/kernel_verify.h"

namespace quern::runtime::simulator {

std::set<std::string> Simulated::kinds() const {
  std::set<std::string> all;
  for (const Finding& f : findings) all.insert(std::string(name(f.kind)) + (f.buffer.empty() ? "" : " " + f.buffer));
  return all;
}

const Counts& Simulated::of(const std::string& text) const {
  for (const StatementCounts& s : kernel.statements) {
    if (s.statement.find(text) != std::string::npos) return s.counts;
  }
  throw InternalError("no statement holds " + text);
}

Simulated simulate(const std::string& text, std::vector<std::vector<float>> memory,
                   const std::vector<std::string>& unwritten, const Settings& settings) {
  const ir::Kernel kernel = ir::parse_kernel(text);
  ir::verify(kernel);
  std::vector<KernelArgument> arguments;
  for (std::size_t p = 0; p < memory.size(); ++p) {
    const bool written = std::ranges::find(unwritten, kernel.params[p]->name) == unwritten.end();
    arguments.push_back({std::as_writable_bytes(std::span(memory[p])), written});
  }
  Report report = run_kernel(kernel, {}, arguments, parse_target("sim:sm_90a"), settings);
  Simulated result{std::move(report.findings), std::move(report.kernels.at(0)), std::move(memory)};
  return result;
}

}  // namespace quern::runtime::simulator
