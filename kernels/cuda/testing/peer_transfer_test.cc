// Ranks that are threads hand on by the next one's buffer, each in an order of CUDA threads of its own: what comes is
// what was sent, however often and however late it is taken, and each way in which a wait ends.
#include "kernels/cuda/peer_transfer.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/cuda/signals.h"
#include "kernels/cuda/testing/peer_world.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;

// Rank 0 sends, rank 1 receives.
struct Pair {
  World world{2};
  Memory outbox{kPeerOutboxBytes};

  PeerTransferArgs Args(int rank, void* data, int64_t bytes, int64_t piece_bytes = 1024) {
    void* const inbox = world.rank(1).buffer.as();
    PeerTransferArgs args;
    args.data = data;
    args.bytes = bytes;
    args.is_send = rank == 0;
    args.own = rank == 0 ? outbox.as<void>() : inbox;
    args.peer = rank == 0 ? inbox : outbox.as<void>();
    args.state = &world.rank(rank).state;
    args.peer_number = 20 + (1 - rank);
    args.piece_bytes = piece_bytes;
    return args;
  }
  PeerFailure Failure(int rank) { return FailureOf(world.rank(rank).state); }
};

std::byte ByteOf(int time, int64_t i) { return static_cast<std::byte>(i * 7 + i / 256 * 13 + time * 31); }
void Fill(std::byte* memory, int time, int64_t bytes) {
  for (int64_t i = 0; i < bytes; ++i) memory[i] = ByteOf(time, i);
}
int64_t Unlike(const std::byte* memory, int time, int64_t bytes) {
  int64_t unlike = 0;
  for (int64_t i = 0; i < bytes; ++i) unlike += memory[i] != ByteOf(time, i) ? 1 : 0;
  return unlike;
}

// `times` transfers of `bytes`, one behind another, `offset` bytes past alignment on the one or the other.
void ExpectTransfers(Pair& pair, unsigned order, int64_t bytes, int times, int64_t offset_of_x = 0,
                     int64_t offset_of_y = 0, int64_t piece_bytes = 1024) {
  if (!IsTried(2, BlocksOf(bytes))) return;
  const int64_t room = (bytes + 16 + 15) / 16 * 16;
  Memory x(static_cast<uint64_t>(room * times)), y(static_cast<uint64_t>(room * times));
  for (int time = 0; time < times; ++time) Fill(x.as() + time * room + offset_of_x, time, bytes);
  pair.world.Run(order, [&](int rank) {
    for (int time = 0; time < times; ++time) {
      std::byte* const data = (rank == 0 ? x.as() + offset_of_x : y.as() + offset_of_y) + time * room;
      EXPECT_EQ(StartPeerTransfer(pair.Args(rank, data, bytes, piece_bytes), nullptr), 0);
    }
  });
  for (int time = 0; time < times; ++time) {
    std::byte* const data = y.as() + time * room + offset_of_y;
    EXPECT_EQ(Unlike(data, time, bytes), 0) << bytes << " bytes, time " << time;
    for (int64_t i = bytes; i < room - offset_of_y; ++i)
      ASSERT_EQ(data[i], std::byte{0}) << bytes << " bytes and " << i;
  }
  for (const int rank : {0, 1}) EXPECT_EQ(pair.Failure(rank).kind, PeerFailure::kNone);
}

TEST(PeerTransfer, WhatComesIsWhatWasSent) {
  Pair pair;  // whose blocks' pieces are counted on
  for (const unsigned order : FirstOrders()) {
    for (const int64_t bytes : {int64_t{2}, int64_t{12}, int64_t{4096}, int64_t{10002}}) {
      ExpectTransfers(pair, order, bytes, 3);
    }
  }
  ExpectTransfers(pair, 0, 1 << 15, 2, 0, 0, kPeerPieceBytes);  // of many blocks, each a piece
  ExpectTransfers(pair, 1, 33 * 4096 + 48, 1, 0, 0, 4096);      // of all, each more than one
}

// One rank may have larger units than the other: what is told is of bytes.
TEST(PeerTransfer, RanksMayBeAlignedUnlike) {
  Pair pair;
  ExpectTransfers(pair, 0, 4096, 3, 4, 0);
  ExpectTransfers(pair, 1, 4096, 3, 0, 2);
  ExpectTransfers(pair, 2, 4096, 3, 6, 4);
}

