// What every transport must do, in one suite: transports x ranks x sizes x algorithms, against an oracle of plain
// loops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <new>
#include <thread>

#include "runtime/comm/conformance_oracle.h"
#include "runtime/comm/conformance_worlds.h"
#include "runtime/comm/stripes.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Cases that a transport cannot pass, and why. The case is then held to the expectation named here instead.
struct Exception {
  const char* transport;
  const char* test;
  const char* reason;
  const char* instead;  // what errors must say
};
constexpr Exception kExceptions[] = {
    {"shm", "PeerDeath_IsSeenAtOnce", "a killed process leaves no trace in shared memory; whoever sees it die aborts",
     "no data from rank"},
};

// Returns the complaint of a Status that should be ok.
#define COMPLAIN_IF_ERROR(expression)                                                 \
  do {                                                                                \
    if (const Status status_ = (expression); !status_.ok()) return status_.message(); \
  } while (false)
#define COMPLAIN_UNLESS(condition, ...)                \
  do {                                                 \
    if (!(condition)) return fmt::format(__VA_ARGS__); \
  } while (false)

constexpr ReduceAlgorithm kTreeAlgorithms[] = {ReduceAlgorithm::kDoubling, ReduceAlgorithm::kHalvingDoubling,
                                               ReduceAlgorithm::kGatherAdd};
constexpr size_t kSizes[] = {0, 1, 1009, 262147};

// One operation each, checked against the oracle.
std::string CheckAllReduce(Communicator& comm, ReduceAlgorithm algorithm, std::span<const float> expected,
                           uint64_t salt) {
  const std::vector<float> in = Operand(comm.rank(), expected.size(), salt);
  std::vector<float> out(in.size(), -1.0f);
  COMPLAIN_IF_ERROR(comm.AllReduce(in, out, algorithm));
  COMPLAIN_UNLESS(SameBits(out, expected), "all-reduce of {}, algorithm {}: wrong bits", in.size(),
                  static_cast<int>(algorithm));
  std::vector<float> in_place = in;
  COMPLAIN_IF_ERROR(comm.AllReduce(in_place, in_place, algorithm));
  COMPLAIN_UNLESS(SameBits(in_place, expected), "all-reduce in place of {}, algorithm {}: wrong bits", in.size(),
                  static_cast<int>(algorithm));
  return "";
}

std::string CheckReduceScatter(Communicator& comm, size_t count, uint64_t salt) {
  const size_t all = count * comm.size();
  const std::vector<float> in = Operand(comm.rank(), all, salt);
  const std::vector<float> expected = TreeSum(comm.size(), all, salt);
  std::vector<float> out(count, -1.0f);
  COMPLAIN_IF_ERROR(comm.ReduceScatter(in, out));
  COMPLAIN_UNLESS(SameBits(out, std::span(expected).subspan(count * comm.rank(), count)), "reduce-scatter of {}: wrong",
                  all);
  return "";
}

std::string CheckAllGather(Communicator& comm, size_t count, uint64_t salt) {
  std::vector<std::byte> expected;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const std::vector<std::byte> block = Bytes(rank, count, salt);
    expected.insert(expected.end(), block.begin(), block.end());
  }
  std::vector<std::byte> out(expected.size());
  COMPLAIN_IF_ERROR(comm.AllGather(Bytes(comm.rank(), count, salt), out));
  COMPLAIN_UNLESS(SameBits(out, expected), "all-gather of {}: wrong", count);
  std::vector<std::byte> in_place(expected.size());
  const std::span<std::byte> own = std::span(in_place).subspan(count * comm.rank(), count);
  std::ranges::copy(Bytes(comm.rank(), count, salt), own.begin());
  COMPLAIN_IF_ERROR(comm.AllGather(own, in_place));
  COMPLAIN_UNLESS(SameBits(in_place, expected), "all-gather in place of {}: wrong", count);
  return "";
}

