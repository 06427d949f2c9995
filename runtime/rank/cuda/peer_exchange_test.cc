// Ranks that are processes of an emulated device each, and exchange by its memory: what they then have, and each way in
// which it goes wrong.
#include "runtime/rank/cuda/peer_exchange.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/exact.h"
#include "runtime/rank/cuda/peer_world_for_test.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Rank = PeerRank;
using World = PeerWorld;
using Shape = PeerShape;

CollectiveLaunch SumOf(Rank& rank, uint64_t row_bytes) {
  return {.algorithm = plan::CollectiveAlgorithm::doubling, .x = rank.memory, .y = rank.memory, .row_bytes = row_bytes};
}
Status SumOnce(Rank& rank) {
  MRS_RETURN_IF_ERROR(rank.Fill(1, 100));
  MRS_RETURN_IF_ERROR(rank.exchange->Run(SumOf(rank, 400), 1));
  return rank.exchange->Finish();
}
TEST(PeerExchange, SumsAtOnceAndInGraphs) {
  World world({.size = 4}, [](Rank& rank) -> Status {
    constexpr int64_t kCount = 3001;
    const CollectiveLaunch sum = SumOf(rank, kCount * 4);
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(1 << rank.rank), kCount));
    MRS_RETURN_IF_ERROR(rank.exchange->Run(sum, 1));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    for (const int64_t at : {int64_t{0}, int64_t{1024}, kCount - 1}) MRS_RETURN_IF_ERROR(ExpectFloat(rank.At(at), 15));
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture([&] { return rank.exchange->Run(sum, 1); }));
    MRS_RETURN_IF_ERROR(ExpectFloat(rank.At(0), 15));  // nothing ran
    for (int i = 0; i < 3; ++i) MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    return ExpectFloat(rank.At(kCount - 1), 15 * 64);
  });
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

// As many bytes as go in two shots, from where the last sum left them, at once and in a graph.
TEST(PeerExchange, SumsOfManyBytes) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "minutes under tsan, which sees nothing between processes; in sums of few bytes the same threads run";
#endif
  World world({.size = 4}, [](Rank& rank) -> Status {
    constexpr int64_t kCount = 200000;
    static_assert(kernels::cuda::TakesTwoShots(kCount * 4, 4) && kCount * 4 <= kPeerTestMemory);
    const CollectiveLaunch sum = SumOf(rank, kCount * 4), few = SumOf(rank, 4000);
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(1 << rank.rank), kCount));
    MRS_RETURN_IF_ERROR(rank.exchange->Run(sum, 1));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    for (const int64_t at : {int64_t{0}, int64_t{50000}, kCount - 1}) MRS_RETURN_IF_ERROR(ExpectFloat(rank.At(at), 15));
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture([&]() -> Status {
      MRS_RETURN_IF_ERROR(rank.exchange->Run(few, 1));
      return rank.exchange->Run(sum, 1);
    }));
    for (int i = 0; i < 2; ++i) MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    MRS_RETURN_IF_ERROR(ExpectFloat(rank.At(0), 15 * 256));
    return ExpectFloat(rank.At(kCount - 1), 15 * 16);
  });
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

// x is of all ranks 1, 2, 4, ..., the residual 1, the weight 3 and eps 0.
struct SumNorm {
  DeviceArena memory;
  SumNormLaunch launch;
  float *residual, *y;

