#include "compiler/partition.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "compiler/analysis.h"
#include "compiler/attention.h"
#include "compiler/divide_last.h"
#include "compiler/in_place.h"
#include "ir/rewrite.h"

namespace quern::compiler {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

// What computes a tensor reads.
std::vector<TensorRef> sources_of(const Program& program, const Tensor& tensor) {
  if (const Definition* definition = definition_of(program, tensor)) return tensors_read(definition->value);
  const Extern* external = extern_of(program, tensor);
  return external ? external->reads : std::vector<TensorRef>{};
}

// The program without definitions and externs that no output depends on.
Program without_unused(const Program& program) {
  std::set<const Tensor*> needed;
  std::vector<TensorRef> waiting;
  for (const Output& output : program.outputs) waiting.push_back(output.tensor);
  while (!waiting.empty()) {
    const TensorRef tensor = waiting.back();
    waiting.pop_back();
    if (!needed.insert(tensor.get()).second) continue;
    for (TensorRef& source : sources_of(program, *tensor)) waiting.push_back(std::move(source));
  }
  Program result = program;
  std::erase_if(result.definitions, [&](const Definition& d) { return !needed.contains(d.tensor.get()); });
  std::erase_if(result.externs, [&](const Extern& external) {
    return std::ranges::none_of(external.writes, [&](const TensorRef& t) { return needed.contains(t.get()); });
  });
  return result;
}

class Partitioner {
 public:
  Partitioner(const Program& program, const Fuses& fuses) : program_(program), fuses_(fuses) {}

  Partition run() {
    if (fuses_) fuse_attention();
    for (const Definition& definition : program_.definitions) {
      if (is_reduction(definition) && !placed_.contains(definition.tensor.get())) grow_from(definition);
    }
    pointwise_rest();
    sort_groups();
    Partition result;
    // An extern runs ahead of the first kernel that what it reads is there for.
    std::set<const Tensor*> done;
    std::vector<const Extern*> externs;
    for (const Extern& external : program_.externs) externs.push_back(&external);
    for (const Group& group : groups_) {
      place_externs(externs, done, result);
      result.kernels.push_back(build(group, result.workspace));
      for (const Output& output : result.kernels.back().outputs) done.insert(output.tensor.get());
    }
    place_externs(externs, done, result);
    ensure(externs.empty(), "every extern has what it reads");
    result.apart = std::move(apart_);
    return result;
  }

 private:
  using Group = std::vector<const Definition*>;  // the definitions that the kernel leaves or keeps, without producers

  // The externs that can run once `done` is, as kernels of their own.
  void place_externs(std::vector<const Extern*>& waiting, std::set<const Tensor*>& done, Partition& result) {
    const auto is_there = [&](const TensorRef& tensor) {
      return is_input(program_, *tensor) || done.contains(tensor.get());
    };
    for (std::size_t i = 0; i < waiting.size();) {
      const Extern& external = *waiting[i];
      if (!std::ranges::all_of(external.reads, is_there)) {
        ++i;
        continue;
      }
      Program kernel;
      kernel.name = program_.name;
      kernel.symbols = program_.symbols;
      kernel.facts = program_.facts;
      kernel.inputs = external.reads;
      kernel.externs = {external};
      for (const TensorRef& tensor : external.writes) {
        kernel.outputs.push_back({tensor, nullptr});
        done.insert(tensor.get());
        if (!is_output(program_, *tensor)) result.workspace.push_back(tensor);
      }
      result.kernels.push_back(std::move(kernel));
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
      i = 0;  // what it writes may be what another waits for
    }
  }

  // Tensors that `tensor` depends on through definitions and externs, itself included.
  const std::set<const Tensor*>& ancestors(const Tensor& tensor) {
    auto it = ancestors_.find(&tensor);
    if (it != ancestors_.end()) return it->second;
    std::set<const Tensor*> all{&tensor};
    for (const TensorRef& read : sources_of(program_, tensor)) {
      const std::set<const Tensor*>& more = ancestors(*read);
      all.insert(more.begin(), more.end());
    }
    return ancestors_[&tensor] = std::move(all);
  }

  bool depends_on(const Definition& definition, const Group& group) { return depends_on(*definition.tensor, group); }
  bool depends_on(const Tensor& tensor, const Group& group) {
    const std::set<const Tensor*>& all = ancestors(tensor);
    return std::any_of(group.begin(), group.end(), [&](const Definition* d) { return all.contains(d->tensor.get()); });
  }

