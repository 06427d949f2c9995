// By the emulated NCCL: ranks that meet, what they then have, and each way in which it goes wrong. A thread a rank.
#include "runtime/rank/cuda/nccl_exchange.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/comm/region.h"
#include "runtime/rank/cuda/emulated_faults.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct Asked {
  explicit Asked(const std::string& faults) { emulated::UseFaults(*emulated::ParseFaults(faults)); }
  ~Asked() { emulated::UseFaults({}); }
};

struct Rank {
  int rank = 0;
  Device* device = nullptr;
  NcclExchange* exchange = nullptr;
  std::byte* memory = nullptr;  // of the device, kMemory bytes
  Status Fill(float value, int64_t count) {
    const std::vector<float> values(static_cast<size_t>(count), value);
    return device->CopyIn(memory, values.data(), values.size() * sizeof(float));
  }
  float At(int64_t index) {
    float value = 0;
    const Status copied = device->CopyOut(&value, memory + index * 4, sizeof(value));
    return copied.ok() ? value : -1;
  }
};
constexpr uint64_t kMemory = 1 << 20;
constexpr int64_t kAsVariable = -1;

// What each rank says in the end, "" where all went well. Each has the device of its number, or what `devices` says. No
// sum is in shares, unless each rank is told how many bytes it must save so (kAsVariable: as MRS_NCCL_LEAST_SAVED
// says).
std::vector<std::string> RunRanks(int size, milliseconds deadline, int64_t other_rows,
                                  const std::function<Status(Rank&)>& run, const std::vector<uint32_t>& devices = {},
                                  const std::vector<int64_t>& least_saved = {}) {
  const auto world = *MakeLocalCommunicators(size);
  std::vector<std::string> said(static_cast<size_t>(size));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&, rank] {
      const Status ran = [&]() -> Status {
        MRS_ASSIGN_OR_RETURN(const auto device, Device::Open(devices.empty() ? static_cast<uint32_t>(rank)
                                                                             : devices[static_cast<size_t>(rank)]));
        MRS_ASSIGN_OR_RETURN(const DeviceArena workspace, device->Allocate("a workspace", 4096));
        MRS_ASSIGN_OR_RETURN(const DeviceArena memory, device->Allocate("memory", kMemory));
        const int64_t saved = least_saved.empty() ? kAsVariable : least_saved[static_cast<size_t>(rank)];
        const std::optional<int64_t> told = saved == kAsVariable ? std::nullopt : std::optional(saved);
        MRS_ASSIGN_OR_RETURN(const auto exchange,
                             NcclExchange::Meet(*device, {.world = world[static_cast<size_t>(rank)].get(),
                                                          .group = world[static_cast<size_t>(rank)].get(),
                                                          .has_transfers = true,
                                                          .decodes = {.most_rows = rank == 1 ? other_rows : 4},
                                                          .workspace = {workspace.data(), 4096},
                                                          .has_shares = !least_saved.empty(),
                                                          .least_saved = told,
                                                          .deadline = deadline}));
        Rank own{rank, device.get(), exchange.get(), memory.data()};
        const Status done = run(own);
        if (!done.ok()) exchange->Abort();
        return done;
      }();
      if (!ran.ok()) said[static_cast<size_t>(rank)] = ran.message();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  return said;
}

CollectiveLaunch SumOf(Rank& rank, uint64_t row_bytes) {
  return {.algorithm = plan::CollectiveAlgorithm::doubling, .x = rank.memory, .y = rank.memory, .row_bytes = row_bytes};
}
Status SumOnce(Rank& rank) {
  MRS_RETURN_IF_ERROR(rank.Fill(1, 100));
  MRS_RETURN_IF_ERROR(rank.exchange->Run(SumOf(rank, 400), 1));
  return rank.exchange->Finish();
}
Status SumTwice(Rank& rank) {
  MRS_RETURN_IF_ERROR(SumOnce(rank));
  return SumOnce(rank);
}

// A sum of several pieces of the workspace, at once and as a graph.
TEST(NcclExchange, SumsInPiecesAndInGraphs) {
  const auto said = RunRanks(4, milliseconds(20000), 4, [](Rank& rank) -> Status {
    constexpr int64_t kCount = 3000;
    const CollectiveLaunch sum = SumOf(rank, kCount * 4);
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(1 << rank.rank), kCount));
    MRS_RETURN_IF_ERROR(rank.exchange->Run(sum, 1));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    for (const int64_t at : {int64_t{0}, int64_t{255}, int64_t{256}, kCount - 1}) EXPECT_EQ(rank.At(at), 15);
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture([&] { return rank.exchange->Run(sum, 1); }));
    EXPECT_EQ(rank.At(0), 15);  // nothing ran
    for (int i = 0; i < 3; ++i) MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    EXPECT_EQ(rank.At(kCount - 1), 15 * 64);
    return Status();
  });
  for (const std::string& one : said) EXPECT_EQ(one, "");
}

