// A compiled program as one file:
//
//   bytes  0 ..  7   "QUERNEXE"
//          8 .. 11   format's major version, little endian: another one is refused
//         12 .. 15   format's minor version
//         16 .. 23   H, bytes of the head
//         24 .. 31   B, bytes of the binary
//         32 .. 63   digest of head and binary, 32 hexadecimal digits
//         64 ..      head: JSON with program, schedule, origins, target, plan
//         64 + H ..  binary: a cubin or an ELF object

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/executable.h"
#include "base/digest.h"
#include "base/error.h"

namespace quern::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint32_t kMajor = 1;
constexpr std::uint32_t kMinor = 0;
constexpr std::size_t kPrefix = 64;
constexpr std::size_t kDigestAt = 32;

static_assert(std::endian::native == std::endian::little);

template <typename T>
void append(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T number_at(std::string_view text, std::size_t at) {
  T value{};
  std::memcpy(&value, text.data() + at, sizeof value);
  return value;
}

std::string digest_of(std::string_view head, std::string_view binary) {
  return to_text(Digest::Builder().add(head).add(binary).finish());
}

std::string_view as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string encode(const Compiled& compiled) {
  const std::string head = Json{{"program", compiled.program.text()},
                                {"schedule", compiled.schedule},
                                {"origins", compiled.origins},
                                {"target", to_text(compiled.target)},
                                {"plan", Json::parse(to_json(compiled.plan))}}
                               .dump();
  const std::string_view binary = as_text(compiled.binary.bytes);
  std::string text(kExecutableMagic);
  append(text, kMajor);
  append(text, kMinor);
  append(text, std::uint64_t{head.size()});
  append(text, std::uint64_t{binary.size()});
  text += digest_of(head, binary);
  text += head;
  text += binary;
  return text;
}

// Whether all of it could be written; else errno says why not.
bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(file, text.data(), text.size());
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

// Into what is no file of its own: a device, a pipe.
void write_into(const std::string& path, std::string_view text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool done = file >= 0 && write_all(file, text);
  const int error = errno;
  if (file >= 0) close(file);
  if (!done) fail("cannot write {}: {}", path, std::strerror(error));
}

// Writes beside the file that `path` names, through links, and moves it there, so that no reader ever sees a part.
void write_whole(const std::string& path, std::string_view text) {
  std::error_code none;
  const std::filesystem::file_status status = std::filesystem::status(path, none);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) return write_into(path, text);
  const std::filesystem::path real = std::filesystem::weakly_canonical(path, none);
  const std::string file_name = real.empty() ? path : real.string();
  std::string temporary = file_name + ".XXXXXX";
  const int file = mkstemp(temporary.data());
  if (file < 0) fail("cannot write {}: {}", path, std::strerror(errno));
  const bool written = write_all(file, text) && fchmod(file, 0644) == 0 && fsync(file) == 0;
  const int error = errno;
  if (close(file) == 0 && written && rename(temporary.c_str(), file_name.c_str()) == 0) return;
  const int reason = written ? errno : error;
  unlink(temporary.c_str());
  fail("cannot write {}: {}", path, std::strerror(reason));
}

[[noreturn]] void fail_damaged(const std::string& path, std::string_view why) {
  fail("{} is damaged: {}; compile the program again", path, why);
}

std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read {}: {}", path, std::strerror(errno));
  try {
    return {std::istreambuf_iterator<char>(file), {}};
  } catch (const std::ios_base::failure& e) {  // a folder opens, but does not read
    fail("cannot read {}: {}", path, e.code().message());
  }
}

Compiled decode(std::string_view head, std::string_view binary) {
  const Json json = Json::parse(head);
  const std::string target = json.at("target");
  const auto* bytes = reinterpret_cast<const std::byte*>(binary.data());
  return {.program = Program::parse(json.at("program").get<std::string>()),
          .target = parse_target(target),
          .schedule = json.at("schedule"),
          .origins = json.at("origins"),
          .plan = plan_from_json(json.at("plan").dump()),
          .binary = {target, {bytes, bytes + binary.size()}},
          .resources = {},
          .times = {}};
}

}  // namespace

void write_artifact(const Compiled& compiled, const std::string& path) { write_whole(path, encode(compiled)); }

Compiled read_artifact(const std::string& path) {
  const std::string text = read_whole(path);
  if (!text.starts_with(kExecutableMagic)) fail("{} is no compiled program; it begins otherwise", path);
  if (text.size() < kPrefix) fail_damaged(path, fmt::format("it has {} bytes of at least {}", text.size(), kPrefix));
  const auto major = number_at<std::uint32_t>(text, 8);
  if (major != kMajor) {
    fail(
        "{} has format version {}.{}, this Quern {} reads {}.x; compile the program again, or use a Quern that reads "
        "it",
        path, major, number_at<std::uint32_t>(text, 12), QUERN_VERSION, kMajor);
  }
  const auto head_bytes = number_at<std::uint64_t>(text, 16);
  const auto binary_bytes = number_at<std::uint64_t>(text, 24);
  const std::uint64_t rest = text.size() - kPrefix;
  if (head_bytes > rest || binary_bytes != rest - head_bytes) {
    fail_damaged(path, fmt::format("it announces {} + {} bytes and holds {}", head_bytes, binary_bytes, rest));
  }
  const std::string_view head = std::string_view(text).substr(kPrefix, head_bytes);
  const std::string_view binary = std::string_view(text).substr(kPrefix + head_bytes);
  if (digest_of(head, binary) != std::string_view(text).substr(kDigestAt, kPrefix - kDigestAt)) {
    fail_damaged(path, "its checksum does not match");
  }
  try {
    return decode(head, binary);
  } catch (const nlohmann::json::exception& e) {
    fail_damaged(path, e.what());
  }
}

}  // namespace quern::api
