#include "codegen/llvm/emitter.h"

#include <llvm/IR/MDBuilder.h>

#include <algorithm>

#include "base/cpu_kernel.h"
#include "base/error.h"
#include "ir/shared_layout.h"

namespace quern::codegen {
namespace {

// Elements of a buffer on chip.
std::int64_t elements(const ir::Tensor& tensor) {
  ensure(tensor.rank() == 1, "a buffer of a kernel in thread form has rank 1");
  return ir::span_of(ir::as_buffer(tensor).layout, ir::Place::address);
}

bool is_exact(const ir::Kernel& kernel) {
  return std::ranges::any_of(kernel.facts, [](const ir::Fact& f) { return f.kind == ir::Fact::Kind::exact; });
}

}  // namespace

KernelEmitter::KernelEmitter(const ir::Kernel& kernel, const Target& target, llvm::Module& module)
    : kernel_(kernel), module_(module), lanes_(module, kernel.lanes, target), ir_(lanes_.ir()) {
  ensure(kernel.form == ir::Form::thread, "code is generated from thread form");
  ensure(kernel.warps == 1, "a block of a CPU kernel is one warp");
  ensure(kernel.maps.empty() && kernel.cluster.empty(), "a CPU kernel has no tensor maps and no clusters");
  ensure(kernel.grid.size() == kernel.block.size() && !kernel.grid.empty() && kernel.grid.size() <= 3,
         "a kernel's grid has one to three extents, each with its variable");
  llvm::FastMathFlags flags;
  flags.setAllowContract(!is_exact(kernel));
  ir_.setFastMathFlags(flags);
}

llvm::BasicBlock* KernelEmitter::new_block(std::string_view name) {
  return llvm::BasicBlock::Create(module_.getContext(), llvm::StringRef(name), function_);
}

// Allocas of the entry block become registers.
llvm::AllocaInst* KernelEmitter::entry_alloca(llvm::Type* type, std::string_view name) {
  llvm::BasicBlock& entry = function_->getEntryBlock();
  const llvm::IRBuilderBase::InsertPointGuard saved(ir_);
  ir_.SetInsertPoint(&entry, entry.begin());
  return ir_.CreateAlloca(type, nullptr, llvm::StringRef(name));
}

KernelEmitter::Fragment& KernelEmitter::fragment(const ir::Tensor& tensor) {
  const auto found = fragments_.find(&tensor);
  if (found != fragments_.end()) return found->second;
  const std::int64_t size = elements(tensor);
  llvm::Type* element = is_bool(tensor.dtype) ? ir_.getInt8Ty() : lanes_.register_type(tensor.dtype);
  llvm::Type* type = llvm::ArrayType::get(lanes_.vector_of(element), static_cast<std::uint64_t>(size));
  return fragments_.emplace(&tensor, Fragment{entry_alloca(type, tensor.name), size}).first->second;
}

void KernelEmitter::open_function() {
  llvm::LLVMContext& context = module_.getContext();
  auto* pointer = llvm::PointerType::get(context, 0);
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer}, false);
  ensure(!module_.getFunction(kernel_.name), "kernels of one module have different names");
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel_.name, module_);
  function_->setDoesNotThrow();
  function_->addParamAttr(0, llvm::Attribute::NoAlias);
  function_->addParamAttr(0, llvm::Attribute::ReadOnly);
  function_->addFnAttr(llvm::Attribute::MustProgress);
  // The vectors that the schedule asks for, also where the processor's model would rather see narrower ones.
  const std::string bits = std::to_string(8 * lanes_.vector_bytes());
  function_->addFnAttr("prefer-vector-width", bits);
  function_->addFnAttr("min-legal-vector-width", bits);
  ir_.SetInsertPoint(new_block("entry"));
}

void KernelEmitter::load_parameters(llvm::Value* arguments) {
  llvm::Type* pointer = ir_.getPtrTy();
  const auto constant_load = [&](llvm::Type* type, llvm::Value* from, std::size_t index, llvm::StringRef name) {
    llvm::LoadInst* load = ir_.CreateLoad(type, ir_.CreateConstGEP1_64(type, from, index), name);
    load->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(module_.getContext(), {}));
    return load;
  };
  static_assert(sizeof(CpuKernelArguments) == 8 * sizeof(void*), "the argument block is eight words");
  llvm::Value* buffers = constant_load(pointer, arguments, 0, "buffers");
  llvm::Value* scalars = constant_load(pointer, arguments, 1, "scalars");
  for (std::size_t i = 0; i < kernel_.params.size(); ++i) {
    buffers_[kernel_.params[i].get()] = constant_load(pointer, buffers, i, kernel_.params[i]->name);
  }
  for (std::size_t i = 0; i < kernel_.symbols.size(); ++i) {
    const ir::Variable& symbol = *kernel_.symbols[i];
    llvm::Type* type = lanes_.register_type(symbol.dtype);
    ensure(type->isIntegerTy() || symbol.dtype == DType::f32, "a scalar parameter is an integer or an f32");
    llvm::Value* word = constant_load(ir_.getInt64Ty(), scalars, i, symbol.name);
    llvm::Value* value = type->isIntegerTy() ? ir_.CreateTrunc(word, type)
                                             : ir_.CreateBitCast(ir_.CreateTrunc(word, ir_.getInt32Ty()), type);
    variables_[&symbol] = lanes_.uniform(symbol.dtype, value);
  }
}

