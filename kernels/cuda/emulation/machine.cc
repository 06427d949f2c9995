#include "kernels/cuda/emulation/machine.h"

#include <xmmintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/fiber.h"
#include "kernels/cuda/emulation/watch.h"
#include "kernels/cuda/emulation/where.h"

namespace mrs::emulation {

MakeWatcher make_watcher = nullptr;

namespace {

constexpr unsigned kWarp = 32;

enum class State : uint8_t { kFresh, kReady, kAtWarp, kAtBlock, kPolling, kDone };

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
  bool has_awaited = false;  // the launch before
  uint32_t mask = 0;         // of the warp's operation it waits in
  Site site;
};

struct Warp {
  uint32_t arrived = 0;
  std::byte in[kWarp][kLaneBytes];
  std::byte out[kWarp][kLaneBytes];
};

struct Block {
  unsigned slot = 0;  // of those that are resident
  Dim3 index;
  std::vector<Lane> lanes;
  std::vector<Warp> warps;
  std::vector<Copies> copies;  // a lane each
  std::vector<std::byte> shared;
  unsigned alive = 0, at_barrier = 0, polling = 0;
  Site barrier;
  std::vector<Lane*> ready, fresh;  // the last is next
};

// The blocks that are resident, and whose turn it is.
struct Machine {
  Schedule schedule;
  uint64_t random = 1;
  const std::function<void()>* thread = nullptr;
  Place place;                                 // of `current`
  std::vector<std::unique_ptr<Block>> blocks;  // the first `resident`, and such as were once
  size_t resident = 0;
  bool may_poll = false, is_dependent = false;
  uint64_t dependent_grids = 0;
  const void* kernel = nullptr;
  unsigned pauses = 0;  // microseconds that threads have paused, with nothing but such as poll
  Block* block = nullptr;
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

uint64_t NextRandom() {
  uint64_t& r = machine.random;  // xorshift64
  r ^= r << 13;
  r ^= r >> 7;
  r ^= r << 17;
  return r;
}

Lane* Take(std::vector<Lane*>* from) {
  if (machine.schedule.order == Order::kRandom) std::swap((*from)[NextRandom() % from->size()], from->back());
  Lane* const lane = from->back();
  from->pop_back();
  return lane;
}

// Lanes [first, first + count) that `is` says are ready, so that the first or, in reverse, the last is next.
template <typename Is>
void MakeReady(unsigned first, unsigned count, Is is) {
  const bool reverse = machine.schedule.order == Order::kReverse;
  for (unsigned i = 0; i < count; ++i) {
    Lane& lane = machine.block->lanes[first + (reverse ? i : count - 1 - i)];
    if (!is(lane)) continue;
    lane.state = State::kReady;
    machine.block->ready.push_back(&lane);
  }
}
void MakeAllReady(State those) {
  MakeReady(0, static_cast<unsigned>(machine.block->lanes.size()),
            [&](const Lane& lane) { return lane.state == those; });
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

void GiveTurn(Block* block) {
  machine.block = block;
  machine.place.block = block->index;
  machine.place.shared = block->shared.data();
  machine.place.shared_bytes = block->shared.size();
  if (machine.watcher != nullptr) machine.watcher->BlockRuns(block->slot);
}

// Until another OS thread or process has done something: it may have no other core. Who sleeps is woken before those
// that have had more time, who yields waits for all of them.
void Pause() {
  constexpr unsigned kMost = 200;  // microseconds
  machine.pauses = std::min(machine.pauses + 10, kMost);
  std::this_thread::sleep_for(std::chrono::microseconds(machine.pauses));
}

// Of a block in which nobody can go on but who polls, or nobody is left. False: of all blocks nobody is left.
bool NextTurn() {
  const size_t count = machine.resident;
  const bool is_random = machine.schedule.order == Order::kRandom, reverse = machine.schedule.order == Order::kReverse;
  size_t at = is_random ? static_cast<size_t>(NextRandom() % count) : machine.block->slot;
  size_t others = 0;  // that polls, too
  for (size_t i = 0; i < count; ++i) {
    at = (at + (reverse ? count - 1 : 1)) % count;
    const Block& block = *machine.blocks[at];
    if (block.alive == 0) continue;
    if (block.ready.empty() && block.fresh.empty()) {
      ++others;
      continue;
    }
    GiveTurn(machine.blocks[at].get());
    return true;
  }
  if (others == 0) return false;
  Pause();
  for (size_t i = 0; i < count; ++i) {
    if (machine.blocks[i]->alive == 0) continue;
    GiveTurn(machine.blocks[i].get());
    machine.block->polling = 0;
    MakeAllReady(State::kPolling);
  }
  return true;
}

void RunNext() {
  Fiber* next = &machine.host;
  for (;;) {
    Block& block = *machine.block;
    if (!block.ready.empty()) {
      Lane* const lane = Take(&block.ready);
      Enter(lane);
      next = lane->fiber;
      break;
    }
    if (!block.fresh.empty()) {
      Lane* const lane = Take(&block.fresh);
      lane->fiber = IdleFiber();
      Enter(lane);
      next = lane->fiber;
      break;
    }
    if (block.alive != 0 && block.polling == 0) Fault("no thread of the block can go on");
    if (!NextTurn()) break;
  }
  Fiber* const from = std::exchange(machine.running, next);
  if (from != next) SwitchFiber(*from, *next);
}

void OpenBarrier() {
  machine.block->at_barrier = 0;
  machine.pauses = 0;
  if (machine.watcher != nullptr) machine.watcher->BlockMet();
  MakeAllReady(State::kAtBlock);
}

// What a fiber does: one CUDA thread after another.
void RunLanes() {
  FirstOnFiber();
  for (;;) {
    (*machine.thread)();
    Block& block = *machine.block;
    Lane* const lane = machine.current;
    if (!block.copies[lane->index].started.empty()) Fault("a thread ends before its copies");
    if (!HasAwaited()) {
      SayWhere(machine.kernel);
      Fault("a thread ends that has not awaited the launch before (AwaitPrevious)");
    }
    lane->state = State::kDone;
    --block.alive;
    // Those that have ended are not waited for.
    if (block.at_barrier != 0 && block.at_barrier == block.alive) OpenBarrier();
    if (block.ready.empty() && !block.fresh.empty()) {
      Lane* const next = Take(&block.fresh);
      next->fiber = lane->fiber;
      Enter(next);
      continue;
    }
    machine.idle.push_back(lane->fiber);
    RunNext();
  }
}

// In a slot; runs nothing yet.
void BeginBlock(const Grid& grid, size_t slot, Dim3 index) {
  if (machine.blocks.size() == slot) machine.blocks.push_back(std::make_unique<Block>());
  Block& block = *machine.blocks[slot];
  const unsigned threads = grid.block.x * grid.block.y * grid.block.z;
  block.slot = static_cast<unsigned>(slot);
  block.index = index;
  block.lanes.assign(threads, {});
  block.warps.assign((threads + kWarp - 1) / kWarp, {});
  if (block.copies.size() < threads) block.copies.resize(threads);
  block.shared.assign(grid.shared_bytes, std::byte{0xff});  // NaNs
  block.shared.shrink_to_fit();
  block.alive = threads;
  block.at_barrier = block.polling = 0;
  block.ready.clear();
  block.fresh.clear();
  for (unsigned i = 0; i < threads; ++i) {
    const unsigned number = machine.schedule.order == Order::kReverse ? i : threads - 1 - i;
    Lane& lane = block.lanes[number];
    lane.index = number;
    lane.thread = {number % grid.block.x, number / grid.block.x % grid.block.y, number / grid.block.x / grid.block.y};
    block.fresh.push_back(&lane);
  }
  if (machine.watcher != nullptr) {
    machine.watcher->BlockBegins(block.slot, threads, block.shared.data(), block.shared.size());
  }
}

void RunBlocks() {
  machine.running = &machine.host;
  GiveTurn(machine.blocks[machine.schedule.order == Order::kReverse ? machine.resident - 1 : 0].get());
  RunNext();
}

void CheckLimits(const Grid& grid) {
  const uint64_t threads = uint64_t{grid.block.x} * grid.block.y * grid.block.z;
  const bool fits = threads > 0 && threads <= 1024 && grid.block.z <= 64 && grid.shared_bytes <= (size_t{163} << 10) &&
                    grid.grid.x > 0 && grid.grid.x <= INT32_MAX && grid.grid.y > 0 && grid.grid.y <= 65535 &&
                    grid.grid.z > 0 && grid.grid.z <= 65535 &&
                    (!grid.is_resident || uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z <= kMostResidentBlocks);
  if (fits) return;
  std::fprintf(stderr,
               "emulation: no device takes a grid of %u x %u x %u%s blocks of %u x %u x %u threads with %zu bytes\n",
               grid.grid.x, grid.grid.y, grid.grid.z, grid.is_resident ? " resident" : "", grid.block.x, grid.block.y,
               grid.block.z, grid.shared_bytes);
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
  machine.place = {
      .thread = {}, .block = {}, .block_dim = grid.block, .grid_dim = grid.grid, .shared = nullptr, .shared_bytes = 0};
  machine.may_poll = grid.is_resident;
  machine.is_dependent = grid.is_dependent;
  machine.dependent_grids += grid.is_dependent ? 1 : 0;
  machine.kernel = grid.kernel;
  machine.pauses = 0;
  const uint64_t count = uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
  machine.resident = grid.is_resident ? count : 1;
  const Order order = grid.is_resident ? Order::kForward : machine.schedule.order;
  std::vector<uint64_t> numbers(order == Order::kRandom ? count : 0);  // of blocks, shuffled
  for (uint64_t i = 0; i < numbers.size(); ++i) {
    const uint64_t other = NextRandom() % (i + 1);
    numbers[i] = numbers[other];
    numbers[other] = i;
  }
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = order == Order::kRandom ? numbers[i] : order == Order::kReverse ? count - 1 - i : i;
    BeginBlock(grid, grid.is_resident ? i : 0,
               {static_cast<unsigned>(at % grid.grid.x), static_cast<unsigned>(at / grid.grid.x % grid.grid.y),
                static_cast<unsigned>(at / grid.grid.x / grid.grid.y)});
    if (!grid.is_resident) RunBlocks();
  }
  if (grid.is_resident) RunBlocks();
  if (machine.watcher != nullptr) machine.watcher->GridEnds();
  machine.is_dependent = false;
  _mm_setcsr(saved);
}

const Place& Here() { return machine.place; }

void SyncBlock(const Site& site) {
  Lane& lane = *machine.current;
  lane.site = site;
  lane.state = State::kAtBlock;
  Block& block = *machine.block;
  if (block.at_barrier != 0 && !IsSame(block.barrier, site)) Fault("threads of a block are at different barriers");
  block.barrier = site;
  if (++block.at_barrier == block.alive) OpenBarrier();
  RunNext();
}

void SyncWarp(uint32_t mask, const void* in, size_t in_bytes, void* out, size_t out_bytes, Combine combine,
              const Site& site) {
  Lane& lane = *machine.current;
  const unsigned first = lane.index / kWarp * kWarp, own = lane.index % kWarp;
  Block& block = *machine.block;
  Warp& warp = block.warps[lane.index / kWarp];
  lane.mask = mask;
  lane.site = site;
  lane.state = State::kAtWarp;
  if ((mask >> own & 1) == 0) Fault("a lane is not in its own mask");
  if (in_bytes != 0) std::memcpy(warp.in[own], in, in_bytes);
  warp.arrived |= 1u << own;
  if ((warp.arrived & mask) == mask) {
    for (unsigned i = 0; i < kWarp; ++i) {
      if ((mask >> i & 1) == 0) continue;
      const Lane& other = block.lanes[first + i];
      if (other.mask != mask || !IsSame(other.site, site)) Fault("lanes of a warp are at different operations");
    }
    if (combine != nullptr) {
      combine(mask, warp.in, warp.out);
    } else if (machine.watcher != nullptr) {
      machine.watcher->WarpMet(first, mask);
    }
    warp.arrived &= ~mask;
    MakeReady(first, static_cast<unsigned>(std::min<size_t>(kWarp, block.lanes.size() - first)),
              [&](const Lane& other) { return (mask >> (other.index % kWarp) & 1) != 0 && &other != &lane; });
    lane.state = State::kReady;  // and runs on at once
  } else {
    RunNext();
  }
  if (out_bytes != 0) std::memcpy(out, warp.out[own], out_bytes);
}

void Poll(const Site& site) {
  Lane& lane = *machine.current;
  lane.site = site;
  lane.state = State::kPolling;
  if (!machine.may_poll)
    Fault("a thread polls in a grid whose blocks are not resident together (a cooperative launch)");
  ++machine.block->polling;
  RunNext();
}

void AwaitPrevious() { machine.current->has_awaited = true; }
bool HasAwaited() { return !machine.is_dependent || machine.current->has_awaited; }
uint64_t DependentGrids() { return machine.dependent_grids; }
void Prefetch(const void* global, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0 || bytes % 16 != 0) {
    Fault("a prefetch is not aligned to sixteen bytes");
  }
  if (machine.watcher != nullptr) machine.watcher->Prefetches(global, bytes);
}

// These no watcher is told of.
static void MustHaveAwaited() {
  if (!HasAwaited()) Fault("a thread touches a word of others before it has awaited the launch before (AwaitPrevious)");
}
void StoreRelease(uint64_t* at, uint64_t word) {
  MustHaveAwaited();
  __atomic_store_n(at, word, __ATOMIC_RELEASE);
}
uint64_t LoadAcquire(const uint64_t* at) {
  MustHaveAwaited();
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
uint32_t CountBlock(uint32_t* count) {
  MustHaveAwaited();
  if (machine.watcher != nullptr) machine.watcher->Counts(count);
  return __atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL);
}
uint64_t Nanoseconds() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

void StartCopy(void* to, const void* from, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || reinterpret_cast<uintptr_t>(from) % bytes != 0) {
    Fault("a copy is not aligned to its size");
  }
  if (machine.watcher != nullptr) machine.watcher->CopyStarts(to, from, bytes);
  Copies& copies = machine.block->copies[machine.current->index];
  if (machine.schedule.order == Order::kReverse) std::memcpy(to, from, bytes);
  copies.started.push_back({to, from, bytes, copies.group});
}

