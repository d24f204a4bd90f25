// SASS by NVIDIA's tools, where they are installed.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>

#include "api/executable.h"
#include "base/error.h"

extern char** environ;  // NOLINT: POSIX leaves its declaration to the program

namespace quern::api {
namespace {

namespace fs = std::filesystem;

// A tool and the options with which it prints a cubin.
struct Tool {
  const char* name;
  const char* option;
};
constexpr std::array kTools = {Tool{"nvdisasm", "--print-line-info"}, Tool{"cuobjdump", "--dump-sass"}};

std::vector<fs::path> tool_folders() {
  std::vector<fs::path> folders;
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  std::istringstream path(variable("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    if (!folder.empty()) folders.emplace_back(folder);
  }
  for (const char* home : {"CUDA_HOME", "CUDA_PATH"}) {
    if (!variable(home).empty()) folders.push_back(fs::path(variable(home)) / "bin");
  }
  folders.emplace_back("/usr/local/cuda/bin");
  return folders;
}

std::pair<fs::path, const Tool*> find_tool() {
  for (const Tool& tool : kTools) {
    for (const fs::path& folder : tool_folders()) {
      if (access((folder / tool.name).c_str(), X_OK) == 0) return {folder / tool.name, &tool};
    }
  }
  fail(
      "SASS needs nvdisasm or cuobjdump; neither is in PATH, CUDA_HOME/bin, CUDA_PATH/bin or /usr/local/cuda/bin. They "
      "come with the CUDA toolkit; `--emit cubin -o F` writes what they read");
}

// A file that is gone with its owner.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::vector<std::byte>& bytes) : path_(fs::temp_directory_path() / "quern_XXXXXX") {
    const int file = mkstemp(path_.data());
    if (file < 0) fail("cannot write {}: {}", path_, std::strerror(errno));
    const ssize_t written = write(file, bytes.data(), bytes.size());
    close(file);
    if (written != static_cast<ssize_t>(bytes.size())) {
      unlink(path_.c_str());
      fail("cannot write {} bytes to {}: {}", bytes.size(), path_, std::strerror(errno));
    }
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { unlink(path_.c_str()); }
  std::string& path() { return path_; }

 private:
  std::string path_;
};

// What the command prints. Error where it fails, with what it said.
std::string output_of(std::string tool, std::string option, std::string file) {
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) fail("cannot run {}: {}", tool, std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
  std::array<char*, 4> arguments = {tool.data(), option.data(), file.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawn(&child, tool.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  std::string text;
  if (error == 0) {
    std::array<char, 4096> part{};
    for (ssize_t count = 0; (count = read(pipe_ends[0], part.data(), part.size())) != 0;) {
      if (count > 0) text.append(part.data(), static_cast<std::size_t>(count));
      if (count < 0 && errno != EINTR) break;
    }
  }
  close(pipe_ends[0]);
  if (error != 0) fail("cannot run {}: {}", tool, std::strerror(error));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("{} {} failed: {}", tool, option, text);
  return text;
}

}  // namespace

std::string disassemble(const std::vector<std::byte>& cubin) {
  const auto [path, tool] = find_tool();
  TemporaryFile file(cubin);
  return output_of(path.string(), tool->option, file.path());
}

}  // namespace quern::api
