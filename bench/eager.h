#pragma once
// The eager way to what follows a peer's product or convolution: a kernel of its own, over the rounded sums.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bench/call.h"
#include "quern/compile.h"
#include "quern/device.h"

namespace quern::bench {

// Sums that a peer leaves in scratch memory, and what they become.
struct Sums {
  std::vector<std::int64_t> shape;
  std::size_t channel = 0;  // the dimension that a bias has an element for each index of
  DType dtype = DType::f32;
  DType bias = DType::f32;
  DType out = DType::f32;
};

// Those of a product and of a convolution, rounded to the result's dtype.
Sums sums_of(const Product& product);
Sums sums_of(const Convolution& convolution);

// What a peer that leaves those sums and the kernel behind it compute together, in the order of a launch.
Program eager_program(const Product& product);
Program eager_program(const Convolution& convolution);

// y = act(sums + bias). The kernel is Quern's, on the default schedule.
class Eager {
 public:
  // Throws Error where the kernel cannot be compiled.
  Eager(const Device& device, const BiasAct& after, const Sums& sums);

  // Where the peer writes its sums.
  void* sums() const { return sums_.data(); }
  // The rest of a launch whose arguments end with the bias, where there is one, and y.
  void finish(std::span<void* const> arguments, void* stream) const;

 private:
  bool bias_;
  DeviceBuffer sums_;
  Executable kernel_;
};

}  // namespace quern::bench
