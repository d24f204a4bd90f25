#include "ir/extents.h"

#include <fmt/format.h>

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
    const ExtentProblem::TensorInfo& tensor = problem_.tensors[use.tensor];
    if (!tensor.axes.empty()) return problem_.axes[tensor.axes[use.dim]].extent;
    return tensor.dims[use.dim];
  }

  std::string place(const ExtentProblem::Use& use) const {
    return fmt::format("dimension {} of {}", use.dim, problem_.tensors[use.tensor].name);
  }

  // Axes take the dimensions that they index: all reduced axes, or one other axis at a time.
  bool from_indexed(bool reduced, bool guarded) {
    bool found = false;
    for (const ExtentProblem::Use& use : problem_.uses) {
      ExtentProblem::AxisInfo& axis = problem_.axes[use.axis];
      if (axis.extent || axis.reduced != reduced || use.guarded != guarded) continue;
      axis.extent = dimension(use);
      if (!axis.extent) continue;
      axis.source = place(use);
      axis.guarded = guarded;
      found = true;
      if (!reduced) return true;
    }
    return found;
  }

  // Axes of intermediates take the extents of the axes that read them.
  bool from_readers(bool guarded) {
    bool found = false;
    for (const ExtentProblem::Use& use : problem_.uses) {
      const ExtentProblem::TensorInfo& tensor = problem_.tensors[use.tensor];
      const ExtentProblem::AxisInfo& reader = problem_.axes[use.axis];
      if (tensor.axes.empty() || !reader.extent || use.guarded != guarded) continue;
      ExtentProblem::AxisInfo& axis = problem_.axes[tensor.axes[use.dim]];
      if (axis.extent) continue;
      axis.extent = reader.extent;
      axis.source = fmt::format("axis {}, which reads {}", reader.name, place(use));
      axis.guarded = guarded;
      found = true;
    }
    return found;
  }

  ExtentConflict missing(std::size_t i) const {
    const ExtentProblem::AxisInfo& axis = problem_.axes[i];
    return {i, fmt::format("the range of axis {0} is not known: {1}; write it, as in {0} in 16", axis.name,
                           axis.reduced ? "it indexes no dimension as itself"
                                        : "no axis of known range reads or indexes along with it")};
  }

  std::optional<ExtentConflict> check(const ExtentProblem::Use& use) const {
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

  ExtentProblem& problem_;
  const std::function<bool(const Expr&)>& proves_;
};

}  // namespace

std::optional<ExtentConflict> infer_extents(ExtentProblem& problem,
                                            const std::function<bool(const Expr& condition)>& proves) {
  return Inference(problem, proves).run();
}

}  // namespace quern::ir
