#pragma once
// Summaries of samples. Thread-safe.

#include <span>

namespace quern::autotune {

// The middle sample, the mean of the two middle ones of an even number; infinite of none.
double median(std::span<const double> samples);

}  // namespace quern::autotune
