#pragma once
// Peers: other libraries that compute the same, and how they are asked. Each is a function and a row of the table.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/call.h"
#include "quern/device.h"

namespace quern::bench {

// A workload as a peer sees it.
struct Task {
  std::optional<Call> call;  // nothing: no builder call
  Device device;
  double bytes = -1;          // that the program reads and writes, each argument once
  bool memory_bound = false;  // every kernel of ours is bound by memory
};

// One way in which a peer does it: on pointers in the order of a launch, on memory of the task's device. Throws Error
// where the peer refuses.
struct Variant {
  std::string name;
  std::function<void(std::span<void* const> arguments, void* stream)> run;
  std::string way = {};                  // variants of one way round alike: where one is wrong none of them counts
  std::optional<Program> computes = {};  // where it rounds in other places than the task's program
};

struct PeerCase {
  std::string library;            // its path and version
  std::vector<Variant> variants;  // the peer's own choice first; at least one. The fastest right one counts
  bool computes = true;           // false: it moves as many bytes, and there is no output to compare
  double scale = 1;               // what its time is multiplied by to stand against ours
};

struct Peer {
  std::string_view name;
  std::string_view offers;  // what it can be compared in
  // The task in the peer's form; nothing where it has none. Throws Error where the peer's library is missing.
  std::optional<PeerCase> (*make)(const Task& task);
};

std::span<const Peer> peers();

// Throws Error listing the peers for another name.
const Peer& find_peer(std::string_view name);

// The rows' functions.
std::optional<PeerCase> make_cublas(const Task& task);
std::optional<PeerCase> make_cudnn(const Task& task);
std::optional<PeerCase> make_onednn(const Task& task);
std::optional<PeerCase> make_openblas(const Task& task);
std::optional<PeerCase> make_memcpy(const Task& task);

}  // namespace quern::bench
