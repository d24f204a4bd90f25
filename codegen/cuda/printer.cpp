#include "codegen/cuda/printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "codegen/cuda/kernel_printer.h"
#include "codegen/cuda/prelude.h"
#include "codegen/cuda/types.h"
#include "ir/kernel_rewrite.h"

namespace quern::codegen {

using namespace ir;  // NOLINT: this file is about the language's nodes

namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

std::string header_comment(std::string_view comment) {
  std::string text;
  for (const std::string_view line : lines_of(comment)) text += fmt::format("//{}{}\n", line.empty() ? "" : " ", line);
  return text;
}

void check_printable(const Kernel& kernel, const Target& target) {
  ensure(kernel.form == Form::thread, "code is generated from thread form");
  ensure(target.is_gpu(), "CUDA C is generated for GPUs");
  visit(kernel.body, [&](const Stmt& stmt, const Enclosing&) {
    const Intrinsic* intrinsic = get_if<Intrinsic>(stmt);
    if (!intrinsic) return true;
    const IntrinsicRow& row = ir::row(intrinsic->id);
    // Architecture-specific instructions exist on their own architecture alone.
    const int capability = target.gpu.capability;
    const bool has_it = row.arch_specific ? capability == row.min_arch : capability >= row.min_arch;
    if (!has_it) {
      throw InternalError(fmt::format("{} lacks the intrinsic {}, which {} uses", target.arch, row.name, kernel.name));
    }
    return true;
  });
}

std::vector<std::string> options_of(const Kernel& kernel) {
  const bool exact = std::ranges::any_of(kernel.facts, [](const Fact& fact) { return fact.kind == Fact::Kind::exact; });
  return exact ? std::vector<std::string>{"--fmad=false"} : std::vector<std::string>{};
}

CudaText print_cuda(const Kernel& kernel, const Target& target) {
  check_printable(kernel, target);

  CudaText result;
  result.shared = shared_layout(kernel);
  KernelPrinter printer(kernel, result.shared);
  const std::string function = printer.print();
  result.entry = printer.entry();
  result.maps = printer.maps();
  result.lines = printer.lines();
  result.options = options_of(kernel);

  std::string products;
  for (const auto& [name, text] : printer.matrix_functions()) products += text + '\n';
  std::string& source = result.source;
  source = header_comment(kernel.comment);
  if (!source.empty()) source += '\n';
  source += prelude_for(products + function);
  source += products;
  const int above = static_cast<int>(std::ranges::count(source, '\n'));
  for (auto& [statement, line] : result.lines) line += above;
  source += function;
  return result;
}

}  // namespace quern::codegen
