#include "base/log.h"

#include <memory>
#include <mutex>
#include <utility>

namespace quern {
namespace {

struct State {
  std::mutex mutex;
  std::shared_ptr<const LogCallback> callback;
};

// Never destroyed: threads and destructors may log while the process exits.
State& state() {
  static State& instance = *new State;
  return instance;
}

// The callback runs outside the lock, so that it may log and set callbacks itself.
void send(LogLevel level, std::string_view message) noexcept {
  try {
    std::shared_ptr<const LogCallback> callback;
    {
      const std::lock_guard lock(state().mutex);
      callback = state().callback;
    }
    if (callback) (*callback)(level, message);
  } catch (...) {
    // A message is not worth the caller's work.
  }
}

}  // namespace

void set_log_callback(LogCallback callback) {
  auto next = callback ? std::make_shared<const LogCallback>(std::move(callback)) : nullptr;
  const std::lock_guard lock(state().mutex);
  state().callback.swap(next);
}

void log_info(std::string_view message) noexcept { send(LogLevel::info, message); }
void log_warning(std::string_view message) noexcept { send(LogLevel::warning, message); }

}  // namespace quern