// Each shared buffer is an alias scope of its own, all global ones are another: arguments may alias one another.
void KernelEmitter::place_scratch(llvm::Value* scratch) {
  llvm::LLVMContext& context = module_.getContext();
  llvm::MDBuilder metadata(context);
  llvm::MDNode* domain = metadata.createAnonymousAliasScopeDomain(kernel_.name);
  std::vector<llvm::Metadata*> scopes = {metadata.createAnonymousAliasScope(domain, "global")};
  for (const ir::BufferRef& buffer : kernel_.shared) {
    scopes.push_back(metadata.createAnonymousAliasScope(domain, buffer->name));
  }
  const auto all_but = [&](std::size_t excluded) {
    std::vector<llvm::Metadata*> others = scopes;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(excluded));
    return llvm::MDNode::get(context, others);
  };
  global_scope_ = llvm::MDNode::get(context, scopes[0]);
  all_scratch_ = all_but(0);
  const ir::SharedLayout layout = ir::shared_layout(kernel_);
  ensure(layout.alignment <= kCpuScratchAlignment, "a shared buffer is aligned to at most a page");
  for (std::size_t i = 0; i < kernel_.shared.size(); ++i) {
    const ir::Buffer& buffer = *kernel_.shared[i];
    ensure(buffer.space == ir::Space::shared, "a CPU kernel has no barriers in memory");
    llvm::Value* pointer = ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), scratch,
                                                          static_cast<std::uint64_t>(layout.offsets[i]), buffer.name);
    scratch_[&buffer] = {pointer, llvm::MDNode::get(context, scopes[i + 1]), all_but(i + 1)};
  }
}

// The first grid coordinate runs fastest.
void KernelEmitter::bind_block(llvm::Value* id, std::span<llvm::Value* const> grid) {
  llvm::Value* rest = id;
  for (std::size_t i = 0; i < kernel_.block.size(); ++i) {
    const ir::Variable& var = *kernel_.block[i];
    const bool last = i + 1 == kernel_.block.size();
    llvm::Value* coordinate = last ? rest : ir_.CreateURem(rest, grid[i]);
    if (!last) rest = ir_.CreateUDiv(rest, grid[i]);
    const Value value = lanes_.uniform(DType::i64, coordinate);
    variables_[&var] = lanes_.uniform(var.dtype, ir_.CreateTrunc(value.base, lanes_.register_type(var.dtype)));
    variables_[&var].base->setName(var.name);
  }
}

void KernelEmitter::emit() {
  open_function();
  llvm::Value* arguments = function_->getArg(0);
  arguments->setName("arguments");
  load_parameters(arguments);
  llvm::Type* word = ir_.getInt64Ty();
  const auto field = [&](llvm::Type* type, std::uint64_t index, llvm::StringRef name) {
    return ir_.CreateLoad(type, ir_.CreateConstGEP1_64(word, arguments, index), name);
  };
  llvm::Value* begin = field(word, 2, "begin");
  llvm::Value* end = field(word, 3, "end");
  llvm::Value* grid[] = {field(word, 4, "grid0"), field(word, 5, "grid1"), field(word, 6, "grid2")};
  place_scratch(field(ir_.getPtrTy(), 7, "scratch"));
  if (kernel_.warp) variables_[kernel_.warp.get()] = lanes_.integer(kernel_.warp->dtype, 0);
  if (kernel_.lane) variables_[kernel_.lane.get()] = lanes_.lane(kernel_.lane->dtype);

  llvm::BasicBlock* before = ir_.GetInsertBlock();
  llvm::BasicBlock* body = new_block("block");
  llvm::BasicBlock* done = new_block("done");
  ir_.CreateCondBr(ir_.CreateICmpSLT(begin, end), body, done);
  ir_.SetInsertPoint(body);
  llvm::PHINode* id = ir_.CreatePHI(word, 2, "id");
  id->addIncoming(begin, before);
  bind_block(id, grid);
  statement(kernel_.body);
  llvm::Value* next = ir_.CreateNSWAdd(id, ir_.getInt64(1));
  id->addIncoming(next, ir_.GetInsertBlock());
  ir_.CreateCondBr(ir_.CreateICmpSLT(next, end), body, done);
  done->moveAfter(ir_.GetInsertBlock());
  ir_.SetInsertPoint(done);
  ir_.CreateRetVoid();
}

}  // namespace quern::codegen
