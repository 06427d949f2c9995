// Stages that are processes of an emulated device each, and hand on by each other's memory: what they then have, and
// each way in which it goes wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/rank/cuda/peer_exchange.h"
#include "runtime/rank/cuda/peer_world_for_test.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Rank = PeerRank;
using World = PeerWorld;

// Stages of one rank each: what a forward does of a rank whose memory is what it takes, and hands on.
Status HandOn(Rank& rank, int size, uint64_t row_bytes, int64_t rows) {
  if (rank.rank > 0) {
    MRS_RETURN_IF_ERROR(rank.exchange->Run(TransferLaunch{false, 9 + rank.rank, rank.memory, row_bytes}, rows));
  }
  if (rank.rank + 1 == size) return Status();
  return rank.exchange->Run(TransferLaunch{true, 11 + rank.rank, rank.memory, row_bytes}, rows);
}

TEST(PeerStages, HandsOnAtOnceAndInGraphs) {
  World world({.size = 3, .stages = true}, [](Rank& rank) -> Status {
    constexpr int64_t kRows = 3, kWidth = 1001;
    const auto run = [&](float value, const std::function<Status()>& forward) -> Status {
      if (rank.rank == 0) {
        MRS_RETURN_IF_ERROR(rank.Fill(value, kRows * kWidth));
      }
      MRS_RETURN_IF_ERROR(forward());
      MRS_RETURN_IF_ERROR(rank.exchange->Finish());
      for (const int64_t at : {int64_t{0}, kWidth, kRows * kWidth - 1})
        MRS_RETURN_IF_ERROR(ExpectFloat(rank.At(at), value));
      return ExpectFloat(rank.At(kRows * kWidth), 0);
    };
    const auto hand_on = [&] { return HandOn(rank, 3, kWidth * sizeof(float), kRows); };
    MRS_RETURN_IF_ERROR(run(7, hand_on));
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture(hand_on));
    for (int i = 0; i < 4; ++i) {
      MRS_RETURN_IF_ERROR(run(static_cast<float>(i), [&] { return rank.device->Launch(graph); }));
    }
    const Status other = rank.exchange->Run(TransferLaunch{true, 99, rank.memory, 4}, 1);
    return other.ok() ? Refuse("rank 99 was handed something") : Status();
  });
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

// The stage after it waits in a graph, and the one after that for the latter.
TEST(PeerStages, AStageThatIsKilledIsNamed) {
  World world({.size = 3, .stages = true}, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(HandOn(rank, 3, 400, 1));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture([&] { return HandOn(rank, 3, 400, 1); }));
    rank.side->Tell();
    if (rank.rank == 0) rank.side->Wait();  // and is killed there
    MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    return rank.exchange->Finish();
  });
  for (const int rank : {0, 1, 2}) EXPECT_TRUE(world.rank(rank).Wait());
  world.rank(0).Kill();
  EXPECT_EQ(world.rank(1).Said(), "rank 10 has ended");
  EXPECT_EQ(world.rank(2).Said(), "rank 11 has ended");
}

// Which waits for nobody, so that nothing else says that what it hands on is not put.
TEST(PeerStages, AStageThatOnlySendsFailsAfterAnAbort) {
  World world({.stages = true}, [](Rank& rank) -> Status {
    if (rank.rank == 0) rank.exchange->Abort();
    MRS_RETURN_IF_ERROR(HandOn(rank, 2, 400, 1));
    return rank.exchange->Finish();
  });
  EXPECT_EQ(world.rank(0).Said(), "given up before an exchange began");
  EXPECT_EQ(world.rank(1).Said(), "rank 10 has ended");
}

TEST(PeerStages, AWaitForTheStageBeforeIsTold) {
  World world({.has_pulse = true, .stages = true}, [](Rank& rank) -> Status {
    if (rank.rank == 0) {
      if (!rank.side->Wait()) return Refuse("nobody told it to go on");
      MRS_RETURN_IF_ERROR(HandOn(rank, 2, 400, 1));
      return rank.exchange->Finish();
    }
    bool is_told = false;
    std::thread looks([&] {
      const auto until = std::chrono::steady_clock::now() + milliseconds(10000);
      while (std::chrono::steady_clock::now() < until && rank.line->waits_for != 11) std::this_thread::yield();
      is_told = rank.line->waits_for == 11;
      rank.side->Tell();
    });
    MRS_RETURN_IF_ERROR(HandOn(rank, 2, 400, 1));
    const Status done = rank.exchange->Finish();
    looks.join();
    return is_told ? done : Refuse("it is not told");
  });
  EXPECT_TRUE(world.rank(1).Wait());
  world.rank(0).Tell();
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

TEST(PeerStages, WhoTakesOtherRowsIsTold) {
  World world({.stages = true}, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(HandOn(rank, 2, 400, 1 + rank.rank));
    return rank.exchange->Finish();
  });
  EXPECT_EQ(
      world.Said(),
      (std::vector<std::string>{
          "ok",
          "rank 10 hands on 400 bytes where this one exchanges something else: all ranks run one plan's steps alike"}));
}

TEST(PeerStages, StagesThatDoNotMeetSayWhy) {
  const struct {
    const char* fault;
    const char* says;
  } rows[] = {
      {"ipc-export:1@1", "rank 11 cannot share its memory: cuda:1 (emulated): memory cannot be shared"},
      {"host-allocation:1@0", "rank 10 cannot share its memory: cuda:0 (emulated): "},
      {"ipc-open:1@1",
       "rank 11 does not reach the others' memory: cuda:1 (emulated): rank 10's memory cannot be opened"},
      {"ipc-astray:1@1", "rank 10 and rank 11 do not reach each other's memory: what rank 11 wrote into rank 10's"},
  };
  for (const auto& row : rows) {
    World world({.faults = row.fault, .stages = true}, [](Rank& rank) { return HandOn(rank, 2, 400, 1); });
    EXPECT_THAT(world.Said(), ::testing::Each(HasSubstr(row.says))) << row.fault;
  }
}

}  // namespace
}  // namespace mrs
