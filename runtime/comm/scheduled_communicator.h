// A ScheduledCommunicator carries the schedules of schedule.h out over any Transport, so that collectives exist once.
//
//   auto link = std::make_shared<Link<TcpTransport>>(std::move(transport), options);
//   auto world = std::make_unique<ScheduledCommunicator<TcpTransport>>(link, AllRanks(4));
//
// A Transport is byte streams between ranks that never block:
//   TryWrite(peer, head, body)   writes a beginning of head + body, all that is left of a message, to peer; 0: no room
//                                now, to be called again with the same bytes; an error: the peer is gone
//   TryRead(peer, head, body)    the same for reading
//   Wait(to, from, limit)        after both gave 0: returns when writing to `to` or reading from `from` (-1: neither)
//   may
//                                succeed, or when `limit` is over, or early for no reason
//   Shut()                       any thread: no more from this rank; whoever waits for it or here finds out
#pragma once

#include <algorithm>
#include <concepts>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "plans/schedule/ring_schedule.h"
#include "plans/schedule/schedule.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/message.h"
#include "runtime/comm/ring_reduce.h"

namespace mrs {

template <typename T>
concept Transport = requires(T& transport, int peer, std::span<const std::byte> out, std::span<std::byte> in) {
  { transport.rank() } -> std::convertible_to<int>;
  { transport.size() } -> std::convertible_to<int>;
  { transport.TryWrite(peer, out, out) } -> std::same_as<Result<size_t>>;
  { transport.TryRead(peer, in, in) } -> std::same_as<Result<size_t>>;
  transport.Wait(peer, peer, std::chrono::milliseconds(1));
  transport.Shut();
};

// One rank's end of the world, shared by all communicators made over it. Peers are world ranks.
template <Transport T>
struct Link {
  Link(T of_transport, CommOptions of_options, bool of_ring = false)
      : transport(std::move(of_transport)),
        options(of_options),
        ring(of_ring),
        sent_count(transport.size()),
        received_count(transport.size()) {}
  T transport;
  CommOptions options;
  bool ring;  // ranks next to each other, and the first and the last, are nearer than others
  std::atomic<bool> aborted{false};
  std::optional<Error> failure;          // the first one; nothing works after it
  std::vector<uint64_t> sent_count;      // Send calls per peer
  std::vector<uint64_t> received_count;  // Recv calls per peer
};

inline std::vector<int> AllRanks(int size) {
  std::vector<int> ranks(size);
  for (int i = 0; i < size; ++i) ranks[i] = i;
  return ranks;
}

template <Transport T>
class ScheduledCommunicator final : public Communicator {
 public:
  // members: world ranks, distinct, the transport's own among them.
  ScheduledCommunicator(std::shared_ptr<Link<T>> link, std::vector<int> members)
      : link_(std::move(link)), members_(std::move(members)) {
    const auto own = std::find(members_.begin(), members_.end(), link_->transport.rank());
    MRS_CHECK(own != members_.end());
    rank_ = static_cast<int>(own - members_.begin());
    for (const int member : members_) group_ = (group_ ^ static_cast<uint32_t>(member)) * 16777619u;  // FNV-1a
    ring_ = link_->ring && IsRing(members_, link_->transport.size());
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(members_.size()); }

  Status AllReduce(std::span<const float> in, std::span<float> out, ReduceAlgorithm algorithm) override {
    if (in.size() != out.size()) {
      return Refuse("all-reduce: rank {} of {}: {} elements in, {} out; they must be equal", rank_, size(), in.size(),
                    out.size());
    }
    if (algorithm < ReduceAlgorithm::kDoubling || algorithm > ReduceAlgorithm::kRankOrder) {
      return Refuse("all-reduce: unknown algorithm {}", static_cast<int>(algorithm));
    }
    if (algorithm != ReduceAlgorithm::kRankOrder) MRS_RETURN_IF_ERROR(CheckTree(OperationKind::kAllReduce));
    const Operation operation =
        NextCollective(OperationKind::kAllReduce, in.size_bytes(), 0, static_cast<uint8_t>(algorithm));
    const size_t count = in.size();
    switch (algorithm) {
      case ReduceAlgorithm::kDoubling:
        // Half of the ranks may be far on a ring: there, what is small goes round whole.
        if (ring_) return GatherAndSum(operation, in, out, algorithm);
        DoublingSchedule(rank_, size(), count, schedule_);
        break;
      case ReduceAlgorithm::kHalvingDoubling:
        if (ring_) return ReduceAroundRing(operation, in, out);
        HalvingDoublingSchedule(rank_, size(), count, schedule_);
        break;
      case ReduceAlgorithm::kGatherAdd:
      case ReduceAlgorithm::kRankOrder:
        return GatherAndSum(operation, in, out, algorithm);
    }
    CopyBytes(std::as_bytes(in), std::as_writable_bytes(out));
    return Carry(operation, std::as_writable_bytes(out), sizeof(float));
  }

