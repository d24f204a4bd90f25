#include "codegen/cuda/wrapped_line.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace quern::codegen {
namespace {

constexpr std::size_t kLength = 120;

// Where a line may end: before one of these, the loosest first.
constexpr std::string_view kSymbols[] = {"? ", ": ", "|| ", "&& ", "| ", "^ ", "& ", "+ ", "- "};

// How much a break at the space `i` tears apart; negative: none is possible there.
int tightness(std::string_view line, std::size_t i) {
  if (line[i] != ' ' || i == 0) return -1;
  if (line[i - 1] == ',') return 0;
  const std::string_view rest = line.substr(i + 1);
  for (std::size_t s = 0; s < std::size(kSymbols); ++s) {
    if (rest.starts_with(kSymbols[s])) return static_cast<int>(s) + 1;
  }
  return line[i - 1] == '=' ? static_cast<int>(std::size(kSymbols)) + 1 : -1;
}

// The last break before column kLength among the loosest ones, at the fewest parentheses; npos: none.
std::size_t best_break(std::string_view line, std::size_t begin) {
  constexpr int kDepth = 100;
  std::size_t best = line.npos;
  int best_cost = 0, depth = 0;
  for (std::size_t i = 0; i < std::min(line.size(), kLength); ++i) {
    if (line[i] == '(' || line[i] == '[') ++depth;
    if (line[i] == ')' || line[i] == ']') --depth;
    // A break near the start would leave the line as long as it was.
    if (i < begin + (kLength - begin) / 3 || tightness(line, i) < 0) continue;
    const int cost = depth * kDepth + tightness(line, i);
    if (best == line.npos || cost <= best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace

std::string wrapped_line(std::string_view line) {
  const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
  const std::string indent(first + 4, ' ');
  std::string rest(line), result;
  while (rest.size() > kLength) {
    const std::size_t at = best_break(rest, std::min(rest.find_first_not_of(' '), kLength));
    if (at == rest.npos) break;
    result += rest.substr(0, at) + '\n';
    rest = indent + rest.substr(at + 1);
  }
  return result + rest;
}

}  // namespace quern::codegen
