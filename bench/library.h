#pragma once
// Peers' libraries, opened at run time and never linked.

#include <span>
#include <string>
#include <string_view>

namespace quern::bench {

// One opened library; it stays open to the end of the process. Copies are the same.
class Library {
 public:
  // Opens `name` by the system loader, else from the folders of CUDA_HOME, CUDA_PATH, /usr/local/cuda and of NVIDIA's
  // wheels in the Pythons that are found. Throws Error naming the peer, what was looked for, where, and `remedy`.
  static Library open(std::string_view peer, const std::string& name, std::string_view remedy);

  // Opens what is found of `names` for other libraries to find by name; says nothing of the rest.
  static void preload(std::span<const std::string_view> names);

  // Sets `function` to the one of that name. Throws Error where the library lacks it.
  template <typename Function>
  void find(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(address(name));
  }

  const std::string& path() const { return path_; }

 private:
  Library(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  void* address(const char* name) const;

  void* handle_;
  std::string path_;
};

}  // namespace quern::bench
