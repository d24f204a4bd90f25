#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "codegen/llvm/arithmetic.h"

namespace quern::codegen {
namespace {

using Operands = std::span<llvm::Value* const>;

bool has_vector_function(const std::string& symbol) {
  static void* const library = dlopen("libmvec.so.1", RTLD_LAZY | RTLD_LOCAL);
  return library && dlsym(library, symbol.c_str());
}

llvm::Value* call_function(Lanes& lanes, llvm::StringRef symbol, Operands operands) {
  const std::vector<llvm::Type*> types(operands.size(), operands[0]->getType());
  auto* type = llvm::FunctionType::get(operands[0]->getType(), types, false);
  llvm::FunctionCallee callee = lanes.module().getOrInsertFunction(symbol, type);
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  function->setDoesNotThrow();
  function->setDoesNotAccessMemory();
  function->setWillReturn();
  return lanes.ir().CreateCall(callee, llvm::ArrayRef(operands.data(), operands.size()));
}

// The x86-64 vector function ABI: _ZGV <isa> N <lanes> <v per operand> _<name>, where the widths of 16, 32 and 64 bytes
// stand for SSE4, AVX2 and AVX-512. Empty where there is none.
std::string vector_symbol(std::string_view name, int bytes, int lanes, std::size_t operands) {
  const char isa = bytes == 64 ? 'e' : bytes == 32 ? 'd' : bytes == 16 ? 'b' : '\0';
  if (!isa) return {};
  const std::string symbol = fmt::format("_ZGV{}N{}{}_{}", isa, lanes, std::string(operands, 'v'), name);
  return has_vector_function(symbol) ? symbol : std::string();
}

llvm::Value* slice(IrBuilder& ir, llvm::Value* vector, int begin, int count) {
  std::vector<int> positions;
  for (int i = 0; i < count; ++i) positions.push_back(begin + i);
  return ir.CreateShuffleVector(vector, positions);
}

llvm::Value* each_lane(Lanes& lanes, const std::string& symbol, Operands operands) {
  llvm::Value* result = llvm::PoisonValue::get(operands[0]->getType());
  for (int l = 0; l < lanes.count(); ++l) {
    std::vector<llvm::Value*> scalars;
    for (llvm::Value* x : operands) scalars.push_back(lanes.ir().CreateExtractElement(x, l));
    result = lanes.ir().CreateInsertElement(result, call_function(lanes, symbol, scalars), l);
  }
  return result;
}

}  // namespace

llvm::Value* call_libm(Lanes& lanes, std::string_view name, Operands operands) {
  llvm::Type* element = operands[0]->getType()->getScalarType();
  const std::string scalar = std::string(name) + (element->isFloatTy() ? "f" : "");
  if (!operands[0]->getType()->isVectorTy()) return call_function(lanes, scalar, operands);
  const int bytes = element->isFloatTy() ? 4 : 8;
  const int length = std::min(lanes.count(), lanes.vector_bytes() / bytes);
  const std::string symbol = vector_symbol(scalar, length * bytes, length, operands.size());
  if (symbol.empty()) return each_lane(lanes, scalar, operands);
  std::vector<llvm::Value*> parts;
  for (int begin = 0; begin < lanes.count(); begin += length) {
    std::vector<llvm::Value*> slices;
    for (llvm::Value* x : operands) slices.push_back(slice(lanes.ir(), x, begin, length));
    parts.push_back(call_function(lanes, symbol, slices));
  }
  return concatenate(lanes.ir(), parts);
}

}  // namespace quern::codegen
