#pragma once
// 128-bit digests of structured data (XXH3-128), for keys of stores and caches. Not for defence against forgery.
// Every field is written with its kind and its length, so no two different sequences of fields hash the same text.
// Stable over builds, machines and time: a change here empties every store. Thread-safe: plain values.

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace quern {

struct Digest {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  auto operator<=>(const Digest&) const = default;

  class Builder;
};

// Collects fields, then hashes them. The integer overload takes every integral type, bool included.
class Digest::Builder {
 public:
  Builder& add(std::string_view text);
  Builder& add(const char* text) { return add(std::string_view(text)); }
  Builder& add(std::int64_t value);
  Builder& add(int value) { return add(std::int64_t{value}); }
  Builder& add(bool value) { return add(std::int64_t{value}); }
  Builder& add(double value);  // by bits: -0 and 0 differ
  Builder& add(std::span<const std::byte> bytes);
  Builder& add(const Digest& digest);

  // The digest of the fields so far.
  Digest finish() const;

 private:
  void field(char kind, const void* data, std::size_t size);

  std::string encoded_;
};

// 32 hexadecimal digits, lower case.
std::string to_text(const Digest& digest);

// The digest written so, or nothing.
std::optional<Digest> parse_digest(std::string_view text);

}  // namespace quern
