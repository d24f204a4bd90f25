#include "compiler/schedule.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/error.h"

namespace quern::compiler {
namespace {

struct Slot {
  const Field* field;
  std::size_t first;
};

Slot find(const FieldList& list, std::string_view name) {
  std::size_t first = 0;
  for (const Field& field : list.fields) {
    if (field.name == name) return {&field, first};
    first += static_cast<std::size_t>(field.parts);
  }
  return {nullptr, first};
}

std::string known_fields(const FieldList& list) {
  std::string text;
  for (const Field& field : list.fields) text += fmt::format("{}{}", text.empty() ? "" : ", ", field.name);
  return text;
}

std::string join(std::span<const std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text += fmt::format("{}{}", text.empty() ? "" : ", ", word);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string value_text(const Field& field, std::span<const std::int64_t> values) {
  if (!field.words.empty()) return std::string(field.words[static_cast<std::size_t>(values[0])]);
  return fmt::format("{}", fmt::join(values.first(static_cast<std::size_t>(field.parts)), "x"));
}

void parse_field(Schedule& schedule, const FieldList& list, std::string_view item) {
  const std::size_t equals = item.find('=');
  const std::string_view name = item.substr(0, equals);
  const Slot slot = find(list, name);
  if (equals == std::string_view::npos || !slot.field) {
    fail("schedule '{}': '{}' is not a field; write name=value with one of: {}", list.strategy, item,
         known_fields(list));
  }
  const std::string_view value = item.substr(equals + 1);
  if (!slot.field->words.empty()) {
    for (std::size_t w = 0; w < slot.field->words.size(); ++w) {
      if (slot.field->words[w] == value) {
        schedule.values[slot.first] = static_cast<std::int64_t>(w);
        return;
      }
    }
    fail("schedule '{}': {} cannot be '{}'; it is one of: {}", list.strategy, name, value, join(slot.field->words));
  }
  const std::vector<std::string_view> parts = split(value, 'x');
  if (parts.size() != static_cast<std::size_t>(slot.field->parts)) {
    fail("schedule '{}': {} takes {} integers joined by 'x', '{}' has {}", list.strategy, name, slot.field->parts,
         value, parts.size());
  }
  for (std::size_t p = 0; p < parts.size(); ++p) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(parts[p].data(), parts[p].data() + parts[p].size(), number);
    if (error != std::errc() || end != parts[p].data() + parts[p].size() || number < 0) {
      fail("schedule '{}': {} takes integers from {} to {}, '{}' is not one", list.strategy, name, slot.field->least,
           kMostValue, parts[p]);
    }
    schedule.values[slot.first + p] = number;
  }
}

}  // namespace

Schedule default_schedule(const FieldList& list) {
  Schedule schedule{std::string(list.strategy), {}};
  for (const Field& field : list.fields) {
    schedule.values.insert(schedule.values.end(), field.fallback.begin(), field.fallback.end());
  }
  return schedule;
}

std::int64_t get(const Schedule& schedule, const FieldList& list, std::string_view field, int part) {
  const Slot slot = find(list, field);
  ensure(slot.field != nullptr && part < slot.field->parts, "a schedule's field exists");
  return schedule.values[slot.first + static_cast<std::size_t>(part)];
}

void set(Schedule& schedule, const FieldList& list, std::string_view field, std::int64_t value, int part) {
  const Slot slot = find(list, field);
  ensure(slot.field != nullptr && part < slot.field->parts, "a schedule's field exists");
  schedule.values[slot.first + static_cast<std::size_t>(part)] = value;
}

std::string to_string(const Schedule& schedule, const FieldList& list) {
  std::string text(list.strategy);
  std::span<const std::int64_t> rest = schedule.values;
  for (const Field& field : list.fields) {
    text += fmt::format(" {}={}", field.name, value_text(field, rest));
    rest = rest.subspan(static_cast<std::size_t>(field.parts));
  }
  return text;
}

std::string_view strategy_of(std::string_view text) { return text.substr(0, text.find(' ')); }

Schedule parse_schedule(std::string_view text, const FieldList& list) {
  Schedule schedule = default_schedule(list);
  bool first = true;
  std::set<std::string_view> given;
  for (const std::string_view item : split(text, ' ')) {
    if (item.empty()) continue;
    const std::string_view name = item.substr(0, item.find('='));
    if (!given.insert(name).second) fail("schedule '{}': {} is given twice", text, name);
    if (first) {
      if (item != list.strategy) fail("schedule '{}': expected the strategy '{}' first", text, list.strategy);
      first = false;
    } else {
      parse_field(schedule, list, item);
    }
  }
  return schedule;
}

Verdict check_ranges(const Schedule& schedule, const FieldList& list) {
  std::span<const std::int64_t> rest = schedule.values;
  for (const Field& field : list.fields) {
    const auto own = rest.first(static_cast<std::size_t>(field.parts));
    rest = rest.subspan(own.size());
    if (!field.words.empty()) continue;
    if (std::ranges::all_of(own, [&](std::int64_t v) { return v >= field.least && v <= kMostValue; })) continue;
    return {
        fmt::format("{}={} is out of range, {} to {}", field.name, value_text(field, own), field.least, kMostValue)};
  }
  return {};
}

}  // namespace quern::compiler
