#include "kernels/cuda/emulation/watch.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/fiber.h"
#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/emulation/where.h"

extern "C" const char __executable_start[], _end[];  // the linker's: the program's own data lies between

namespace mrs::emulation {
namespace {

constexpr unsigned kLanesOfWarp = 32;

// Accesses of lanes of one warp, each at the same tick of its own. Epochs count the barriers of all blocks that this OS
// thread has run; 0: none.
struct Mark {
  uint32_t epoch = 0, tick = 0, lanes = 0;
  uint16_t warp = 0, slot = 0;  // of the block, and of that among the resident ones
};
// Of a byte of shared memory. Readers since it was written: of three warps at most, as a writer of any other warp
// conflicts with one of them.
struct Cell {
  Mark writer, readers[3];
  uint32_t copied_by = 0;  // a thread and one, whose copy is on its way
  bool any_do = false;     // reads of what nobody wrote are right
};

class Watch final : public Watcher {
 public:
  Watch() {
    pthread_attr_t attributes;
    void* lowest = nullptr;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    if (pthread_attr_getstack(&attributes, &lowest, &host_stack_bytes_) == 0) {
      host_stack_ = reinterpret_cast<uintptr_t>(lowest);
    }
    pthread_attr_destroy(&attributes);
  }
  void GridBegins() override {
    first_epoch_of_grid_ = ++last_epoch_;
    counts_.clear();
    is_on_ = true;
  }
  void GridEnds() override { is_on_ = false; }

  void BlockBegins(unsigned slot, unsigned threads, const std::byte* shared, size_t shared_bytes) override {
    if (blocks_.size() <= slot) blocks_.resize(slot + 1);
    BlockRuns(slot);
    block_->first_epoch = block_->epoch = ++last_epoch_;
    block_->shared = reinterpret_cast<uintptr_t>(shared);
    block_->shared_bytes = shared_bytes;
    if (block_->cells.size() < shared_bytes) block_->cells.resize(shared_bytes);
    for (size_t i = 0; i < shared_bytes; ++i) {
      block_->cells[i].copied_by = 0;
      block_->cells[i].any_do = false;
    }
    block_->known.clear();
    block_->ticks.assign(threads, {});
    for (unsigned t = 0; t < threads; ++t) block_->ticks[t][t % kLanesOfWarp] = 1;
  }
  void BlockRuns(unsigned slot) override {
    slot_ = static_cast<uint16_t>(slot);
    block_ = &blocks_[slot];
  }
  void ThreadRuns(unsigned thread) override { thread_ = thread; }
  void BlockMet() override { block_->epoch = ++last_epoch_; }

  void WarpMet(unsigned first, uint32_t mask) override {
    Ticks joined{};
    ForLanes(mask, [&](unsigned lane) {
      for (unsigned l = 0; l < kLanesOfWarp; ++l) joined[l] = std::max(joined[l], block_->ticks[first + lane][l]);
    });
    ForLanes(mask, [&](unsigned lane) {
      block_->ticks[first + lane] = joined;
      ++block_->ticks[first + lane][lane];
    });
  }

  void CopyStarts(void* to, const void* from, size_t bytes) override {
    at_ = nullptr;
    Access(from, bytes, /*writes=*/false);
    const auto offset = reinterpret_cast<uintptr_t>(to) - block_->shared;
    if (offset >= block_->shared_bytes || bytes > block_->shared_bytes - offset) {
      Tell("copies", bytes, to, "is not shared memory");
    }
    Access(to, bytes, /*writes=*/true);
    for (size_t i = offset; i < offset + bytes; ++i) block_->cells[i].copied_by = thread_ + 1;
  }
  void CopyIsThere(void* to, size_t bytes) override {
    const auto offset = reinterpret_cast<uintptr_t>(to) - block_->shared;
    for (size_t i = offset; i < offset + bytes; ++i) {
      block_->cells[i].copied_by = 0;
      block_->cells[i].writer = Now();
    }
  }
  void Prefetches(const void* global, size_t bytes) override {
    at_ = nullptr;
    AllocationOf("prefetches", global, bytes);
  }
  void AnyBytesDo(const void* shared, size_t bytes) override {
    const auto offset = reinterpret_cast<uintptr_t>(shared) - block_->shared;
    if (bytes == 0) return;
    at_ = nullptr;
    if (offset >= block_->shared_bytes || bytes > block_->shared_bytes - offset) {
      Tell("takes any", bytes, shared, "is not shared memory");
    }
    for (size_t i = offset; i < offset + bytes; ++i) block_->cells[i].any_do = true;
  }