// Some ranks' sums of counts 0, 1, and so on, each rank's of other values.
struct Summed {
  std::vector<std::vector<float>> of_ranks;
  uint64_t calls = 0;  // of NCCL, while they summed
};
Summed SumsOf(int size, plan::CollectiveAlgorithm algorithm, const std::vector<int64_t>& counts,
              const std::vector<int64_t>& least_saved) {
  Summed summed = {.of_ranks = std::vector<std::vector<float>>(static_cast<size_t>(size))};
  std::barrier all_met(size);
  std::atomic<uint64_t> before{0};
  const auto said = RunRanks(
      size, milliseconds(20000), 4,
      [&](Rank& rank) -> Status {
        all_met.arrive_and_wait();
        if (rank.rank == 0) before = emulated::CountOf(emulated::Point::kNcclCall);
        all_met.arrive_and_wait();
        std::vector<float>& sums = summed.of_ranks[static_cast<size_t>(rank.rank)];
        std::mt19937 random(static_cast<unsigned>(rank.rank));
        std::uniform_real_distribution<float> values(-1, 1);
        for (const int64_t count : counts) {
          for (const bool in_place : {true, false}) {
            std::vector<float> x(static_cast<size_t>(count));
            for (float& value : x) value = values(random);
            const size_t bytes = x.size() * sizeof(float);
            std::byte* const y = in_place ? rank.memory : rank.memory + kMemory / 2;
            MRS_RETURN_IF_ERROR(rank.device->CopyIn(rank.memory, x.data(), bytes));
            CollectiveLaunch sum = SumOf(rank, static_cast<uint64_t>(count) * 4);
            sum.algorithm = algorithm;
            sum.y = y;
            MRS_RETURN_IF_ERROR(rank.exchange->Run(sum, 1));
            MRS_RETURN_IF_ERROR(rank.exchange->Finish());
            MRS_RETURN_IF_ERROR(rank.device->CopyOut(x.data(), y, bytes));
            sums.insert(sums.end(), x.begin(), x.end());
          }
        }
        return Status();
      },
      {}, least_saved);
  for (const std::string& one : said) EXPECT_EQ(one, "");
  summed.calls = emulated::CountOf(emulated::Point::kNcclCall) - before;
  return summed;
}

// Also of fewer elements than ranks, of numbers that these do not divide, and of more than the workspace holds.
TEST(NcclExchange, SumsInSharesHaveTheBitsOfWholeOnes) {
  using Algorithm = plan::CollectiveAlgorithm;
  const std::vector<int64_t> counts = {0, 1, 2, 3, 5, 11, 12, 15, 16, 17, 31, 32, 33, 64, 997, 1024, 1025, 3000, 4099};
  struct Row {
    int ranks;
    Algorithm algorithm;
  };
  for (const Row& row : {Row{2, Algorithm::doubling}, Row{3, Algorithm::rank_order}, Row{4, Algorithm::doubling},
                         Row{4, Algorithm::rank_order}, Row{8, Algorithm::doubling}}) {
    SCOPED_TRACE(fmt::format("{} ranks, {}", row.ranks, plan::EnumNameCollectiveAlgorithm(row.algorithm)));
    const std::vector<int64_t> all(static_cast<size_t>(row.ranks), 0);
    const Summed whole = SumsOf(row.ranks, row.algorithm, counts, {});
    const Summed in_shares = SumsOf(row.ranks, row.algorithm, counts, all);
    for (const auto& of : {whole, in_shares}) {
      for (const std::vector<float>& sums : of.of_ranks) {
        ASSERT_EQ(sums.size(), whole.of_ranks[0].size());
        EXPECT_EQ(std::memcmp(sums.data(), whole.of_ranks[0].data(), sums.size() * sizeof(float)), 0);
      }
    }
    if (row.ranks > 2) {
      EXPECT_GT(in_shares.calls, whole.calls);
    } else {
      EXPECT_EQ(in_shares.calls, whole.calls);
    }
  }
  // In the order of ranks is another sum, so equal bits are no accident.
  EXPECT_NE(SumsOf(4, Algorithm::rank_order, {997}, {0, 0, 0, 0}).of_ranks,
            SumsOf(4, Algorithm::doubling, {997}, {0, 0, 0, 0}).of_ranks);
}

