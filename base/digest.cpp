#include "base/digest.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstddef>

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

namespace quern {
namespace {

void append_little_endian(std::string& to, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) to.push_back(static_cast<char>(value >> shift & 0xff));
}

std::optional<std::uint64_t> parse_half(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

void Digest::Builder::field(char kind, const void* data, std::size_t size) {
  encoded_.push_back(kind);
  append_little_endian(encoded_, size);
  encoded_.append(static_cast<const char*>(data), size);
}

Digest::Builder& Digest::Builder::add(std::string_view text) {
  field('s', text.data(), text.size());
  return *this;
}

Digest::Builder& Digest::Builder::add(std::int64_t value) {
  encoded_.push_back('i');
  append_little_endian(encoded_, static_cast<std::uint64_t>(value));
  return *this;
}

Digest::Builder& Digest::Builder::add(double value) {
  encoded_.push_back('f');
  append_little_endian(encoded_, std::bit_cast<std::uint64_t>(value));
  return *this;
}

Digest::Builder& Digest::Builder::add(std::span<const std::byte> bytes) {
  field('b', bytes.data(), bytes.size());
  return *this;
}

Digest::Builder& Digest::Builder::add(const Digest& digest) {
  encoded_.push_back('d');
  append_little_endian(encoded_, digest.high);
  append_little_endian(encoded_, digest.low);
  return *this;
}

Digest Digest::Builder::finish() const {
  const XXH128_hash_t hash = XXH3_128bits(encoded_.data(), encoded_.size());
  return {hash.high64, hash.low64};
}

std::string to_text(const Digest& digest) { return fmt::format("{:016x}{:016x}", digest.high, digest.low); }

std::optional<Digest> parse_digest(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  const auto high = parse_half(text.substr(0, 16)), low = parse_half(text.substr(16));
  if (!high || !low) return std::nullopt;
  return Digest{*high, *low};
}

}  // namespace quern