  void Counts(const uint32_t* count) override {
    at_ = nullptr;
    CheckGlobal(count, reinterpret_cast<uintptr_t>(count), sizeof(*count), "counts in");
    std::vector<Release>& before = counts_[reinterpret_cast<uintptr_t>(count)];
    for (const Release& release : before) block_->known.push_back({release, block_->epoch, thread_});
    // What barriers have brought to this thread, of other blocks too.
    for (const Known& known : block_->known) {
      if (Knows(known)) before.push_back(known.release);
    }
    before.push_back({slot_, block_->first_epoch, block_->epoch});
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
  }

  // `at`: the call that asks, in a kernel.
  void Seen(const void* data, size_t bytes, bool writes, const void* at) {
    if (!is_on_) return;
    at_ = at;
    Access(data, bytes, writes);
  }

 private:
  using Ticks = std::array<uint32_t, kLanesOfWarp>;
  // What a block did in epochs [first, end), before one of its threads counted.
  struct Release {
    uint16_t slot = 0;
    uint32_t first = 0, end = 0;
    auto operator<=>(const Release&) const = default;
    bool Has(const Mark& mark) const { return mark.slot == slot && mark.epoch >= first && mark.epoch < end; }
  };
  // By a count of a thread: it knows at once, the others of its block from the next barrier on.
  struct Known {
    Release release;
    uint32_t epoch = 0, thread = 0;
  };
  struct Block {
    std::vector<Known> known;
    uint32_t epoch = 0, first_epoch = 0;
    uintptr_t shared = 0;
    size_t shared_bytes = 0;
    std::vector<Cell> cells;
    std::vector<Ticks> ticks;  // [thread][lane of its warp]: of which it knows
  };

  template <typename Do>
  static void ForLanes(uint32_t mask, Do work) {
    for (; mask != 0; mask &= mask - 1) work(static_cast<unsigned>(std::countr_zero(mask)));
  }

  Mark Now() const {
    const unsigned lane = thread_ % kLanesOfWarp;
    return {block_->epoch, block_->ticks[thread_][lane], 1u << lane, static_cast<uint16_t>(thread_ / kLanesOfWarp),
            slot_};
  }

  bool Knows(const Known& known) const { return known.epoch < block_->epoch || known.thread == thread_; }
  bool Knows(const Mark& of_another) const {
    return std::any_of(block_->known.begin(), block_->known.end(),
                       [&](const Known& known) { return known.release.Has(of_another) && Knows(known); });
  }

  // A thread whose access is not before this one; -1: all of them are.
  int Unordered(const Mark& mark) const {
    if (mark.epoch != block_->epoch) return -1;  // a barrier is between them
    if (mark.warp != thread_ / kLanesOfWarp) {
      return static_cast<int>(mark.warp * kLanesOfWarp) + std::countr_zero(mark.lanes);
    }
    const Ticks& known = block_->ticks[thread_];
    for (uint32_t lanes = mark.lanes & ~(1u << thread_ % kLanesOfWarp); lanes != 0; lanes &= lanes - 1) {
      const auto lane = static_cast<unsigned>(std::countr_zero(lanes));
      if (known[lane] < mark.tick) return static_cast<int>(mark.warp * kLanesOfWarp + lane);
    }
    return -1;
  }

  void Access(const void* data, size_t bytes, bool writes) {
    const auto at = reinterpret_cast<uintptr_t>(data);
    if (const uintptr_t offset = at - block_->shared; offset < block_->shared_bytes) {
      return AccessShared(data, offset, bytes, writes);
    }
    // Locals: of this thread's stack, where this function's own are, too.
    if (const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
        at - (here - Fiber::kStackBytes) < 2 * Fiber::kStackBytes) {
      return;
    }
    if (at - reinterpret_cast<uintptr_t>(&Here()) < sizeof(Place) && !writes) return;
    if (at - host_stack_ < host_stack_bytes_ && !writes) return;  // what the launch is called with
    if (at >= reinterpret_cast<uintptr_t>(__executable_start) && at < reinterpret_cast<uintptr_t>(_end)) {
      if (writes) Tell("writes", bytes, data, "is the program's own");
      return;
    }
    AccessGlobal(data, at, bytes, writes);
  }

