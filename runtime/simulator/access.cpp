// What every access to memory and registers is checked for, and counted as.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/simulator/team.h"

namespace quern::runtime::simulator {
namespace {

constexpr std::int64_t kSector = 32, kBank = 4, kBanks = 32;
constexpr std::size_t kMostSectors = 2 * std::size_t{kLanes}, kMostWords = 4 * std::size_t{kLanes};  // of an access

using Offsets = std::array<std::int64_t, kLanes>;

// The distinct numbers of a short list, sorted.
template <std::size_t N>
std::size_t distinct(std::array<std::int64_t, N>& list, std::size_t count) {
  std::sort(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count));
  return static_cast<std::size_t>(std::unique(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count)) -
                                  list.begin());
}

std::string verb(const Access& access) {
  if (access.atomic) return "an atomic update";
  return access.write ? "a write" : "a read";
}

std::string conflict_text(const Access& earlier, const Access& now, bool fence_alone) {
  const auto who = [](const Access& a) -> std::string { return a.lanes == 0 ? " by asynchronous work" : ""; };
  if (fence_alone) {
    return fmt::format("{} through the asynchronous proxy of what an ordinary store wrote, without fence_proxy_async",
                       verb(now));
  }
  const std::string_view where = earlier.team == now.team ? "" : " of another block";
  return fmt::format("{}{} is not ordered after {}{}{}", verb(now), who(now), verb(earlier), who(earlier), where);
}

}  // namespace

bool Team::is_inside(Warp& warp, int lane, const Window& window, std::int64_t offset, std::int64_t bytes, bool write) {
  if (offset < 0 || offset + bytes > window.bytes) {
    report(FindingKind::out_of_bounds, warp, Mask{1} << lane, window.name, -1, [&] {
      return fmt::format("a {} of {} B at element {} leaves {}, which has {} elements", write ? "write" : "read", bytes,
                         (offset - window.origin) / window.granule, window.name, window.bytes / window.granule);
    });
    return false;
  }
  if (!window.is_alive) {
    report(FindingKind::exited, warp, Mask{1} << lane, window.name, offset / window.granule,
           "the block of this shared memory has ended");
    return false;
  }
  const auto address = window.is_shared
                           ? window.data - warp.block->shared.data() + offset
                           : static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(window.data)) + offset;
  const std::int64_t alignment = std::min<std::int64_t>(bytes & -bytes, 16);
  if (!window.is_shared || bytes <= 16) {
    if (address % alignment != 0 && bytes <= 16) {
      report(FindingKind::misaligned, warp, Mask{1} << lane, window.name, (offset - window.origin) / window.granule,
             [&] {
               return fmt::format("an access of {} B at an address that is {} modulo {}", bytes, address % alignment,
                                  alignment);
             });
    }
  }
  return true;
}

void Team::touch_one(Warp& warp, int lane, Window& window, std::int64_t offset, std::int64_t bytes, const Touch& how) {
  const Mask bit = Mask{1} << lane;
  Access access{.team = number_in_grid,
                .statement = statement,
                .agent = how.agent != 0 ? how.agent : warp.first_thread,
                .lanes = how.agent != 0 ? 0 : bit,
                .epoch = how.agent != 0 ? how.epoch : warp.now,
                .write = how.write,
                .atomic = how.atomic,
                .async = how.async};
  const Issuer issuer{warp.first_thread + static_cast<Agent>(lane), &warp.clocks[static_cast<std::size_t>(lane)]};
  const std::int64_t first = offset / window.granule, last = (offset + bytes - 1) / window.granule;
  for (std::int64_t element = first; element <= last; ++element) {
    const std::int64_t shown = element - window.origin / window.granule;
    if (window.shadow.is_hole(element)) {
      report(FindingKind::out_of_bounds, warp, bit, window.name, shown,
             [&] { return fmt::format("a {} between the elements of {}", how.write ? "write" : "read", window.name); });
    }
    if ((!how.write || how.atomic) && !window.shadow.written(element)) {
      report(FindingKind::uninitialised, warp, bit, window.name, shown,
             [&] { return fmt::format("{} of what nobody wrote", how.atomic ? "an atomic update" : "a read"); });
    }
    if (const auto conflict = window.shadow.note(element, access, issuer)) {
      report(
          conflict->fence_alone ? FindingKind::missing_fence : FindingKind::race, warp, bit, window.name, shown,
          [&] { return conflict_text(conflict->earlier, access, conflict->fence_alone); }, conflict->earlier.statement);
    }
  }
}

void Team::touch(Warp& warp, Window& window, const Offsets& offsets, std::int64_t bytes, const Touch& how, Mask& mask) {
  each_lane(Mask{mask}, [&](int lane) {
    const std::int64_t offset = offsets[static_cast<std::size_t>(lane)];
    if (!is_inside(warp, lane, window, offset, bytes, how.write)) {
      mask &= ~(Mask{1} << lane);
    } else if (checks()) {
      touch_one(warp, lane, window, offset, bytes, how);
    }
  });
  if (!checks() || mask == 0) return;
  if (window.is_shared) {
    count_shared(offsets, mask, bytes, how.write);
  } else {
    count_global(offsets, mask, window, bytes, how.write);
  }
}

