// Links that are whole, that lie and that swallow: every one is told from the others by its name.
#include "runtime/world/link_check.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "runtime/comm/region.h"
#include "runtime/comm/tcp.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::string Name(int from, int to) { return fmt::format("rank {} -> rank {} (test)", from, to); }

// What befalls the bytes that one rank sends to another.
struct Fault {
  int from = -1;
  int to = -1;
  uint64_t message = 0;  // of those that it sends there, from 0
  enum class Kind { kNone, kFlip, kSwallow, kClose } kind = Kind::kNone;
  size_t least_bytes = 0;  // others do not count
};

// A communicator whose sends go wrong as a fault says.
class Faulty final : public Communicator {
 public:
  Faulty(std::unique_ptr<Communicator> real, const Fault& fault) : real_(std::move(real)), fault_(fault) {}
  int rank() const override { return real_->rank(); }
  int size() const override { return real_->size(); }
  Status Send(int peer, std::span<const std::byte> data) override {
    const bool counts = rank() == fault_.from && peer == fault_.to && data.size() >= fault_.least_bytes;
    if (!counts || count_++ != fault_.message) return real_->Send(peer, data);
    std::vector<std::byte> other(data.begin(), data.end());
    switch (fault_.kind) {
      case Fault::Kind::kFlip:
        other[other.size() / 2] ^= std::byte{4};
        return real_->Send(peer, other);
      case Fault::Kind::kSwallow:
        return Status();
      case Fault::Kind::kClose:
        real_->Abort();
        return Unavailable("rank {} closed the connection", peer);
      case Fault::Kind::kNone:
        break;
    }
    return real_->Send(peer, data);
  }
  Status Recv(int peer, std::span<std::byte> data) override { return real_->Recv(peer, data); }
  Status AllReduce(std::span<const float>, std::span<float>, ReduceAlgorithm) override { return Refuse("unused"); }
  Status AllGather(std::span<const std::byte>, std::span<std::byte>) override { return Refuse("unused"); }
  Status ReduceScatter(std::span<const float>, std::span<float>) override { return Refuse("unused"); }
  Status Broadcast(std::span<std::byte>, int) override { return Refuse("unused"); }
  Status Barrier() override { return Refuse("unused"); }
  Result<std::unique_ptr<Communicator>> Group(std::span<const int>) override { return Refuse("unused"); }
  void Abort() override { real_->Abort(); }

 private:
  std::unique_ptr<Communicator> real_;
  const Fault fault_;
  uint64_t count_ = 0;
};

struct Outcome {
  std::vector<LinkTimes> links;
  std::map<int, std::string> errors;  // by rank
};

// Every rank with a watch of its own, as processes have.
Outcome Check(int size, bool tcp, const Fault& fault, milliseconds limit = milliseconds(20000)) {
  std::vector<LinkWatch*> watches;
  std::vector<std::unique_ptr<LinkWatch>> owned;
  for (int rank = 0; rank < size; ++rank) {
    owned.push_back(std::make_unique<LinkWatch>(limit));
    watches.push_back(owned.back().get());
  }
  std::vector<std::unique_ptr<Communicator>> world(static_cast<size_t>(size));
  const auto options = [&](int rank) {
    return CommOptions{.timeout = milliseconds(60000), .spin = 0, .abort = watches[static_cast<size_t>(rank)]->flag()};
  };
  std::vector<TcpListener> listeners;
  std::vector<TcpEndpoint> endpoints;
  Fd memory;
  if (tcp) {
    for (int rank = 0; rank < size; ++rank) {
      listeners.push_back(*TcpListener::Bind());
      endpoints.push_back({"127.0.0.1", listeners.back().port()});
    }
  } else {
    memory = *CreateShmRegion(size);
  }
  std::vector<Result<std::vector<LinkTimes>>> results(static_cast<size_t>(size), Refuse("did not run"));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto at = static_cast<size_t>(rank);
      std::unique_ptr<Communicator> real =
          tcp ? *ConnectMesh(listeners[at],
                             {.rank = rank, .endpoints = endpoints, .secret = "", .deadline = milliseconds(60000)},
                             options(rank))
              : *OpenShmCommunicator(rank, size, memory.get(), options(rank));
      Faulty comm(std::move(real), fault);
      results[at] = CheckLinks(comm, *watches[at], Name);
      if (!results[at].ok()) comm.Abort();  // as the end of its process
    });
  }
  for (std::thread& thread : threads) thread.join();
  Outcome outcome;
  for (int rank = 0; rank < size; ++rank) {
    const auto& result = results[static_cast<size_t>(rank)];
    if (!result.ok()) {
      outcome.errors[rank] = result.message();
    } else {
      outcome.links.insert(outcome.links.end(), result->begin(), result->end());
    }
  }
  return outcome;
}

TEST(LinkPattern, DiffersBySenderReceiverMessageAndPlace) {
  std::set<std::string> seen;
  for (const auto& [from, to, message] :
       {std::tuple(0, 1, 0), std::tuple(1, 0, 0), std::tuple(0, 2, 0), std::tuple(0, 1, 1), std::tuple(2, 1, 0)}) {
    std::vector<std::byte> bytes(13);
    FillPattern(from, to, static_cast<uint64_t>(message), bytes);
    EXPECT_EQ(FindFault(from, to, static_cast<uint64_t>(message), bytes), bytes.size());
    EXPECT_TRUE(seen.emplace(reinterpret_cast<const char*>(bytes.data()), bytes.size()).second);
  }
  std::vector<std::byte> bytes(1 << 12);
  FillPattern(3, 4, 5, bytes);
  EXPECT_EQ(FindFault(3, 4, 5, std::span(bytes).subspan(8)), 0u) << "shifted by a word";
  for (const size_t at : {size_t{0}, size_t{7}, size_t{8}, size_t{1000}, bytes.size() - 1}) {
    bytes[at] ^= std::byte{0x80};
    EXPECT_EQ(FindFault(3, 4, 5, bytes), at);
    bytes[at] ^= std::byte{0x80};
  }
  EXPECT_EQ(FindFault(0, 1, 0, {}), 0u);
}