std::string CheckBroadcast(Communicator& comm, size_t count, int root, uint64_t salt) {
  const std::vector<std::byte> expected = Bytes(root, count, salt);
  std::vector<std::byte> data = comm.rank() == root ? expected : std::vector<std::byte>(count);
  COMPLAIN_IF_ERROR(comm.Broadcast(data, root));
  COMPLAIN_UNLESS(SameBits(data, expected), "broadcast of {} from {}: wrong", count, root);
  return "";
}

class Conformance : public ::testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  const char* transport() const { return std::get<0>(GetParam()); }
  int size() const { return std::get<1>(GetParam()); }

  // spin 0: the suite runs more ranks than a small machine has cores. What would hang is over soon, in each of many
  // cases.
  WorldConfig Config() const {
    return {.transport = transport(), .size = size(), .options = {.timeout = milliseconds(60000), .spin = 0}};
  }

  void ExpectNoComplaints(const WorldConfig& config, const std::function<std::string(Rank&)>& body) {
    EXPECT_THAT(RunWorld(config, body), Each(std::string()));
  }
};

class TreeConformance : public Conformance {};
class PeerConformance : public Conformance {};

TEST_P(TreeConformance, AllReduce_IsTheCanonicalTreeBitForBit) {
  for (const size_t count : kSizes) {
    const std::vector<float> expected = TreeSum(size(), count, count);
    ExpectNoComplaints(Config(), [&](Rank& rank) -> std::string {
      for (const ReduceAlgorithm algorithm : kTreeAlgorithms) {
        if (std::string complaint = CheckAllReduce(*rank.comm, algorithm, expected, count); !complaint.empty()) {
          return complaint;
        }
      }
      return "";
    });
  }
}

TEST_P(TreeConformance, ReduceScatter_GivesEachRankItsSegmentOfTheTree) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    for (const size_t count : {0, 1, 1009, 20011}) {
      if (std::string complaint = CheckReduceScatter(*rank.comm, count, count); !complaint.empty()) return complaint;
    }
    return "";
  });
}

TEST_P(TreeConformance, SmallestRings_CarryMessagesLargerThanThemselves) {
  WorldConfig config = Config();
  config.ring_bytes = 4096;
  config.options.spin = 10;
  const std::vector<float> expected = TreeSum(size(), 20011, 5);
  ExpectNoComplaints(config, [&](Rank& rank) {
    return CheckAllReduce(*rank.comm, ReduceAlgorithm::kDoubling, expected, 5) +
           CheckAllReduce(*rank.comm, ReduceAlgorithm::kHalvingDoubling, expected, 5);
  });
}

// The control: another order gives other bits, or the tests above would prove nothing.
TEST_P(Conformance, RankOrder_IsAnotherSumThanTheTree) {
  const std::vector<float> naive = RankOrderSum(size(), 1009, 3);
  ExpectNoComplaints(Config(),
                     [&](Rank& rank) { return CheckAllReduce(*rank.comm, ReduceAlgorithm::kRankOrder, naive, 3); });
  if (size() >= 4) {
    EXPECT_FALSE(SameBits(naive, TreeSum(size(), 1009, 3)));
  }
}

TEST_P(Conformance, AllGather_IsInRankOrder) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    for (const size_t count : kSizes) {
      if (std::string complaint = CheckAllGather(*rank.comm, count, count); !complaint.empty()) return complaint;
    }
    return "";
  });
}

TEST_P(Conformance, Broadcast_ReachesAllFromEveryRoot) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    for (const size_t count : kSizes) {
      for (int root = 0; root < rank.comm->size(); ++root) {
        if (std::string complaint = CheckBroadcast(*rank.comm, count, root, count); !complaint.empty())
          return complaint;
      }
    }
    return "";
  });
}