// 4 sends, 4 receipts and their group, then a gathering: of each rank, twice; 8 elements are left, which are gathered.
TEST(NcclExchange, ASumIsInSharesAsFarAsItDivides) {
  EXPECT_EQ(SumsOf(4, plan::CollectiveAlgorithm::doubling, {1024}, {0, 0, 0, 0}).calls, 2 * 4 * 10u);
  EXPECT_EQ(SumsOf(4, plan::CollectiveAlgorithm::doubling, {1032}, {0, 0, 0, 0}).calls, 2 * 4 * 11u);
  EXPECT_EQ(SumsOf(4, plan::CollectiveAlgorithm::doubling, {1024}, {6145, 6145, 6145, 6145}).calls, 2 * 4 * 4u);
  EXPECT_EQ(SumsOf(4, plan::CollectiveAlgorithm::doubling, {1024}, {6144, 6144, 6144, 6144}).calls, 2 * 4 * 10u);
}

TEST(NcclExchange, SumsInSharesInGraphs) {
  const auto said = RunRanks(4, milliseconds(20000), 4,
                             [](Rank& rank) -> Status {
                               constexpr int64_t kCount = 3000;
                               const CollectiveLaunch sum = SumOf(rank, kCount * 4);
                               MRS_RETURN_IF_ERROR(rank.exchange->Run(sum, 1));  // no call's first is in a graph
                               MRS_RETURN_IF_ERROR(rank.exchange->Finish());
                               MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(1 << rank.rank), kCount));
                               MRS_ASSIGN_OR_RETURN(const DeviceGraph graph,
                                                    rank.device->Capture([&] { return rank.exchange->Run(sum, 1); }));
                               EXPECT_EQ(rank.At(0), 1 << rank.rank);  // nothing ran
                               for (int i = 0; i < 3; ++i) MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
                               MRS_RETURN_IF_ERROR(rank.exchange->Finish());
                               for (const int64_t at : {int64_t{0}, int64_t{255}, int64_t{256}, kCount - 1})
                                 EXPECT_EQ(rank.At(at), 15 * 16);
                               return Status();
                             },
                             {}, {0, 0, 0, 0});
  for (const std::string& one : said) EXPECT_EQ(one, "");
}

// Many steps are waited for before there are so many that a launch would wait for room, where nobody looks for errors.
TEST(NcclExchange, WaitsWhereMuchIsUnderWay) {
  const auto said = RunRanks(1, milliseconds(20000), 4, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(rank.Fill(1, 10 * 1024));
    const auto steps_until_a_wait = [&](int64_t pieces) {
      const uint64_t before = emulated::CountOf(emulated::Point::kWait);
      int steps = 0;
      while (emulated::CountOf(emulated::Point::kWait) == before && steps < 1000) {
        const Status summed = pieces > 0 ? rank.exchange->Run(SumOf(rank, 4096), pieces) : Status();
        EXPECT_TRUE(summed.ok() && rank.exchange->MakeRoom().ok());
        ++steps;
      }
      return steps;
    };
    EXPECT_EQ(steps_until_a_wait(0), 128);
    EXPECT_EQ(steps_until_a_wait(0), 128);
    EXPECT_EQ(steps_until_a_wait(10), 12);
    return Status();
  });
  for (const std::string& one : said) EXPECT_EQ(one, "");
}

TEST(NcclExchange, GathersAndTransfersLongerThanAPiece) {
  const auto said = RunRanks(2, milliseconds(20000), 4, [](Rank& rank) -> Status {
    constexpr int64_t kCount = 50000;  // 200,000 bytes
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(rank.rank + 1), kCount));
    MRS_RETURN_IF_ERROR(rank.exchange->Run(TransferLaunch{rank.rank == 0, 1 - rank.rank, rank.memory, kCount * 4}, 1));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    EXPECT_EQ(rank.At(kCount - 1), 1);
    MRS_RETURN_IF_ERROR(rank.Fill(static_cast<float>(rank.rank + 1), kCount));
    std::byte* const y = rank.memory + 400000;
    MRS_RETURN_IF_ERROR(
        rank.exchange->Run(CollectiveLaunch{.is_gather = true, .x = rank.memory, .y = y, .row_bytes = kCount * 4}, 1));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    EXPECT_EQ(rank.At(100000), 1);
    EXPECT_EQ(rank.At(100000 + kCount), 2);
    EXPECT_EQ(rank.At(100000 + 2 * kCount - 1), 2);
    return Status();
  });
  for (const std::string& one : said) EXPECT_EQ(one, "");
}

