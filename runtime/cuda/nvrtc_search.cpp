// Where NVRTC is found. The order is that of NVIDIA's own cuda-pathfinder, after what the user names.

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "base/error.h"
#include "runtime/cuda/nvrtc_functions.h"

namespace quern::runtime::cuda {
namespace fs = std::filesystem;
namespace {

constexpr int kOldestMajor = 12, kOldestMinor = 8;  // the first to know sm_100a and sm_120a
constexpr const char* kNames[] = {"libnvrtc.so.13", "libnvrtc.so.12"};

fs::path environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? fs::path(value) : fs::path();
}

std::vector<fs::path> subfolders(const fs::path& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  std::ranges::sort(found, std::greater());  // newest Python first
  return found;
}

// The folder of the file that holds this code: the program or libquern.so.
fs::path own_folder() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&own_folder), &self) == 0 || self.dli_fname == nullptr) return {};
  std::error_code ignored;
  return fs::canonical(self.dli_fname, ignored).parent_path();
}

// Wheels of CUDA 13 and of CUDA 12.
void add_wheel(std::vector<fs::path>& folders, const fs::path& packages) {
  for (const char* sub : {"nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"}) {
    std::error_code ignored;
    if (fs::is_directory(packages / sub, ignored)) folders.push_back(packages / sub);
  }
}

}  // namespace

std::vector<fs::path> wheel_folders() {
  std::vector<fs::path> folders;
  std::vector<fs::path> roots = {environment("VIRTUAL_ENV"), environment("CONDA_PREFIX"),
                                 environment("HOME") / ".local", "/usr/local", "/usr"};
  for (const fs::path& root : roots) {
    if (!root.is_absolute()) continue;
    for (const fs::path& python : subfolders(root / "lib", "python3")) {
      for (const char* packages : {"site-packages", "dist-packages"}) add_wheel(folders, python / packages);
    }
  }
  const fs::path own = own_folder();
  for (const fs::path& build : {own, own / ".."}) add_wheel(folders, build / "_cuda");
  return folders;
}

std::string objection_to_version(int major, int minor, std::string_view path) {
  if (major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor)) return {};
  return fmt::format("NVRTC too old: {} is version {}.{}, Quern needs {}.{} or newer", path, major, minor, kOldestMajor,
                     kOldestMinor);
}

// Tries candidates and keeps the reasons for refusing them.
class NvrtcLoader {
 public:
  // Is `file` (a path, or a name for the system loader) a usable NVRTC? It fills `result` then.
  bool accept(const std::string& file, int flags = RTLD_LAZY | RTLD_LOCAL) {
    void* library = dlopen(file.c_str(), flags);
    if (library == nullptr) {
      if ((flags & RTLD_NOLOAD) == 0) refuse(file, dlerror());
      return false;
    }
    static Nvrtc::Functions table;  // one library per process: get() calls this under its lock and once accepted never
    if (!resolve(library, table)) {
      refuse(file, "it lacks NVRTC functions");
      return false;
    }
    int major = 0, minor = 0;
    table.version(&major, &minor);
    Dl_info where{};
    dladdr(reinterpret_cast<void*>(table.version), &where);
    const std::string path = where.dli_fname != nullptr ? where.dli_fname : file;
    if (const std::string objection = objection_to_version(major, minor, path); !objection.empty()) {
      refuse(file, objection.c_str());
      return false;
    }
    open_builtins(path, major, minor);
    result.functions_ = &table;
    result.major_ = major;
    result.minor_ = minor;
    result.path_ = path;
    return true;
  }

  // The library inside `folder`, or `folder` itself when it is a file.
  bool accept_in(const fs::path& folder) {
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored)) return accept(folder.string());
    bool any = false;
    for (const char* name : kNames) {
      if (!fs::exists(folder / name, ignored)) continue;
      any = true;
      if (accept((folder / name).string())) return true;
    }
    if (!any) refuse(folder.string(), "holds no libnvrtc.so.13 or libnvrtc.so.12");
    return false;
  }

  bool search(const fs::path& path) {
    if (!path.empty()) return accept_in(path);
    if (const fs::path named = environment("QUERN_NVRTC"); !named.empty()) return accept_in(named);
    for (const char* name : kNames) {
      if (accept(name, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD)) return true;
    }
    for (const fs::path& folder : wheel_folders()) {
      if (accept_in(folder)) return true;
    }
    for (const char* name : kNames) {
      if (accept(name)) return true;
    }
    for (const fs::path& root : {environment("CUDA_HOME"), environment("CUDA_PATH"), fs::path("/usr/local/cuda")}) {
      if (!root.empty() && accept_in(root / "lib64")) return true;
    }
    return false;
  }

  Nvrtc result;
  std::string reasons;

 private:
  void refuse(const std::string& file, const char* reason) {
    reasons += fmt::format("\n  {}: {}", file, reason != nullptr ? reason : "not found");
  }

  template <typename Function>
  static bool find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
  }

  static bool resolve(void* library, Nvrtc::Functions& f) {
    return find(library, "nvrtcVersion", f.version) && find(library, "nvrtcGetErrorString", f.error_string) &&
           find(library, "nvrtcCreateProgram", f.create) && find(library, "nvrtcDestroyProgram", f.destroy) &&
           find(library, "nvrtcCompileProgram", f.compile) && find(library, "nvrtcGetProgramLogSize", f.log_size) &&
           find(library, "nvrtcGetProgramLog", f.log) && find(library, "nvrtcGetPTXSize", f.ptx_size) &&
           find(library, "nvrtcGetPTX", f.ptx) && find(library, "nvrtcGetCUBINSize", f.cubin_size) &&
           find(library, "nvrtcGetCUBIN", f.cubin);
  }

  // NVRTC opens its builtins by bare name and has no RUNPATH: opened by absolute path from a folder that the loader
  // does not search, every compilation would fail. A copy that is open already serves it.
  static void open_builtins(const std::string& nvrtc, int major, int minor) {
    const fs::path file = fs::path(nvrtc).parent_path() / fmt::format("libnvrtc-builtins.so.{}.{}", major, minor);
    dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
  }
};

const Nvrtc& Nvrtc::get(const fs::path& path) {
  static std::mutex mutex;
  static Nvrtc found;
  const std::lock_guard lock(mutex);
  if (found.functions_ != nullptr) return found;
  NvrtcLoader loader;
  if (!loader.search(path)) {
    fail(
        "no usable NVRTC, which compiles for GPUs. Install NVIDIA's CUDA toolkit {}.{} or newer or its Python wheel "
        "nvidia-cuda-nvrtc, or set QUERN_NVRTC to the library or its folder. Looked for:{}",
        kOldestMajor, kOldestMinor, loader.reasons);
  }
  found = std::move(loader.result);
  return found;
}

}  // namespace quern::runtime::cuda