// So a stage goes on to its next forward before the one after it has begun this one; further it does not.
TEST(PeerTransfer, TheSenderGoesAheadByAsManyAsThereArePlaces) {
  constexpr int64_t kBytes = 1024;
  Pair pair;
  Memory x(kBytes * 3), y(kBytes * 3);
  for (int time = 0; time < 3; ++time) Fill(x.as() + time * kBytes, time, kBytes);
  pair.world.Run(0, [&](int rank) {
    if (rank == 1) return;
    for (int time = 0; time < kPeerPlaces; ++time) {
      EXPECT_EQ(StartPeerTransfer(pair.Args(0, x.as() + time * kBytes, kBytes), nullptr), 0);
    }
  });
  EXPECT_EQ(pair.Failure(0).kind, PeerFailure::kNone);  // it has returned, and nobody has taken
  Memory ended(8);
  pair.world.Run(1, [&](int rank) {
    if (rank == 0) {
      EXPECT_EQ(StartPeerTransfer(pair.Args(0, x.as() + 2 * kBytes, kBytes), nullptr), 0);
      StoreRelease(ended.as<uint64_t>(), 1);
      return;
    }
    while (LoadAcquire(&pair.world.rank(0).state.waits_for) != 22) std::this_thread::yield();
    EXPECT_EQ(LoadAcquire(ended.as<uint64_t>()), 0u);
    for (int time = 0; time < 3; ++time) {
      EXPECT_EQ(StartPeerTransfer(pair.Args(1, y.as() + time * kBytes, kBytes), nullptr), 0);
    }
  });
  for (int time = 0; time < 3; ++time) EXPECT_EQ(Unlike(y.as() + time * kBytes, time, kBytes), 0) << time;
  EXPECT_EQ(pair.world.rank(0).state.waits_for, 0u);
}

// The middle one of three takes and hands on, over and over.
TEST(PeerTransfer, FromStageToStage) {
  constexpr int64_t kBytes = 6000;
  constexpr int kTimes = 4;
  Pair first, second;
  Memory x(kBytes * kTimes), between(kBytes), y(kBytes * kTimes);
  for (int time = 0; time < kTimes; ++time) Fill(x.as() + time * kBytes, time, kBytes);
  World stages(3);
  stages.Run(2, [&](int rank) {
    for (int time = 0; time < kTimes; ++time) {
      std::byte* const of_time = (rank == 0 ? x.as() : y.as()) + time * kBytes;
      std::vector<PeerTransferArgs> steps;
      if (rank == 0) steps = {first.Args(0, of_time, kBytes)};
      if (rank == 1) steps = {first.Args(1, between.as(), kBytes), second.Args(0, between.as(), kBytes)};
      if (rank == 2) steps = {second.Args(1, of_time, kBytes)};
      for (const PeerTransferArgs& step : steps) EXPECT_EQ(StartPeerTransfer(step, nullptr), 0);
    }
  });
  for (int time = 0; time < kTimes; ++time) EXPECT_EQ(Unlike(y.as() + time * kBytes, time, kBytes), 0) << time;
}

// A place may be used more often than a flag can say.
TEST(PeerTransfer, CountsWrap) {
  Pair pair;
  constexpr uint64_t kTimes = 0xffffffff;  // that each place has been used
  for (void* const buffer : {pair.outbox.as<void>(), pair.world.rank(1).buffer.as<void>()}) {
    auto* const words = static_cast<uint64_t*>(buffer);
    for (int word = 0; word < kPeerPlaces * kPeerBlocks; ++word) words[word] = kTimes << 32;
    for (int block = 0; block < kPeerBlocks; ++block) words[kPeerPlaces * kPeerBlocks + block] = kTimes * kPeerPlaces;
  }
  ExpectTransfers(pair, 0, 4096, 2);
}

TEST(PeerTransfer, AWaitEndsWhenTheHostSaysSo) {
  for (const int waits : {0, 1}) {
    Pair pair;
    constexpr int64_t kBytes = kHasFewThreads ? 4096 : 4096 * 8;
    Memory data(kBytes);
    std::thread host([&] {
      while (LoadAcquire(&pair.world.rank(waits).state.waits_for) == 0) std::this_thread::yield();
      StoreRelease(&pair.world.rank(waits).state.stop, 1);
    });
    pair.world.Run(0, [&](int rank) {
      if (rank != waits) return;
      for (int i = 0; i < 4; ++i) EXPECT_EQ(StartPeerTransfer(pair.Args(rank, data.as(), kBytes), nullptr), 0);
    });
    host.join();
    EXPECT_EQ(pair.Failure(waits).kind, PeerFailure::kStopped);
    EXPECT_EQ(pair.Failure(waits).rank, 21 - waits);
  }
}