TEST(PairRounds, EveryPairMeetsOnceAndARingsNeighboursFirst) {
  for (const bool ring : {false, true}) {
    for (int size = 1; size <= 17; ++size) {
      std::set<std::pair<int, int>> pairs;
      size_t first_neighbours = 0, index = 0;
      for (const std::vector<int>& round : PairRounds(size, ring)) {
        ASSERT_EQ(round.size(), static_cast<size_t>(size));
        bool neighbours_alone = true;
        for (int a = 0; a < size; ++a) {
          const int b = round[static_cast<size_t>(a)];
          if (b < 0) continue;
          ASSERT_NE(b, a);
          ASSERT_EQ(round[static_cast<size_t>(b)], a);
          if (a < b) {
            EXPECT_TRUE(pairs.emplace(a, b).second) << a << " and " << b << " meet twice";
          }
          neighbours_alone &= b == (a + 1) % size || a == (b + 1) % size;
        }
        if (neighbours_alone && first_neighbours == index) ++first_neighbours;
        ++index;
      }
      EXPECT_EQ(pairs.size(), static_cast<size_t>(size * (size - 1) / 2));
      if (ring && size > 1) {
        EXPECT_GE(first_neighbours, size == 2 ? 1u : 2u);
        EXPECT_LE(first_neighbours, 3u);
      }
    }
  }
  EXPECT_EQ(PairRounds(4, false), (std::vector<std::vector<int>>{{1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}}));
  EXPECT_EQ(PairRounds(4, true), (std::vector<std::vector<int>>{{1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1}}));
}

TEST(LinkCheck, MeasuresEveryOrderedPairOnce) {
  for (const bool tcp : {false, true}) {
    for (const int size : {1, 2, 3, 4, 5}) {
      const Outcome outcome = Check(size, tcp, {});
      EXPECT_TRUE(outcome.errors.empty()) << outcome.errors.begin()->second;
      std::set<std::pair<uint32_t, uint32_t>> pairs;
      for (const LinkTimes& link : outcome.links) {
        EXPECT_TRUE(pairs.emplace(link.from, link.to).second);
        EXPECT_GT(link.latency_ns, 0u);
        EXPECT_GT(link.bytes_per_second, 0u);
      }
      EXPECT_EQ(pairs.size(), static_cast<size_t>(size * (size - 1)));
    }
  }
}

TEST(LinkCheck, AFlippedBitIsFoundAndItsLinkNamed) {
  for (const bool tcp : {false, true}) {
    for (const auto& [from, to] : {std::pair(0, 1), std::pair(1, 0), std::pair(3, 1), std::pair(0, 3)}) {
      // An announcement, a small message, an answer of the other end's turn; the first large one: how many small ones
      // come before it, and whether others do after it, is a matter of time.
      using Nth = std::pair<uint64_t, size_t>;
      for (const auto& [message, least_bytes] : {Nth{0, 0}, Nth{1, 0}, Nth{2, 0}, Nth{9, 0}, Nth{0, 4096}}) {
        const Outcome outcome = Check(4, tcp, {from, to, message, Fault::Kind::kFlip, least_bytes});
        ASSERT_FALSE(outcome.errors.empty()) << message;
        bool named = false;
        for (const auto& [rank, error] : outcome.errors) {
          const bool finds = error.find("changes data") != std::string::npos;
          named |= finds && (error.find("link " + Name(from, to)) == 0);
          if (finds) {
            EXPECT_THAT(error, HasSubstr("link " + Name(from, to)));
          }
        }
        EXPECT_TRUE(named) << from << " -> " << to << " message " << message << ": " << outcome.errors.begin()->second;
      }
    }
  }
}

TEST(LinkCheck, ALinkThatSwallowsIsNamedAndNotThoseThatWaitForIt) {
  for (const auto& [from, to] : {std::pair(0, 1), std::pair(2, 0)}) {
    const Outcome outcome = Check(4, true, {from, to, 3, Fault::Kind::kSwallow}, milliseconds(700));
    ASSERT_TRUE(outcome.errors.contains(from) || outcome.errors.contains(to));
    // The two ends gave up first; what the others say is a consequence.
    const std::string both = outcome.errors.at(to) + outcome.errors.at(from);
    EXPECT_THAT(both, HasSubstr("nothing came through for 0."));
    for (const int end : {from, to}) {
      EXPECT_THAT(outcome.errors.at(end),
                  MatchesRegex(fmt::format("link rank ({0} -> rank {1}|{1} -> rank {0}) .*", from, to)));
    }
  }
}

TEST(LinkCheck, ALinkThatClosesIsNamed) {
  const Outcome outcome = Check(2, true, {1, 0, 5, Fault::Kind::kClose});
  ASSERT_EQ(outcome.errors.size(), 2u);
  for (const auto& [rank, error] : outcome.errors)
    EXPECT_THAT(error, MatchesRegex("link rank . -> rank . \\(test\\): .*"));
}

}  // namespace
}  // namespace mrs
