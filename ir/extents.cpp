#include "ir/extents.h"

#include <fmt/format.h>

#include <map>

#include "ir/printer.h"

namespace quern::ir {
namespace {

class Inference {
 public:
  Inference(ExtentProblem& problem, const std::function<bool(const Expr&)>& proves)
      : problem_(problem), proves_(proves) {}

  std::optional<ExtentConflict> run() {
    // The surest source that finds anything goes first, again and again.
    while (from_indexed(true, false) || from_readers(false) || from_indexed(false, false) || from_indexed(true, true) ||
           from_readers(true) || from_indexed(false, true)) {
    }
    for (std::size_t i = 0; i < problem_.axes.size(); ++i) {
      if (!problem_.axes[i].extent) return missing(i);
    }
    for (const ExtentProblem::Use& use : problem_.uses) {
      if (auto conflict = check(use)) return conflict;
    }
    return std::nullopt;
  }

 private:
  Expr dimension(const ExtentProblem::Use& use) const {
    if (const auto axis = axis_of(use)) return problem_.axes[*axis].extent;
    return problem_.tensors[use.tensor].dims[use.dim];
  }

  // The axis of an intermediate that a use reads.
  std::optional<std::size_t> axis_of(const ExtentProblem::Use& use) const {
    const ExtentProblem::TensorInfo& tensor = problem_.tensors[use.tensor];
    return tensor.axes.empty() ? std::nullopt : std::optional(tensor.axes[use.dim]);
  }

  std::string place(const ExtentProblem::Use& use) const {
    return fmt::format("dimension {} of {}", use.dim, problem_.tensors[use.tensor].name);
  }

  // Axes take the dimensions that they index, the least of them: all reduced axes, or one other axis.
  bool from_indexed(bool reduced, bool guarded) {
    std::map<std::size_t, Found> found;
    for (const ExtentProblem::Use& use : problem_.uses) {
      const ExtentProblem::AxisInfo& axis = problem_.axes[use.axis];
      if (axis.extent || axis.reduced != reduced || use.guarded != guarded) continue;
      const Expr extent = dimension(use);
      Found& least = found[use.axis];
      if (extent && (!least.extent || is_smaller(extent, least.extent))) least = {extent, place(use)};
    }
    return take(found, guarded, reduced);
  }

  // Axes of intermediates take the extents of the axes that read them, the largest of them.
  bool from_readers(bool guarded) {
    std::map<std::size_t, Found> found;
    for (const ExtentProblem::Use& use : problem_.uses) {
      const ExtentProblem::AxisInfo& reader = problem_.axes[use.axis];
      const auto axis = axis_of(use);
      if (!axis || !reader.extent || use.guarded != guarded || problem_.axes[*axis].extent) continue;
      Found& largest = found[*axis];
      if (largest.extent && !is_smaller(largest.extent, reader.extent)) continue;
      largest = {reader.extent, fmt::format("axis {}, which reads {}", reader.name, place(use))};
    }
    return take(found, guarded, true);
  }

  struct Found {
    Expr extent;
    std::string source;
  };

  bool take(const std::map<std::size_t, Found>& found, bool guarded, bool all) {
    bool any = false;
    for (const auto& [axis, extent] : found) {
      if (!extent.extent || (any && !all)) continue;
      ExtentProblem::AxisInfo& info = problem_.axes[axis];
      info.extent = extent.extent;
      info.source = extent.source;
      info.guarded = guarded;
      any = true;
    }
    return any;
  }

  bool fits(const Expr& a, const Expr& b) const { return equal(a, b) || proves_(less_equal(a, b)); }
  bool is_smaller(const Expr& a, const Expr& b) const { return fits(a, b) && !fits(b, a); }

  ExtentConflict missing(std::size_t i) const {
    const ExtentProblem::AxisInfo& axis = problem_.axes[i];
    return {i, fmt::format("the range of axis {0} is not known: {1}; write it, as in {0} in 16", axis.name,
                           axis.reduced ? "it indexes no dimension as itself"
                                        : "no axis of known range reads or indexes along with it")};
  }

  std::optional<ExtentConflict> check(const ExtentProblem::Use& use) const {
    if (auto conflict = check_guarded_reader(use)) return conflict;
    const ExtentProblem::AxisInfo& axis = problem_.axes[use.axis];
    const Expr dim = dimension(use);
    const bool counts = !axis.written && (!use.guarded || axis.guarded);
    if (!counts || equal(axis.extent, dim) || proves_(equals(axis.extent, dim))) return std::nullopt;
    if (!axis.reduced && proves_(less_equal(axis.extent, dim))) return std::nullopt;
    Names names;
    const std::string extent = to_string(axis.extent, names);
    const std::string indexed = to_string(dim, names);
    if (axis.reduced) {
      return ExtentConflict{use.axis, fmt::format("axis {0} indexes {1}, which is {2}, and {3}, which is {4}; "
                                                  "write the range that is meant, as in {0} in {2}",
                                                  axis.name, axis.source, extent, place(use), indexed)};
    }
    return ExtentConflict{use.axis, fmt::format("axis {0} runs over {1} (from {2}), but indexes {3}, which is {4}; "
                                                "write the range that is meant, as in {0} in {1}, or state a fact: "
                                                "with {1} <= {4}",
                                                axis.name, extent, axis.source, place(use), indexed)};
  }

  // Where guarded reads alone tell how far an intermediate reaches, it holds what each of them reads.
  std::optional<ExtentConflict> check_guarded_reader(const ExtentProblem::Use& use) const {
    const auto read = axis_of(use);
    if (!read || !use.guarded || !problem_.axes[*read].guarded) return std::nullopt;
    const ExtentProblem::AxisInfo &axis = problem_.axes[*read], &reader = problem_.axes[use.axis];
    if (fits(reader.extent, axis.extent)) return std::nullopt;
    Names names;
    const std::string extent = to_string(axis.extent, names), other = to_string(reader.extent, names);
    return ExtentConflict{*read,
                          fmt::format("axis {0} runs over {1} (from {2}), but axis {3}, which reads {4} too, over "
                                      "{5}; write the range that is meant, as in {0} in {1}",
                                      axis.name, extent, axis.source, reader.name, place(use), other)};
  }

  ExtentProblem& problem_;
  const std::function<bool(const Expr&)>& proves_;
};

}  // namespace

std::optional<ExtentConflict> infer_extents(ExtentProblem& problem,
                                            const std::function<bool(const Expr& condition)>& proves) {
  return Inference(problem, proves).run();
}

}  // namespace quern::ir
