// Comparing outputs with the reference evaluator.

#include <algorithm>
#include <cmath>
#include <functional>
#include <future>
#include <limits>
#include <numeric>
#include <set>
#include <thread>
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
constexpr std::size_t kMostDifferent = 512;
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

// The elements in which two arrays differ most, at most kMostDifferent of them; a NaN differs from all but another.
std::vector<std::int64_t> most_different(const HostArray& a, const HostArray& b) {
  std::vector<std::pair<double, std::int64_t>> differences;
  const std::int64_t size = a.size();
  const auto bytes = static_cast<std::size_t>(byte_size(a.dtype));
  for (std::int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<std::size_t>(i) * bytes;
    if (std::equal(&a.data[at], &a.data[at] + bytes, &b.data[at])) continue;
    const double difference = std::abs(a.value(i) - b.value(i));
    differences.emplace_back(std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference, -i);
  }
  const std::size_t count = std::min<std::size_t>(differences.size(), kMostDifferent);
  std::partial_sort(differences.begin(), differences.begin() + static_cast<std::ptrdiff_t>(count), differences.end(),
                    std::greater<>());
  std::vector<std::int64_t> places;
  places.reserve(count);
  for (std::size_t i = 0; i < count; ++i) places.push_back(-differences[i].second);
  return places;
}

// All corners and tile edges (at most as many as are chosen at random), then seeded places.
std::set<std::int64_t> choose(const std::vector<std::int64_t>& shape, std::int64_t elements, std::uint64_t seed) {
  std::set<std::int64_t> flat;
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
  return flat;
}

// The places of an output that are compared, in order.
std::vector<std::int64_t> places_of(const HostArray& computed, const HostArray* other, bool all, std::uint64_t seed) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(all ? computed.size() : 0));
  std::iota(places.begin(), places.end(), 0);
  if (all || computed.size() == 0) return places;
  std::set<std::int64_t> chosen = choose(computed.shape, computed.size(), seed);
  if (other != nullptr) {
    for (const std::int64_t place : most_different(computed, *other)) chosen.insert(place);
  }
  return {chosen.begin(), chosen.end()};
}

// The reference at these places, on all cores; neighbours share what one thread keeps.
std::vector<ir::Checked> reference(const ir::Program& program, const api::SymbolValues& symbols,
                                   std::span<const ir::HostTensor> inputs, std::size_t output,
                                   const std::vector<Coordinate>& places) {
  std::vector<ir::Checked> values(places.size());
  const std::size_t parts = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, places.size() / 64 + 1);
  std::vector<std::future<void>> tasks;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t begin = places.size() * part / parts;
    const std::size_t end = places.size() * (part + 1) / parts;
    tasks.push_back(std::async(std::launch::async, [&, begin, end] {
      const std::span<const Coordinate> own = std::span(places).subspan(begin, end - begin);
      std::ranges::copy(ir::evaluate_with_bounds(program, symbols.values(), inputs, output, own),
                        values.begin() + static_cast<std::ptrdiff_t>(begin));
    }));
  }
  for (std::future<void>& task : tasks) task.get();
  return values;
}

void note(OutputCheck& check, const Coordinate& at, double computed, const ir::Checked& expected) {
  const bool right = ir::admits(expected, computed);
  if (!right) ++check.wrong;
  const double error = std::abs(computed - expected.value);
  double ratio = right ? 0 : std::numeric_limits<double>::infinity();
  if (expected.bound > 0 && std::isfinite(error)) ratio = error / expected.bound;
  if (!check.worst_index.empty() && ratio <= check.worst_ratio) return;
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
                                       std::span<const HostArray> outputs, std::uint64_t seed,
                                       std::span<const HostArray> others) {
  const ir::Program& p = program.ir();
  const api::SymbolValues symbols(p, infer_sizes(program, inputs, sizes));
  if (outputs.size() != p.outputs.size() || (!others.empty() && others.size() != outputs.size())) {
    fail("{} has {} outputs, here are {} and {}", p.name, p.outputs.size(), outputs.size(), others.size());
  }
  std::vector<ir::HostTensor> views;
  for (const HostArray& input : inputs) views.push_back(view(input));
  const bool all = api::checks_everything(p, symbols);

  std::vector<OutputCheck> checks;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ir::Tensor& tensor = *p.outputs[i].tensor;
    const HostArray& computed = outputs[i];
    if (computed.dtype != tensor.dtype || computed.shape != symbols.shape(tensor)) {
      fail("output {} of {} does not have the type {}", tensor.name, p.name, computed.type());
    }
    const std::vector<std::int64_t> places = places_of(computed, others.empty() ? nullptr : &others[i], all, seed);
    std::vector<Coordinate> coordinates;
    coordinates.reserve(places.size());
    for (const std::int64_t place : places) coordinates.push_back(unflatten(place, computed.shape));
    const std::vector<ir::Checked> expected = reference(p, symbols, views, i, coordinates);
    OutputCheck check{.output = tensor.name,
                      .checked = static_cast<std::int64_t>(places.size()),
                      .elements = computed.size(),
                      .worst_index = {}};
    for (std::size_t e = 0; e < places.size(); ++e) {
      note(check, coordinates[e], computed.value(places[e]), expected[e]);
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

namespace api {

bool checks_everything(const ir::Program& program, const SymbolValues& symbols) {
  return operation_count(program, symbols) <= kAllOperations;
}

}  // namespace api
}  // namespace quern