  Status AllGather(std::span<const std::byte> in, std::span<std::byte> out) override {
    if (out.size() / members_.size() != in.size() || out.size() % members_.size() != 0) {
      return Refuse("all-gather: rank {} of {}: {} bytes in, {} out; out must be {} times in", rank_, size(), in.size(),
                    out.size(), size());
    }
    const Operation operation = NextCollective(OperationKind::kAllGather, in.size());
    CopyBytes(in, out.subspan(in.size() * rank_, in.size()));
    ScheduleAllGather(in.size());
    return Carry(operation, out, 1);
  }

  Status ReduceScatter(std::span<const float> in, std::span<float> out) override {
    if (in.size() / members_.size() != out.size() || in.size() % members_.size() != 0) {
      return Refuse("reduce-scatter: rank {} of {}: {} elements in, {} out; in must be {} times out", rank_, size(),
                    in.size(), out.size(), size());
    }
    MRS_RETURN_IF_ERROR(CheckTree(OperationKind::kReduceScatter));
    const Operation operation = NextCollective(OperationKind::kReduceScatter, in.size_bytes());
    if (ring_) {
      const auto segment = [&](int owner) { return in.subspan(out.size() * owner, out.size()); };
      return ring_reduce_.Run(rank_, size(), segment, out, RingExchange(operation));
    }
    // Halving leaves rank r with segment BitReversed(r); so segment r is laid where that one is.
    const size_t count = out.size();
    work_.resize(std::max(work_.size(), in.size()));
    for (int segment = 0; segment < size(); ++segment) {
      CopyBytes(std::as_bytes(in.subspan(count * segment, count)),
                std::as_writable_bytes(std::span(work_).subspan(count * BitReversed(segment, size()), count)));
    }
    HalvingSchedule(rank_, size(), in.size(), schedule_);
    const std::span<float> work = std::span(work_).first(in.size());
    MRS_RETURN_IF_ERROR(Carry(operation, std::as_writable_bytes(work), sizeof(float)));
    CopyBytes(std::as_bytes(work.subspan(count * BitReversed(rank_, size()), count)), std::as_writable_bytes(out));
    return Status();
  }

  Status Broadcast(std::span<std::byte> data, int root) override {
    MRS_RETURN_IF_ERROR(CheckRank("broadcast", "root", root));
    const Operation operation = NextCollective(OperationKind::kBroadcast, data.size(), static_cast<uint32_t>(root));
    if (ring_) {
      RingBroadcastSchedule(rank_, size(), root, data.size(), kBroadcastPiece, schedule_);
    } else {
      BroadcastSchedule(rank_, size(), root, data.size(), schedule_);
    }
    return Carry(operation, data, 1);
  }

  Status Send(int peer, std::span<const std::byte> data) override {
    MRS_RETURN_IF_ERROR(CheckPeer("send", peer));
    const Operation operation{.kind = OperationKind::kSendRecv,
                              .group = group_,
                              .sequence = link_->sent_count[members_[peer]]++,
                              .bytes = data.size()};
    return Exchange(operation, peer, data, -1, {});
  }

  Status Recv(int peer, std::span<std::byte> data) override {
    MRS_RETURN_IF_ERROR(CheckPeer("recv", peer));
    const Operation operation{.kind = OperationKind::kSendRecv,
                              .group = group_,
                              .sequence = link_->received_count[members_[peer]]++,
                              .bytes = data.size()};
    return Exchange(operation, -1, {}, peer, data);
  }

  Status Barrier() override {
    const Operation operation = NextCollective(OperationKind::kBarrier, 0);
    ring_ ? RingBarrierSchedule(rank_, size(), schedule_) : BarrierSchedule(rank_, size(), schedule_);
    return Carry(operation, {}, 1);
  }