TEST(NcclExchange, EachErrorIsNamed) {
  struct Row {
    const char* fault;
    std::vector<const char*> says;  // by rank
  };
  const Row rows[] = {
      {"nccl-open:1@1",
       {"rank 1 cannot use NCCL: no NCCL on this host: MRS_EMULATED_FAULT=nccl-open:1@1",
        "no NCCL on this host: MRS_EMULATED_FAULT=nccl-open:1@1; install NCCL 2.14 or newer (Debian, Ubuntu: libnccl2 "
        "of NVIDIA's repository; pip: nvidia-nccl-cu13) where the loader finds it (LD_LIBRARY_PATH), or plan with "
        "mrs-plan build --collectives staged"}},
      {"nccl-version:1@1",
       {"NCCL is 2.28.9 here and 2.27.3 on rank 1: install one version on all nodes",
        "NCCL is 2.27.3 here and 2.28.9 on rank 0"}},
      {"identity:1@1",
       {"rank 1 cannot use NCCL: cuda:1 (emulated): it does not say which device it is: unknown error: "
        "MRS_EMULATED_FAULT=identity:1@1 (cudaErrorUnknown)",
        "cuda:1 (emulated): it does not say which device it is: unknown error: "
        "MRS_EMULATED_FAULT=identity:1@1 (cudaErrorUnknown)"}},
      {"nccl-id:1@0",
       {"NCCL: no unique id for all ranks: unhandled system error",
        "NCCL: no unique id for all ranks: its first rank got code 2"}},
      {"nccl-init:1@1",
       {"NCCL: a communicator could not be made (all ranks): not all of its 2 ranks have come within 300 ms",
        "NCCL: a communicator could not be made (all ranks): unhandled system error"}},
      {"nccl-hang:1@1",
       {"NCCL: a communicator could not be made (all ranks): not all of its 2 ranks have come within 300 ms; see "
        "NCCL_DEBUG=INFO",
        "not all of its 2 ranks have come within 300 ms"}},
      {"nccl-call:2@1",
       {"NCCL: what was under way failed (tensor parallelism): remote process exited or there was a network error: "
        "rank "
        "1 has left",
        "NCCL: a sum's gathering (tensor parallelism): unhandled cuda error: MRS_EMULATED_FAULT=nccl-call:2@1"}},
      {"nccl-async:2@1",
       {"rank 1 has left",
        "NCCL: what was under way failed (tensor parallelism): remote process exited or there was a network error: "
        "MRS_EMULATED_FAULT=nccl-async:2@1"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.fault);
    const Asked asked(row.fault);
    const auto said = RunRanks(2, milliseconds(300), 4, SumTwice);
    for (size_t rank = 0; rank < 2; ++rank) EXPECT_THAT(said[rank], HasSubstr(row.says[rank])) << "rank " << rank;
  }
}

// Of a rank: 9 calls as ranks are joined, then 9 of an exchange of shares, and a gathering.
TEST(NcclExchange, EachErrorOfSharesIsNamed) {
  struct Row {
    const char *fault, *says;  // of rank 1
  };
  const Row rows[] = {
      {"nccl-call:1@1",
       "NCCL: ranks that exchange shares of sums could not be joined (tensor parallelism): unhandled cuda "
       "error: MRS_EMULATED_FAULT=nccl-call:1@1"},
      {"nccl-call:9@1",
       "NCCL: ranks that exchange shares of sums could not be joined (tensor parallelism): unhandled cuda "
       "error: MRS_EMULATED_FAULT=nccl-call:9@1"},
      {"nccl-async:1@1",
       "NCCL: what was under way failed (tensor parallelism): remote process exited or there was a "
       "network error: MRS_EMULATED_FAULT=nccl-async:1@1"},
      {"nccl-call:10@1",
       "NCCL: the exchange of a sum's shares (tensor parallelism): unhandled cuda error: "
       "MRS_EMULATED_FAULT=nccl-call:10@1"},  // a send
      {"nccl-call:11@1",
       "NCCL: the exchange of a sum's shares (tensor parallelism): unhandled cuda error: "
       "MRS_EMULATED_FAULT=nccl-call:11@1"},  // a receipt
      {"nccl-call:18@1",
       "NCCL: the exchange of a sum's shares (tensor parallelism): unhandled cuda error: "
       "MRS_EMULATED_FAULT=nccl-call:18@1"},  // the group
      {"nccl-call:19@1",
       "NCCL: the gathering of a sum's shares (tensor parallelism): unhandled cuda error: "
       "MRS_EMULATED_FAULT=nccl-call:19@1"},
      {"nccl-async:2@1", "MRS_EMULATED_FAULT=nccl-async:2@1"},
      {"nccl-async:3@1", "MRS_EMULATED_FAULT=nccl-async:3@1"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.fault);
    const Asked asked(row.fault);
    const auto said = RunRanks(4, milliseconds(300), 4,
                               [](Rank& rank) -> Status {
                                 MRS_RETURN_IF_ERROR(rank.Fill(1, 64));
                                 MRS_RETURN_IF_ERROR(rank.exchange->Run(SumOf(rank, 256), 1));
                                 return rank.exchange->Finish();
                               },
                               {}, {0, 0, 0, 0});
    EXPECT_THAT(said[1], HasSubstr(row.says));
    for (const size_t rank : {0, 2, 3}) EXPECT_THAT(said[rank], HasSubstr("has left")) << "rank " << rank;
  }
}

TEST(NcclExchange, RanksThatShareUnlikeAreRefused) {
  const auto said = RunRanks(3, milliseconds(20000), 4, SumOnce, {}, {0, 4096, 0});
  EXPECT_EQ(said[0],
            "sums go in two steps where that saves 0 bytes here and 4096 on rank 1: start all ranks with one "
            "MRS_NCCL_LEAST_SAVED");
  EXPECT_THAT(said[1], HasSubstr("saves 4096 bytes here and 0 on rank 0"));
  EXPECT_EQ(said[2], said[0]);
}

// It is no matter of NCCL's.
TEST(NcclExchange, ARankThatIsToldNoBytesIsNamed) {
  setenv("MRS_NCCL_LEAST_SAVED", "much", 1);
  const auto said = RunRanks(3, milliseconds(20000), 4, SumOnce, {}, {0, kAsVariable, 0});
  unsetenv("MRS_NCCL_LEAST_SAVED");
  EXPECT_EQ(said[1],
            "MRS_NCCL_LEAST_SAVED is 'much', expected bytes: a sum goes in two steps where that saves a rank as many");
  EXPECT_EQ(said[0], "rank 1: " + said[1]);
  EXPECT_EQ(said[2], said[0]);
}

TEST(NcclExchange, AnErrorInAGraphIsFound) {
  const Asked asked("nccl-async:3@1");
  const auto said = RunRanks(2, milliseconds(300), 4, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(SumOnce(rank));
    MRS_ASSIGN_OR_RETURN(const DeviceGraph graph,
                         rank.device->Capture([&] { return rank.exchange->Run(SumOf(rank, 400), 1); }));
    MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    MRS_RETURN_IF_ERROR(rank.exchange->Finish());
    MRS_RETURN_IF_ERROR(rank.device->Launch(graph));
    const Status done = rank.exchange->Finish();
    rank.device->Forsake();
    return done;
  });
  EXPECT_THAT(said[0], HasSubstr("NCCL: what was under way failed (tensor parallelism): "));
  EXPECT_THAT(said[1], HasSubstr("MRS_EMULATED_FAULT=nccl-async:3@1"));
}

