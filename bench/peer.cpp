#include "bench/peer.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace quern::bench {

std::span<const Peer> peers() {
  static constexpr std::array kPeers = {
      Peer{"cublas", "matmul, bmm and linear on a GPU (cuBLASLt; bias and activation fused, or in a kernel after it)",
           make_cublas},
      Peer{"cudnn",
           "conv2d of f32, f16 or bf16, padded alike on both sides (bias and relu fused, or in a kernel after it), and "
           "attention of f16 or bf16, on a GPU",
           make_cudnn},
      Peer{"onednn", "matmul, bmm, linear and conv2d of f32 without bias and activation, on the CPU", make_onednn},
      Peer{"openblas", "matmul and linear of f32 without bias and activation, on the CPU", make_openblas},
      Peer{"memcpy", "what is bound by memory: the time that a copy of as many bytes takes", make_memcpy},
  };
  return kPeers;
}

const Peer& find_peer(std::string_view name) {
  std::string known;
  for (const Peer& peer : peers()) {
    if (peer.name == name) return peer;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", peer.name);
  }
  fail("unknown peer '{}'; there are: {}", name, known);
}

}  // namespace quern::bench