TEST(PeerTransfer, AWaitEndsByItself) {
  for (const int waits : {0, 1}) {
    Pair pair;
    Memory data(4096);
    std::memset(data.as(), 7, 4096);
    pair.world.Run(0, [&](int rank) {
      if (rank != waits) return;
      PeerTransferArgs args = pair.Args(rank, data.as(), 4096);
      args.longest_ns = 20'000'000;
      EXPECT_EQ(StartPeerTransfer(args, nullptr), 0);
    });
    EXPECT_EQ(pair.Failure(waits).kind, PeerFailure::kSilent);
    EXPECT_EQ(pair.Failure(waits).rank, 21 - waits);
    EXPECT_NE(pair.world.rank(waits).state.stop, 0u);
    for (int64_t i = 0; i < 4096; ++i) ASSERT_EQ(data.as()[i], std::byte{7}) << i;  // nothing is taken
    if (waits == 1) continue;
    // Of four pieces two are put, which is as many as there are places, each in its own.
    for (int place = 0; place < kPeerPlaces; ++place) {
      const std::byte* const piece =
          pair.world.rank(1).buffer.as() + kPeerHeaderBytes + place * kPeerBlocks * kPeerPieceBytes;
      for (int64_t i = 0; i < 4096; ++i)
        ASSERT_EQ(piece[i], i < 1024 ? std::byte{7} : std::byte{0}) << place << ": " << i;
    }
  }
}

// What a sum has given up is not handed on, as it is no sum.
TEST(PeerTransfer, NothingIsSentOnceAWaitWasGivenUp) {
  Pair pair;
  Memory data(4096);
  StoreRelease(&pair.world.rank(0).state.stop, 1);
  pair.world.Run(0, [&](int rank) {
    if (rank == 1) return;
    EXPECT_EQ(StartPeerTransfer(pair.Args(0, data.as(), 4096), nullptr), 0);
  });
  const auto* const words = pair.world.rank(1).buffer.as<uint64_t>();
  for (int word = 0; word < (kPeerPlaces + 1) * kPeerBlocks; ++word) ASSERT_EQ(words[word], 0u) << word;
  EXPECT_EQ(pair.Failure(0).kind, PeerFailure::kStopped);  // who only sends learns of it nowhere else
  EXPECT_EQ(pair.Failure(0).rank, PeerFailure::kNobody);
}

TEST(PeerTransfer, WhoTakesSomethingElseIsTold) {
  Pair pair;
  Memory data(1 << 16);
  pair.world.Run(0, [&](int rank) {
    EXPECT_EQ(StartPeerTransfer(pair.Args(rank, data.as(), rank == 0 ? 400 : 20000), nullptr), 0);
  });
  EXPECT_EQ(pair.Failure(1).kind, PeerFailure::kUnlike);
  EXPECT_EQ(pair.Failure(1).rank, 20);
  EXPECT_EQ(pair.Failure(1).bytes, 400);
  EXPECT_EQ(pair.Failure(0).kind, PeerFailure::kNone);  // which waits for nobody
}

TEST(PeerTransfer, RefusesWhatItCannotDo) {
  Pair pair;
  Memory data(4096);
  const PeerTransferArgs good = pair.Args(0, data.as(), 4096);
  const std::vector<std::function<void(PeerTransferArgs&)>> edits = {
      [](auto& a) { a.bytes = -4; },
      [](auto& a) { a.bytes = kMostExchangedBytes + 1; },
      [](auto& a) { a.bytes = 5; },  // of bf16
      [](auto& a) { a.data = static_cast<std::byte*>(a.data) + 1; },
      [](auto& a) { a.peer_number = -1; },
      [](auto& a) { a.peer_number = PeerFailure::kNobody; },
      [](auto& a) { a.piece_bytes = 24; },
      [](auto& a) { a.piece_bytes = 0; },
      [](auto& a) { a.piece_bytes = kPeerPieceBytes + 16; },
  };
  for (const auto& edit : edits) {
    PeerTransferArgs args = good;
    edit(args);
    EXPECT_EQ(StartPeerTransfer(args, nullptr), kInvalidValue);
  }
  PeerTransferArgs none = good;
  none.bytes = 0;
  EXPECT_EQ(StartPeerTransfer(none, nullptr), 0);
}

}  // namespace
}  // namespace mrs::kernels::cuda