TEST_P(Conformance, SendRecv_PassesABlockAroundAllRanks) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    Communicator& comm = *rank.comm;
    if (comm.size() == 1) return "";
    for (const size_t count : kSizes) {
      const std::vector<std::byte> expected = Bytes(7, count, count);
      std::vector<std::byte> block = comm.rank() == 0 ? expected : std::vector<std::byte>(count);
      const int next = (comm.rank() + 1) % comm.size();
      const int previous = (comm.rank() + comm.size() - 1) % comm.size();
      if (comm.rank() != 0) COMPLAIN_IF_ERROR(comm.Recv(previous, block));
      COMPLAIN_UNLESS(SameBits(block, expected), "block of {} arrived damaged", count);
      COMPLAIN_IF_ERROR(comm.Send(next, block));
      if (comm.rank() == 0) COMPLAIN_IF_ERROR(comm.Recv(previous, block));
      COMPLAIN_UNLESS(SameBits(block, expected), "block of {} came back damaged", count);
    }
    return "";
  });
}

// Where a message is cut into stripes that take turns over streams (stripes.h), each of these sizes is cut elsewhere,
// and is not mixed with what comes next.
TEST_P(PeerConformance, SendRecv_OfSizesAroundStripesComesWhole) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    Communicator& comm = *rank.comm;
    const int next = (comm.rank() + 1) % comm.size();
    const int previous = (comm.rank() + comm.size() - 1) % comm.size();
    constexpr size_t kStripe = kStripeBytes;
    for (const size_t count : {kStripe - 1, kStripe, kStripe + 1, 2 * kStripe, 3 * kStripe - 1, 3 * kStripe,
                               3 * kStripe + 1, 4 * kStripe + 777, 13 * kStripe / 2}) {
      std::vector<std::byte> block(count);
      if (comm.rank() == 0) COMPLAIN_IF_ERROR(comm.Send(next, Bytes(0, count, count)));
      COMPLAIN_IF_ERROR(comm.Recv(previous, block));
      COMPLAIN_UNLESS(SameBits(block, Bytes(previous, count, count)), "a block of {} arrived damaged", count);
      if (comm.rank() != 0) COMPLAIN_IF_ERROR(comm.Send(next, Bytes(comm.rank(), count, count)));
      const std::string complaint = CheckBroadcast(comm, count, comm.size() - 1, count);
      if (!complaint.empty()) return complaint;
    }
    return "";
  });
}

// As pipeline stages do: sums within the first and the second half of the ranks, and between them what one half made
// for the other, over the connections of all. The first half may be ahead by what the transport holds.
TEST_P(Conformance, SendRecv_GoesBetweenGroupsThatSum) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    Communicator& world = *rank.comm;
    const int half = world.size() / 2;
    if (half == 0 || world.size() % 2 != 0) return "";
    const bool first = world.rank() < half;
    std::vector<int> members;
    for (int i = 0; i < half; ++i) members.push_back(first ? i : half + i);
    auto group = world.Group(members);
    COMPLAIN_IF_ERROR(group.status());
    for (uint64_t round = 0; round < 20; ++round) {
      const size_t count = round * 1237 % 9001;
      const std::vector<float> sum = TreeSum(half, count, round);
      std::vector<float> values(count);
      if (!first) {
        COMPLAIN_IF_ERROR(world.Recv(world.rank() - half, std::as_writable_bytes(std::span(values))));
        COMPLAIN_UNLESS(SameBits(values, sum), "round {}: received another sum", round);
      }
      const std::string complaint = CheckAllReduce(**group, ReduceAlgorithm::kHalvingDoubling, sum, round);
      if (!complaint.empty()) return fmt::format("round {}: {}", round, complaint);
      if (first) COMPLAIN_IF_ERROR(world.Send(world.rank() + half, std::as_bytes(std::span(sum))));
    }
    return "";
  });
}

TEST_P(Conformance, Barrier_HoldsUntilAllAreThere) {
  // Shared by threads and forked processes alike.
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  std::atomic<int>* const arrived = new (page) std::atomic<int>(0);
  ExpectNoComplaints(Config(), [&](Rank& rank) -> std::string {
    for (int round = 1; round <= 50; ++round) {
      ++*arrived;
      COMPLAIN_IF_ERROR(rank.comm->Barrier());
      COMPLAIN_UNLESS(*arrived >= round * rank.comm->size(), "round {}: only {} arrived", round, arrived->load());
      COMPLAIN_IF_ERROR(rank.comm->Barrier());
    }
    return "";
  });
  munmap(page, 4096);
}

