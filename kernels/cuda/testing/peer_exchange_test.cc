// Ranks that are threads exchange by each other's buffers, each in an order of CUDA threads of its own: the sums of
// communicators of the host, and each way in which a wait ends.
#include "kernels/cuda/peer_exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/signals.h"
#include "kernels/cuda/testing/peer_world.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;

// One sum of `count` floats, twice over in one stream, each of what the one before left; `offset` floats past
// where memory is aligned.
// `offset`: floats past alignment, of the first rank alone or of all.
void ExpectSums(World& world, unsigned order, int64_t count, int64_t offset, bool canonical, int64_t piece_bytes,
                bool two_shots = false, bool of_all = true) {
  const int size = world.size();
  if (!IsTried(size, BlocksOf(count * 4))) return;
  std::mt19937 random(20261126);
  std::normal_distribution<float> normal;
  const auto bytes = static_cast<uint64_t>(count + offset + 1) * sizeof(float);
  const auto offset_of = [&](int rank) { return of_all || rank == 0 ? offset : 0; };
  std::deque<Memory> memories;
  std::vector<std::vector<float>> expected(static_cast<size_t>(size), std::vector<float>(static_cast<size_t>(count)));
  for (int rank = 0; rank < size; ++rank) {
    memories.emplace_back(bytes);
    for (int64_t i = 0; i < count; ++i) {
      expected[static_cast<size_t>(rank)][static_cast<size_t>(i)] = memories.back().as<float>()[offset_of(rank) + i] =
          normal(random) * 1e-3f;
    }
    memories.back().as<float>()[offset_of(rank) + count] = 7;
  }
  for (int times = 0; times < 2; ++times) {
    for (int64_t i = 0; i < count; ++i) {
      std::vector<float> values;
      for (const auto& of_rank : expected) values.push_back(of_rank[static_cast<size_t>(i)]);
      for (auto& of_rank : expected) of_rank[static_cast<size_t>(i)] = canonical ? Canonical(values) : InOrder(values);
    }
  }
  world.Run(order, [&](int rank) {
    float* const data = memories[static_cast<size_t>(rank)].as<float>() + offset_of(rank);
    PeerExchangeArgs args = world.Args(rank, data, data, count * int64_t{sizeof(float)});
    args.canonical = canonical;
    args.piece_bytes = piece_bytes;
    args.two_shots = two_shots;
    for (int times = 0; times < 2; ++times) EXPECT_EQ(StartPeerExchange(args, nullptr), 0);
  });
  for (int rank = 0; rank < size; ++rank) {
    const float* const data = memories[static_cast<size_t>(rank)].as<float>() + offset_of(rank);
    EXPECT_EQ(std::memcmp(data, expected[static_cast<size_t>(rank)].data(), static_cast<size_t>(count) * 4), 0)
        << "rank " << rank << " of " << size << ", " << count << " floats, " << offset << " past alignment";
    EXPECT_EQ(data[count], 7);
    EXPECT_EQ(FailureOf(world.rank(rank).state).kind, PeerFailure::kNone);
  }
}

TEST(PeerExchange, SumsHaveTheBitsOfTheHosts) {
  World two(2);  // whose pieces' numbers go on
  for (const unsigned order : FirstOrders()) ExpectSums(two, order, 1028, 0, true, kPeerPieceBytes);
  ExpectSums(two, 0, 1, 0, true, kPeerPieceBytes);
  ExpectSums(two, 1, 1024, 0, true, kPeerPieceBytes);
  ExpectSums(two, 2, 5, 1, false, kPeerPieceBytes);
  for (const auto& [size, count] : {std::pair{4, 1028}, {8, 1028}, {16, 5}}) {
    World world(size);
    ExpectSums(world, 0, count, 0, true, kPeerPieceBytes);
    if (size < 16) ExpectSums(world, 1, 3, 1, true, kPeerPieceBytes);  // by floats
  }
  World three(3);
  ExpectSums(three, 0, 1000, 0, false, kPeerPieceBytes);
}

// More than a block takes at once, over several blocks, the last of which has less.
TEST(PeerExchange, SumsInPieces) {
  for (const unsigned order : FirstOrders()) {
    World world(2);
    ExpectSums(world, order, 1024 + 532, 0, true, 1024);
    if (order == 2) ExpectSums(world, order, 1024 + 3, 3, true, 2048);
    if (order == 2) ExpectSums(world, order, 40, 0, true, kPeerPieceBytes);
  }
}