// The words of a wavefront lie in different banks. Accesses of 8 bytes take the lanes in two halves, of 16 in four
// quarters.
void Team::count_shared(const Offsets& offsets, Mask mask, std::int64_t bytes, bool write) {
  Counts& counts = launch.counts[statement];
  (write ? counts.shared_written : counts.shared_read) += bytes * __builtin_popcount(mask);
  const int lanes_together = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  for (int first = 0; first < kLanes; first += lanes_together) {
    std::array<std::int64_t, kMostWords> words;
    std::size_t count = 0;
    for (int lane = first; lane < first + lanes_together; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      const std::int64_t offset = offsets[static_cast<std::size_t>(lane)];
      for (std::int64_t word = offset / kBank; word <= (offset + bytes - 1) / kBank; ++word) words[count++] = word;
    }
    if (count == 0) continue;
    count = distinct(words, count);
    std::array<int, kBanks> in_bank{};
    for (std::size_t w = 0; w < count; ++w) ++in_bank[static_cast<std::size_t>(words[w] % kBanks)];
    counts.wavefronts += *std::ranges::max_element(in_bank);
    counts.wavefronts_needed += (static_cast<std::int64_t>(count) + kBanks - 1) / kBanks;
  }
}

void Team::count_global(const Offsets& offsets, Mask mask, const Window& window, std::int64_t bytes, bool write) {
  Counts& counts = launch.counts[statement];
  (write ? counts.global_written : counts.global_read) += bytes * __builtin_popcount(mask);
  const auto base = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(window.data));
  std::array<std::int64_t, kMostSectors> sectors;
  std::array<std::int64_t, kLanes> starts;
  std::size_t sector_count = 0, start_count = 0;
  each_lane(mask, [&](int lane) {
    const std::int64_t address = base + offsets[static_cast<std::size_t>(lane)];
    starts[start_count++] = address;
    sectors[sector_count++] = address / kSector;
    const std::int64_t last = (address + bytes - 1) / kSector;
    if (last != address / kSector) sectors[sector_count++] = last;
  });
  counts.sectors += static_cast<std::int64_t>(distinct(sectors, sector_count));
  const auto needed = static_cast<std::int64_t>(distinct(starts, start_count)) * bytes;
  counts.sectors_needed += (needed + kSector - 1) / kSector;
}

bool Team::touch_registers(Warp& warp, Mask mask, const BufferCode& fragment, std::int64_t first, std::int64_t count,
                           bool write) {
  if (first < 0 || first + count > fragment.elements) {
    report(FindingKind::out_of_bounds, warp, mask, fragment.name, first, [&] {
      return fmt::format("{} of {} registers at {} of {}", write ? "a write" : "a read", count, first,
                         fragment.elements);
    });
    return false;
  }
  for (std::int64_t e = first; e < first + count; ++e) {
    const auto at = static_cast<std::size_t>(fragment.place + e);
    if (checks()) {
      if (!write && (warp.written[at] & mask) != mask) {
        report(FindingKind::uninitialised, warp, mask & ~warp.written[at], fragment.name, e,
               "a read of registers that nobody wrote");
      }
      if (warp.in_flight[at] != 0) {
        report(FindingKind::in_flight, warp, mask, fragment.name, e,
               "registers of a wgmma that is not waited for are touched");
      } else if (write && warp.read_in_flight[at] != 0) {
        report(FindingKind::in_flight, warp, mask, fragment.name, e,
               "registers that a wgmma reads are written before it is waited for");
      }
    }
    if (write) {
      warp.written[at] |= mask;
      warp.fences_before[at] = warp.fences;
    }
  }
  return true;
}

Window* Team::window_at(Warp& warp, int lane, ir::Location place, std::int64_t bytes, bool write,
                        std::int64_t& offset) {
  if (place.space == ir::Space::global) {
    Window* window = launch.globals.at(static_cast<std::size_t>(place.owner));
    offset = place.offset;
    return is_inside(warp, lane, *window, offset, bytes, write) ? window : nullptr;
  }
  if (place.owner < 0 || place.owner >= static_cast<int>(blocks.size())) {
    report(FindingKind::out_of_bounds, warp, Mask{1} << lane, "", -1,
           [&] { return fmt::format("the cluster has no block of rank {}", place.owner); });
    return nullptr;
  }
  Block& block = *blocks[static_cast<std::size_t>(place.owner)];
  if (place.buffer >= 0) {
    const BufferCode& buffer = code.buffers[static_cast<std::size_t>(place.buffer)];
    Window& window = block.windows[static_cast<std::size_t>(buffer.window)];
    offset = place.offset - buffer.shared_offset;
    return is_inside(warp, lane, window, offset, bytes, write) ? &window : nullptr;
  }
  for (Window& window : block.windows) {
    const std::int64_t begin = window.data - block.shared.data();
    if (place.offset < begin || place.offset >= begin + window.bytes) continue;
    offset = place.offset - begin;
    return is_inside(warp, lane, window, offset, bytes, write) ? &window : nullptr;
  }
  report(FindingKind::out_of_bounds, warp, Mask{1} << lane, "", -1,
         [&] { return fmt::format("byte {} of shared memory belongs to no buffer", place.offset); });
  return nullptr;
}

}  // namespace quern::runtime::simulator
