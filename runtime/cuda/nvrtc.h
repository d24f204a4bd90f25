#pragma once
// CUDA C to machine code through NVRTC, opened with dlopen. Needs no GPU and no driver. Thread-safe throughout; NVRTC
// itself compiles in parallel.

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace quern::runtime::cuda {

struct NvrtcOptions {
  bool line_info = false;          // source lines for profilers
  int threads = 1;                 // that compile kernels of the source side by side, where NVRTC can
  std::vector<std::string> extra;  // further NVRTC options, such as "--fmad=false"
};

// What ptxas says of one kernel.
struct KernelResources {
  std::string kernel;
  int registers = 0;
  int stack_bytes = 0;
  int spill_store_bytes = 0;
  int spill_load_bytes = 0;
  int shared_bytes = 0;  // static
  int barriers = 0;
  bool operator==(const KernelResources&) const = default;
};

struct CompiledCuda {
  std::vector<std::byte> cubin;
  std::string ptx;
  std::string log;  // of the compiler and of ptxas -v
  std::vector<KernelResources> kernels;
};

class Nvrtc {
 public:
  // The library of this process: the one at `path` (a file, or the folder that holds it), else at $QUERN_NVRTC, else
  // one that is loaded already, else from NVIDIA's Python wheels, build/_cuda beside this program, the system loader,
  // or a toolkit (CUDA_HOME, CUDA_PATH, /usr/local/cuda). Throws Error listing what was looked for and why each
  // candidate was refused. Once found it stays for the life of the process.
  static const Nvrtc& get(const std::filesystem::path& path = {});

  // Compiles `source` for `arch` ("sm_90a"). `name` stands for the file in messages and, with line_info, in profilers:
  // give an absolute path where the source is kept. Throws InternalError with the log when the text does not compile,
  // when wgmma instructions were serialised or when setmaxnreg was ignored: what Quern generates never should.
  CompiledCuda compile(const std::string& source, const std::string& name, std::string_view arch,
                       const NvrtcOptions& options = {}) const;

  int version_major() const { return major_; }
  int version_minor() const { return minor_; }
  const std::string& path() const { return path_; }  // of the library's file

 private:
  struct Functions;
  friend class NvrtcLoader;
  Nvrtc() = default;

  const Functions* functions_ = nullptr;
  int major_ = 0, minor_ = 0;
  std::string path_;
};

// Kernels and their resources as ptxas -v printed them into `log`.
std::vector<KernelResources> parse_resources(std::string_view log);

// Why code with this log must not be used although it compiled; empty: no objection.
std::string objection_in_log(std::string_view log);

// "NVRTC too old: ..." when version major.minor of the library at `path` does not know all of our architectures.
std::string objection_to_version(int major, int minor, std::string_view path);

// Folders in which NVIDIA's Python wheels put libnvrtc, in the order of search. Only existing ones.
std::vector<std::filesystem::path> wheel_folders();

}  // namespace quern::runtime::cuda
