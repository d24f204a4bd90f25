#include "autotune/verify.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/numeric.h"
#include "ir/bounds.h"
#include "ir/rewrite.h"
#include "ir/sharing.h"

namespace quern::autotune {
namespace {

constexpr double kWork = 2e7;  // steps that a check may cost
constexpr std::int64_t kMost = 4096, kLeast = 512;

// Steps behind a value, roughly: of reductions, and one for each element of a definition. What lies inside a reduction
// counts once for each point of those of its axes that it depends on: what does not is computed once.
class Steps {
 public:
  explicit Steps(const ir::Program& program) {
    for (const ir::Definition& definition : program.definitions) {
      const double steps = 1 + of(definition.value);
      known_[definition.tensor.get()] = steps;
      most_ = std::max(most_, steps);
    }
  }

  double most() const { return most_; }

 private:
  double of(const ir::Expr& e) {
    double steps = 0;
    ir::visit(e, [&](const ir::Expr& node) {
      if (node->kind == ir::ExprKind::read && known_.contains(node->tensor.get())) steps += known_[node->tensor.get()];
      if (node->kind != ir::ExprKind::reduce) return true;
      steps += of_reduction(*node);
      return false;
    });
    return steps;
  }

  double of_reduction(const ir::Node& node) {
    double steps = extent(node.reduce->axes, {});
    for (const ir::Expr& arg : node.args) {
      ir::visit(arg, [&](const ir::Expr& part) {
        const bool is_read = part->kind == ir::ExprKind::read && known_.contains(part->tensor.get());
        if (!is_read && part->kind != ir::ExprKind::reduce) return true;
        const double own = is_read ? known_[part->tensor.get()] : of_reduction(*part);
        steps += own * extent(node.reduce->axes, part);
        return false;
      });
    }
    return steps;
  }

  // Points of the axes, of those alone that `part` uses where there is one.
  static double extent(const std::vector<ir::Axis>& axes, const ir::Expr& part) {
    double points = 1;
    for (const ir::Axis& axis : axes) {
      if (!part || ir::uses(part, axis.var)) points *= static_cast<double>(ir::as_integer(axis.hi).value_or(1));
    }
    return points;
  }

  std::map<const ir::Tensor*, double> known_;
  double most_ = 1;
};

// Corners and what lies beside them along the last axis, where ragged tiles end; then seeded places, `sharing` in a
// row.
std::vector<std::int64_t> places_of(const std::vector<std::int64_t>& shape, std::int64_t count, std::int64_t sharing,
                                    std::uint64_t seed) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  std::set<std::int64_t> places;
  if (elements <= count) {
    for (std::int64_t i = 0; i < elements; ++i) places.insert(i);
    return {places.begin(), places.end()};
  }
  const std::int64_t row = shape.empty() ? 1 : shape.back();
  for (const std::int64_t base : {std::int64_t{0}, elements - row}) {
    for (const std::int64_t within : {std::int64_t{0}, std::int64_t{1}, row / 2, row - 2, row - 1}) {
      if (within >= 0 && within < row) places.insert(base + within);
    }
  }
  const auto random = [&](std::int64_t below) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::int64_t>((seed >> 17) % static_cast<std::uint64_t>(below));
  };
  while (static_cast<std::int64_t>(places.size()) < count) {
    const std::int64_t base = random(elements / row) * row;
    for (std::int64_t i = 0; i < std::min(sharing, row); ++i) places.insert(base + random(row));
  }
  return {places.begin(), places.end()};
}

}  // namespace

Verification verify(runtime::LoadedProgram& loaded, const ir::Program& program, ProblemData& data,
                    runtime::Device& device, std::uint64_t seed) {
  data.poison();
  loaded.launch(data.pointers(0), {}, nullptr, nullptr);
  device.synchronize(nullptr);
  const Steps steps(program);
  const std::int64_t sharing = ir::elements_in_row(program);
  const auto count = static_cast<std::int64_t>(
      std::clamp(kWork / steps.most() * static_cast<double>(sharing), double{kLeast}, double{kMost}));
  const std::vector<ir::HostTensor> inputs = data.inputs();
  double worst = 0;
  std::size_t checked = 0;
  for (std::size_t o = 0; o < program.outputs.size(); ++o) {
    const ir::Tensor& tensor = *program.outputs[o].tensor;
    const StridedLayout& layout = data.output_layout(o);
    const std::vector<std::int64_t>&shape = layout.shape(), &strides = layout.strides();
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) continue;
    const std::vector<std::byte> computed = data.download(o);
    std::vector<ir::Coordinate> coordinates;
    for (std::int64_t flat : places_of(shape, count, sharing, seed + o)) {
      ir::Coordinate at(shape.size());
      for (std::size_t d = shape.size(); d-- > 0;) {
        at[d] = flat % shape[d];
        flat /= shape[d];
      }
      coordinates.push_back(std::move(at));
    }
    const std::vector<ir::Checked> expected = ir::evaluate_with_bounds(program, {}, inputs, o, coordinates);
    for (std::size_t e = 0; e < coordinates.size(); ++e) {
      std::int64_t index = layout.origin();
      for (std::size_t d = 0; d < shape.size(); ++d) index += coordinates[e][d] * strides[d];
      const double value = load_element(tensor.dtype, computed.data(), index);
      if (!ir::admits(expected[e], value)) {
        std::string at;
        for (const std::int64_t c : coordinates[e]) at += fmt::format("{}{}", at.empty() ? "" : ", ", c);
        return {fmt::format("wrong result: {}[{}] is {}, the reference {} within {:.3g}", tensor.name, at, value,
                            expected[e].value, ir::bound_beside(expected[e], value)),
                {}};
      }
      worst = std::max(worst, ir::error_ratio(expected[e], value));
    }
    checked += coordinates.size();
  }
  return {{}, fmt::format("{} elements, largest error {:.2g} of its bound", checked, worst)};
}

}  // namespace quern::autotune