  // Whether something between the group and `definition` is not in the group: then it would have to wait for itself.
  bool leaves_and_returns(const Definition& definition, const Group& group) {
    for (const TensorRef& read : tensors_read(definition.value)) {
      const Definition* source = definition_of(program_, *read);
      if (!source && depends_on(*read, group)) return true;  // through an extern
      if (!source || std::find(group.begin(), group.end(), source) != group.end()) continue;
      if (depends_on(*source, group)) return true;
      // What another kernel computes later cannot be read here.
      const auto it = placed_.find(source->tensor.get());
      if (is_reduction(*source) && it == placed_.end()) return true;
    }
    Group candidate = group;
    candidate.push_back(&definition);
    return waits_for_itself(candidate);
  }

  // Whether a kernel of these definitions would wait for one that waits for it: a kernel waits for all that any of its
  // definitions needs. Never of one definition, as long as no other kernel does.
  bool waits_for_itself(const Group& group) {
    std::set<const Tensor*> own;
    for (const Definition* definition : group) own.insert(definition->tensor.get());
    std::set<int> others;
    std::vector<Group> waiting{group};
    while (!waiting.empty()) {
      const Group next = std::move(waiting.back());
      waiting.pop_back();
      for (const Definition* definition : next) {
        for (const Tensor* source : ancestors(*definition->tensor)) {
          const bool is_own = own.contains(source);
          if (is_own && !own.contains(next.front()->tensor.get())) return true;
          const auto it = placed_.find(source);
          if (is_own || it == placed_.end() || !others.insert(it->second).second) continue;
          waiting.push_back(groups_[static_cast<std::size_t>(it->second)]);
        }
      }
    }
    return false;
  }

  // Attention as one kernel, where one does it all; the kernels whose results it reads come first.
  void fuse_attention() {
    std::vector<Group> cores;
    for (const Definition& definition : program_.definitions) {
      AttentionCore core = attention_core(program_, definition);
      if (!core.reason.empty()) apart_.push_back({definition.tensor, std::move(core.reason)});
      if (!core.definitions.empty()) cores.push_back(std::move(core.definitions));
    }
    if (cores.empty()) return;
    for (const Definition& definition : program_.definitions) {
      const bool is_ahead = std::ranges::none_of(
          cores, [&](const Group& core) { return ancestors(*definition.tensor).contains(core.front()->tensor.get()); });
      if (is_reduction(definition) && !placed_.contains(definition.tensor.get()) && is_ahead) grow_from(definition);
    }
    for (const Group& core : cores) fuse(core);
  }

  // The core, what lies between its definitions, and what follows them, as far as one kernel goes.
  void fuse(const Group& core) {
    Group group, fused;
    std::vector<TensorRef> unused;
    const std::set<const Tensor*>& needed = ancestors(*core.back()->tensor);
    for (const Definition& next : program_.definitions) {
      const bool is_core = std::ranges::find(core, &next) != core.end();
      const bool is_between = needed.contains(next.tensor.get()) && !is_reduction(next) && depends_on(next, group);
      if (is_core || is_between) group.push_back(&next);
    }
    if (waits_for_itself(group)) {
      apart_.push_back({core.back()->tensor, "another kernel computes from a part of it what it reads"});
      return;
    }
    Verdict is_whole = fuses_(build(group, unused));
    if (is_whole) fused = group;
    for (const Definition& next : program_.definitions) {
      const bool is_member = std::ranges::find(group, &next) != group.end();
      if (is_member || !depends_on(next, group) || leaves_and_returns(next, group)) continue;
      Group candidate = group;
      candidate.push_back(&next);
      is_whole = fuses_(build(candidate, unused));
      // Up to the first that completes it everything belongs to it.
      if (is_whole || fused.empty()) group = std::move(candidate);
      if (is_whole) fused = group;
    }
    if (fused.empty()) {
      apart_.push_back({core.back()->tensor, std::move(is_whole.reason)});
    } else {
      place(std::move(fused));
    }
  }

  void place(Group group) {
    for (const Definition* definition : group) placed_[definition->tensor.get()] = static_cast<int>(groups_.size());
    groups_.push_back(std::move(group));
  }

