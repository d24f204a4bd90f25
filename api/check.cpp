// What a check of a run looks at: the outputs against the reference evaluator.

#include <algorithm>
#include <cmath>
#include <functional>
#include <future>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "api/cost.h"
#include "api/host.h"
#include "base/error.h"
#include "ir/bounds.h"
#include "ir/scalar.h"
#include "ir/sharing.h"
#include "quern/host.h"

namespace quern {
namespace {

using Coordinate = ir::Coordinate;

// Above this many operations elements are chosen, this many at least.
constexpr double kAllOperations = 1e8;
constexpr std::int64_t kChosen = 4096;
constexpr std::size_t kMostDifferent = 512;
// Tiles are of multiples of so many elements: seams lie between two of them.
constexpr std::int64_t kTileUnit = 16;
constexpr std::int64_t kSeams = 256;  // of a dimension, at most
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

// First and last places of a dimension, and those around the first and the last seam of tiles of 32.
std::vector<std::int64_t> edges(std::int64_t extent) {
  std::set<std::int64_t> places = {0, extent - 1};
  const std::int64_t last_tile = (extent - 1) / kTileEdge * kTileEdge;
  for (const std::int64_t place : {last_tile - 1, last_tile, kTileEdge - 1, kTileEdge}) {
    if (place >= 0 && place < extent) places.insert(place);
  }
  return {places.begin(), places.end()};
}

// The elements in which two arrays differ most, at most `most` of them; a NaN differs from all but another.
std::vector<std::int64_t> most_different(const HostArray& a, const HostArray& b, std::size_t most) {
  std::vector<std::pair<double, std::int64_t>> differences;
  const std::int64_t size = a.size();
  const auto bytes = static_cast<std::size_t>(byte_size(a.dtype));
  for (std::int64_t i = 0; i < size; ++i) {
    const auto at = static_cast<std::size_t>(i) * bytes;
    if (std::equal(&a.data[at], &a.data[at] + bytes, &b.data[at])) continue;
    const double difference = std::abs(a.value(i) - b.value(i));
    differences.emplace_back(std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference, -i);
  }
  const std::size_t count = std::min(differences.size(), most);
  std::partial_sort(differences.begin(), differences.begin() + static_cast<std::ptrdiff_t>(count), differences.end(),
                    std::greater<>());
  std::vector<std::int64_t> places;
  places.reserve(count);
  for (std::size_t i = 0; i < count; ++i) places.push_back(-differences[i].second);
  return places;
}

// Random numbers, each by its own number.
struct Random {
  std::uint64_t seed;
  std::int64_t operator()(std::int64_t i, std::int64_t below) const {
    const std::uint64_t number = mix(seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(i + 1));
    return static_cast<std::int64_t>(number % static_cast<std::uint64_t>(below));
  }
};

// Both sides of the seams of each dimension, some of them where there are many, at random places of the others.
std::vector<Coordinate> at_seams(const std::vector<std::int64_t>& shape, std::int64_t sharing, const Random& random) {
  std::vector<Coordinate> found;
  std::int64_t next = kChosen;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const std::int64_t seams = (shape[d] - 1) / kTileUnit, most = d + 1 == shape.size() ? kSeams : kSeams / sharing;
    for (std::int64_t i = 0; i < std::min(seams, most); ++i) {
      const std::int64_t seam = (seams <= most ? i : random(next++, seams)) + 1;
      Coordinate at;
      for (const std::int64_t extent : shape) at.push_back(random(next++, extent));
      for (const std::int64_t side : {0, 1}) {
        at[d] = seam * kTileUnit - side;
        found.push_back(at);
      }
    }
  }
  return found;
}

// Corners of tiles (at most as many as are chosen at random) and seams, then seeded places, `sharing` in one row each.
std::set<std::int64_t> choose(const std::vector<std::int64_t>& shape, std::int64_t elements, std::int64_t sharing,
                              std::uint64_t seed) {
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
  const Random random{seed};
  for (const Coordinate& seam : at_seams(shape, sharing, random)) flat.insert(flatten(seam, shape));
  const std::int64_t row = shape.empty() ? 1 : shape.back();
  for (std::int64_t i = 0; i < kChosen; ++i) {
    const std::int64_t place = random(i / sharing * sharing, elements);
    flat.insert(i % sharing == 0 ? place : place / row * row + random(i, row));
  }
  return flat;
}

// The places of an output that are compared, in order.
std::vector<std::int64_t> places_of(const std::vector<std::int64_t>& shape, bool all, std::int64_t sharing,
                                    std::uint64_t seed) {
  const std::int64_t elements = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  std::vector<std::int64_t> places(static_cast<std::size_t>(all ? elements : 0));
  std::iota(places.begin(), places.end(), 0);
  if (all || elements == 0) return places;
  const std::set<std::int64_t> chosen = choose(shape, elements, sharing, seed);
  return {chosen.begin(), chosen.end()};
}

ir::HostTensor view(const HostArray& array) {
  return {array.dtype, array.shape, {}, const_cast<std::byte*>(array.data.data())};
}

// The reference of one output at these places, on all cores; neighbours share what one thread keeps.
std::vector<ir::Checked> reference(const ir::Program& program, const api::SymbolValues& symbols,
                                   std::span<const HostArray> arrays, std::size_t output,
                                   const std::vector<std::int64_t>& places) {
  std::vector<ir::HostTensor> inputs(arrays.size());
  std::ranges::transform(arrays, inputs.begin(), view);
  const std::vector<std::int64_t> shape = symbols.shape(*program.outputs[output].tensor);
  std::vector<ir::Checked> values(places.size());
  const std::size_t parts = std::min(static_cast<std::size_t>(host_threads()), places.size() / 64 + 1);
  std::vector<std::future<void>> tasks;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t begin = places.size() * part / parts;
    const std::size_t end = places.size() * (part + 1) / parts;
    tasks.push_back(std::async(std::launch::async, [&, begin, end] {
      std::vector<Coordinate> own;
      for (std::size_t e = begin; e < end; ++e) own.push_back(unflatten(places[e], shape));
      std::ranges::copy(ir::evaluate_with_bounds(program, symbols.values(), inputs, output, own),
                        values.begin() + static_cast<std::ptrdiff_t>(begin));
    }));
  }
  for (std::future<void>& task : tasks) task.get();
  return values;
}

