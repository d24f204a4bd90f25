#pragma once
// Small kernels with one fault each, and the same kernels without it.

#include <ostream>
#include <span>
#include <string>

namespace quern::runtime::simulator {

struct Planted {
  const char* name;
  const char* faulty;
  const char* finds;  // kinds and buffers: all that some order of the warps may show, sorted
  const char* clean;
  int elements = 256;
  int blocks = 1;
  int warps = 2;
};
void PrintTo(const Planted& planted, std::ostream* stream);

std::span<const Planted> planted_faults();

// Around a body: a kernel over x and y of f32 with 512 bytes of shared memory t, 4 KiB s and two mbarriers, full.
std::string kernel_text(const std::string& body, int elements = 256, int blocks = 1, int warps = 2);

}  // namespace quern::runtime::simulator