  void AccessShared(const void* data, uintptr_t offset, size_t bytes, bool writes) {
    const char* const does = writes ? "writes" : "reads";
    if (bytes > block_->shared_bytes - offset) Tell(does, bytes, data, "ends behind shared memory");
    const Mark now = Now();
    for (Cell* cell = &block_->cells[offset]; cell != &block_->cells[offset] + bytes; ++cell) {
      if (cell->copied_by != 0) {
        Tell(does, bytes, data, "a copy of thread " + std::to_string(cell->copied_by - 1) + " is still on its way to");
      }
      if (const int other = Unordered(cell->writer); other >= 0) {
        Tell(does, bytes, data, "thread " + std::to_string(other) + " wrote, and no barrier is between them");
      }
      if (!writes) {
        if (cell->writer.epoch < block_->first_epoch && !cell->any_do) {
          Tell(does, bytes, data, "no thread of its block has written");
        }
        AddReader(*cell, now);
        continue;
      }
      for (Mark& reader : cell->readers) {
        if (const int other = Unordered(reader); other >= 0) {
          Tell(does, bytes, data, "thread " + std::to_string(other) + " read, and no barrier is between them");
        }
        reader = {};
      }
      cell->writer = now;
    }
  }

  void AddReader(Cell& cell, const Mark& now) const {
    Mark* free = nullptr;
    for (Mark& reader : cell.readers) {
      if (reader.epoch != now.epoch) {
        free = free == nullptr ? &reader : free;
      } else if (reader.warp == now.warp) {
        if (reader.tick == now.tick) {
          reader.lanes |= now.lanes;
          return;
        }
        // What is before this one is before whatever comes after it.
        if (Unordered(reader) < 0) {
          reader = now;
          return;
        }
      }
    }
    if (free != nullptr) *free = now;
  }

  // `count`: every other block that has counted there must be known of.
  void CheckCount(const void* data, uintptr_t at, size_t bytes, const char* does) {
    const auto count = counts_.lower_bound(at - at % sizeof(uint32_t));
    if (count == counts_.end() || count->first >= at + bytes) return;
    for (const Release& release : count->second) {
      if (release.slot == slot_ && release.first == block_->first_epoch) continue;
      const bool is_known = std::any_of(block_->known.begin(), block_->known.end(),
                                        [&](const Known& known) { return known.release == release && Knows(known); });
      if (!is_known) Tell(does, bytes, data, "another block counted in");
    }
  }

  // Writers alone are kept, where there are some: of a reader before a writer another order of threads tells.
  struct Global {
    Stretch stretch{};
    Mark* writers = nullptr;  // a byte each
  };
  Global* AllocationOf(const char* does, const void* data, size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(data);
    Global* const global = Find(at);
    if (global == nullptr) Tell(does, bytes, data, "nobody allocated");
    const uintptr_t offset = at - reinterpret_cast<uintptr_t>(global->stretch.data);
    if (offset >= global->stretch.bytes || bytes > global->stretch.bytes - offset) {
      Tell(does, bytes, data,
           "lies at byte " + std::to_string(offset) + " of an allocation of " + std::to_string(global->stretch.bytes));
    }
    return global;
  }
  void AccessGlobal(const void* data, uintptr_t at, size_t bytes, bool writes) {
    const char* const does = writes ? "writes" : "reads";
    CheckCount(data, at, bytes, does);
    Mark* const first = CheckGlobal(data, at, bytes, does, writes);
    if (!writes) return;
    const Mark now = Now();
    for (Mark* mark = first; mark != first + bytes; ++mark) *mark = now;
  }

