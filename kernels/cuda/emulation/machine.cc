#include "kernels/cuda/emulation/machine.h"

#include <xmmintrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/fiber.h"
#include "kernels/cuda/emulation/watch.h"

namespace mrs::emulation {

MakeWatcher make_watcher = nullptr;

namespace {

constexpr unsigned kWarp = 32;

enum class State : uint8_t { kFresh, kReady, kAtWarp, kAtBlock, kDone };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  unsigned group;
};
struct Copies {
  std::deque<Copy> started;
  unsigned group = 0;  // that is open
};

struct Lane {
  Fiber* fiber = nullptr;
  Dim3 thread;
  unsigned index = 0;  // in its block
  State state = State::kFresh;
  uint32_t mask = 0;  // of the warp's operation it waits in
  Site site;
};

struct Warp {
  uint32_t arrived = 0;
  std::byte in[kWarp][kLaneBytes];
  std::byte out[kWarp][kLaneBytes];
};

// The block that runs, and whose turn it is.
struct Machine {
  Schedule schedule;
  uint64_t random = 1;
  const std::function<void()>* thread = nullptr;
  Place place;  // of `current`
  std::vector<Lane> lanes;
  std::vector<Warp> warps;
  std::vector<Copies> copies;  // a lane each
  std::vector<std::byte> shared;
  unsigned alive = 0, at_barrier = 0;
  Site barrier;
  std::vector<Lane*> ready, fresh;  // the last is next
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  Fiber host;
  Fiber* running = nullptr;
  Lane* current = nullptr;
  Watcher* watcher = nullptr;  // null: none
};

thread_local Machine machine;

// Two operations on one line are two.
bool IsSame(const Site& a, const Site& b) {
  return a.line == b.line && a.column == b.column && std::strcmp(a.file, b.file) == 0;
}

Lane* Take(std::vector<Lane*>* from) {
  if (machine.schedule.order == Order::kRandom) {
    uint64_t& r = machine.random;  // xorshift64
    r ^= r << 13;
    r ^= r >> 7;
    r ^= r << 17;
    std::swap((*from)[r % from->size()], from->back());
  }
  Lane* const lane = from->back();
  from->pop_back();
  return lane;
}

// Lanes [first, first + count) that `is` says are ready, so that the first or, in reverse, the last is next.
template <typename Is>
void MakeReady(unsigned first, unsigned count, Is is) {
  const bool reverse = machine.schedule.order == Order::kReverse;
  for (unsigned i = 0; i < count; ++i) {
    Lane& lane = machine.lanes[first + (reverse ? i : count - 1 - i)];
    if (!is(lane)) continue;
    lane.state = State::kReady;
    machine.ready.push_back(&lane);
  }
}

void Enter(Lane* lane) {
  machine.current = lane;
  machine.place.thread = lane->thread;
  if (machine.watcher != nullptr) machine.watcher->ThreadRuns(lane->index);
}

void RunLanes();

Fiber* IdleFiber() {
  if (machine.idle.empty()) return machine.fibers.emplace_back(std::make_unique<Fiber>(&RunLanes)).get();
  Fiber* const fiber = machine.idle.back();
  machine.idle.pop_back();
  return fiber;
}

void RunNext() {
  Fiber* next = &machine.host;
  if (!machine.ready.empty()) {
    Lane* const lane = Take(&machine.ready);
    Enter(lane);
    next = lane->fiber;
  } else if (!machine.fresh.empty()) {
    Lane* const lane = Take(&machine.fresh);
    lane->fiber = IdleFiber();
    Enter(lane);
    next = lane->fiber;
  } else if (machine.alive != 0) {
    Fault("no thread of the block can go on");
  }
  Fiber* const from = std::exchange(machine.running, next);
  if (from != next) SwitchFiber(*from, *next);
}

void OpenBarrier() {
  machine.at_barrier = 0;
  if (machine.watcher != nullptr) machine.watcher->BlockMet();
  MakeReady(0, static_cast<unsigned>(machine.lanes.size()),
            [](const Lane& lane) { return lane.state == State::kAtBlock; });
}

// What a fiber does: one CUDA thread after another.
void RunLanes() {
  FirstOnFiber();
  for (;;) {
    (*machine.thread)();
    Lane* const lane = machine.current;
    if (!machine.copies[lane->index].started.empty()) Fault("a thread ends before its copies");
    lane->state = State::kDone;
    --machine.alive;
    // Those that have ended are not waited for.
    if (machine.at_barrier != 0 && machine.at_barrier == machine.alive) OpenBarrier();
    if (machine.ready.empty() && !machine.fresh.empty()) {
      Lane* const next = Take(&machine.fresh);
      next->fiber = lane->fiber;
      Enter(next);
      continue;
    }
    machine.idle.push_back(lane->fiber);
    RunNext();
  }
}

void RunBlock(const Grid& grid, Dim3 block) {
  const unsigned threads = grid.block.x * grid.block.y * grid.block.z;
  machine.lanes.assign(threads, {});
  machine.warps.assign((threads + kWarp - 1) / kWarp, {});
  if (machine.copies.size() < threads) machine.copies.resize(threads);
  machine.shared.assign(grid.shared_bytes, std::byte{0xff});  // NaNs
  machine.shared.shrink_to_fit();
  machine.place = {
      .thread = {}, .block = block, .block_dim = grid.block, .grid_dim = grid.grid, .shared = machine.shared.data()};
  machine.alive = threads;
  machine.at_barrier = 0;
  machine.ready.clear();
  machine.fresh.clear();
  for (unsigned i = 0; i < threads; ++i) {
    const unsigned index = machine.schedule.order == Order::kReverse ? i : threads - 1 - i;
    Lane& lane = machine.lanes[index];
    lane.index = index;
    lane.thread = {index % grid.block.x, index / grid.block.x % grid.block.y, index / grid.block.x / grid.block.y};
    machine.fresh.push_back(&lane);
  }
  machine.running = &machine.host;
  if (machine.watcher != nullptr) machine.watcher->BlockBegins(threads, machine.shared.data(), machine.shared.size());
  RunNext();
}

void CheckLimits(const Grid& grid) {
  const uint64_t threads = uint64_t{grid.block.x} * grid.block.y * grid.block.z;
  const bool fits = threads > 0 && threads <= 1024 && grid.block.z <= 64 && grid.shared_bytes <= (size_t{163} << 10) &&
                    grid.grid.x > 0 && grid.grid.x <= INT32_MAX && grid.grid.y > 0 && grid.grid.y <= 65535 &&
                    grid.grid.z > 0 && grid.grid.z <= 65535;
  if (fits) return;
  std::fprintf(stderr,
               "emulation: no device takes a grid of %u x %u x %u blocks of %u x %u x %u threads with %zu bytes\n",
               grid.grid.x, grid.grid.y, grid.grid.z, grid.block.x, grid.block.y, grid.block.z, grid.shared_bytes);
  std::abort();
}

}  // namespace

