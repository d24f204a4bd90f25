#pragma once
// What `once` steps of plans computed from const arguments, kept for later calls with the same variant, pointers and
// those sizes that the results depend on. Entries are only added until all are dropped, so looking one up takes no
// lock.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/plan.h"

namespace quern::runtime {

template <typename Memory>
class ConstantResults {
 public:
  explicit ConstantResults(const Plan& plan) : plan_(plan) {
    for (const Variant& variant : plan.variants) symbols_.push_back(once_symbols(variant));
  }
  ConstantResults(const ConstantResults&) = delete;
  ConstantResults& operator=(const ConstantResults&) = delete;
  ~ConstantResults() { drop(); }

  // The results for this call; `compute` makes them where there are none yet. Thread-safe.
  template <typename Compute>
  const Memory& get(const Variant& variant, std::span<void* const> arguments, std::span<const std::int64_t> symbols,
                    const Compute& compute) {
    if (const Entry* known = find(variant, arguments, symbols)) return known->memory;
    const std::lock_guard lock(computing_);
    if (const Entry* known = find(variant, arguments, symbols)) return known->memory;
    auto entry = std::make_unique<Entry>(Entry{&variant, {}, {}, compute(), nullptr});
    for (const int symbol : symbols_of(variant)) entry->symbols.push_back(symbols[static_cast<std::size_t>(symbol)]);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (plan_.arguments[i].is_const) entry->arguments.push_back(arguments[i]);
    }
    entry->next = entries_.load(std::memory_order_relaxed);
    entries_.store(entry.get(), std::memory_order_release);
    return entry.release()->memory;
  }

  // Forgets all results. Not while a call is running that may use them.
  void drop() {
    for (const Entry* entry = entries_.exchange(nullptr); entry != nullptr;) delete std::exchange(entry, entry->next);
  }

 private:
  struct Entry {
    const Variant* variant;
    std::vector<const void*> arguments;  // the const ones
    std::vector<std::int64_t> symbols;   // those that the results depend on
    Memory memory;
    const Entry* next;
  };

  const Entry* find(const Variant& variant, std::span<void* const> arguments,
                    std::span<const std::int64_t> symbols) const {
    for (const Entry* entry = entries_.load(std::memory_order_acquire); entry != nullptr; entry = entry->next) {
      if (entry->variant != &variant) continue;
      const auto value_of = [&](int symbol) { return symbols[static_cast<std::size_t>(symbol)]; };
      if (!std::ranges::equal(entry->symbols, symbols_of(variant), {}, {}, value_of)) continue;
      auto known = entry->arguments.begin();
      bool same = true;
      for (std::size_t i = 0; i < arguments.size() && same; ++i) {
        if (plan_.arguments[i].is_const) same = *known++ == arguments[i];
      }
      if (same) return entry;
    }
    return nullptr;
  }

  const std::vector<int>& symbols_of(const Variant& variant) const {
    return symbols_[static_cast<std::size_t>(&variant - plan_.variants.data())];
  }

  const Plan& plan_;
  std::vector<std::vector<int>> symbols_;  // of each variant: once_symbols
  std::mutex computing_;
  std::atomic<const Entry*> entries_{nullptr};
};

}  // namespace quern::runtime
