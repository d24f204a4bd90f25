#pragma once
// What the tuning store keeps: winners with their evidence, candidates with their samples, binaries with their plans,
// and the keys of each. Values.

#include <cstdint>
#include <string>
#include <vector>

#include "autotune/problem.h"
#include "base/digest.h"
#include "base/plan.h"
#include "runtime/device.h"

namespace quern::autotune {

// What one winner is for. Builds are no part of it: they are evidence.
struct WinnerKey {
  Problem problem;
  std::string device;  // device_identity()
  std::string strategy;
  std::string strategy_version;  // strategy_version()
};

Digest id(const WinnerKey& key);
// For messages: "linear_gelu at 512x512x512 by contraction on Intel Xeon ...".
std::string describe(const WinnerKey& key);

// Why a winner is one.
struct Evidence {
  std::string device_name;
  std::string driver;          // version of the driver; empty on the CPU
  std::string compiler;        // "NVRTC 13.0", "LLVM 19.1.7"
  std::string build;           // build_digest()
  std::string verification;    // what was checked, with the worst error over its bound
  std::string time;            // when, UTC
  double median = 0;           // seconds
  double fallback_median = 0;  // of the strategy's fallback, seconds
  double band = 0;             // medians within this share of the best count as equal
  std::int64_t tried = 0;      // candidates measured
  std::int64_t rejected = 0;   // candidates illegal, not compiling, or wrong
  bool operator==(const Evidence&) const = default;
};

std::string to_json(const Evidence& evidence);
Evidence evidence_from_json(const std::string& json);  // throws Error for garbage

struct Winner {
  std::string schedule;
  Evidence evidence;
  bool operator==(const Winner&) const = default;
};

// One schedule that was tried, or was not worth trying.
struct Candidate {
  std::string schedule;
  std::vector<double> samples;  // seconds, in the order of measuring
  std::string rejection;        // why it cannot win; empty: it could
  std::string build;
  bool operator==(const Candidate&) const = default;
};

// Everything that can change a binary's bytes.
struct BinaryKey {
  Digest program;        // of the whole program's canonical text
  std::string schedule;  // of all its kernels
  std::string target;    // target_key()
  std::string build;
  std::string compiler;  // empty: whichever made it, where no compiler is at hand
  std::string options;
};

Digest id(const BinaryKey& key);
Digest id_without_compiler(const BinaryKey& key);

struct StoredBinary {
  std::string title;     // for people
  std::string schedule;  // of all its kernels: the key's, or what a default gave way to
  Plan plan;
  runtime::Binary binary;
};

// A row of `cache ls` and `cache show`.
struct WinnerEntry {
  std::string id;  // 32 hexadecimal digits
  std::string title, program, device, strategy;
  std::vector<std::int64_t> shape;
  Winner winner;
};

struct BinaryEntry {
  std::string id;
  std::string title, schedule, target;
  std::int64_t bytes = 0;
};

struct StoreStatistics {
  std::int64_t problems = 0, winners = 0, candidates = 0, samples = 0, binaries = 0, binary_bytes = 0;
  StoreStatistics& operator+=(const StoreStatistics& other);
};

}  // namespace quern::autotune
