#include "autotune/statistics.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace quern::autotune {

double median(std::span<const double> samples) {
  if (samples.empty()) return std::numeric_limits<double>::infinity();
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

}  // namespace quern::autotune