TEST_P(Conformance, BackToBack_DifferentOperationsDoNotMix) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    Communicator& comm = *rank.comm;
    const bool tree = (comm.size() & (comm.size() - 1)) == 0;
    for (uint64_t round = 0; round < 60; ++round) {
      const size_t count = round * 37 % 101;
      const ReduceAlgorithm algorithm = tree ? kTreeAlgorithms[round % 3] : ReduceAlgorithm::kRankOrder;
      std::string complaint;
      switch (round % 5) {
        case 0:
          complaint = CheckAllReduce(
              comm, algorithm, tree ? TreeSum(comm.size(), count, round) : RankOrderSum(comm.size(), count, round),
              round);
          break;
        case 1:
          complaint = CheckAllGather(comm, count, round);
          break;
        case 2:
          complaint = CheckBroadcast(comm, count, static_cast<int>(round % comm.size()), round);
          break;
        case 3:
          complaint = tree ? CheckReduceScatter(comm, count, round) : "";
          break;
        case 4:
          COMPLAIN_IF_ERROR(comm.Barrier());
          break;
      }
      if (!complaint.empty()) return fmt::format("round {}: {}", round, complaint);
    }
    return "";
  });
}

TEST_P(Conformance, Trees_AreRefusedExactlyWhereThereIsNone) {
  const std::string expected = size() == 3 ? "no canonical tree" : "";
  ExpectNoComplaints(Config(), [&](Rank& rank) -> std::string {
    std::vector<float> data(static_cast<size_t>(rank.comm->size()) * 2);
    std::vector<float> part(2);
    for (const Status& status :
         {rank.comm->AllReduce(data, data, ReduceAlgorithm::kDoubling),
          rank.comm->AllReduce(data, data, ReduceAlgorithm::kHalvingDoubling),
          rank.comm->AllReduce(data, data, ReduceAlgorithm::kGatherAdd), rank.comm->ReduceScatter(data, part)}) {
      const std::string message = status.ok() ? "" : status.message();
      COMPLAIN_UNLESS(expected.empty() ? message.empty() : message.find(expected) != std::string::npos, "said '{}'",
                      message);
    }
    COMPLAIN_IF_ERROR(rank.comm->Barrier());  // a refusal breaks nothing
    return "";
  });
}

TEST_P(Conformance, BadArguments_AreRefusedBeforeAnythingIsSent) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    Communicator& comm = *rank.comm;
    std::vector<float> three(3);
    std::vector<float> four(4);
    std::vector<std::byte> bytes(static_cast<size_t>(comm.size()) + 1);
    const int self[] = {comm.rank(), comm.rank()};
    COMPLAIN_UNLESS(!comm.AllReduce(three, four, ReduceAlgorithm::kRankOrder), "all-reduce of 3 into 4 passed");
    COMPLAIN_UNLESS(!comm.AllReduce(three, three, static_cast<ReduceAlgorithm>(9)), "algorithm 9 passed");
    COMPLAIN_UNLESS(!comm.AllGather(std::span(bytes).first(1), bytes), "all-gather of 1 into size + 1 passed");
    COMPLAIN_UNLESS(!comm.Broadcast(bytes, comm.size()), "root = size passed");
    COMPLAIN_UNLESS(!comm.Send(comm.rank(), bytes), "send to itself passed");
    COMPLAIN_UNLESS(!comm.Recv(-1, bytes), "recv from -1 passed");
    COMPLAIN_UNLESS(!comm.Group(self), "a member twice passed");
    COMPLAIN_UNLESS(!comm.Group({}), "a group without this rank passed");
    COMPLAIN_IF_ERROR(comm.Barrier());
    return "";
  });
}