  static Result<SumNorm> Of(Rank& rank, int64_t rows, int64_t width) {
    const auto count = static_cast<size_t>(rows * width);
    MRS_ASSIGN_OR_RETURN(DeviceArena memory, rank.device->Allocate("a residual", (2 * count + width) * sizeof(float)));
    auto* const residual = reinterpret_cast<float*>(memory.data());
    float *const y = residual + count, *const weight = y + count;
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(1 << rank.rank), rows * width));
    const std::vector<float> ones(count, 1), threes(static_cast<size_t>(width), 3);
    MRS_RETURN_IF_ERROR(rank.device->CopyIn(residual, ones.data(), count * sizeof(float)));
    MRS_RETURN_IF_ERROR(rank.device->CopyIn(weight, threes.data(), threes.size() * sizeof(float)));
    const CollectiveLaunch sum = SumOf(rank, static_cast<uint64_t>(width) * sizeof(float));
    const kernels::cuda::AddRmsNormArgs args = {.a = residual,
                                                .b = reinterpret_cast<const float*>(sum.y),
                                                .w = weight,
                                                .sum = residual,
                                                .y = y,
                                                .rows = rows,
                                                .width = width,
                                                .eps = 0,
                                                .out = kernels::Type::kF32};
    return SumNorm{std::move(memory),
                   {sum, {kernels::cuda::ExactKernels(kernels::Chain::kPair2).add_rms_norm, args}},
                   residual,
                   y};
  }
  Status ExpectDone(Rank& rank, float sum) const {
    for (const int64_t at : {int64_t{0}, launch.norm.args.rows * launch.norm.args.width - 1}) {
      float found[2];
      MRS_RETURN_IF_ERROR(rank.device->CopyOut(&found[0], residual + at, sizeof(float)));
      MRS_RETURN_IF_ERROR(rank.device->CopyOut(&found[1], y + at, sizeof(float)));
      MRS_RETURN_IF_ERROR(ExpectFloat(found[0], sum));
      MRS_RETURN_IF_ERROR(ExpectFloat(found[1], 3));
    }
    return Status();
  }
};

// In one launch; of too many rows for that, and of so many bytes as go in two shots; each at once and in a graph.
TEST(PeerExchange, SumsWithTheirNorm) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "minutes under tsan, which sees nothing between processes";
#endif
  World world({.size = 4}, [](Rank& rank) -> Status {
    constexpr int64_t kRows[] = {2, 33, 9}, kWidths[] = {1000, 64, 16384};
    static_assert(kernels::cuda::TakesTwoShots(9 * 16384 * 4, 4) && 9 * 16384 * 4 <= kPeerTestMemory);
    for (size_t i = 0; i < std::size(kRows); ++i) {
      MRS_ASSIGN_OR_RETURN(const SumNorm joined, SumNorm::Of(rank, kRows[i], kWidths[i]));
      MRS_RETURN_IF_ERROR(rank.exchange->Run(joined.launch, kRows[i]));
      MRS_RETURN_IF_ERROR(rank.exchange->Finish());
      MRS_RETURN_IF_ERROR(joined.ExpectDone(rank, 16));
      MRS_RETURN_IF_ERROR(rank.Fill(4, kRows[i] * kWidths[i]));
      MRS_ASSIGN_OR_RETURN(const DeviceGraph graph,
                           rank.device->Capture([&] { return rank.exchange->Run(joined.launch, kRows[i]); }));
      MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
      MRS_RETURN_IF_ERROR(rank.exchange->Finish());
      MRS_RETURN_IF_ERROR(joined.ExpectDone(rank, 32));
    }
    return Status();
  });
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

TEST(PeerExchange, ASumWithItsNormAndOneWithoutAreUnlike) {
  World world({.size = 2}, [](Rank& rank) -> Status {
    MRS_ASSIGN_OR_RETURN(const SumNorm joined, SumNorm::Of(rank, 1, 64));
    MRS_RETURN_IF_ERROR(rank.rank == 0 ? rank.exchange->Run(joined.launch, 1)
                                       : rank.exchange->Run(joined.launch.sum, 1));
    return rank.exchange->Finish();
  });
  const std::string exchanges =
      " 256 bytes where this one exchanges something else: all ranks run one plan's steps alike";
  EXPECT_THAT(world.Said(),
              ::testing::ElementsAre("rank 11 sums" + exchanges, "rank 10 sums, for a norm," + exchanges));
}

