// Ranks of one process that exchange by each other's buffers, for tests: a thread each, all of whose blocks are
// resident.
//
//   World world(2);
//   world.Run(order, [&](int rank) { EXPECT_EQ(StartPeerExchange(world.Args(rank, x, y, bytes), nullptr), 0); });
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/emulation/memory.h"
#include "kernels/cuda/peer_exchange.h"

namespace mrs::kernels::cuda {

class Memory {
 public:
  explicit Memory(uint64_t bytes) : data_(emulation::TakeMemory({.what = "memory", .bytes = bytes})) {}
  Memory(const Memory&) = delete;
  ~Memory() { emulation::GiveMemory(data_); }
  template <typename T = std::byte>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* const data_;
};

struct Rank {
  Memory buffer{kPeerBufferBytes};
  Memory state_memory{sizeof(PeerState)};
  PeerState& state = *state_memory.as<PeerState>();
};

// What each rank starts, in its own thread, and in one of the three orders of CUDA threads.
class World {
 public:
  explicit World(int size) : ranks_(static_cast<size_t>(size)) {}
  int size() const { return static_cast<int>(ranks_.size()); }
  Rank& rank(int number) { return ranks_[static_cast<size_t>(number)]; }

  PeerExchangeArgs Args(int number, const void* x, void* y, int64_t bytes) {
    PeerExchangeArgs args;
    args.x = x;
    args.y = y;
    args.bytes = bytes;
    args.state = &rank(number).state;
    args.rank = number;
    args.ranks = size();
    for (int other = 0; other < size(); ++other) args.buffers[other] = rank(other).buffer.as();
    return args;
  }
  void Run(unsigned first_order, const std::function<void(int)>& run) {
    std::vector<std::thread> threads;
    for (int number = 0; number < size(); ++number) {
      threads.emplace_back([&, number] {
        const auto order = static_cast<emulation::Order>((first_order + static_cast<unsigned>(number)) % 3);
        emulation::SetSchedule({.order = order, .seed = 5 + static_cast<uint64_t>(number)});
        run(number);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  std::vector<Rank> ranks_;
};

// The tree as communicator.h says it: neighbours at distance 1 first, then at 2, 4, ...
inline float Canonical(std::vector<float> values) {
  for (size_t distance = 1; distance < values.size(); distance *= 2) {
    for (size_t i = 0; i + distance < values.size(); i += 2 * distance) values[i] += values[i + distance];
  }
  return values[0];
}
inline float InOrder(const std::vector<float>& values) {
  float sum = values[0];
  for (size_t i = 1; i < values.size(); ++i) sum += values[i];
  return sum;
}

}  // namespace mrs::kernels::cuda