  Result<std::unique_ptr<Communicator>> Group(std::span<const int> members) override {
    std::vector<int> world_ranks;
    for (const int member : members) {
      MRS_RETURN_IF_ERROR(CheckRank("group", "member", member));
      if (std::find(world_ranks.begin(), world_ranks.end(), members_[member]) != world_ranks.end()) {
        return Refuse("group: rank {} of {}: member {} is listed twice", rank_, size(), member);
      }
      world_ranks.push_back(members_[member]);
    }
    if (std::find(members.begin(), members.end(), rank_) == members.end()) {
      return Refuse("group: rank {} of {} is not one of the {} members; only members make the group", rank_, size(),
                    members.size());
    }
    return std::unique_ptr<Communicator>(new ScheduledCommunicator(link_, std::move(world_ranks)));
  }

  void Abort() override {
    link_->aborted.store(true);
    link_->transport.Shut();
  }

 private:
  using Clock = std::chrono::steady_clock;

  // How long a blocked rank may take to notice the abort flag of its options.
  static constexpr std::chrono::milliseconds kAbortPoll{50};

  static constexpr int kPollsPerYield = 256;

  // What a rank of a ring passes on while it receives the next.
  static constexpr size_t kBroadcastPiece = size_t{64} << 10;

  // All ranks of the ring, each next to the one before it.
  static bool IsRing(const std::vector<int>& members, int world_size) {
    const int size = static_cast<int>(members.size());
    if (size != world_size || size < 2) return false;
    for (int i = 0; i < size; ++i) {
      const int apart = (members[(i + 1) % size] - members[i] + size) % size;
      if (apart != 1 && apart != size - 1) return false;
    }
    return true;
  }

  void ScheduleAllGather(size_t count) {
    if (ring_) {
      RingAllGatherSchedule(rank_, size(), count * members_.size(), schedule_);
    } else {
      AllGatherSchedule(rank_, size(), count, schedule_);
    }
  }

  // One message up the ring and one down it.
  auto RingExchange(const Operation& operation) {
    return [this, &operation](int send_to, std::span<const float> send, int recv_from, std::span<float> recv) {
      return Exchange(operation, send_to, std::as_bytes(send), recv_from, std::as_writable_bytes(recv));
    };
  }

  // Each rank's segment summed there, then all segments to all.
  Status ReduceAroundRing(const Operation& operation, std::span<const float> in, std::span<float> out) {
    const auto segment = [&](int owner) {
      const ElementRange range = RingSegment(owner, size(), in.size());
      return in.subspan(range.begin, range.count);
    };
    const ElementRange own = RingSegment(rank_, size(), in.size());
    MRS_RETURN_IF_ERROR(
        ring_reduce_.Run(rank_, size(), segment, out.subspan(own.begin, own.count), RingExchange(operation)));
    RingAllGatherSchedule(rank_, size(), in.size(), schedule_);
    return Carry(operation, std::as_writable_bytes(out), sizeof(float));
  }

  static void CopyBytes(std::span<const std::byte> from, std::span<std::byte> to) {
    if (!from.empty() && from.data() != to.data()) std::memmove(to.data(), from.data(), from.size());
  }

  static void CpuRelax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  Operation NextCollective(OperationKind kind, uint64_t bytes, uint32_t root = 0, uint8_t algorithm = 0) {
    return {
        .kind = kind, .algorithm = algorithm, .root = root, .group = group_, .sequence = sequence_++, .bytes = bytes};
  }

  Status CheckTree(OperationKind kind) const {
    if (IsPowerOfTwo(size())) return Status();
    return Refuse("{}: a group of {} ranks has no canonical tree: use a power of two", OperationName(kind), size());
  }

  Status CheckRank(std::string_view operation, std::string_view name, int rank) const {
    if (rank >= 0 && rank < size()) return Status();
    return Refuse("{}: rank {} of {}: {} {} is no rank of the group", operation, rank_, size(), name, rank);
  }

  Status CheckPeer(std::string_view operation, int peer) const {
    MRS_RETURN_IF_ERROR(CheckRank(operation, "peer", peer));
    if (peer == rank_) return Refuse("{}: rank {} of {}: the peer is this rank itself", operation, rank_, size());
    return Status();
  }