// Over many blocks, whose shares are more than a piece.
TEST(PeerExchange, SumsOfManyBlocks) {
  World world(2);
  ExpectSums(world, 1, 33 * 1024, 0, true, 4096);
}

// The same bits, whichever way they come; in one world after the other, and after sums in one shot, whose numbers go
// on.
TEST(PeerExchange, SumsInTwoShots) {
  for (const unsigned order : FirstOrders()) {
    World world(4);
    ExpectSums(world, order, 1028, 0, true, kPeerPieceBytes, /*two_shots=*/true);
    ExpectSums(world, order, 1024 + 532, 0, true, 1024, true);  // pieces, the last of which has less
    ExpectSums(world, order, 1024, 0, true, 1024);
    ExpectSums(world, order, 1024 + 3, 3, true, 2048, true);      // by floats
    ExpectSums(world, order, 3, 0, true, kPeerPieceBytes, true);  // some sum nothing
    ExpectSums(world, order, 1028, 1, true, kPeerPieceBytes, true, /*of_all=*/false);
  }
  World two(2), eight(8), sixteen(16);
  ExpectSums(two, 0, 33 * 1024, 0, true, 4096, true);
  ExpectSums(eight, 1, 1028, 0, true, 1024, true);
  ExpectSums(sixteen, 2, 260, 0, true, kPeerPieceBytes, true);
}

TEST(PeerExchange, TwoShotsAreForManyRanksAndBytes) {
  EXPECT_FALSE(TakesTwoShots(kMostExchangedBytes, 2));
  EXPECT_FALSE(TakesTwoShots((512 << 10) - 4, 4));
  EXPECT_TRUE(TakesTwoShots(512 << 10, 4));
  EXPECT_FALSE(TakesTwoShots((256 << 10) - 4, 8));
  EXPECT_TRUE(TakesTwoShots(256 << 10, 8));
}

TEST(PeerExchange, Gathers) {
  for (const int size : {2, 3}) {
    World world(size);
    unsigned order = 0;
    for (const int64_t bytes : {int64_t{1}, int64_t{12}, int64_t{10001}, int64_t{20000}}) {
      if (!IsTried(size, BlocksOf(bytes))) continue;
      const bool in_place = order % 2 == 0;
      std::deque<Memory> results, parts;
      for (int rank = 0; rank < size; ++rank) {
        results.emplace_back(static_cast<uint64_t>(bytes * size + 1));
        parts.emplace_back(static_cast<uint64_t>(bytes));
        std::byte* const part = in_place ? results.back().as() + rank * bytes : parts.back().as();
        for (int64_t i = 0; i < bytes; ++i) part[i] = static_cast<std::byte>(i * 7 + rank * 31 + i / 256);
      }
      world.Run(order++, [&](int rank) {
        std::byte* const y = results[static_cast<size_t>(rank)].as();
        const std::byte* const x = in_place ? y + rank * bytes : parts[static_cast<size_t>(rank)].as();
        PeerExchangeArgs args = world.Args(rank, x, y, bytes);
        args.is_gather = true;
        args.piece_bytes = 1024;
        EXPECT_EQ(StartPeerExchange(args, nullptr), 0);
      });
      for (int rank = 0; rank < size; ++rank) {
        const std::byte* const y = results[static_cast<size_t>(rank)].as();
        size_t unlike = 0;
        for (int64_t i = 0; i < bytes * size; ++i) {
          const int64_t of = i / bytes, at = i % bytes;
          unlike += y[i] != static_cast<std::byte>(at * 7 + of * 31 + at / 256) ? 1 : 0;
        }
        EXPECT_EQ(unlike, 0u) << "rank " << rank << " of " << size << ", " << bytes << " bytes";
        EXPECT_EQ(y[bytes * size], std::byte{0});
      }
    }
  }
}

