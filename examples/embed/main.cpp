// Compiles one program and runs it on pointers of this program's own: on a GPU these are device pointers and a
// CUstream. scripts/build makes build/bin/quern_embedding of it; tests/package builds against an installed Quern.

#include <cstdio>
#include <vector>

#include "quern/quern.h"

int main() {
  const quern::Program program = quern::Program::parse(R"(
    kernel gated(x: f32[m, n], g: f32[n]) -> (y: f32[m, n]) {
      y[i, j] = silu(x[i, j]) * g[j]
    })");
  const quern::Executable gated = quern::compile(program, {.device = "cpu", .use_store = false});

  constexpr int m = 4, n = 1000;
  std::vector<float> x(m * n, 1.0f), g(n, 2.0f), y(m * n);
  gated.launch(std::vector<void*>{x.data(), g.data(), y.data()}, std::vector<std::int64_t>{m, n});
  std::printf("y[0] = %.6f by '%s'\n", static_cast<double>(y[0]), gated.schedule().c_str());
}
