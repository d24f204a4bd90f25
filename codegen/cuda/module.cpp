#include "codegen/cuda/module.h"

#include <algorithm>
#include <map>

#include "codegen/cuda/kernel_printer.h"
#include "codegen/cuda/prelude.h"
#include "codegen/cuda/printer.h"
#include "ir/shared_layout.h"

namespace quern::codegen {

CudaModule print_module(std::span<const ir::Kernel> kernels, const Target& target) {
  CudaModule module;
  std::string functions;
  std::map<std::string, std::string> products;
  for (const ir::Kernel& kernel : kernels) {
    check_printable(kernel, target);
    const ir::SharedLayout shared = ir::shared_layout(kernel);
    KernelPrinter printer(kernel, shared);
    functions += header_comment(kernel.comment) + printer.print() + '\n';
    module.entries.push_back(printer.entry());
    products.insert(printer.matrix_functions().begin(), printer.matrix_functions().end());
    for (const std::string& option : options_of(kernel)) {
      if (std::ranges::find(module.options, option) == module.options.end()) module.options.push_back(option);
    }
  }
  std::string product_text;
  for (const auto& [name, text] : products) product_text += text + '\n';
  module.source = prelude_for(product_text + functions) + product_text + functions;
  return module;
}

}  // namespace quern::codegen