TEST_P(PeerConformance, Group_SumsOverItsMembersInTheirOrder) {
  ExpectNoComplaints(Config(), [](Rank& rank) -> std::string {
    Communicator& world = *rank.comm;
    // Pairs of neighbours, the upper first; the last of three is alone.
    const int lower = world.rank() / 2 * 2;
    std::vector<int> members{lower};
    if (lower + 1 < world.size()) members.insert(members.begin(), lower + 1);
    auto group = world.Group(members);
    COMPLAIN_IF_ERROR(group.status());
    COMPLAIN_UNLESS((*group)->size() == static_cast<int>(members.size()), "size {}", (*group)->size());
    COMPLAIN_UNLESS(members[(*group)->rank()] == world.rank(), "rank {}", (*group)->rank());
    const float in = static_cast<float>(world.rank() + 1);
    float sum = 0;
    COMPLAIN_IF_ERROR((*group)->AllReduce({&in, 1}, {&sum, 1}, ReduceAlgorithm::kDoubling));
    float expected = 0;
    for (const int member : members) expected += static_cast<float>(member + 1);
    COMPLAIN_UNLESS(sum == expected, "sum {}, expected {}", sum, expected);
    std::vector<int> gathered(members.size());
    COMPLAIN_IF_ERROR((*group)->AllGather(std::as_bytes(std::span(&members[(*group)->rank()], 1)),
                                          std::as_writable_bytes(std::span(gathered))));
    COMPLAIN_UNLESS(gathered == members, "gathered in another order");
    COMPLAIN_IF_ERROR(world.Barrier());
    return "";
  });
}

// What a body that must fail returns: the error, or that there was none.
std::string ErrorOf(const Status& status) { return status.ok() ? "passed" : status.message(); }

TEST_P(PeerConformance, Mismatch_NamesBothOperations) {
  struct Case {
    std::function<Status(Communicator&)> odd;  // what the last rank runs; the others run an all-reduce of 64 floats
    const char* says;
  };
  const Case cases[] = {
      {[](Communicator& comm) {
         std::vector<std::byte> out(16 * static_cast<size_t>(comm.size()));
         return comm.AllGather(std::span(out).first(16), out);
       },
       "all-gather #0 of 16 bytes"},
      {[](Communicator& comm) {
         std::vector<float> data(63);
         return comm.AllReduce(data, data, ReduceAlgorithm::kRankOrder);
       },
       "all-reduce #0 of 252 bytes (rank order)"},
      {[](Communicator& comm) {
         std::vector<float> data(400000);
         return comm.AllReduce(data, data, ReduceAlgorithm::kRankOrder);
       },
       "all-reduce #0 of 1600000 bytes (rank order)"},
  };
  for (const Case& mismatch : cases) {
    const Clock::time_point start = Clock::now();
    const std::vector<std::string> complaints = RunWorld(Config(), [&](Rank& rank) {
      if (rank.comm->rank() == rank.comm->size() - 1) return ErrorOf(mismatch.odd(*rank.comm));
      std::vector<float> data(64);
      return ErrorOf(rank.comm->AllReduce(data, data, ReduceAlgorithm::kRankOrder));
    });
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
    EXPECT_THAT(complaints, Each(AnyOf(HasSubstr("the same schedule"), HasSubstr("gave up"), HasSubstr("closed"))));
    EXPECT_THAT(complaints, Contains(::testing::AllOf(HasSubstr(mismatch.says),
                                                      HasSubstr("all-reduce #0 of 256 bytes (rank order)"),
                                                      HasSubstr(fmt::format("rank {}", size() - 1)))));
  }
}

TEST_P(PeerConformance, SilentPeer_IsNamedAfterTheTimeout) {
  WorldConfig config = Config();
  config.options.timeout = milliseconds(200);
  const int silent = size() - 1;
  const std::vector<std::string> complaints = RunWorld(config, [&](Rank& rank) -> std::string {
    if (rank.comm->rank() == silent) return "";
    std::vector<std::byte> data(5);
    const Status status = rank.comm->Recv(silent, data);
    COMPLAIN_UNLESS(!status.ok(), "no error");
    const bool waited = status.message().find("no data from") != std::string::npos;  // else a peer gave up before
    COMPLAIN_UNLESS(status.error().kind == (waited ? ErrorKind::kTimedOut : ErrorKind::kUnavailable), "another kind");
    const Status again = rank.comm->Barrier();
    COMPLAIN_UNLESS(!again.ok() && again.message().find("failed before") != std::string::npos, "works on");
    return status.message();
  });
  EXPECT_THAT(complaints, Contains(HasSubstr(fmt::format("of {}: no data from rank {} for 0.2 s", size(), silent))));
  for (int rank = 0; rank < silent; ++rank) {
    EXPECT_THAT(complaints[rank], HasSubstr(fmt::format("send/recv: rank {} of {}: ", rank, size())));
  }
}

