#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/ADCE.h>
#include <llvm/Transforms/Scalar/DeadStoreElimination.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/GVN.h>
#include <llvm/Transforms/Scalar/IndVarSimplify.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopDeletion.h>
#include <llvm/Transforms/Scalar/LoopRotation.h>
#include <llvm/Transforms/Scalar/LoopUnrollPass.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include <memory>
#include <mutex>

#include "base/error.h"
#include "codegen/llvm/defer_loads.h"
#include "codegen/llvm/emitter.h"
#include "codegen/llvm/llvm.h"

namespace quern::codegen {
namespace {

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target) {
  ensure(target.kind == TargetKind::cpu, "code for CPUs is generated for a CPU target");
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  const std::string triple = llvm::sys::getProcessTriple();
  std::string error;
  const llvm::Target* backend = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!backend) fail("this build of LLVM has no backend for {}: {}", triple, error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;  // by the flags of each operation
  return std::unique_ptr<llvm::TargetMachine>(backend->createTargetMachine(
      triple, target.arch, "", options, llvm::Reloc::PIC_, llvm::CodeModel::Small, llvm::CodeGenOptLevel::Aggressive));
}

// Kernels come unrolled and in vectors: what is left is registers, common subexpressions, invariants and branches.
void optimise(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);

  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::InstCombinePass());
  llvm::LoopPassManager invariants;
  invariants.addPass(llvm::LoopRotatePass());
  invariants.addPass(llvm::LICMPass(llvm::LICMOptions()));
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(invariants), /*UseMemorySSA=*/true));
  llvm::LoopPassManager counters;
  counters.addPass(llvm::IndVarSimplifyPass());
  counters.addPass(llvm::LoopDeletionPass());
  counters.addPass(llvm::LoopFullUnrollPass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(counters)));
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::GVNPass());
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::DSEPass());
  passes.addPass(llvm::ADCEPass());
  passes.addPass(llvm::SimplifyCFGPass());
  llvm::ModulePassManager all;
  all.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(passes)));
  all.run(module, modules);
  for (llvm::Function& function : module) defer_loads(function);
}

// A module with its own context and machine.
struct Compilation {
  explicit Compilation(std::span<const ir::Kernel> kernels, const Target& target) : machine(make_machine(target)) {
    module.setDataLayout(machine->createDataLayout());
    module.setTargetTriple(machine->getTargetTriple().str());
    for (const ir::Kernel& kernel : kernels) KernelEmitter(kernel, target, module).emit();
    std::string error;
    llvm::raw_string_ostream stream(error);
    if (llvm::verifyModule(module, &stream)) throw InternalError("generated LLVM is not well formed: " + error);
  }

  void optimise() { codegen::optimise(module, *machine); }

  llvm::SmallVector<char, 0> emit(llvm::CodeGenFileType kind) {
    llvm::SmallVector<char, 0> bytes;
    llvm::raw_svector_ostream stream(bytes);
    llvm::legacy::PassManager passes;
    ensure(!machine->addPassesToEmitFile(passes, stream, nullptr, kind), "LLVM's backend emits objects and assembly");
    passes.run(module);
    return bytes;
  }

  llvm::LLVMContext context;
  llvm::Module module{"quern", context};
  std::unique_ptr<llvm::TargetMachine> machine;
};

}  // namespace

ObjectCode compile_cpu(std::span<const ir::Kernel> kernels, const Target& target) {
  Compilation compilation(kernels, target);
  compilation.optimise();
  const auto object = compilation.emit(llvm::CodeGenFileType::ObjectFile);
  ObjectCode code;
  const auto* first = reinterpret_cast<const std::byte*>(object.data());
  code.bytes.assign(first, first + object.size());
  for (const ir::Kernel& kernel : kernels) code.kernels.push_back(kernel.name);
  return code;
}

std::string emit_llvm(std::span<const ir::Kernel> kernels, const Target& target, bool optimised) {
  Compilation compilation(kernels, target);
  if (optimised) compilation.optimise();
  std::string text;
  llvm::raw_string_ostream stream(text);
  compilation.module.print(stream, nullptr);
  return text;
}

std::string emit_asm(std::span<const ir::Kernel> kernels, const Target& target) {
  Compilation compilation(kernels, target);
  compilation.optimise();
  const auto text = compilation.emit(llvm::CodeGenFileType::AssemblyFile);
  return std::string(text.begin(), text.end());
}

}  // namespace quern::codegen