// Numbers wrap: a world that has had nearly 2^32 pieces goes on.
TEST(PeerExchange, NumbersWrap) {
  World world(2);
  for (int rank = 0; rank < 2; ++rank) {
    auto* const words = world.rank(rank).buffer.as<uint64_t>();
    for (int block = 0; block < kPeerBlocks; ++block) words[2 * kMostPeers * kPeerBlocks + block] = 0xfffffffdu;
  }
  ExpectSums(world, 0, 1500, 0, true, 1024);  // four pieces of the first block, twice
}

// Of one block, that none of others says so again.
TEST(PeerExchange, WhomItWaitsForIsToldUntilItIsThere) {
  World world(2);
  uint64_t told = 0;
  world.Run(0, [&](int rank) {
    Memory own(4096);
    const uint64_t& waits_for = world.rank(1).state.waits_for;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (rank == 0 && (told = LoadAcquire(&waits_for)) == 0 && std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
    EXPECT_EQ(StartPeerExchange(world.Args(rank, own.as(), own.as(), 4096), nullptr), 0);
  });
  EXPECT_EQ(told, 1u);  // rank 0
  EXPECT_EQ(world.rank(1).state.waits_for, 0u);
}

TEST(PeerExchange, AWaitEndsWhenTheHostSaysSo) {
  World world(2);
  constexpr int64_t kBytes = kHasFewThreads ? 4096 : 4096 * 8;
  Memory data(kBytes);
  std::thread host([&] {
    while (LoadAcquire(&world.rank(1).state.waits_for) == 0) std::this_thread::yield();
    StoreRelease(&world.rank(1).state.stop, 1);
  });
  world.Run(0, [&](int rank) {
    if (rank == 0) return;  // never comes
    const PeerExchangeArgs args = world.Args(rank, data.as(), data.as(), kBytes);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(StartPeerExchange(args, nullptr), 0);  // such as come after end, too
  });
  host.join();
  const PeerFailure failure = FailureOf(world.rank(1).state);
  EXPECT_EQ(failure.kind, PeerFailure::kStopped);
  EXPECT_EQ(failure.rank, 0);
}

// Of one that begins after it nobody hears, and nothing of others is taken, though they are there.
TEST(PeerExchange, NothingIsToldOnceTheHostHasSaidStop) {
  constexpr int64_t kBytes = kHasFewThreads ? 4096 : 33 * 4096;
  for (const int kind : {0, 1, 2, 3}) {
    World world(2);
    StoreRelease(&world.rank(0).state.stop, 1);
    Memory sum(2 * kBytes);
    std::fill_n(sum.as<float>(), 2 * kBytes / 4, 7.0f);
    world.Run(0, [&](int rank) {
      Memory x(kBytes), taken(2 * kBytes);
      PeerExchangeArgs args = world.Args(rank, x.as(), rank == 0 ? sum.as() : taken.as(), kBytes);
      args.is_gather = kind == 1;
      args.canonical = kind != 2;
      args.two_shots = kind == 3;
      if (rank == 1) args.longest_ns = 50'000'000;
      EXPECT_EQ(StartPeerExchange(args, nullptr), 0);
    });
    EXPECT_EQ(FailureOf(world.rank(0).state).kind, PeerFailure::kStopped) << kind;
    EXPECT_EQ(FailureOf(world.rank(0).state).rank, PeerFailure::kNobody) << kind;
    EXPECT_EQ(FailureOf(world.rank(1).state).kind, PeerFailure::kSilent) << kind;
    for (int64_t i = 0; i < 2 * kBytes / 4; ++i) ASSERT_EQ(sum.as<float>()[i], 7) << kind << ": " << i;
  }
}

void ExpectAnEnd(bool two_shots) {
  World world(4);
  Memory data(4096);
  world.Run(0, [&](int rank) {
    if (rank == 2) return;
    Memory own(4096), sum(4096);
    std::fill_n(sum.as<float>(), 1024, 7.0f);
    PeerExchangeArgs args = world.Args(rank, own.as(), sum.as(), 4096);
    args.two_shots = two_shots;
    args.longest_ns = kLongEnough;
    EXPECT_EQ(StartPeerExchange(args, nullptr), 0);
    // Nothing is read of others: the memory of one that has ended may be none any more.
    for (int i = 0; i < 1024; ++i) ASSERT_EQ(sum.as<float>()[i], 7) << i;
  });
  for (const int rank : {0, 1, 3}) {
    const PeerFailure failure = FailureOf(world.rank(rank).state);
    EXPECT_EQ(failure.kind, PeerFailure::kSilent) << "rank " << rank;
    EXPECT_EQ(failure.rank, 2) << "rank " << rank;
    EXPECT_NE(world.rank(rank).state.stop, 0u);
  }
}
TEST(PeerExchange, AWaitEndsByItself) { ExpectAnEnd(/*two_shots=*/false); }
TEST(PeerExchange, AWaitOfTwoShotsEndsByItself) { ExpectAnEnd(/*two_shots=*/true); }

TEST(PeerExchange, RanksThatExchangeUnlikeThingsAreTold) {
  World world(2);
  world.Run(0, [&](int rank) {
    Memory own(1 << 16);
    PeerExchangeArgs args = world.Args(rank, own.as(), own.as(), rank == 0 ? 400 : 20000);
    args.is_gather = rank == 1;
    args.y = own.as() + 20000 - 20000 % 16;
    EXPECT_EQ(StartPeerExchange(args, nullptr), 0);
  });
  const PeerFailure of_0 = FailureOf(world.rank(0).state), of_1 = FailureOf(world.rank(1).state);
  EXPECT_EQ(of_0.kind, PeerFailure::kUnlike);
  EXPECT_EQ(of_0.rank, 1);
  EXPECT_TRUE(of_0.gathers);
  EXPECT_EQ(of_0.bytes, 20000);
  EXPECT_EQ(of_1.kind, PeerFailure::kUnlike);
  EXPECT_FALSE(of_1.gathers);
  EXPECT_EQ(of_1.bytes, 400);
}

TEST(PeerExchange, GreetingsArrive) {
  World world(4);
  for (const bool looks : {false, true}) {
    world.Run(0, [&](int rank) {
      PeerGreetArgs args;
      args.rank = rank;
      args.ranks = 4;
      args.looks = looks;
      for (int other = 0; other < 4; ++other) args.buffers[other] = world.rank(other).buffer.as();
      EXPECT_EQ(StartPeerGreet(args, nullptr), 0);
    });
  }
  for (int rank = 0; rank < 4; ++rank) {
    const std::byte* const buffer = world.rank(rank).buffer.as();
    for (int other = 0; other < 4; ++other) {
      uint64_t put = 0, seen = 0;
      std::memcpy(&put, buffer + PutGreetingAt(other), 8);
      std::memcpy(&seen, buffer + SeenGreetingAt(other), 8);
      EXPECT_EQ(put, GreetingOf(other, rank));
      EXPECT_EQ(seen, GreetingOf(rank, other));
    }
  }
}

TEST(PeerExchange, RefusesWhatItCannotDo) {
  World world(2);
  Memory data(4096);
  const PeerExchangeArgs good = world.Args(0, data.as(), data.as(), 4096);
  const std::vector<std::function<void(PeerExchangeArgs&)>> edits = {
      [](auto& a) { a.bytes = -4; },
      [](auto& a) { a.bytes = kMostExchangedBytes + 1; },
      [](auto& a) { a.bytes = 6; },  // of floats
      [](auto& a) { a.x = static_cast<const std::byte*>(a.x) + 2; },
      [](auto& a) { a.ranks = 1; },
      [](auto& a) { a.ranks = 3; },  // no tree
      [](auto& a) { a.ranks = kMostPeers + 1; },
      [](auto& a) { a.rank = 2; },
      [](auto& a) { a.rank = -1; },
      [](auto& a) { a.piece_bytes = 24; },
      [](auto& a) { a.two_shots = a.is_gather = true; },
      [](auto& a) { a.two_shots = true, a.canonical = false; },
      [](auto& a) { a.piece_bytes = kPeerPieceBytes + 16; },
  };
  for (const auto& edit : edits) {
    PeerExchangeArgs args = good;
    edit(args);
    EXPECT_EQ(StartPeerExchange(args, nullptr), kInvalidValue);
  }
  PeerExchangeArgs none = good;
  none.bytes = 0;
  EXPECT_EQ(StartPeerExchange(none, nullptr), 0);
  EXPECT_EQ(StartPeerGreet({.ranks = 17}, nullptr), kInvalidValue);
}

}  // namespace
}  // namespace mrs::kernels::cuda