TEST_P(PeerConformance, PeerThatReadsNothing_IsNamedAfterTheTimeout) {
  WorldConfig config = Config();
  config.options.timeout = milliseconds(200);
  const std::vector<std::string> complaints = RunWorld(config, [&](Rank& rank) -> std::string {
    if (rank.comm->rank() != 0) return "";
    return ErrorOf(rank.comm->Send(1, std::vector<std::byte>(size_t{64} << 20)));
  });
  EXPECT_THAT(complaints[0], HasSubstr("send/recv: rank 0 of"));
  EXPECT_THAT(complaints[0], HasSubstr("rank 1 took no data for 0.2 s"));
}

TEST_P(PeerConformance, Abort_EndsAllWaitsAtOnce) {
  const Clock::time_point start = Clock::now();
  const std::vector<std::string> complaints = RunWorld(Config(), [&](Rank& rank) -> std::string {
    std::vector<std::byte> data(8);
    if (rank.comm->rank() != 0) return ErrorOf(rank.comm->Recv(0, data));
    std::thread other([&] { rank.comm->Abort(); });
    const std::string error = ErrorOf(rank.comm->Recv(1, data));
    other.join();
    return error;
  });
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  EXPECT_THAT(complaints[0], HasSubstr("send/recv: rank 0 of"));
  EXPECT_THAT(complaints[0], HasSubstr("aborted"));
  EXPECT_THAT(complaints, Each(AnyOf(HasSubstr("aborted"), HasSubstr("rank 0 gave up"), HasSubstr("rank 0 closed"))));
}

TEST_P(PeerConformance, AbortFlag_EndsAllWaitsAtOnce) {
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  std::atomic<bool>* const abort = new (page) std::atomic<bool>(false);
  WorldConfig config = Config();
  config.options.abort = abort;
  const Clock::time_point start = Clock::now();
  const std::vector<std::string> complaints = RunWorld(config, [&](Rank& rank) -> std::string {
    std::vector<std::byte> data(8);
    COMPLAIN_IF_ERROR(rank.comm->Barrier());  // all are connected
    if (rank.comm->rank() == rank.comm->size() - 1) {
      *abort = true;
      return "aborted";
    }
    return ErrorOf(rank.comm->Recv(rank.comm->size() - 1, data));
  });
  munmap(page, 4096);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  EXPECT_THAT(complaints, Each(AnyOf(HasSubstr("aborted"), HasSubstr("gave up"))));
}

TEST_P(PeerConformance, PeerDeath_IsSeenAtOnce) {
  std::string expected = "closed the connection";
  WorldConfig config = Config();
  bool excused = false;
  for (const Exception& exception : kExceptions) {
    if (std::string(exception.transport) == transport() && std::string(exception.test) == "PeerDeath_IsSeenAtOnce") {
      excused = true;
      expected = exception.instead;
      config.options.timeout = milliseconds(200);
    }
  }
  const int victim = size() - 1;
  const Clock::time_point start = Clock::now();
  const std::vector<std::string> complaints = RunWorld(config, [&](Rank& rank) -> std::string {
    if (const Status status = rank.comm->Barrier(); !status.ok()) return status.message();
    if (rank.comm->rank() == victim) {
      rank.Die();
      return "dead";
    }
    std::vector<float> data(1009);
    // By timeout alone, a rank that waits for a waiting one may be the first to give up: there, all wait for the
    // victim.
    if (excused) return ErrorOf(rank.comm->Recv(victim, std::as_writable_bytes(std::span(data))));
    return ErrorOf(rank.comm->AllReduce(data, data, ReduceAlgorithm::kRankOrder));
  });
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(10));
  EXPECT_THAT(complaints, Contains(HasSubstr(fmt::format("rank {}", victim))));
  EXPECT_THAT(complaints, Contains(HasSubstr(expected)));
  EXPECT_THAT(complaints,
              Each(AnyOf(HasSubstr("dead"), HasSubstr("closed"), HasSubstr("gave up"), HasSubstr("no data"))));
}

