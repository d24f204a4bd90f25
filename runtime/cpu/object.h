#pragma once
// Machine code of this process from a relocatable object, through LLVM's ORC. Internal to runtime/cpu.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/cpu_kernel.h"

namespace quern::runtime::cpu {

// A linked object; its code lives as long as this does. What it calls is found in the C library, libm and libmvec.
class LoadedObject {
 public:
  // `name` is for messages. Throws Error when the bytes are no object for this processor.
  LoadedObject(std::span<const std::byte> bytes, const std::string& name);
  LoadedObject(LoadedObject&&) noexcept;
  LoadedObject& operator=(LoadedObject&&) = delete;
  ~LoadedObject();

  // The kernel named `kernel`. Throws Error when the object has none, or when what it calls is not there.
  CpuKernelFunction function(const std::string& kernel) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quern::runtime::cpu