void CommitCopies() { ++machine.block->copies[machine.current->index].group; }

void WaitForCopies(unsigned left) {
  Copies& copies = machine.block->copies[machine.current->index];
  while (!copies.started.empty() && copies.group - copies.started.front().group > left) {
    const Copy& copy = copies.started.front();
    if (machine.schedule.order != Order::kReverse) std::memcpy(copy.to, copy.from, copy.bytes);
    if (machine.watcher != nullptr) machine.watcher->CopyIsThere(copy.to, copy.bytes);
    copies.started.pop_front();
  }
}

void AnyBytesDo(const void* shared, size_t bytes) {
  if (machine.watcher != nullptr) machine.watcher->AnyBytesDo(shared, bytes);
}

void Fault(const char* what) {
  std::fprintf(stderr, "emulation: %s, in block %u,%u,%u\n", what, machine.place.block.x, machine.place.block.y,
               machine.place.block.z);
  const std::vector<Lane>& lanes = machine.block->lanes;
  const auto waits = [](const Lane& lane) {
    return lane.state == State::kAtWarp || lane.state == State::kAtBlock || lane.state == State::kPolling;
  };
  const auto is_alike = [](const Lane& a, const Lane& b) {
    return a.state == b.state && IsSame(a.site, b.site) && (a.state != State::kAtWarp || a.mask == b.mask);
  };
  for (auto lane = lanes.begin(); lane != lanes.end(); ++lane) {
    const auto is_like_it = [&](const Lane& other) { return waits(other) && is_alike(other, *lane); };
    if (!waits(*lane) || std::any_of(lanes.begin(), lane, is_like_it)) continue;
    std::fprintf(stderr, "  thread %u %s at %s:%u:%u", lane->index, lane->state == State::kPolling ? "polls" : "waits",
                 lane->site.file, lane->site.line, lane->site.column);
    if (lane->state == State::kAtBlock) std::fprintf(stderr, " for its block");
    if (lane->state == State::kAtWarp) std::fprintf(stderr, " for the lanes %08x of its warp", lane->mask);
    const auto others = std::count_if(lane + 1, lanes.end(), is_like_it);
    others == 0 ? std::fprintf(stderr, "\n") : std::fprintf(stderr, ", and %td others do\n", others);
  }
  std::abort();
}

}  // namespace mrs::emulation