std::string Name(const ::testing::TestParamInfo<std::tuple<const char*, int>>& info) {
  return fmt::format("{}_{}", std::get<0>(info.param), std::get<1>(info.param));
}

const auto kTransports = ::testing::Values("local", "shm", "tcp", "mixed");
INSTANTIATE_TEST_SUITE_P(All, Conformance, ::testing::Combine(kTransports, ::testing::Values(1, 2, 3, 4, 8)), Name);
INSTANTIATE_TEST_SUITE_P(All, TreeConformance, ::testing::Combine(kTransports, ::testing::Values(1, 2, 4, 8)), Name);
INSTANTIATE_TEST_SUITE_P(All, PeerConformance, ::testing::Combine(kTransports, ::testing::Values(2, 3, 4, 8)), Name);

// Sixteen ranks with their relays are minutes under a sanitizer, and no other code than eight.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
const auto kRingRanks = ::testing::Values(2, 3, 4, 8);
const auto kRingTreeRanks = ::testing::Values(2, 4, 8);
#else
const auto kRingRanks = ::testing::Values(2, 3, 4, 8, 16);
const auto kRingTreeRanks = ::testing::Values(2, 4, 8, 16);
#endif
const auto kRing = ::testing::Values("ring");
INSTANTIATE_TEST_SUITE_P(Ring, Conformance, ::testing::Combine(kRing, kRingRanks), Name);
INSTANTIATE_TEST_SUITE_P(Ring, TreeConformance, ::testing::Combine(kRing, kRingTreeRanks), Name);
INSTANTIATE_TEST_SUITE_P(Ring, PeerConformance, ::testing::Combine(kRing, ::testing::Values(2, 3, 4, 8)), Name);

const auto kTagged = ::testing::Values("tcp_tagged", "mixed_tagged", "ring_tagged");
INSTANTIATE_TEST_SUITE_P(Tagged, Conformance, ::testing::Combine(kTagged, ::testing::Values(2, 4)), Name);
INSTANTIATE_TEST_SUITE_P(Tagged, TreeConformance, ::testing::Combine(kTagged, ::testing::Values(2, 4)), Name);
INSTANTIATE_TEST_SUITE_P(Tagged, PeerConformance, ::testing::Combine(kTagged, ::testing::Values(2, 4)), Name);

const auto kStreams = ::testing::Values("tcp_streams", "mixed_streams");
const auto kTaggedStreams = ::testing::Values("tcp_streams_tagged", "mixed_streams_tagged");
INSTANTIATE_TEST_SUITE_P(Streams, Conformance, ::testing::Combine(kStreams, ::testing::Values(2, 3, 4)), Name);
INSTANTIATE_TEST_SUITE_P(Streams, TreeConformance, ::testing::Combine(kStreams, ::testing::Values(2, 4)), Name);
INSTANTIATE_TEST_SUITE_P(Streams, PeerConformance, ::testing::Combine(kStreams, ::testing::Values(2, 3, 4)), Name);
INSTANTIATE_TEST_SUITE_P(TaggedStreams, Conformance, ::testing::Combine(kTaggedStreams, ::testing::Values(2)), Name);
INSTANTIATE_TEST_SUITE_P(TaggedStreams, TreeConformance, ::testing::Combine(kTaggedStreams, ::testing::Values(2, 4)),
                         Name);
INSTANTIATE_TEST_SUITE_P(TaggedStreams, PeerConformance, ::testing::Combine(kTaggedStreams, ::testing::Values(2, 3)),
                         Name);

}  // namespace
}  // namespace mrs
