// Comparing outputs with the reference evaluator.

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "api/cost.h"
#include "api/host.h"
#include "base/error.h"
#include "ir/bounds.h"
#include "quern/host.h"

namespace quern {
namespace {

using Coordinate = ir::Coordinate;

// Above this many operations elements are chosen, this many at least.
constexpr double kAllOperations = 1e8;
constexpr std::int64_t kChosen = 4096;
// Places where kernels' tiles begin and end, for every tile size in use; edges lie to both sides of them.
constexpr std::int64_t kTileEdge = 32;

Coordinate unflatten(std::int64_t flat, const std::vector<std::int64_t>& shape) {
  Coordinate at(shape.size());
  for (std::size_t d = shape.size(); d-- > 0;) {
    at[d] = flat % shape[d];
    flat /= shape[d];
  }
  return at;
}

std::int64_t flatten(const Coordinate& at, const std::vector<std::int64_t>& shape) {
  std::int64_t flat = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) flat = flat * shape[d] + at[d];
  return flat;
}

// SplitMix64.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// First and last places of a dimension, and those around the last multiple of a tile.
std::vector<std::int64_t> edges(std::int64_t extent) {
  std::set<std::int64_t> places = {0, extent - 1};
  const std::int64_t last_tile = (extent - 1) / kTileEdge * kTileEdge;
  for (const std::int64_t place : {last_tile - 1, last_tile, kTileEdge - 1, kTileEdge}) {
    if (place >= 0 && place < extent) places.insert(place);
  }
  return {places.begin(), places.end()};
}

// All corners and tile edges (at most as many as are chosen at random), then seeded places.
std::vector<Coordinate> choose(const std::vector<std::int64_t>& shape, std::int64_t elements, std::uint64_t seed) {
  std::set<std::int64_t> flat = {0};
  std::vector<Coordinate> corners = {{}};
  for (const std::int64_t extent : shape) {
    std::vector<Coordinate> longer;
    for (const Coordinate& corner : corners) {
      for (const std::int64_t place : edges(extent)) {
        longer.push_back(corner);
        longer.back().push_back(place);
      }
    }
    corners = std::move(longer);
    if (corners.size() > static_cast<std::size_t>(kChosen)) corners.resize(kChosen);
  }
  for (const Coordinate& corner : corners) flat.insert(flatten(corner, shape));
  for (std::int64_t i = 0; i < kChosen; ++i) {
    const std::uint64_t random = mix(seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(i + 1));
    flat.insert(static_cast<std::int64_t>(random % static_cast<std::uint64_t>(elements)));
  }
  std::vector<Coordinate> chosen;
  for (const std::int64_t place : flat) chosen.push_back(unflatten(place, shape));
  return chosen;
}

std::vector<Coordinate> all_of(const std::vector<std::int64_t>& shape, std::int64_t elements) {
  std::vector<Coordinate> places;
  for (std::int64_t i = 0; i < elements; ++i) places.push_back(unflatten(i, shape));
  return places;
}

void note(OutputCheck& check, const Coordinate& at, double computed, const ir::Checked& expected) {
  const bool right = ir::admits(expected, computed);
  if (!right) ++check.wrong;
  double ratio = 0;
  if (!right) {
    ratio = std::numeric_limits<double>::infinity();
  }
  const double error = std::abs(computed - expected.value);
  if (expected.bound > 0 && std::isfinite(error)) ratio = error / expected.bound;
  if (ratio < check.worst_ratio || (ratio == 0 && !check.worst_index.empty())) return;
  check.worst_ratio = ratio;
  check.worst_index = at;
  check.worst_value = computed;
  check.worst_expected = expected.value;
  check.worst_bound = expected.bound;
}

ir::HostTensor view(const HostArray& array) {
  return {array.dtype, array.shape, {}, const_cast<std::byte*>(array.data.data())};
}

}  // namespace

std::string OutputCheck::text() const {
  std::string place;
  for (const std::int64_t i : worst_index) place += fmt::format("{}{}", place.empty() ? "" : ", ", i);
  const std::string of =
      checked == elements ? fmt::format("all {}", elements) : fmt::format("{} of {}", checked, elements);
  if (passed()) {
    return fmt::format("{}: {} elements right, the largest error is {:.2g} of its bound", output, of, worst_ratio);
  }
  return fmt::format("{}: {} of {} elements wrong, the worst at [{}]: {} instead of {}, bound {:.3g}", output, wrong,
                     of, place, worst_value, worst_expected, worst_bound);
}

std::vector<OutputCheck> check_outputs(const Program& program, const Sizes& sizes, std::span<const HostArray> inputs,
                                       std::span<const HostArray> outputs, std::uint64_t seed) {
  const ir::Program& p = program.ir();
  const api::SymbolValues symbols(p, infer_sizes(program, inputs, sizes));
  if (outputs.size() != p.outputs.size())
    fail("{} has {} outputs, here are {}", p.name, p.outputs.size(), outputs.size());
  std::vector<ir::HostTensor> views;
  for (const HostArray& input : inputs) views.push_back(view(input));
  const bool small = api::operation_count(p, symbols) <= kAllOperations;

  std::vector<OutputCheck> checks;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ir::Tensor& tensor = *p.outputs[i].tensor;
    const HostArray& computed = outputs[i];
    if (computed.dtype != tensor.dtype || computed.shape != symbols.shape(tensor)) {
      fail("output {} of {} does not have the type {}", tensor.name, p.name, computed.type());
    }
    OutputCheck check{.output = tensor.name, .elements = computed.size()};
    if (check.elements > 0) {
      const std::vector<Coordinate> places =
          small ? all_of(computed.shape, check.elements) : choose(computed.shape, check.elements, seed);
      const std::vector<ir::Checked> expected = ir::evaluate_with_bounds(p, symbols.values(), views, i, places);
      for (std::size_t e = 0; e < places.size(); ++e) {
        note(check, places[e], computed.value(flatten(places[e], computed.shape)), expected[e]);
      }
      check.checked = static_cast<std::int64_t>(places.size());
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace quern