TEST(PeerExchange, Gathers) {
  World world({.size = 2}, [](Rank& rank) -> Status {
    constexpr int64_t kCount = 5000;
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(rank.rank + 1), kCount));
    std::byte* const y = rank.memory + 400000;
    MRS_RETURN_IF_ERROR(
        rank.exchange->Run(CollectiveLaunch{.is_gather = true, .x = rank.memory, .y = y, .row_bytes = 4}, kCount));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    MRS_RETURN_IF_ERROR(ExpectFloat(rank.At(100000 + kCount - 1), 1));
    return ExpectFloat(rank.At(100000 + kCount), 2);
  });
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

TEST(PeerExchange, RanksThatDoNotMeetSayWhy) {
  const struct {
    const char* fault;
    const char* says;
  } rows[] = {
      {"ipc-export:1@1",
       "rank 11 cannot share its memory: cuda:1 (emulated): memory cannot be shared with other processes: invalid "
       "argument: MRS_EMULATED_FAULT=ipc-export:1@1 (cudaErrorInvalidValue)"},
      {"allocation:2@1",
       "rank 11 cannot share its memory: cuda:1 (emulated): no 6291456 bytes of memory for what peers "},
      {"ipc-open:1@1",
       "rank 11 does not reach the others' memory: cuda:1 (emulated): rank 10's memory cannot be opened: peer access "
       "is "
       "not supported between these two devices: MRS_EMULATED_FAULT=ipc-open:1@1 (cudaErrorPeerAccessUnsupported); "
       "plan with mrs-plan build --collectives staged"},
      {"ipc-open:2@0",
       "rank 10 does not reach the others' memory: cuda:0 (emulated): rank 12's memory cannot be opened"},
      {"ipc-astray:2@2",
       "rank 11 and rank 12 do not reach each other's memory: what rank 12 wrote into rank 11's is not there; plan "
       "with "
       "mrs-plan build --collectives staged"},
  };
  for (const auto& row : rows) {
    World world({.size = 3, .faults = row.fault}, SumOnce);
    EXPECT_THAT(world.Said(), ::testing::Each(HasSubstr(row.says))) << row.fault;
  }
}

TEST(PeerExchange, RanksOfOneDeviceAreAsManyAsItHoldsAtOnce) {
  EXPECT_THAT(World({.ranks_of_device = 4}, SumOnce).Said(), ::testing::Each("ok"));
  EXPECT_THAT(
      World({.ranks_of_device = 5}, SumOnce).Said(),
      ::testing::Each("rank 10 cannot share its memory: 5 ranks share cuda:0 (emulated), whose 64 multiprocessors hold "
                      "128 blocks at once, and 32 of each wait for each other; plan for fewer a device"));
}

TEST(PeerExchange, RanksThatPadUnlikeAreRefused) {
  World world({.decodes_of_last = {.most_rows = 8}}, SumOnce);
  EXPECT_EQ(world.Said(),
            (std::vector<std::string>{
                "decodes are of up to 4 rows here and 8 on rank 11, and ranks pad them alike: rebuild the "
                "plan",
                "decodes are of up to 8 rows here and 4 on rank 10, and ranks pad them alike: rebuild the "
                "plan"}));
}

// Else one would wait in its first run for another that has none.
TEST(PeerExchange, RanksOfWhichOneAloneRunsBeforeItCapturesAreRefused) {
  World world({.decodes_of_last = {.most_rows = 4, .runs_before_capture = 1}}, SumOnce);
  const std::string rest = ", for which it would wait: start all ranks with one --cuda-graphs";
  EXPECT_EQ(
      world.Said(),
      (std::vector<std::string>{
          "rank 11 runs each size of a decode once before it captures its graph, and this rank does not" + rest,
          "this rank runs each size of a decode once before it captures its graph, and rank 10 does not" + rest}));
}