TEST(NcclExchange, RanksThatPadUnlikeAreRefused) {
  const auto said = RunRanks(2, milliseconds(20000), 8, SumOnce);
  EXPECT_EQ(said[0], "decodes are of up to 4 rows here and 8 on rank 1, and ranks pad them alike: rebuild the plan");
  EXPECT_EQ(said[1], "decodes are of up to 8 rows here and 4 on rank 0, and ranks pad them alike: rebuild the plan");
}

// Before NCCL makes a communicator, whose ranks would wait for each other first; also those say so that are on others.
TEST(NcclExchange, RanksOfOneDeviceAreRefused) {
  char host[64] = {};
  gethostname(host, sizeof(host) - 1);
  const Asked asked("");  // counts from here
  const auto said = RunRanks(4, milliseconds(20000), 4, SumOnce, {0, 0x117, 2, 0x117});
  EXPECT_THAT(said, ::testing::Each(fmt::format(
                        "ranks 1 and 3 are both on GPU 0001:17:00.0 of {}, and NCCL refuses two ranks on one device: "
                        "give each rank a device of its own (see CUDA_VISIBLE_DEVICES), or plan with mrs-plan build "
                        "--collectives ipc",
                        host)));
  EXPECT_EQ(emulated::CountOf(emulated::Point::kNcclInit), 0u);
}