  // The sum of all ranks' operands after an all-gather, in the tree's order or, as a control, in rank order.
  Status GatherAndSum(const Operation& operation, std::span<const float> in, std::span<float> out,
                      ReduceAlgorithm algorithm) {
    const size_t count = in.size();
    work_.resize(std::max(work_.size(), count * members_.size()));
    const std::span<float> work = std::span(work_).first(count * members_.size());
    CopyBytes(std::as_bytes(in), std::as_writable_bytes(work.subspan(count * rank_, count)));
    ScheduleAllGather(count);
    MRS_RETURN_IF_ERROR(Carry(operation, std::as_writable_bytes(work), sizeof(float)));
    const auto add = [&](size_t to, size_t from) {
      AddTo(work.subspan(count * to, count), work.subspan(count * from, count));
    };
    if (algorithm == ReduceAlgorithm::kRankOrder) {
      for (size_t i = 1; i < members_.size(); ++i) add(0, i);
    } else {
      for (size_t distance = 1; distance < members_.size(); distance *= 2) {
        for (size_t i = 0; i < members_.size(); i += 2 * distance) add(i, i + distance);
      }
    }
    CopyBytes(std::as_bytes(work.first(count)), std::as_writable_bytes(out));
    return Status();
  }

  static void AddTo(std::span<float> sum, std::span<const float> part) {
    float* const to = sum.data();
    const float* const from = part.data();
    for (size_t i = 0; i < sum.size(); ++i) to[i] += from[i];
  }

  // Makes the exchanges of schedule_ over `data`, whose elements have element_bytes; sums are of floats.
  Status Carry(const Operation& operation, std::span<std::byte> data, size_t element_bytes) {
    for (const ExchangeStep& step : schedule_) {
      const auto range = [&](const ElementRange& elements) {
        return data.subspan(elements.begin * element_bytes, elements.count * element_bytes);
      };
      if (step.action == StepAction::kCopy) {
        MRS_RETURN_IF_ERROR(Exchange(operation, step.send_to, range(step.send), step.recv_from, range(step.recv)));
        continue;
      }
      received_.resize(std::max(received_.size(), step.recv.count));
      const std::span<float> part = std::span(received_).first(step.recv.count);
      const std::span<float> sum{reinterpret_cast<float*>(data.data()) + step.recv.begin, step.recv.count};
      // Where what is sent is not what is summed, each piece is added as it comes, while a cache has it.
      const bool apart = step.send.begin + step.send.count <= step.recv.begin ||
                         step.recv.begin + step.recv.count <= step.send.begin;
      size_t added = 0;
      const auto add_up_to = [&](size_t count) {
        AddTo(sum.subspan(added, count - added), part.subspan(added, count - added));
        added = count;
      };
      MRS_RETURN_IF_ERROR(Exchange(operation, step.send_to, range(step.send), step.recv_from,
                                   std::as_writable_bytes(part), [&](size_t bytes) {
                                     if (apart) add_up_to(bytes / sizeof(float));
                                   }));
      add_up_to(part.size());
    }
    return Status();
  }

  // One message to send_to and one from recv_from at the same time; -1: none. Peers are ranks of the group. Whoever
  // makes no progress polls, then blocks; both directions go on together, so two ranks that send much never wait for
  // each other.
  // on_arrival is told how many bytes of recv have come, whenever there are more.
  Status Exchange(const Operation& operation, int send_to, std::span<const std::byte> send, int recv_from,
                  std::span<std::byte> recv) {
    return Exchange(operation, send_to, send, recv_from, recv, [](size_t) {});
  }

