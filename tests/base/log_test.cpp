#include "base/log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace quern {
namespace {

class Log : public testing::Test {
 protected:
  ~Log() override { set_log_callback({}); }
};

TEST_F(Log, IsSilentByDefault) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  log_info("note");
  log_warning("warning");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Log, MessagesReachTheCallbackWithTheirLevel) {
  std::vector<std::string> seen;
  set_log_callback([&](LogLevel level, std::string_view message) {
    seen.push_back((level == LogLevel::warning ? "W " : "I ") + std::string(message));
  });
  log_info("one");
  log_warning("two");
  set_log_callback({});
  log_warning("three");
  EXPECT_EQ(seen, (std::vector<std::string>{"I one", "W two"}));
}

TEST_F(Log, WhatTheCallbackThrowsIsDropped) {
  set_log_callback([](LogLevel, std::string_view) { throw std::runtime_error("full disk"); });
  log_warning("message");
}

TEST_F(Log, ACallbackMayLogAndReplaceItself) {
  int calls = 0;
  set_log_callback([&](LogLevel, std::string_view) {
    ++calls;
    set_log_callback({});
    log_warning("nobody listens any more");
  });
  log_warning("message");
  EXPECT_EQ(calls, 1);
}

TEST_F(Log, ManyThreadsLogWhileTheCallbackChanges) {
  std::atomic<int> calls = 0;
  const auto count = [&calls](LogLevel, std::string_view) { ++calls; };
  set_log_callback(count);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) log_warning("message");
    });
  }
  for (int i = 0; i < 1000; ++i) set_log_callback(count);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, 4000);
}

}  // namespace
}  // namespace quern