  // A reduction with everything behind it that one analysis still covers.
  void grow_from(const Definition& start) {
    Group group{&start};
    std::vector<TensorRef> unused;
    const bool contraction = analyze_contraction(build(group, unused)).has_value();
    const auto covers = [&](const Group& candidate) {
      const Program program = build(candidate, unused);
      if (!contraction) return analyze_reduction(program).has_value();
      const bool is_one = std::ranges::count_if(program.definitions, is_reduction) == 1;
      return is_one ? analyze_contraction(program).has_value() : fuses_ && fuses_(program);
    };
    for (const Definition& next : program_.definitions) {
      if (&next == &start || placed_.contains(next.tensor.get())) continue;
      const bool sibling = !contraction && is_reduction(next) && shares_input(next, start);
      if (!depends_on(next, group) && !sibling) continue;
      if (leaves_and_returns(next, group)) continue;
      Group candidate = group;
      candidate.push_back(&next);
      if (covers(candidate)) group = std::move(candidate);
    }
    place(std::move(group));
  }

  // Reductions over the same data are done in one pass (mean and variance).
  bool shares_input(const Definition& a, const Definition& b) {
    const std::vector<TensorRef> ours = tensors_read(a.value), theirs = tensors_read(b.value);
    return std::any_of(ours.begin(), ours.end(),
                       [&](const TensorRef& t) { return std::find(theirs.begin(), theirs.end(), t) != theirs.end(); });
  }

  // Outputs that no reduction took along: those over one space share a kernel.
  void pointwise_rest() {
    std::vector<TensorRef> results;
    for (const Output& output : program_.outputs) results.push_back(output.tensor);
    for (const Extern& external : program_.externs) {
      results.insert(results.end(), external.reads.begin(), external.reads.end());
    }
    for (const TensorRef& result : results) {
      const Definition* definition = definition_of(program_, *result);
      if (!definition || placed_.contains(result.get())) continue;
      std::vector<TensorRef> unused;
      int home = -1;
      for (std::size_t g = 0; g < groups_.size() && home < 0; ++g) {
        if (is_reduction(*groups_[g].front()) || leaves_and_returns(*definition, groups_[g])) continue;
        Group candidate = groups_[g];
        candidate.push_back(definition);
        if (analyze_pointwise(build(candidate, unused))) home = static_cast<int>(g);
      }
      if (home < 0) {
        home = static_cast<int>(groups_.size());
        groups_.emplace_back();
      }
      groups_[static_cast<std::size_t>(home)].push_back(definition);
      placed_[result.get()] = home;
    }
  }