  template <typename OnArrival>
  Status Exchange(const Operation& operation, int send_to, std::span<const std::byte> send, int recv_from,
                  std::span<std::byte> recv, OnArrival on_arrival) {
    T& transport = link_->transport;
    if (link_->failure) {
      return Unavailable("{}: rank {} of {}: failed before: {}", OperationName(operation.kind), transport.rank(),
                         transport.size(), link_->failure->message);
    }
    if (link_->aborted) return Fail(operation, Unavailable("aborted"));
    const MessageHeader header = MakeHeader(operation, send.size());
    const MessageHeader expected = MakeHeader(operation, recv.size());
    MessageHeader actual;
    const auto header_bytes = std::as_bytes(std::span(&header, 1));
    const auto actual_bytes = std::as_writable_bytes(std::span(&actual, 1));
    const size_t send_total = send_to < 0 ? 0 : sizeof(header) + send.size();
    const size_t recv_total = recv_from < 0 ? 0 : sizeof(header) + recv.size();
    size_t sent = 0;
    size_t received = 0;
    int idle_count = 0;
    Clock::time_point give_up{};  // zero: not blocked since the last progress
    Pulse* const pulse = link_->options.pulse;
    while (sent < send_total || received < recv_total) {
      size_t moved = 0;
      std::optional<Error> write_error;
      if (sent < send_total) {
        const size_t head = std::min(sent, sizeof(header));
        const Result<size_t> put =
            transport.TryWrite(members_[send_to], header_bytes.subspan(head), send.subspan(sent - head));
        if (put) {
          sent += *put;
          moved += *put;
        } else {
          write_error = put.error();
        }
      }
      if (received < recv_total) {
        const size_t head = std::min(received, sizeof(header));
        const Result<size_t> got =
            transport.TryRead(members_[recv_from], actual_bytes.subspan(head), recv.subspan(received - head));
        if (!got) return Fail(operation, WhyBroken(got.error()));
        const bool had_header = received >= sizeof(header);
        received += *got;
        moved += *got;
        if (!had_header && received >= sizeof(header) && actual != expected) {
          return Fail(MismatchError(expected, actual, transport.rank(), transport.size(), members_[recv_from]));
        }
        if (*got > 0 && received > sizeof(header)) on_arrival(received - sizeof(header));
      }
      // Last, because what a peer said before it went explains more than that it went.
      if (write_error && moved == 0) return Fail(operation, WhyBroken(*write_error));
      if (moved > 0) {
        if (pulse != nullptr) {
          pulse->Count();
          if (give_up != Clock::time_point{}) pulse->WaitOver();
        }
        idle_count = 0;
        give_up = {};
        continue;
      }
      if (link_->aborted.load(std::memory_order_relaxed) || AbortFlagIsUp()) {
        return Fail(operation, Unavailable("aborted while waiting for rank {}",
                                           members_[received < recv_total ? recv_from : send_to]));
      }
      if (idle_count++ < link_->options.spin) {
        // Now and then the core is offered to whoever may be what this rank waits for.
        idle_count % kPollsPerYield == 0 ? std::this_thread::yield() : CpuRelax();
        continue;
      }
      const Clock::time_point now = Clock::now();
      if (give_up == Clock::time_point{}) {
        give_up = After(now, link_->options.timeout);
        if (pulse != nullptr) pulse->WaitFor(members_[received < recv_total ? recv_from : send_to]);
      }
      if (pulse != nullptr) pulse->Wake();
      const Clock::duration left = give_up - now;
      if (left <= Clock::duration::zero()) {
        return Fail(operation, received < recv_total
                                   ? TimedOut("no data from rank {} for {} s", members_[recv_from], TimeoutSeconds())
                                   : TimedOut("rank {} took no data for {} s", members_[send_to], TimeoutSeconds()));
      }
      transport.Wait(sent < send_total ? members_[send_to] : -1, received < recv_total ? members_[recv_from] : -1,
                     std::min(kAbortPoll, std::chrono::ceil<std::chrono::milliseconds>(left)));
    }
    return Status();
  }

  double TimeoutSeconds() const { return std::chrono::duration<double>(link_->options.timeout).count(); }

  bool AbortFlagIsUp() const {
    return link_->options.abort != nullptr && link_->options.abort->load(std::memory_order_relaxed);
  }

  // A connection that breaks once the flag is up is the flag's doing: a peer that looked first has gone.
  Error WhyBroken(const Error& error) const {
    return AbortFlagIsUp() ? Unavailable("aborted; {}", error.message) : error;
  }

  // Errors name world ranks, whatever the group.
  Status Fail(const Operation& operation, const Error& error) {
    return Fail(
        Error{error.kind, fmt::format("{}: rank {} of {}: {}", OperationName(operation.kind), link_->transport.rank(),
                                      link_->transport.size(), link_->aborted ? "aborted" : error.message)});
  }

  Status Fail(Error error) {
    link_->failure = error;
    link_->transport.Shut();
    return error;
  }

  std::shared_ptr<Link<T>> link_;
  std::vector<int> members_;  // world rank of each rank of the group
  int rank_ = 0;
  bool ring_ = false;  // neighbours alone talk to each other
  uint32_t group_ = 2166136261u;
  uint64_t sequence_ = 0;        // collectives so far
  Schedule schedule_;            // of the operation in progress
  std::vector<float> received_;  // what is to be added
  std::vector<float> work_;      // gathered or permuted operands
  RingReduce ring_reduce_;
};

}  // namespace mrs
