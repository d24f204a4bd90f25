#include "bench/library.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

#include "base/error.h"

namespace quern::bench {
namespace fs = std::filesystem;
namespace {

fs::path environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? fs::path(value) : fs::path();
}

void add_wheels(std::vector<fs::path>& folders, const fs::path& root) {
  std::error_code ignored;
  for (const auto& python : fs::directory_iterator(root / "lib", ignored)) {
    if (!python.path().filename().string().starts_with("python3")) continue;
    for (const char* packages : {"site-packages", "dist-packages"}) {
      for (const char* wheel : {"nvidia/cu13/lib", "nvidia/cudnn/lib"}) {
        const fs::path folder = python.path() / packages / wheel;
        if (fs::is_directory(folder, ignored)) folders.push_back(folder);
      }
    }
  }
}

// The roots of the Pythons that would run, such as those of virtual environments.
std::vector<fs::path> python_roots() {
  std::vector<fs::path> roots = {environment("VIRTUAL_ENV"), environment("CONDA_PREFIX"),
                                 environment("HOME") / ".local", "/usr/local", "/usr"};
  std::stringstream path(environment("PATH").string());
  for (std::string folder; std::getline(path, folder, ':');) {
    std::error_code ignored;
    const fs::path root = fs::path(folder).parent_path();
    const bool known = std::ranges::find(roots, root) != roots.end();
    if (!known && fs::exists(fs::path(folder) / "python3", ignored)) roots.push_back(root);
  }
  return roots;
}

std::vector<fs::path> search_folders() {
  std::vector<fs::path> folders;
  for (const fs::path& root : {environment("CUDA_HOME"), environment("CUDA_PATH"), fs::path("/usr/local/cuda")}) {
    if (!root.empty()) folders.push_back(root / "lib64");
  }
  for (const fs::path& root : python_roots()) {
    if (root.is_absolute()) add_wheels(folders, root);
  }
  return folders;
}

// A handle, or null with a line per place in `reasons`.
void* open_anywhere(const std::string& name, int flags, std::string& reasons) {
  if (void* handle = dlopen(name.c_str(), flags)) return handle;
  reasons += fmt::format("\n  {}: {}", name, dlerror());
  for (const fs::path& folder : search_folders()) {
    const fs::path file = folder / name;
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
      reasons += fmt::format("\n  {}: no such file", file.string());
      continue;
    }
    if (void* handle = dlopen(file.c_str(), flags)) return handle;
    reasons += fmt::format("\n  {}: {}", file.string(), dlerror());
  }
  return nullptr;
}

}  // namespace

Library Library::open(std::string_view peer, const std::string& name, std::string_view remedy) {
  std::string reasons;
  void* handle = open_anywhere(name, RTLD_LAZY | RTLD_LOCAL, reasons);
  if (handle == nullptr)
    fail("{} cannot be compared with: {} is missing. {}. Looked for:{}", peer, name, remedy, reasons);
  const link_map* map = nullptr;
  const bool known = dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr;
  return {handle, known ? map->l_name : name};
}

void Library::preload(std::span<const std::string_view> names) {
  std::string unsaid;
  for (const std::string_view name : names) open_anywhere(std::string(name), RTLD_LAZY | RTLD_GLOBAL, unsaid);
}

void* Library::address(const char* name) const {
  void* found = dlsym(handle_, name);
  if (found == nullptr) fail("{} has no function {}: another version is needed", path_, name);
  return found;
}

}  // namespace quern::bench