void SetSchedule(Schedule schedule) {
  machine.schedule = schedule;
  machine.random = schedule.seed * 0x9e3779b97f4a7c15u | 1;
}

void RunGrid(const Grid& grid, const std::function<void()>& thread) {
  CheckLimits(grid);
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);  // flush-to-zero, denormals-are-zero
  machine.thread = &thread;
  machine.watcher = make_watcher == nullptr ? nullptr : make_watcher();
  if (machine.watcher != nullptr) machine.watcher->GridBegins();
  const uint64_t count = uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = machine.schedule.order == Order::kReverse ? count - 1 - i : i;
    RunBlock(grid, {static_cast<unsigned>(at % grid.grid.x), static_cast<unsigned>(at / grid.grid.x % grid.grid.y),
                    static_cast<unsigned>(at / grid.grid.x / grid.grid.y)});
  }
  if (machine.watcher != nullptr) machine.watcher->GridEnds();
  _mm_setcsr(saved);
}

const Place& Here() { return machine.place; }

void SyncBlock(const Site& site) {
  Lane& lane = *machine.current;
  lane.site = site;
  lane.state = State::kAtBlock;
  if (machine.at_barrier != 0 && !IsSame(machine.barrier, site)) Fault("threads of a block are at different barriers");
  machine.barrier = site;
  if (++machine.at_barrier == machine.alive) OpenBarrier();
  RunNext();
}

