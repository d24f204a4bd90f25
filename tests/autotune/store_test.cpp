// The store and its records, in memory and in files.

#include "autotune/store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "autotune/sqlite.h"
#include "tests/ir/message.h"

namespace quern::autotune {
namespace {

using quern::test::contains;
using quern::test::error_of;

WinnerKey key_of(const std::string& program, std::vector<std::int64_t> shape) {
  Digest::Builder digest;
  digest.add(program);
  for (const std::int64_t size : shape) digest.add(size);
  return {{.title = program,
           .program = program,
           .digest = digest.finish(),
           .structure = Digest::Builder().add(program).finish(),
           .shape = std::move(shape)},
          "device",
          "pointwise",
          "1"};
}

Winner winner(const std::string& schedule) {
  Winner w{schedule, {}};
  w.evidence.median = 1.5e-6;
  w.evidence.tried = 7;
  w.evidence.verification = "64 elements";
  return w;
}

class StoreFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "quern_autotune_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path file() const { return folder_ / "sub" / "store.db"; }

  std::filesystem::path folder_;
};

TEST(Evidence, SurvivesItsText) {
  Evidence evidence = winner("s").evidence;
  evidence.device_name = "a \"quoted\" name";
  EXPECT_EQ(evidence_from_json(to_json(evidence)), evidence);
  for (const char* garbage : {"", "{", "[]", "{}", "{\"median\": \"fast\"}"}) {
    EXPECT_FALSE(error_of([&] { evidence_from_json(garbage); }).empty()) << garbage;
  }
}

TEST_F(StoreFile, RecordsAreThereForTheNext) {
  const WinnerKey key = key_of("p", {8});
  {
    Store store(file());
    EXPECT_EQ(store.winner(key), std::nullopt);
    EXPECT_FALSE(std::filesystem::exists(file())) << "reading makes no file";
    store.record(key, Candidate{"slow", {3, 4}, "", "b"});
    store.record(key, Candidate{"bad", {}, "too many registers", "b"});
    store.record(key, Candidate{"fast", {1}, "", "b"});
    store.record(key, Candidate{"fast", {2}, "", "b"});
    store.record(key, winner("fast"));
  }
  Store store(file());
  EXPECT_EQ(store.winner(key), winner("fast"));
  const auto candidates = store.candidates(to_text(id(key)));
  ASSERT_EQ(candidates.size(), 3U);
  EXPECT_EQ(candidates[0], (Candidate{"fast", {1, 2}, "", "b"})) << "samples add up";
  EXPECT_EQ(candidates[2].rejection, "too many registers");
  EXPECT_EQ(store.statistics().samples, 4);
  const auto mode = std::filesystem::status(file()).permissions();
  EXPECT_EQ(mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all),
            std::filesystem::perms::none);
}

TEST_F(StoreFile, NearestIsTheFewestDoublingsAway) {
  Store store(file());
  store.record(key_of("p", {64, 64}), winner("far"));
  store.record(key_of("p", {16, 8}), winner("near"));
  store.record(key_of("q", {8, 8}), winner("another structure"));
  const auto near = store.nearest(key_of("p", {8, 8}));
  ASSERT_EQ(near.size(), 2U);
  EXPECT_EQ(near[0].winner.schedule, "near");
  EXPECT_EQ(near[0].distance, 1);
  EXPECT_EQ(near[0].shape, (std::vector<std::int64_t>{16, 8}));
  EXPECT_EQ(near[1].distance, 6);
}

TEST_F(StoreFile, OneEntryIsErasedByTheBeginningOfItsId) {
  Store store(file());
  const WinnerKey a = key_of("a", {1}), b = key_of("b", {1});
  store.record(a, winner("s"));
  store.record(a, Candidate{"s", {1}, "", ""});
  store.record(b, winner("s"));
  store.erase(to_text(id(a)).substr(0, 12));
  EXPECT_EQ(store.winner(a), std::nullopt);
  EXPECT_EQ(store.statistics().candidates, 0);
  EXPECT_TRUE(store.winner(b).has_value());
  store.record(a, winner("s"));
  EXPECT_TRUE(contains(error_of([&] { store.erase("x"); }), "holds no entry whose id begins with 'x'"));
  EXPECT_TRUE(contains(error_of([&] { store.erase(""); }), "2 entries of the tuning store"));
  store.erase_everything();
  EXPECT_TRUE(store.winners().empty());
}

TEST_F(StoreFile, SeveralWriteAtOnce) {
  std::vector<std::thread> threads(4);
  for (int t = 0; t < 4; ++t) {
    threads[static_cast<std::size_t>(t)] = std::thread([&, t] {
      Store store(file());
      for (int i = 0; i < 20; ++i) store.record(key_of("p", {t, i}), winner("s"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Store(file()).statistics().winners, 80);
}

TEST(InMemory, StoresAreTheirOwn) {
  Store a(":memory:"), b("");
  a.record(key_of("p", {1}), winner("s"));
  EXPECT_EQ(a.location(), ":memory:");
  EXPECT_TRUE(a.winner(key_of("p", {1})).has_value());
  EXPECT_FALSE(b.winner(key_of("p", {1})).has_value());
}

TEST(Sqlite, ErrorsCarryItsWordsAndCode) {
  Connection connection(std::filesystem::path{});
  try {
    connection.execute("SELECT * FROM missing");
    FAIL();
  } catch (const SqliteError& e) {
    EXPECT_STREQ(e.what(), "no such table: missing");
    EXPECT_EQ(e.code(), 1);
  }
  EXPECT_THROW(Connection(std::filesystem::path("/nowhere/at/all.db")), SqliteError);
}

TEST(Sqlite, WhatIsNotCommittedDidNotHappen) {
  Connection connection(std::filesystem::path{});
  connection.execute("CREATE TABLE t(x TEXT)");
  {
    const Transaction rolled_back(connection);
    connection.execute("INSERT INTO t VALUES('a')");
  }
  {
    Transaction transaction(connection);
    Statement(connection, "INSERT INTO t VALUES(?)").bind(std::string_view("b;--")).run();
    transaction.commit();
  }
  Statement rows(connection, "SELECT x FROM t");
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.text(0), "b;--");
  EXPECT_FALSE(rows.step());
}

}  // namespace
}  // namespace quern::autotune
