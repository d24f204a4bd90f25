#include "tests/runtime/cpu/object_code.h"

#include <llvm/AsmParser/Parser.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include <memory>

#include "base/error.h"

namespace quern::runtime::cpu {

std::vector<std::byte> object_code(std::string_view text) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  const std::unique_ptr<llvm::Module> module = llvm::parseAssemblyString(text, diagnostic, context);
  ensure(module != nullptr, diagnostic.getMessage().str());
  std::string error;
  const std::string triple = llvm::sys::getProcessTriple();
  const llvm::Target* backend = llvm::TargetRegistry::lookupTarget(triple, error);
  ensure(backend != nullptr, error);
  const std::unique_ptr<llvm::TargetMachine> machine(
      backend->createTargetMachine(triple, "generic", "", llvm::TargetOptions(), llvm::Reloc::PIC_));
  module->setDataLayout(machine->createDataLayout());
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  ensure(!machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile),
         "objects are emitted");
  passes.run(*module);
  const auto* first = reinterpret_cast<const std::byte*>(object.data());
  return {first, first + object.size()};
}

}  // namespace quern::runtime::cpu
