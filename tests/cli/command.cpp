#include "tests/cli/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>

#include "quern/error.h"

namespace quern::test {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// This process' environment, but for `variables`.
std::vector<std::string> environment(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!variables.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : variables) all.emplace_back(name).append("=").append(value);
  return all;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const fs::path& folder, const Setting& setting)
    : folder_(folder) {
  write_file(folder / "stdin", setting.input);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "stdin", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "stdout", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const std::vector<std::string> variables = environment(setting.variables);
  const int error = posix_spawnp(&id_, command.at(0).c_str(), &actions, nullptr, pointers(command).data(),
                                 pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Error(command.at(0) + ": " + std::strerror(error));
}

Process::~Process() {
  if (id_ < 0) return;
  send(SIGKILL);
  wait();
}

void Process::send(int signal) const { kill(id_, signal); }

Outcome Process::wait() {
  int status = 0;
  waitpid(id_, &status, 0);
  id_ = -1;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, read_file(folder_ / "stdout"), read_file(folder_ / "stderr")};
}

void Command::SetUp() {
  std::string pattern = (fs::temp_directory_path() / "quern_cli_XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr) << std::strerror(errno);
  folder_ = pattern;
  variables_ = {{"QUERN_STORE", store().string()}};
}

void Command::TearDown() { fs::remove_all(folder_); }

void Command::write(const std::string& name, const std::string& bytes) const { write_file(folder_ / name, bytes); }
std::string Command::read(const std::string& name) const { return read_file(folder_ / name); }

std::map<std::string, std::string> Command::store_files() const {
  std::map<std::string, std::string> files;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(store().parent_path(), missing)) {
    files[entry.path().filename().string()] = entry.is_regular_file() ? read_file(entry.path()) : "";
  }
  return files;
}

Outcome Command::quern(const std::vector<std::string>& arguments, const Setting& setting) const {
  std::vector<std::string> command = {QUERN_COMMAND};
  command.insert(command.end(), arguments.begin(), arguments.end());
  Setting all = setting;
  all.variables.insert(variables_.begin(), variables_.end());
  return Process(command, folder_, all).wait();
}

std::string Command::output(const std::vector<std::string>& arguments, const Setting& setting) const {
  const Outcome outcome = quern(arguments, setting);
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}

Json Command::document(std::vector<std::string> arguments, const Setting& setting) const {
  arguments.emplace_back("--json");
  const std::string text = output(arguments, setting);
  Json document = Json::parse(text, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << text;
  return document;
}

std::string Command::refusal(const std::vector<std::string>& arguments, const Setting& setting) const {
  const auto before = store_files();
  const Outcome outcome = quern(arguments, setting);
  EXPECT_EQ(outcome.code, 2) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("quern: ")) << outcome.err;
  EXPECT_EQ(count(outcome.err, "quern: "), 1) << outcome.err;
  EXPECT_TRUE(store_files() == before) << "the store has changed";
  return outcome.err;
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

}  // namespace quern::test