void SyncWarp(uint32_t mask, const void* in, size_t in_bytes, void* out, size_t out_bytes, Combine combine,
              const Site& site) {
  Lane& lane = *machine.current;
  const unsigned first = lane.index / kWarp * kWarp, own = lane.index % kWarp;
  Warp& warp = machine.warps[lane.index / kWarp];
  lane.mask = mask;
  lane.site = site;
  lane.state = State::kAtWarp;
  if ((mask >> own & 1) == 0) Fault("a lane is not in its own mask");
  if (in_bytes != 0) std::memcpy(warp.in[own], in, in_bytes);
  warp.arrived |= 1u << own;
  if ((warp.arrived & mask) == mask) {
    for (unsigned i = 0; i < kWarp; ++i) {
      if ((mask >> i & 1) == 0) continue;
      const Lane& other = machine.lanes[first + i];
      if (other.mask != mask || !IsSame(other.site, site)) Fault("lanes of a warp are at different operations");
    }
    if (combine != nullptr) {
      combine(mask, warp.in, warp.out);
    } else if (machine.watcher != nullptr) {
      machine.watcher->WarpMet(first, mask);
    }
    warp.arrived &= ~mask;
    MakeReady(first, static_cast<unsigned>(std::min<size_t>(kWarp, machine.lanes.size() - first)),
              [&](const Lane& other) { return (mask >> (other.index % kWarp) & 1) != 0 && &other != &lane; });
    lane.state = State::kReady;  // and runs on at once
  } else {
    RunNext();
  }
  if (out_bytes != 0) std::memcpy(out, warp.out[own], out_bytes);
}

void StartCopy(void* to, const void* from, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || reinterpret_cast<uintptr_t>(from) % bytes != 0) {
    Fault("a copy is not aligned to its size");
  }
  if (machine.watcher != nullptr) machine.watcher->CopyStarts(to, from, bytes);
  Copies& copies = machine.copies[machine.current->index];
  if (machine.schedule.order == Order::kReverse) std::memcpy(to, from, bytes);
  copies.started.push_back({to, from, bytes, copies.group});
}

void CommitCopies() { ++machine.copies[machine.current->index].group; }

void WaitForCopies(unsigned left) {
  Copies& copies = machine.copies[machine.current->index];
  while (!copies.started.empty() && copies.group - copies.started.front().group > left) {
    const Copy& copy = copies.started.front();
    if (machine.schedule.order != Order::kReverse) std::memcpy(copy.to, copy.from, copy.bytes);
    if (machine.watcher != nullptr) machine.watcher->CopyIsThere(copy.to, copy.bytes);
    copies.started.pop_front();
  }
}

void Fault(const char* what) {
  std::fprintf(stderr, "emulation: %s, in block %u,%u,%u\n", what, machine.place.block.x, machine.place.block.y,
               machine.place.block.z);
  const auto waits = [](const Lane& lane) { return lane.state == State::kAtWarp || lane.state == State::kAtBlock; };
  const auto is_alike = [](const Lane& a, const Lane& b) {
    return a.state == b.state && IsSame(a.site, b.site) && (a.state == State::kAtBlock || a.mask == b.mask);
  };
  for (auto lane = machine.lanes.begin(); lane != machine.lanes.end(); ++lane) {
    const auto is_like_it = [&](const Lane& other) { return waits(other) && is_alike(other, *lane); };
    if (!waits(*lane) || std::any_of(machine.lanes.begin(), lane, is_like_it)) continue;
    std::fprintf(stderr, "  thread %u waits at %s:%u:%u", lane->index, lane->site.file, lane->site.line,
                 lane->site.column);
    lane->state == State::kAtBlock ? std::fprintf(stderr, " for its block")
                                   : std::fprintf(stderr, " for the lanes %08x of its warp", lane->mask);
    const auto others = std::count_if(lane + 1, machine.lanes.end(), is_like_it);
    others == 0 ? std::fprintf(stderr, "\n") : std::fprintf(stderr, ", and %td others do\n", others);
  }
  std::abort();
}

}  // namespace mrs::emulation