void note(OutputCheck& check, const Coordinate& at, double computed, const ir::Checked& expected) {
  if (!ir::admits(expected, computed)) ++check.wrong;
  if (ir::is_undecided(expected)) ++check.undecided;
  const double ratio = ir::error_ratio(expected, computed);
  if (!check.worst_index.empty() && ratio <= check.worst_ratio) return;
  check.worst_ratio = ratio;
  check.worst_index = at;
  check.worst_value = computed;
  check.worst_expected = expected.value;
  check.worst_bound = ir::bound_beside(expected, computed);
}

void note(OutputCheck& check, const HostArray& computed, const api::Expected& expected) {
  check.checked += static_cast<std::int64_t>(expected.places.size());
  for (std::size_t e = 0; e < expected.places.size(); ++e) {
    const std::int64_t place = expected.places[e];
    note(check, unflatten(place, computed.shape), computed.value(place), expected.values[e]);
  }
}

}  // namespace

std::string OutputCheck::text() const {
  std::string place;
  for (const std::int64_t i : worst_index) place += fmt::format("{}{}", place.empty() ? "" : ", ", i);
  const std::string of =
      checked == elements ? fmt::format("all {}", elements) : fmt::format("{} of {}", checked, elements);
  if (passed()) {
    const std::string open = undecided > 0 ? fmt::format(" ({} could be anything)", undecided) : "";
    return fmt::format("{}: {} elements right{}, the largest error is {:.2g} of its bound", output, of, open,
                       worst_ratio);
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
  for (const std::span<const HostArray> arrays : {inputs, outputs, others}) {
    for (const HostArray& array : arrays) api::require_data(array, "an array for " + p.name);
  }
  return api::compare_outputs(p, symbols, inputs, outputs,
                              api::expect_outputs(p, symbols, inputs, seed, api::checks_everything(p, symbols)),
                              others);
}

namespace api {

bool checks_everything(const ir::Program& program, const SymbolValues& symbols) {
  return operation_count(program, symbols) <= kAllOperations;
}

std::vector<Expected> expect_outputs(const ir::Program& program, const SymbolValues& symbols,
                                     std::span<const HostArray> inputs, std::uint64_t seed, bool all) {
  const std::int64_t sharing = ir::elements_in_row(program);
  std::vector<Expected> expected;
  for (std::size_t i = 0; i < program.outputs.size(); ++i) {
    std::vector<std::int64_t> places = places_of(symbols.shape(*program.outputs[i].tensor), all, sharing, seed);
    std::vector<ir::Checked> values = reference(program, symbols, inputs, i, places);
    expected.push_back({std::move(places), std::move(values)});
  }
  return expected;
}

std::vector<OutputCheck> compare_outputs(const ir::Program& program, const SymbolValues& symbols,
                                         std::span<const HostArray> inputs, std::span<const HostArray> outputs,
                                         std::span<const Expected> expected, std::span<const HostArray> others) {
  const std::size_t most = kMostDifferent / static_cast<std::size_t>(ir::elements_in_row(program));
  std::vector<OutputCheck> checks;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ir::Tensor& tensor = *program.outputs[i].tensor;
    const HostArray& computed = outputs[i];
    if (computed.dtype != tensor.dtype || computed.shape != symbols.shape(tensor)) {
      fail("output {} of {} does not have the type {}", tensor.name, program.name, computed.type());
    }
    OutputCheck check{.output = tensor.name, .elements = computed.size(), .worst_index = {}};
    note(check, computed, expected[i]);
    if (!others.empty()) {
      Expected more{.places = most_different(computed, others[i], most), .values = {}};
      std::erase_if(more.places,
                    [&](std::int64_t place) { return std::ranges::binary_search(expected[i].places, place); });
      more.values = reference(program, symbols, inputs, i, more.places);
      note(check, computed, more);
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace api
}  // namespace quern