  // The marks of the bytes, whose writers are all before this access; null where there are none yet.
  Mark* CheckGlobal(const void* data, uintptr_t at, size_t bytes, const char* does, bool makes = false) {
    Global* const global = AllocationOf(does, data, bytes);
    if (!HasAwaited()) {
      Tell(does, bytes, data, "the launch before may still use: the thread has not awaited it (AwaitPrevious)");
    }
    const uintptr_t offset = at - reinterpret_cast<uintptr_t>(global->stretch.data);
    if (global->writers == nullptr) {
      if (!makes) return nullptr;
      void* const marks = mmap(nullptr, global->stretch.bytes * sizeof(Mark), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (marks == MAP_FAILED) EndByName("no memory to watch an allocation");
      global->writers = static_cast<Mark*>(marks);
    }
    for (Mark* mark = global->writers + offset; mark != global->writers + offset + bytes; ++mark) {
      if (mark->epoch >= first_epoch_of_grid_) {
        const bool is_own = mark->epoch >= block_->first_epoch && mark->slot == slot_;
        if (!is_own && !Knows(*mark)) Tell(does, bytes, data, "another block wrote");
        if (const int other = Unordered(*mark); other >= 0) {
          Tell(does, bytes, data, "thread " + std::to_string(other) + " wrote, and no barrier is between them");
        }
      }
    }
    return global->writers + offset;
  }

  // What was found last is looked at first. An address is never given twice (memory.h), but may have been freed.
  Global* Find(uintptr_t at) {
    for (size_t i = 0; i < recent_.size(); ++i) {
      Global* const global = recent_[i];
      if (global == nullptr) break;
      if (at - reinterpret_cast<uintptr_t>(global->stretch.data) >= global->stretch.bytes) continue;
      if (recent_generation_ != MemoryGeneration()) break;
      std::swap(recent_[i], recent_[i / 2]);
      return recent_[i / 2];
    }
    if (recent_generation_ != MemoryGeneration()) recent_ = {};
    recent_generation_ = MemoryGeneration();
    const std::optional<Stretch> stretch = StretchOf(reinterpret_cast<const void*>(at));
    if (!stretch) return nullptr;
    Global& global = globals_[stretch->data];
    if (global.stretch.data == nullptr) global.stretch = *stretch;
    std::move_backward(recent_.begin(), recent_.end() - 1, recent_.end());
    return recent_[0] = &global;
  }

  // "... which ...": what is wrong with the bytes.
  [[noreturn]] void Tell(const char* does, size_t bytes, const void* data, const std::string& which) const {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(data) - block_->shared;
    char where[64];
    if (offset < block_->shared_bytes) {
      std::snprintf(where, sizeof(where), "byte %zu of shared memory", static_cast<size_t>(offset));
    } else {
      std::snprintf(where, sizeof(where), "%p", data);
    }
    if (at_ != nullptr) SayWhere(static_cast<const char*>(at_) - 1);
    Fault(("thread " + std::to_string(thread_) + " " + does + " " + std::to_string(bytes) + " bytes at " + where +
           ", which " + which)
              .c_str());
  }

  bool is_on_ = false;
  uintptr_t host_stack_ = 0;
  size_t host_stack_bytes_ = 0;
  unsigned thread_ = 0;
  const void* at_ = nullptr;
  std::map<uintptr_t, std::vector<Release>> counts_;  // of this grid
  uint32_t last_epoch_ = 0, first_epoch_of_grid_ = 0;
  std::vector<Block> blocks_;  // [slot]
  uint16_t slot_ = 0;
  Block* block_ = nullptr;  // that runs
  std::map<const std::byte*, Global> globals_;
  std::array<Global*, 16> recent_{};
  uint64_t recent_generation_ = 0;
};

// Of an OS thread, for as long as the program runs.
Watch& TheWatch() {
  thread_local Watch* const watch = new Watch;
  return *watch;
}

[[maybe_unused]] const bool is_linked = [] {
  make_watcher = []() -> Watcher* { return &TheWatch(); };
  return true;
}();

}  // namespace
}  // namespace mrs::emulation

// What the compiler calls, by -fsanitize=thread.
#define SEES(name, bytes, writes)                                                      \
  extern "C" void __tsan_##name(void* data) {                                          \
    mrs::emulation::TheWatch().Seen(data, bytes, writes, __builtin_return_address(0)); \
  }
SEES(read1, 1, false)
SEES(read2, 2, false)
SEES(read4, 4, false)
SEES(read8, 8, false)
SEES(read16, 16, false)
SEES(write1, 1, true)
SEES(write2, 2, true)
SEES(write4, 4, true)
SEES(write8, 8, true)
SEES(write16, 16, true)
SEES(unaligned_read2, 2, false)
SEES(unaligned_read4, 4, false)
SEES(unaligned_read8, 8, false)
SEES(unaligned_read16, 16, false)
SEES(unaligned_write2, 2, true)
SEES(unaligned_write4, 4, true)
SEES(unaligned_write8, 8, true)
SEES(unaligned_write16, 16, true)
#undef SEES
extern "C" void __tsan_read_range(void* data, size_t bytes) {
  mrs::emulation::TheWatch().Seen(data, bytes, false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* data, size_t bytes) {
  mrs::emulation::TheWatch().Seen(data, bytes, true, __builtin_return_address(0));
}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