// Of another build of the program: before anything waits in its memory.
TEST(PeerExchange, RanksWhoseGridsAreUnlikeAreRefused) {
  const struct {
    int64_t PeerGrid::*number;
    const char* says;  // of a program that has one more than this one
  } rows[] = {
      {&PeerGrid::blocks, "32 blocks of an exchange here and 33"},
      {&PeerGrid::piece_bytes, "65536 bytes of a block's piece here and 65537"},
      {&PeerGrid::header_bytes, "2097152 bytes of flags before the pieces here and 2097153"},
      {&PeerGrid::most_ranks, "16 ranks at most here and 17"},
      {&PeerGrid::two_shot_bytes_of_few,
       "524288 bytes from which sums of up to 4 ranks go in two shots here and 524289"},
      {&PeerGrid::two_shot_bytes, "262144 bytes from which sums of more ranks go in two shots here and 262145"},
      {&PeerGrid::most_bytes, "1073741824 bytes at a time here and 1073741825"},
      {&PeerGrid::most_normed_rows, "32 rows at most in one launch with their norm here and 33"},
      {&PeerGrid::places, "2 places of a block for what stages hand on here and 3"},
  };
  for (const auto& row : rows) {
    Shape shape = {.size = 3};
    ++(shape.grid_of_last.*row.number);
    World world(shape, SumOnce);
    const std::vector<std::string> said = world.Said();
    const std::string expected = fmt::format(
        "peer memory has {} on rank 12, and blocks of ranks wait for each other by these: run one build of mrs-exec on "
        "all ranks",
        row.says);
    EXPECT_EQ(said[0], expected);
    EXPECT_EQ(said[1], expected);
    EXPECT_THAT(said[2], ::testing::AllOf(HasSubstr("peer memory has "), HasSubstr(" on rank 10, and blocks")));
  }
}

TEST(PeerExchange, RanksOfOneProcessAreRefused) {
  Child both([](Child::Side&) -> std::string {
    const auto world = *MakeLocalCommunicators(2);
    std::string said[2];
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < 2; ++rank) {
      ranks.emplace_back([&, rank] {
        const auto device = *Device::Open(static_cast<uint32_t>(rank));
        said[rank] = PeerExchange::Meet(*device, {.group = world[static_cast<size_t>(rank)].get(), .ranks = {0, 1}})
                         .status()
                         .message();
      });
    }
    for (std::thread& rank : ranks) rank.join();
    return said[0] + "\n" + said[1];
  });
  EXPECT_EQ(both.Said(),
            "rank 0 and rank 1 are one process, and exchange by memory that processes share; start a process a rank: "
            "--transport shm\n"
            "rank 1 and rank 0 are one process, and exchange by memory that processes share; start a process a rank: "
            "--transport shm");
}

// In the middle of a graph: whoever waits for it says so, and nothing of it is left.
TEST(PeerExchange, ARankThatIsKilledIsNamed) {
  World world({.size = 2}, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(SumOnce(rank));
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture([&]() -> Status {
      for (int i = 0; i < 3; ++i) MRS_RETURN_IF_ERROR(rank.exchange->Run(SumOf(rank, 400), 1));
      return Status();
    }));
    rank.side->Tell();
    if (rank.rank == 1) rank.side->Wait();  // and is killed there
    MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    const Status done = rank.exchange->Finish(), later = SumOnce(rank);
    return later.ok() ? Refuse("it went on") : done;
  });
  EXPECT_TRUE(world.rank(0).Wait());
  EXPECT_TRUE(world.rank(1).Wait());
  world.rank(1).Kill();
  EXPECT_EQ(world.rank(0).Said(), "rank 11 has ended");
}

TEST(PeerExchange, ARankThatDoesNotComeIsNamed) {
  World world({.size = 2, .deadline = milliseconds(200)}, [](Rank& rank) -> Status {
    if (rank.rank == 0) return SumOnce(rank);
    return rank.side->Wait() ? Status() : Refuse("nobody told it to go on");
  });
  EXPECT_EQ(world.rank(0).Said(), "rank 11 has not come to an exchange within 200 ms");
  world.rank(1).Tell();
  EXPECT_EQ(world.rank(1).Said(), "ok");
}

