#pragma once
// Runs the command `quern` as a user does: in a folder and with a tuning store of its own.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace quern::test {

using Json = nlohmann::json;

// What a process left behind.
struct Outcome {
  int code = 0;  // of the exit; 128 + N where signal N ended it
  std::string out, err;
};

// How to start one, beside its arguments.
struct Setting {
  std::string input;                             // on standard input
  std::map<std::string, std::string> variables;  // added to the environment
};

// A process that runs. Its output goes to files in `folder`, which is its working directory.
class Process {
 public:
  Process(const std::vector<std::string>& command, const std::filesystem::path& folder, const Setting& setting = {});
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  void send(int signal) const;
  Outcome wait();

 private:
  std::filesystem::path folder_;
  pid_t id_ = -1;
};

class Command : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& bytes) const;
  std::string read(const std::string& name) const;
  // Name and bytes of everything in the store's folder.
  std::map<std::string, std::string> store_files() const;
  // The path of the store's file, QUERN_STORE.
  std::filesystem::path store() const { return folder_ / "store" / "store.db"; }

  Outcome quern(const std::vector<std::string>& arguments, const Setting& setting = {}) const;
  // The standard output of a call that exits with 0.
  std::string output(const std::vector<std::string>& arguments, const Setting& setting = {}) const;
  // The document that a call with --json prints.
  Json document(std::vector<std::string> arguments, const Setting& setting = {}) const;
  // The message of a call that the user got wrong: exit code 2, nothing on standard output, the store as it was.
  std::string refusal(const std::vector<std::string>& arguments, const Setting& setting = {}) const;

  std::filesystem::path folder_;
  std::map<std::string, std::string> variables_;  // of every call
};

// The number of times that `part` stands in `text`.
int count(const std::string& text, const std::string& part);

}  // namespace quern::test
