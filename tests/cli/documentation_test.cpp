// docs/json.md lists what --json prints, no more and no less.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/cli/command.h"

namespace quern::test {
namespace {

using Names = std::set<std::string>;

// The fields in the table's row of a document: all, or its own, which stand outside parentheses.
Names documented(const std::string& row, bool own = false) {
  std::ifstream file(QUERN_SOURCE_DIR "/docs/json.md");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| " + row + " |")) continue;
    Names names;
    std::stringstream parts(line.substr(row.size() + 4));
    bool quoted = false;
    std::ptrdiff_t depth = 0;
    for (std::string part; std::getline(parts, part, '`'); quoted = !quoted) {
      if (quoted && !part.starts_with('-') && !(own && depth > 0)) names.insert(part);
      if (!quoted) depth += std::ranges::count(part, '(') - std::ranges::count(part, ')');
    }
    return names;
  }
  ADD_FAILURE() << "no row " << row;
  return {};
}

// The fields of a document and of everything in it, but for those of the parts named.
void collect(const Json& document, const Names& parts, Names& names) {
  if (document.is_object()) {
    for (const auto& [name, value] : document.items()) {
      names.insert(name);
      if (!parts.contains(name)) collect(value, parts, names);
    }
  } else if (document.is_array()) {
    for (const Json& element : document) collect(element, parts, names);
  }
}

Names fields(const Json& document, const Names& parts = {}) {
  Names names;
  collect(document, parts, names);
  return names;
}

// Those of the document itself.
Names own_fields(const Json& document) {
  Names names;
  for (const auto& [name, value] : document.items()) names.insert(name);
  return names;
}

Names operator+(Names a, const Names& b) {
  a.insert(b.begin(), b.end());
  return a;
}

using Documentation = Command;

TEST_F(Documentation, OfJson) {
  const std::vector<std::string> cpu = {"--device", "cpu"};
  const auto print = [&](std::vector<std::string> call) {
    call.insert(call.end(), cpu.begin(), cpu.end());
    return document(call);
  };
  write("one.workloads", "sum | row_sum(m=8, n=64)\n");
  const Names simulation{"simulation"};
  const Names report = documented("report"), check = documented("check"), winner = documented("winner");
  EXPECT_EQ(fields(document({"devices"})), documented("`devices`"));
  EXPECT_EQ(fields(print({"compile", "add(n=8)"})), documented("`compile`") + report);
  const Names emitted = fields(print({"compile", "add(n=8)", "--emit", "tile"}));
  EXPECT_EQ(emitted + fields(print({"compile", "add(n=8)", "--emit", "tile", "-o", "f"})),
            documented("`compile --emit`"));
  EXPECT_EQ(fields(print({"run", "add(n=8)", "--check", "--samples", "1"})) + simulation, documented("`run`") + check);
  const std::vector<std::string> simulated = {"run", "add(n=8)", "--target", "sim:sm_90a", "--check"};
  EXPECT_EQ(fields(document(simulated), simulation) + Names({"seconds", "samples"}), documented("`run`") + check);
  EXPECT_EQ(fields(document({"explain", "add(n=8)", "--simulate"}), simulation), documented("`explain`") + report);
  EXPECT_EQ(own_fields(print({"explain", "add(n=8)"})), documented("report", true));
  const Outcome race = quern({"simulate", QUERN_SOURCE_DIR "/examples/race.kernel", "--json"});
  EXPECT_EQ(race.code, 1);
  EXPECT_EQ(fields(Json::parse(race.out), {"axes"}), documented("simulation") + documented("counts"));
  const Json tuned = print({"tune", "add(n=8)", "--budget", "0"});
  EXPECT_EQ(fields(tuned), documented("`tune`"));
  EXPECT_EQ(own_fields(tuned[0]), documented("`tune`", true));
  EXPECT_EQ(fields(print({"bench", "add(n=8)", "--samples", "1"}), {"report"}), documented("`bench`"));
  EXPECT_EQ(fields(print({"demo", "--workloads", "one.workloads", "--budget", "0"}), {"report", "checks"}),
            documented("`demo`"));
  const Json contents = document({"cache", "ls"});
  EXPECT_EQ(fields(contents, {"winners"}), documented("`cache ls`"));
  EXPECT_EQ(own_fields(contents), documented("`cache ls`", true));
  EXPECT_EQ(fields(contents["winners"]), winner);
  EXPECT_EQ(fields(document({"cache", "show", contents["winners"][0]["id"]})), documented("`cache show`") + winner);
  EXPECT_EQ(fields(document({"cache", "clear"})), documented("`cache clear`"));
  EXPECT_EQ(fields(document({"help", "builders"})), documented("`help builders`"));
}

// Where a library to compare with is there.
TEST_F(Documentation, OfJsonOfComparisons) {
  const Outcome outcome = quern({"bench", "matmul(m=64, n=64, k=64)", "--device", "cpu", "--samples", "1", "--runs",
                                 "1", "--against", "onednn", "--json"});
  if (outcome.code == 2) GTEST_SKIP() << outcome.err;
  const Json document = Json::parse(outcome.out);
  EXPECT_EQ(fields(document, {"geometric_mean"}), documented("`bench --against`"));
}

}  // namespace
}  // namespace quern::test