TEST(PeerExchange, AnAbortEndsTheWait) {
  World world({.size = 2, .has_pulse = true}, [](Rank& rank) -> Status {
    if (rank.rank == 1) return rank.side->Wait() ? Status() : Refuse("nobody told it to go on");
    std::thread other([&] {
      while (rank.line->waits_for != 12) std::this_thread::yield();  // 1 + the rank that is waited for
      rank.exchange->Abort();
    });
    const Status done = SumOnce(rank);
    other.join();
    return done;
  });
  EXPECT_EQ(world.rank(0).Said(), "given up while rank 11 was waited for");
  world.rank(1).Tell();
  EXPECT_EQ(world.rank(1).Said(), "ok");
}

// What begins after it is told to nobody: the other rank waits on, until this one's process ends.
TEST(PeerExchange, NothingIsExchangedAfterAnAbort) {
  World world({.size = 2}, [](Rank& rank) -> Status {
    if (rank.rank == 0) rank.exchange->Abort();
    return SumOnce(rank);
  });
  EXPECT_EQ(world.rank(0).Said(), "given up before an exchange began");
  EXPECT_EQ(world.rank(1).Said(), "rank 10 has ended");
}

// Who looks on sees whom a rank waits for, and afterwards that it waits for none.
TEST(PeerExchange, AWaitIsTold) {
  World world({.size = 4, .has_pulse = true}, [](Rank& rank) -> Status {
    if (rank.rank == 2) {
      if (!rank.side->Wait()) return Refuse("nobody told it to go on");
      return SumOnce(rank);
    }
    std::string seen;
    std::thread looks([&] {
      const auto until = std::chrono::steady_clock::now() + milliseconds(10000);
      const uint64_t wakes = rank.line->wakes;
      // The others may wait for each other first.
      while (std::chrono::steady_clock::now() < until && rank.line->waits_for != 13) std::this_thread::yield();
      seen = rank.line->waits_for == 13 ? "" : "it is not told";
      while (std::chrono::steady_clock::now() < until && rank.line->wakes < wakes + 3) std::this_thread::yield();
      if (rank.line->wakes < wakes + 3) seen += "it does not wake";
      rank.side->Tell();
    });
    const Status done = SumOnce(rank);
    looks.join();
    MRS_RETURN_IF_ERROR(done);
    const auto until = std::chrono::steady_clock::now() + milliseconds(10000);
    while (std::chrono::steady_clock::now() < until && rank.line->waits_for != 0) std::this_thread::yield();
    if (rank.line->waits_for != 0) seen += "it is still told";
    return seen.empty() ? Status() : Refuse("{}", seen);
  });
  for (const int rank : {0, 1, 3}) EXPECT_TRUE(world.rank(rank).Wait());
  world.rank(2).Tell();
  EXPECT_THAT(world.Said(), ::testing::Each("ok"));
}

TEST(PeerExchange, UnlikeSizesAreAnErrorOfBoth) {
  World world({}, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(rank.exchange->Run(SumOf(rank, 400), 1 + rank.rank));
    return rank.exchange->Finish();
  });
  EXPECT_EQ(
      world.Said(),
      (std::vector<std::string>{
          "rank 11 sums 800 bytes where this one exchanges something else: all ranks run one plan's steps alike",
          "rank 10 sums 400 bytes where this one exchanges something else: all ranks run one plan's steps alike"}));
}

TEST(PeerExchangeDeathTest, EndsBeforeItsGraphs) {
  World world({}, [](Rank& rank) -> Status {
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph,
                         rank.device->Capture([&] { return rank.exchange->Run(SumOf(rank, 400), 1); }));
    if (rank.rank == 0) rank.exchange->~PeerExchange();
    return Status();
  });
  EXPECT_EQ(world.rank(0).Said(), "signal 6");
}

}  // namespace
}  // namespace mrs
