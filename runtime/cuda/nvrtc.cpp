#include "runtime/cuda/nvrtc.h"

#include <charconv>
#include <optional>

#include "base/error.h"
#include "runtime/cuda/nvrtc_functions.h"

namespace quern::runtime::cuda {
namespace {

// One nvrtcProgram.
class Program {
 public:
  using Destroy = decltype(&::nvrtcDestroyProgram);
  explicit Program(Destroy destroy) : destroy_(destroy) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (handle != nullptr) destroy_(&handle);
  }

  nvrtcProgram handle = nullptr;

 private:
  Destroy destroy_;
};

// The number that ends right before `words` in `line`, as in "16 bytes spill stores".
std::optional<int> number_before(std::string_view line, std::string_view words) {
  const auto at = line.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  auto begin = at;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  int value = 0;
  std::from_chars(line.data() + begin, line.data() + at, value);
  return begin < at ? std::optional(value) : std::nullopt;
}

// The text between the first two quotes of `line`.
std::string quoted(std::string_view line) {
  const auto begin = line.find('\'');
  const auto end = line.find('\'', begin + 1);
  return begin == std::string_view::npos || end == std::string_view::npos
             ? std::string()
             : std::string(line.substr(begin + 1, end - begin - 1));
}

std::string numbered(const std::string& source) {
  std::string text;
  int line = 1;
  for (std::size_t at = 0; at < source.size(); ++line) {
    const auto end = std::min(source.find('\n', at), source.size());
    text += fmt::format("{:5} {}\n", line, std::string_view(source).substr(at, end - at));
    at = end + 1;
  }
  return text;
}

}  // namespace

std::vector<KernelResources> parse_resources(std::string_view log) {
  std::vector<KernelResources> kernels;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(std::min(line.size() + 1, log.size()));
    if (line.find("Compiling entry function") != std::string_view::npos) {
      kernels.push_back({.kernel = quoted(line)});
    } else if (!kernels.empty()) {
      KernelResources& k = kernels.back();
      k.stack_bytes = number_before(line, " bytes stack frame").value_or(k.stack_bytes);
      k.spill_store_bytes = number_before(line, " bytes spill stores").value_or(k.spill_store_bytes);
      k.spill_load_bytes = number_before(line, " bytes spill loads").value_or(k.spill_load_bytes);
      k.registers = number_before(line, " registers").value_or(k.registers);
      k.barriers = number_before(line, " barriers").value_or(k.barriers);
      k.shared_bytes = number_before(line, " bytes smem").value_or(k.shared_bytes);
    }
  }
  return kernels;
}

std::string objection_in_log(std::string_view log) {
  if (log.find("serialized") != std::string_view::npos) return "ptxas serialised wgmma instructions";
  const auto at = log.find("setmaxnreg");
  if (at != std::string_view::npos &&
      log.substr(at, log.substr(at).find('\n')).find("ignored") != std::string_view::npos) {
    return "ptxas ignored setmaxnreg";
  }
  return {};
}

CompiledCuda Nvrtc::compile(const std::string& source, const std::string& name, std::string_view arch,
                            const NvrtcOptions& options) const {
  const Functions& f = *functions_;
  const auto check = [&f](nvrtcResult result, std::string_view what) {
    if (result != NVRTC_SUCCESS) throw InternalError(fmt::format("NVRTC: {}: {}", what, f.error_string(result)));
  };
  std::vector<std::string> arguments = {fmt::format("--gpu-architecture={}", arch), "--std=c++17",
                                        "--device-as-default-execution-space", "-Xptxas=-v"};
  // NVRTC's own cache would swallow what ptxas says.
  if (major_ > 12 || minor_ >= 9) arguments.push_back("--no-cache");
  if (major_ > 12 && options.threads > 1) arguments.push_back(fmt::format("--split-compile={}", options.threads));
  if (options.line_info) arguments.push_back("-lineinfo");
  arguments.insert(arguments.end(), options.extra.begin(), options.extra.end());
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());

  Program program(f.destroy);
  check(f.create(&program.handle, source.c_str(), name.c_str(), 0, nullptr, nullptr), "creating a program");
  const nvrtcResult compiled = f.compile(program.handle, static_cast<int>(pointers.size()), pointers.data());

  CompiledCuda result;
  std::size_t size = 0;
  check(f.log_size(program.handle, &size), "reading the log");
  result.log.resize(size);
  check(f.log(program.handle, result.log.data()), "reading the log");
  while (!result.log.empty() && result.log.back() == '\0') result.log.pop_back();

  std::string objection = compiled == NVRTC_SUCCESS ? objection_in_log(result.log) : f.error_string(compiled);
  if (!objection.empty()) {
    throw InternalError(fmt::format("{} ({} of NVRTC {}.{} at {}): {}\n{}\n{}", name, arch, major_, minor_, path_,
                                    objection, result.log, numbered(source)));
  }
  check(f.cubin_size(program.handle, &size), "reading the cubin");
  result.cubin.resize(size);
  check(f.cubin(program.handle, reinterpret_cast<char*>(result.cubin.data())), "reading the cubin");
  check(f.ptx_size(program.handle, &size), "reading the PTX");
  result.ptx.resize(size);
  check(f.ptx(program.handle, result.ptx.data()), "reading the PTX");
  while (!result.ptx.empty() && result.ptx.back() == '\0') result.ptx.pop_back();
  result.kernels = parse_resources(result.log);
  return result;
}

}  // namespace quern::runtime::cuda
