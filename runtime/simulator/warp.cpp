// Statements of a warp, strand by strand.

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "runtime/simulator/operation.h"
#include "runtime/simulator/team.h"

namespace quern::runtime::simulator {
namespace {

// A strand without children that can go on; -1: none.
int ready(const Warp& warp, std::uint64_t changes) {
  for (std::size_t i = warp.strands.size(); i-- > 0;) {
    const Strand& strand = warp.strands[i];
    if (strand.ended || strand.children > 0 || (strand.waiting && strand.seen == changes)) continue;
    return static_cast<int>(i);
  }
  return -1;
}

void fork(Warp& warp, std::size_t parent, int pc, int stop, Mask mask) {
  ++warp.strands[parent].children;
  warp.strands.push_back({.pc = pc, .stop = stop, .mask = mask, .parent = static_cast<int>(parent)});
}

void finish(Warp& warp, std::size_t strand) {
  warp.strands[strand].ended = true;
  const int parent = warp.strands[strand].parent;
  if (parent >= 0) --warp.strands[static_cast<std::size_t>(parent)].children;
  while (!warp.strands.empty() && warp.strands.back().ended) warp.strands.pop_back();
}

}  // namespace

bool Team::advance(Warp& warp, int steps) {
  bool any = false;
  while (steps > 0) {
    const int chosen = ready(warp, changes);
    if (chosen < 0) break;
    const auto number = static_cast<std::size_t>(chosen);
    while (steps-- > 0) {
      Strand& strand = warp.strands[number];
      if (strand.pc == strand.stop) {
        finish(warp, number);
        any = true;
        break;
      }
      const std::size_t strands = warp.strands.size();
      if (!step(warp, number)) break;
      any = true;
      if (warp.ended) return true;
      if (warp.strands.size() != strands) break;
    }
  }
  return any;
}

bool Team::step(Warp& warp, std::size_t number) {
  Strand& strand = warp.strands[number];
  const Step& at = code.steps[static_cast<std::size_t>(strand.pc)];
  statement = at.statement;
  using enum Step::Kind;
  if (at.kind == intrinsic) {
    const bool goes_on = execute(warp, strand, at);
    strand.waiting = !goes_on;
    strand.seen = changes;
    if (goes_on) ++strand.pc;
    return goes_on;
  }
  switch (at.kind) {
    case end:
      warp.ended = true;
      return true;
    case branch:
      branch_at(warp, number, at);
      return true;
    case jump:
      strand.pc = at.target;
      return true;
    case loop:
      loop_at(warp, number, at);
      return true;
    case next:
      next_at(warp, strand, at);
      return true;
    default:
      break;
  }
  count(warp, at, strand.mask);
  switch (at.kind) {
    case allocate: {
      const BufferCode& fragment = code.buffers[at.buffer];
      for (std::int64_t e = 0; e < fragment.elements; ++e) {
        warp.written[static_cast<std::size_t>(fragment.place + e)] &= ~strand.mask;
      }
      break;
    }
    case let:
      if (at.slot.uniform) {
        warp.numbers[at.slot.number] = this->number(warp, at.a);
      } else {
        evaluate(warp, at.a, strand.mask, warp.vectors[at.slot.number]);
      }
      break;
    case store:
      store_at(warp, strand.mask, at);
      break;
    case atomic:
      atomic_at(warp, strand.mask, at);
      break;
    case move:
      move_at(warp, strand.mask, at);
      break;
    default:
      unreachable("a kind of step");
  }
  ++strand.pc;
  return true;
}

void Team::count(const Warp&, const Step& at, Mask mask) {
  if (!checks()) return;
  Counts& counts = launch.counts[at.statement];
  const Work& work = code.statements[at.statement].work;
  ++counts.warps;
  counts.threads += std::popcount(mask);
  counts.float_work += work.floats;
  counts.integer_work += work.integers;
  counts.special_work += work.special;
}

// --- Control --------------------------------------------------------------------------------------------------------

void Team::branch_at(Warp& warp, std::size_t number, const Step& at) {
  Strand& strand = warp.strands[number];
  Mask taken = 0;
  if (code.values[at.a].uniform) {
    taken = this->number(warp, at.a) != 0 ? strand.mask : 0;
  } else {
    Lanes condition;
    evaluate(warp, at.a, strand.mask, condition);
    each_lane(strand.mask, [&](int lane) {
      if (condition.i[static_cast<std::size_t>(lane)] != 0) taken |= Mask{1} << lane;
    });
  }
  const Mask other = strand.mask & ~taken;
  if (other == 0) {
    ++strand.pc;
  } else if (taken == 0) {
    strand.pc = at.target;
  } else {
    const int first = strand.pc + 1;
    const bool has_else = at.target != at.join;
    strand.pc = at.join;
    fork(warp, number, first, has_else ? at.target - 1 : at.join, taken);
    if (has_else) fork(warp, number, at.target, at.join, other);
  }
}

void Team::loop_at(Warp& warp, std::size_t number, const Step& at) {
  Strand& strand = warp.strands[number];
  if (at.slot.uniform) {
    const std::int64_t lo = this->number(warp, at.a), hi = this->number(warp, at.b);
    warp.numbers[at.slot.number] = lo;
    warp.numbers[at.bound] = hi;
    strand.pc = lo < hi ? strand.pc + 1 : at.target;
    return;
  }
  Lanes& var = warp.vectors[at.slot.number];
  Lanes& hi = warp.vectors[at.bound];
  Lanes lo;
  evaluate(warp, at.a, strand.mask, lo);
  evaluate(warp, at.b, strand.mask, hi);
  var = lo;
  Mask running = 0;
  each_lane(strand.mask, [&](int lane) {
    const auto l = static_cast<std::size_t>(lane);
    if (lo.i[l] < hi.i[l]) running |= Mask{1} << lane;
  });
  const int first = strand.pc + 1;
  strand.pc = at.target;
  // Lanes leave the strand of the body one by one, and meet behind the loop.
  if (running != 0) fork(warp, number, first, at.target, running);
}

void Team::next_at(Warp& warp, Strand& strand, const Step& at) {
  // A loop that would never end ends.
  const auto goes_on = [&](Mask lanes, std::int64_t step) {
    if (step > 0) return true;
    report(FindingKind::misuse, warp, lanes, "", -1,
           [&] { return fmt::format("the loop's step is {}; it never ends where that is not 1 or more", step); });
    return false;
  };
  if (at.slot.uniform) {
    std::int64_t& var = warp.numbers[at.slot.number];
    const std::int64_t step = this->number(warp, at.c);
    var = wrap_integer(at.dtype, var + step);
    strand.pc = goes_on(strand.mask, step) && var < warp.numbers[at.bound] ? at.target : strand.pc + 1;
    return;
  }
  Lanes step;
  evaluate(warp, at.c, strand.mask, step);
  Lanes& var = warp.vectors[at.slot.number];
  const Lanes& hi = warp.vectors[at.bound];
  Mask running = 0;
  each_lane(strand.mask, [&](int lane) {
    const auto l = static_cast<std::size_t>(lane);
    var.i[l] = wrap_integer(at.dtype, var.i[l] + step.i[l]);
    if (goes_on(Mask{1} << lane, step.i[l]) && var.i[l] < hi.i[l]) running |= Mask{1} << lane;
  });
  strand.pc = running != 0 ? at.target : strand.pc + 1;
  if (running != 0) strand.mask = running;
}

// --- Memory ---------------------------------------------------------------------------------------------------------

Window& Team::window_of(Warp& warp, const BufferCode& buffer) {
  if (buffer.space == ir::Space::global) return *launch.globals[static_cast<std::size_t>(buffer.place)];
  return warp.block->windows[static_cast<std::size_t>(buffer.window)];
}

std::byte* Team::register_at(Warp& warp, std::uint32_t buffer, std::int64_t element, int lane) const {
  const BufferCode& fragment = code.buffers[buffer];
  const std::int64_t base = code.register_offsets[buffer] * kLanes;
  return warp.registers.data() + base + (element * kLanes + lane) * fragment.element_bytes;
}

void Team::store_at(Warp& warp, Mask mask, const Step& at) {
  const BufferCode& buffer = code.buffers[at.buffer];
  Lanes value;
  evaluate(warp, at.b, mask, value);
  std::array<std::int64_t, kLanes> elements;
  places(warp, at.a, mask, elements);
  if (buffer.space == ir::Space::fragment) {
    if (code.values[at.a].uniform) {
      if (!touch_registers(warp, mask, buffer, elements[0], 1, true)) return;
      return store_row(buffer.dtype, register_at(warp, at.buffer, elements[0], 0), mask, value);
    }
    each_lane(mask, [&](int lane) {
      const std::int64_t element = elements[static_cast<std::size_t>(lane)];
      if (!touch_registers(warp, Mask{1} << lane, buffer, element, 1, true)) return;
      store_lane(buffer.dtype, register_at(warp, at.buffer, element, lane), value, lane);
    });
    return;
  }
  Window& window = window_of(warp, buffer);
  for (std::int64_t& element : elements) element = byte_offset(element, buffer.element_bytes, window.origin);
  touch(warp, window, elements, buffer.element_bytes, {.write = true}, mask);
  each_lane(mask, [&](int lane) {
    store_lane(buffer.dtype, window.data + elements[static_cast<std::size_t>(lane)], value, lane);
  });
}

void Team::atomic_at(Warp& warp, Mask mask, const Step& at) {
  const BufferCode& buffer = code.buffers[at.buffer];
  Lanes& right = warp.vectors[at.right.number];
  Lanes& left = warp.vectors[at.left.number];
  evaluate(warp, at.b, mask, right);
  std::array<std::int64_t, kLanes> offsets;
  places(warp, at.a, mask, offsets);
  Window& window = window_of(warp, buffer);
  for (std::int64_t& offset : offsets) offset = byte_offset(offset, buffer.element_bytes, window.origin);
  touch(warp, window, offsets, buffer.element_bytes, {.write = true, .atomic = true}, mask);
  if (checks()) launch.counts[statement].atomics += std::popcount(mask);
  each_lane(mask, [&](int lane) {
    std::byte* place = window.data + offsets[static_cast<std::size_t>(lane)];
    load_lane(buffer.dtype, place, left, lane);
    Lanes combined;
    evaluate(warp, at.combined, Mask{1} << lane, combined);
    store_lane(buffer.dtype, place, combined, lane);
  });
}

void Team::move_at(Warp& warp, Mask mask, const Step& at) {
  const BufferCode& to = code.buffers[at.buffer];
  const BufferCode& from = code.buffers[at.from];
  const bool is_load = to.space == ir::Space::fragment;
  const BufferCode& memory = is_load ? from : to;
  const BufferCode& fragment = is_load ? to : from;
  const std::uint32_t registers = is_load ? at.buffer : at.from;
  std::array<std::int64_t, kLanes> first, offsets;
  places(warp, is_load ? at.a : at.b, mask, first);
  places(warp, is_load ? at.b : at.a, mask, offsets);
  Window& window = window_of(warp, memory);
  for (std::int64_t& offset : offsets) offset = byte_offset(offset, memory.element_bytes, window.origin);
  each_lane(mask, [&](int lane) {
    const Mask bit = Mask{1} << lane;
    if (!touch_registers(warp, bit, fragment, first[static_cast<std::size_t>(lane)], at.width, is_load)) mask &= ~bit;
  });
  touch(warp, window, offsets, std::int64_t{at.width} * memory.element_bytes, {.write = !is_load}, mask);
  const auto size = static_cast<std::size_t>(memory.element_bytes);
  each_lane(mask, [&](int lane) {
    const auto l = static_cast<std::size_t>(lane);
    for (int e = 0; e < at.width; ++e) {
      std::byte* held = register_at(warp, registers, first[l] + e, lane);
      std::byte* placed = window.data + offsets[l] + std::int64_t{e} * memory.element_bytes;
      std::memcpy(is_load ? held : placed, is_load ? placed : held, size);
    }
  });
}

}  // namespace quern::runtime::simulator
