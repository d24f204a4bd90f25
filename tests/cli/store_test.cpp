// Stores that cannot be used or written: one warning, the right result, and the file as it was.

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "autotune/sqlite.h"
#include "tests/cli/command.h"
#include "tests/ir/message.h"

namespace quern::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTuned = "add(n=64)";

class Stores : public Command {
 protected:
  void TearDown() override {
    if (mounted_) umount(store().parent_path().c_str());
    Command::TearDown();
  }

  void tune() const { output({"tune", kTuned, "--device", "cpu", "--budget", "50ms"}); }

  // A file system of 1 MB as the store's folder; says why there is none.
  std::string mount_small() {
    fs::create_directory(store().parent_path());
    if (mount("tmpfs", store().parent_path().c_str(), "tmpfs", 0, "size=1m,mode=700") != 0) return std::strerror(errno);
    mounted_ = true;
    return "";
  }
  void fill() const {
    std::ofstream file(store().parent_path() / "rest", std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }

  // Where SQLite has no room for its files beside this one it may leave them empty.
  std::string store_file() const { return store_files()["store.db"]; }

  // Tuning and running go on, with one warning each; `origin` tells whether the store was read.
  void expect_one_warning(const std::string& reason, const char* origin) const {
    const std::string before = store_file();
    const Outcome run = quern({"tune", "row_sum(m=8, n=64)", "--device", "cpu", "--budget", "50ms"});
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(count(run.err, "\n"), 1) << run.err;
    EXPECT_TRUE(contains(run.err, "quern: warning: the tuning store " + store().string()));
    EXPECT_TRUE(contains(run.err, reason));
    EXPECT_TRUE(contains(run.err, "Choose another file with QUERN_STORE"));
    const Outcome check = quern({"run", kTuned, "--device", "cpu", "--check"});
    EXPECT_EQ(check.code, 0) << check.err;
    EXPECT_TRUE(contains(check.out, "all 64 elements right"));
    EXPECT_EQ(count(check.err, "\n"), 1) << check.err;
    const Outcome explain = quern({"explain", kTuned, "--device", "cpu"});
    EXPECT_TRUE(contains(explain.out, "[" + std::string(origin) + "]"));
    EXPECT_TRUE(store_file() == before) << "the store has changed";
    const Outcome clear = quern({"cache", "clear"});
    EXPECT_EQ(clear.code, 2) << clear.out;
    EXPECT_TRUE(contains(clear.err, "cannot be changed: "));
    EXPECT_TRUE(store_file() == before) << "the store has changed";
  }

 private:
  bool mounted_ = false;
};

TEST_F(Stores, GoodOnesAreSilent) {
  tune();
  EXPECT_TRUE(contains(output({"explain", kTuned, "--device", "cpu"}), "[store]"));
}

TEST_F(Stores, Corrupt) {
  tune();
  const std::string good = read("store/store.db");
  write("store/store.db", std::string(good.size(), 'x'));
  expect_one_warning("is not used, what is tuned now is kept in memory: file is not a database", "default");
}

TEST_F(Stores, CorruptInside) {
  tune();
  std::string file = read("store/store.db");
  constexpr std::size_t kHeader = 100;
  for (std::size_t at = kHeader; at < file.size(); ++at) file[at] = static_cast<char>(at * 37);
  write("store/store.db", file);
  expect_one_warning("is not used, what is tuned now is kept in memory: database disk image is malformed", "default");
}

TEST_F(Stores, ADamagedEntryIsAMiss) {
  tune();
  autotune::Connection(store()).execute("UPDATE winners SET schedule = schedule || ' '");
  const Outcome run = quern({"run", kTuned, "--device", "cpu", "--check"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(count(run.err, "\n"), 1) << run.err;
  EXPECT_TRUE(contains(run.err, "is damaged: its checksum does not fit; it is not used. Tuning again replaces it; "));
  EXPECT_TRUE(contains(run.out, "all 64 elements right"));
  EXPECT_TRUE(contains(quern({"cache", "ls"}).err, "is damaged: its checksum does not fit"));
  EXPECT_EQ(quern({"tune", kTuned, "--device", "cpu", "--budget", "50ms"}).code, 0);
  EXPECT_EQ(quern({"cache", "ls"}).err, "") << "tuned again";
  autotune::Connection(store()).execute("UPDATE tasks SET id = id || ' '");
  EXPECT_TRUE(contains(quern({"cache", "ls"}).err, "is damaged: its problem is not there"));
}

TEST_F(Stores, Newer) {
  tune();
  autotune::Connection(store()).execute("PRAGMA user_version=99");
  expect_one_warning("a newer Quern wrote it: its version is 99, this Quern reads up to 1", "default");
}

TEST_F(Stores, AnotherApplications) {
  fs::create_directory(store().parent_path());
  fs::permissions(store().parent_path(), fs::perms::owner_all);
  autotune::Connection(store()).execute("CREATE TABLE cookies(name TEXT); INSERT INTO cookies VALUES('precious')");
  fs::permissions(store(), fs::perms::owner_read | fs::perms::owner_write);
  expect_one_warning("it is not a tuning store of Quern", "default");
}

TEST_F(Stores, SomeoneElses) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  tune();
  ASSERT_EQ(chown(store().c_str(), 65534, 65534), 0);
  expect_one_warning(store().string() + " belongs to someone else (user 65534)", "default");
}

TEST_F(Stores, WritableByOthers) {
  tune();
  ASSERT_EQ(chmod(store().c_str(), 0666), 0);
  expect_one_warning("may be written by others (mode 666; chmod go-w mends it)", "default");
}

TEST_F(Stores, InAFolderForEverybody) {
  fs::create_directories(store().parent_path());
  ASSERT_EQ(chmod(store().parent_path().c_str(), 01777), 0);
  const std::string warning = quern({"tune", kTuned, "--device", "cpu", "--budget", "50ms"}).err;
  EXPECT_TRUE(
      contains(warning, "may be written by others (mode 1777). Choose another file with QUERN_STORE (or --store)\n"));
}

TEST_F(Stores, Nowhere) {
  variables_ = {{"QUERN_STORE", ""}, {"XDG_CACHE_HOME", ""}, {"HOME", ""}};
  for (const Outcome& outcome :
       {quern({"tune", kTuned, "--device", "cpu", "--budget", "50ms"}), quern({"cache", "ls"})}) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(count(outcome.err, "\n"), 1) << outcome.err;
    EXPECT_TRUE(contains(outcome.err, "nothing is remembered: neither QUERN_STORE nor XDG_CACHE_HOME nor HOME is set"));
    EXPECT_FALSE(outcome.out.starts_with("\n"));
  }
}

TEST_F(Stores, AFolder) {
  fs::create_directories(store());
  fs::permissions(store().parent_path(), fs::perms::owner_all);
  expect_one_warning(store().string() + " is not a file", "default");
}

TEST_F(Stores, FolderThatCannotBeMade) {
  write("store", "a file");
  const Outcome run = quern({"run", kTuned, "--device", "cpu", "--check"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(count(run.err, "quern: warning: "), 1) << run.err;
}

TEST_F(Stores, ReadOnly) {
  if (const std::string why = mount_small(); !why.empty()) GTEST_SKIP() << "no tmpfs can be mounted: " << why;
  tune();
  ASSERT_EQ(mount("", store().parent_path().c_str(), "", MS_REMOUNT | MS_RDONLY, nullptr), 0) << std::strerror(errno);
  expect_one_warning("cannot be written, what is tuned now is kept in memory: it is read-only", "store");
}

// The rights of files do not bind root, so that this one is for everybody else.
TEST_F(Stores, ReadOnlyFile) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write every file";
  tune();
  fs::permissions(store(), fs::perms::owner_read);
  fs::permissions(store().parent_path(), fs::perms::owner_read | fs::perms::owner_exec);
  expect_one_warning("cannot be written, what is tuned now is kept in memory: ", "store");
  fs::permissions(store().parent_path(), fs::perms::owner_all);
}

TEST_F(Stores, OnAFullDisk) {
  if (const std::string why = mount_small(); !why.empty()) GTEST_SKIP() << "no tmpfs can be mounted: " << why;
  tune();
  fill();
  expect_one_warning("cannot be written, what is tuned now is kept in memory: the disk is full", "store");
  EXPECT_TRUE(contains(quern({"cache", "clear"}).err, "cannot be changed: the disk is full"));
}

TEST_F(Stores, ToBeMadeOnAFullDisk) {
  if (const std::string why = mount_small(); !why.empty()) GTEST_SKIP() << "no tmpfs can be mounted: " << why;
  fill();
  const Outcome run = quern({"tune", kTuned, "--device", "cpu", "--budget", "50ms"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(count(run.err, "\n"), 1) << run.err;
  EXPECT_TRUE(contains(run.err, "database or disk is full"));
}

// The disk fills up while binaries are written.
TEST_F(Stores, OnADiskThatFillsUp) {
  if (const std::string why = mount_small(); !why.empty()) GTEST_SKIP() << "no tmpfs can be mounted: " << why;
  const Outcome run = quern({"tune", "matmul(m=64, n=64, k=64)", "--device", "cpu", "--budget", "100ms"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_LE(count(run.err, "\n"), 1) << run.err;
  EXPECT_TRUE(contains(run.out, "matmul 64x64x64"));
}

// Option before QUERN_STORE before XDG_CACHE_HOME before HOME.
TEST_F(Stores, Location) {
  const auto path_of = [&](std::map<std::string, std::string> variables, std::vector<std::string> more = {}) {
    variables_ = std::move(variables);
    more.insert(more.begin(), {"cache", "ls"});
    return document(more)["path"].get<std::string>();
  };
  EXPECT_EQ(path_of({{"QUERN_STORE", "/a/s.db"}, {"XDG_CACHE_HOME", "/x"}}, {"--store", "/b/s.db"}), "/b/s.db");
  EXPECT_EQ(path_of({{"QUERN_STORE", "/a/s.db"}, {"XDG_CACHE_HOME", "/x"}}), "/a/s.db");
  EXPECT_EQ(path_of({{"QUERN_STORE", ""}, {"XDG_CACHE_HOME", "/x"}, {"HOME", "/h"}}), "/x/quern/store.db");
  EXPECT_EQ(path_of({{"QUERN_STORE", ""}, {"XDG_CACHE_HOME", "x"}, {"HOME", "/h"}}), "/h/.cache/quern/store.db");
  EXPECT_EQ(path_of({{"QUERN_STORE", ""}, {"XDG_CACHE_HOME", ""}, {"HOME", "/h"}}), "/h/.cache/quern/store.db");
}

}  // namespace
}  // namespace quern::test
