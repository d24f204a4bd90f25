#pragma once
// A schedule: how one kernel is computed, as a small value. It is the point of the search space, the stored result, the
// log line, the command-line option and the test input alike. A strategy declares its fields once (FieldList); the
// rest (text, parsing, comparing, hashing) is generic.
//
// Text: the strategy's name, then its fields as name=value in the order of the list; fields at their default may be
// left out when parsing and are always printed: `contraction block=128x128x16 thread=8x8 stages=2 copy=register
// split_k=1`. Thread-safe: values.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quern::compiler {

// The most of any integer of a schedule, so that products of a few of them fit 64 bits.
inline constexpr std::int64_t kMostValue = 65536;

// One field: an integer, a product of integers written 128x64x16, or a word out of a list.
struct Field {
  std::string_view name;
  int parts = 1;                          // integers in it, 1 to 3
  std::int64_t least = 1;                 // of each of them, as kMostValue is the most
  std::vector<std::string_view> words{};  // a word field where not empty: the value is the index
  std::vector<std::int64_t> fallback{0};  // the value where the text leaves it out, `parts` integers
};

struct FieldList {
  std::string_view strategy;
  std::vector<Field> fields;
};

struct Schedule {
  std::string strategy;
  std::vector<std::int64_t> values;  // all fields' integers, in order

  auto operator<=>(const Schedule&) const = default;
};

Schedule default_schedule(const FieldList& list);

// The integer (or its `part`) of a field; InternalError where the list has no such field.
std::int64_t get(const Schedule& schedule, const FieldList& list, std::string_view field, int part = 0);
void set(Schedule& schedule, const FieldList& list, std::string_view field, std::int64_t value, int part = 0);

std::string to_string(const Schedule& schedule, const FieldList& list);

// The strategy's word of a schedule text. The rest is parsed with that strategy's list; Error names the field, what
// stands there and what could.
std::string_view strategy_of(std::string_view text);
Schedule parse_schedule(std::string_view text, const FieldList& list);

// A schedule is legal, or not for a reason that a user can read.
struct Verdict {
  std::string reason;  // empty: legal
  explicit operator bool() const { return reason.empty(); }
};

// Whether every integer is one that its field takes.
Verdict check_ranges(const Schedule& schedule, const FieldList& list);

}  // namespace quern::compiler
