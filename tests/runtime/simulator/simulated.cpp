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

Counts Simulated::total() const {
  Counts sum;
  for (const Counts& c : counts) sum += c;
  return sum;
}

const Counts& Simulated::of(const std::string& text) const {
  for (std::size_t s = 0; s < statements.size(); ++s) {
    if (statements[s].find(text) != std::string::npos) return counts[s];
  }
  throw InternalError("no statement holds " + text);
}

Simulated simulate(const std::string& text, std::vector<std::vector<float>> memory,
                   const std::vector<std::string>& unwritten, const Settings& settings) {
  const ir::Kernel kernel = ir::parse_kernel(text);
  ir::verify(kernel);
  const Target target = parse_target("sim:sm_90a");
  Launch launch(compile_code(kernel, {}, {}), target, settings);
  for (std::size_t d = 0; d < kernel.grid.size(); ++d) launch.code.grid[d] = *ir::as_integer(kernel.grid[d]);
  std::vector<Window> windows(memory.size());
  for (std::size_t p = 0; p < memory.size(); ++p) {
    Window& window = windows[p];
    window.name = kernel.params[p]->name;
    window.data = reinterpret_cast<std::byte*>(memory[p].data());
    window.bytes = static_cast<std::int64_t>(memory[p].size() * sizeof(float));
    window.granule = byte_size(kernel.params[p]->dtype);
    window.shadow.reset(window.bytes / window.granule);
    if (std::ranges::find(unwritten, window.name) == unwritten.end()) window.shadow.set_all_written();
    launch.globals.push_back(&window);
  }
  run(launch);
  Simulated result{std::move(launch.findings), std::move(launch.counts), {}, std::move(memory)};
  for (const Statement& s : launch.code.statements) result.statements.push_back(s.text);
  return result;
}

std::string kernel_text(const std::string& body, int elements, int blocks, int warps) {
  return fmt::format(
      "kernel f (x: f32[{0}], y: f32[{0}]) grid (b in {1}) warps {2} lanes 32 thread (warp, lane) {{\n"
      "  shared s: f32[1024]\n  barrier full: u64[2]\n{3}}}\n",
      elements, blocks, warps, body);
}

}  // namespace quern::runtime::simulator