  // Kernels in an order in which what one reads was written before.
  void sort_groups() {
    std::vector<Group> ordered;
    std::vector<bool> done(groups_.size());
    std::vector<TensorRef> unused;
    while (ordered.size() < groups_.size()) {
      const std::size_t before = ordered.size();
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        if (done[g]) continue;
        const Program kernel = build(groups_[g], unused);
        const bool ready = std::all_of(kernel.inputs.begin(), kernel.inputs.end(), [&](const TensorRef& input) {
          // Through externs too: what one reads is done before what it writes is read.
          return std::ranges::all_of(ancestors(*input), [&](const Tensor* source) {
            const auto it = placed_.find(source);
            return it == placed_.end() || done[static_cast<std::size_t>(it->second)];
          });
        });
        if (!ready) continue;
        ordered.push_back(groups_[g]);
        done[g] = true;
      }
      ensure(ordered.size() > before, "no kernel waits for one that waits for it");
    }
    groups_ = std::move(ordered);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (const Definition* definition : groups_[g]) placed_[definition->tensor.get()] = static_cast<int>(g);
    }
  }

  // The group as a program: its producers inlined as definitions, what others computed as inputs.
  Program build(const Group& group, std::vector<TensorRef>& workspace) {
    std::set<const Tensor*> inside;
    for (const Definition* definition : group) inside.insert(definition->tensor.get());
    std::set<const Tensor*> needed = inside;
    std::set<const Tensor*> outside;
    std::vector<TensorRef> inputs;
    for (std::size_t d = program_.definitions.size(); d-- > 0;) {
      const Definition& definition = program_.definitions[d];
      if (!needed.contains(definition.tensor.get())) continue;
      for (const TensorRef& read : tensors_read(definition.value)) {
        const Definition* source = definition_of(program_, *read);
        const bool external = !source || (is_reduction(*source) && !inside.contains(read.get()));
        const bool elsewhere = source && !inside.contains(read.get()) && depends_on_other_group(*source, group) &&
                               !is_reduction(*source) && placed_.contains(read.get());
        if (external || elsewhere) {
          if (outside.insert(read.get()).second) inputs.push_back(read);
        } else {
          needed.insert(read.get());
        }
      }
    }
    Program result;
    result.name = program_.name;
    result.symbols = program_.symbols;
    result.facts = program_.facts;
    for (const Definition& definition : program_.definitions) {
      if (needed.contains(definition.tensor.get())) result.definitions.push_back(definition);
    }
    for (const TensorRef& input : program_.inputs) {
      if (outside.contains(input.get())) result.inputs.push_back(input);
    }
    for (const TensorRef& input : inputs) {
      if (!is_input(program_, *input)) result.inputs.push_back(input);
    }
    for (const Definition* definition : group) {
      const TensorRef& tensor = definition->tensor;
      const auto output = std::find_if(program_.outputs.begin(), program_.outputs.end(),
                                       [&](const Output& o) { return o.tensor == tensor; });
      if (output != program_.outputs.end()) {
        result.outputs.push_back(*output);
      } else if (read_elsewhere(*tensor, group)) {
        result.outputs.push_back({tensor, nullptr});
        if (std::find(workspace.begin(), workspace.end(), tensor) == workspace.end()) workspace.push_back(tensor);
      }
    }
    if (result.outputs.empty()) result.outputs.push_back({group.back()->tensor, nullptr});
    return result;
  }

  // Whether an elementwise definition is the result of a kernel other than `group`.
  bool depends_on_other_group(const Definition& definition, const Group& group) {
    const auto it = placed_.find(definition.tensor.get());
    return it != placed_.end() && std::find(group.begin(), group.end(), &definition) == group.end();
  }

  // Whether another kernel reads the tensor: a reader outside the group that is not itself only the group's producer.
  bool read_elsewhere(const Tensor& tensor, const Group& group) {
    const bool by_extern = std::ranges::any_of(program_.externs, [&](const Extern& external) {
      return std::ranges::any_of(external.reads, [&](const TensorRef& read) { return read.get() == &tensor; });
    });
    return by_extern || std::any_of(program_.definitions.begin(), program_.definitions.end(), [&](const Definition& d) {
             return std::find(group.begin(), group.end(), &d) == group.end() && reads(d.value, tensor);
           });
  }

  const Program& program_;
  const Fuses& fuses_;
  std::vector<Group> groups_;
  std::vector<Apart> apart_;
  std::map<const Tensor*, int> placed_;
  std::map<const Tensor*, std::set<const Tensor*>> ancestors_;
};

// Of a divided program, told of the tensors of the one before.
std::vector<Apart> undivided(std::vector<Apart> apart, const Program& before, const Program& divided) {
  for (auto& [mixture, reason] : apart) {
    if (definition_of(before, *mixture)) continue;
    const auto quotient = std::ranges::find_if(divided.definitions, [&](const Definition& definition) {
      return std::ranges::count(tensors_read(definition.value), mixture) > 0;
    });
    mixture = quotient->tensor;
  }
  return apart;
}

// Attention's kernels where it is divided last, if all of it is then taken whole.
Partition in_kernels(const Program& needed, const Fuses& fuses) {
  const auto divided = fuses ? divide_last(needed) : std::nullopt;
  if (!divided) return Partitioner(needed, fuses).run();
  Partition result = Partitioner(*divided, fuses).run();
  if (result.apart.empty()) return result;
  std::vector<Apart> apart = undivided(std::move(result.apart), needed, *divided);
  result = Partitioner(needed, fuses).run();
  result.apart = std::move(apart);
  return result;
}

}  // namespace

void keep_own(Program& kernel) {
  for (Output& output : kernel.outputs) {
    if (output.updates && !is_input(kernel, *output.updates)) output.updates = nullptr;
  }
  std::erase_if(kernel.facts, [&](const Fact& fact) {
    return fact.tensor && !is_input(kernel, *fact.tensor) && !is_output(kernel, *fact.tensor);
  });
}

Partition partition(const Program& canonical, const Fuses& fuses) {
  Partition result = in_kernels(without_unused(canonical), fuses);
  keep_updated_inputs(canonical.outputs, result);
  for (Program& kernel : result.kernels) keep_own(kernel);
  return result;
}

}  // namespace quern::compiler
