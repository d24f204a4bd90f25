#include "codegen/cuda/module.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "codegen/cuda/kernel_printer.h"
#include "codegen/cuda/prelude.h"
#include "codegen/cuda/printer.h"
#include "ir/kernel_rewrite.h"
#include "ir/shared_layout.h"

namespace quern::codegen {

namespace {

int line_count(const std::string& text) { return static_cast<int>(std::ranges::count(text, '\n')); }

// The lines of a kernel's statements, `above` lines below the first.
std::vector<int> lines_of(const ir::Kernel& kernel, const KernelPrinter& printer, int above) {
  std::unordered_map<const ir::StmtNode*, int> begins;
  for (const auto& [statement, line] : printer.lines()) begins.emplace(statement, line + above);
  std::vector<int> lines;
  ir::visit(kernel.body, [&](const ir::Stmt& stmt, const ir::Enclosing&) {
    const auto found = begins.find(stmt.get());
    lines.push_back(found == begins.end() ? 0 : found->second);
    return true;
  });
  return lines;
}

}  // namespace

CudaModule print_module(std::span<const ir::Kernel> kernels, const Target& target) {
  CudaModule module;
  std::string functions;
  std::map<std::string, std::string> products;
  for (const ir::Kernel& kernel : kernels) {
    check_printable(kernel, target);
    const ir::SharedLayout shared = ir::shared_layout(kernel);
    KernelPrinter printer(kernel, shared);
    functions += header_comment(kernel.comment);
    const int above = line_count(functions);
    functions += printer.print() + '\n';
    module.lines.push_back(lines_of(kernel, printer, above));
    module.entries.push_back(printer.entry());
    products.insert(printer.matrix_functions().begin(), printer.matrix_functions().end());
    for (const std::string& option : options_of(kernel)) {
      if (std::ranges::find(module.options, option) == module.options.end()) module.options.push_back(option);
    }
  }
  std::string product_text;
  for (const auto& [name, text] : products) product_text += text + '\n';
  module.source = prelude_for(product_text + functions) + product_text;
  const int above = line_count(module.source);
  for (std::vector<int>& lines : module.lines) {
    for (int& line : lines) line += line > 0 ? above : 0;
  }
  module.source += functions;
  return module;
}

}  // namespace quern::codegen
