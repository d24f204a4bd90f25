#pragma once
// The tuning store seen from outside: what `quern cache` shows and clears.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quern/export.h"

namespace quern {

// One winner: the best known schedule of a problem on a device.
struct StoredWinner {
  std::string id;       // 32 hexadecimal digits; a beginning that is unique names it too
  std::string title;    // "linear_gelu 512x256x128"
  std::string program;  // of the one kernel
  std::string device;
  std::string strategy;
  std::string schedule;
  std::vector<std::int64_t> shape;
  double seconds = 0;           // median
  double fallback_seconds = 0;  // of the strategy's own choice
  std::int64_t tried = 0;
  std::int64_t rejected = 0;
  std::string compiler;  // "NVRTC 13.0"
  std::string driver;
  std::string time;  // UTC
  std::string verification;
};

// One compiled program.
struct StoredBinary {
  std::string id;
  std::string title;
  std::string schedule;
  std::string target;
  std::int64_t bytes = 0;
};

struct StoreContents {
  std::string path;
  std::vector<StoredWinner> winners;
  std::vector<StoredBinary> binaries;
  std::int64_t candidates = 0;  // measured or rejected, with
  std::int64_t samples = 0;
};

// Where the store lies: `path`, else QUERN_STORE, else in the user's cache folder ($XDG_CACHE_HOME or ~/.cache).
QUERN_API std::string store_path(std::string_view path = {});

// All that is in the store; nothing where there is none yet. Thread-safe.
QUERN_API StoreContents store_contents(std::string_view path = {});

// Removes the entry of that id, or everything where it is empty; returns how many winners and binaries went. Throws
// Error for an id that names none or several, and where the store can't be written.
QUERN_API std::int64_t clear_store(std::string_view id = {}, std::string_view path = {});

}  // namespace quern