// As NCCL itself has it, of whoever does not compare devices.
TEST(NcclEmulated, RefusesTwoRanksOnOneDevice) {
  ASSERT_TRUE(nccl::Open().ok());
  const auto device = *Device::Open(5);
  nccl::UniqueId id;
  ASSERT_EQ(nccl::MakeUniqueId(&id), nccl::kSuccess);
  nccl::Comm ranks[2] = {};
  for (int rank = 0; rank < 2; ++rank) EXPECT_EQ(nccl::Init(&ranks[rank], 2, id, rank), nccl::kInProgress);
  for (int rank = 0; rank < 2; ++rank) {
    int state = nccl::kSuccess;
    EXPECT_EQ(nccl::AsyncError(ranks[rank], &state), nccl::kSuccess);
    EXPECT_EQ(
        nccl::Text(state, ranks[rank]),
        fmt::format("invalid usage: Duplicate GPU detected : rank {} and rank {} both on cuda:5", rank, 1 - rank));
  }
  for (const nccl::Comm rank : ranks) EXPECT_EQ(nccl::Abort(rank), nccl::kSuccess);
}

TEST(NcclExchange, UnlikeSizesAreAnErrorOfBoth) {
  for (const std::string& one : RunRanks(2, milliseconds(20000), 4, [](Rank& rank) -> Status {
         MRS_RETURN_IF_ERROR(rank.exchange->Run(SumOf(rank, 400), 1 + rank.rank));
         return rank.exchange->Finish();
       })) {
    EXPECT_THAT(one, HasSubstr("invalid usage: rank "));
    EXPECT_THAT(one, HasSubstr(" gathers 400"));
    EXPECT_THAT(one, HasSubstr(" gathers 800"));
  }
}

// The emulated NCCL is stricter than NCCL may be.
TEST(NcclEmulated, AFirstCallIsNotCaptured) {
  const auto said = RunRanks(2, milliseconds(20000), 4, [](Rank& rank) -> Status {
    return rank.device->Capture([&] { return rank.exchange->Run(SumOf(rank, 400), 1); }).status();
  });
  EXPECT_THAT(said, ::testing::Each(HasSubstr("the first call of its kind is captured")));
}

TEST(NcclExchangeDeathTest, EndsBeforeItsGraphs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(RunRanks(2, milliseconds(20000), 4,
                        [](Rank& rank) -> Status {
                          MRS_RETURN_IF_ERROR(SumOnce(rank));
                          MRS_ASSIGN_OR_RETURN(const DeviceGraph graph, rank.device->Capture([&] {
                            return rank.exchange->Run(SumOf(rank, 400), 1);
                          }));
                          rank.exchange->Abort();
                          return Status();
                        }),
               "a communicator of NCCL ends before the graphs that have calls of it");
}

// NCCL_COMM_BLOCKING is heeded before what the program says (comment of NCCL's own: "override configuration with env
// variable"): then a communicator is there, or has failed, when its making returns.
TEST(NcclEmulated, WaitsWhereItsVariableSaysSo) {
  setenv("NCCL_COMM_BLOCKING", "1", 1);
  const auto said = RunRanks(2, milliseconds(20000), 4, [](Rank& rank) -> Status {
    MRS_RETURN_IF_ERROR(SumTwice(rank));
    EXPECT_EQ(rank.At(99), 2);
    return Status();
  });
  std::vector<int> codes(2);
  nccl::UniqueId id;
  ASSERT_EQ(nccl::MakeUniqueId(&id), nccl::kSuccess);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto device = *Device::Open(5);
      nccl::Comm comm = nullptr;
      codes[static_cast<size_t>(rank)] = nccl::Init(&comm, 2, id, rank);
      EXPECT_EQ(comm, nullptr);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  unsetenv("NCCL_COMM_BLOCKING");
  for (const std::string& one : said) EXPECT_EQ(one, "");
  EXPECT_THAT(codes, ::testing::Each(5));  // ncclInvalidUsage: two ranks on one device
}

TEST(NcclEmulatedDeathTest, IsGivenWhatIsNoCommunicator) {
  ASSERT_TRUE(nccl::Open().ok());
  int state = 0;
  EXPECT_DEATH(nccl::AsyncError(&state, &state), "NCCL is given a communicator that is none, or is none any more");
}

}  // namespace
}  // namespace mrs
