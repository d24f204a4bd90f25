#include "autotune/records.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace quern::autotune {

Digest id(const WinnerKey& key) {
  return Digest::Builder().add(key.problem.digest).add(key.device).add(key.strategy).add(key.strategy_version).finish();
}

std::string describe(const WinnerKey& key) {
  return fmt::format("{} by {} on {}", key.problem.title, key.strategy, key.device);
}

Digest id_without_compiler(const BinaryKey& key) {
  return Digest::Builder().add(key.program).add(key.schedule).add(key.target).add(key.build).add(key.options).finish();
}

Digest id(const BinaryKey& key) { return Digest::Builder().add(id_without_compiler(key)).add(key.compiler).finish(); }

std::string to_json(const Evidence& evidence) {
  return nlohmann::ordered_json{{"device_name", evidence.device_name},
                                {"driver", evidence.driver},
                                {"compiler", evidence.compiler},
                                {"build", evidence.build},
                                {"verification", evidence.verification},
                                {"time", evidence.time},
                                {"median", evidence.median},
                                {"fallback_median", evidence.fallback_median},
                                {"band", evidence.band},
                                {"tried", evidence.tried},
                                {"rejected", evidence.rejected}}
      .dump();
}

Evidence evidence_from_json(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    return {.device_name = json.at("device_name"),
            .driver = json.at("driver"),
            .compiler = json.at("compiler"),
            .build = json.at("build"),
            .verification = json.at("verification"),
            .time = json.at("time"),
            .median = json.at("median"),
            .fallback_median = json.at("fallback_median"),
            .band = json.at("band"),
            .tried = json.at("tried"),
            .rejected = json.at("rejected")};
  } catch (const nlohmann::json::exception& e) {
    fail("the evidence of a winner does not read: {}", e.what());
  }
}

StoreStatistics& StoreStatistics::operator+=(const StoreStatistics& other) {
  problems += other.problems;
  winners += other.winners;
  candidates += other.candidates;
  samples += other.samples;
  binaries += other.binaries;
  binary_bytes += other.binary_bytes;
  return *this;
}

}  // namespace quern::autotune
