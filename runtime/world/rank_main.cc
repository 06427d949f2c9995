#include "runtime/world/rank_main.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "host/output.h"
#include "host/process.h"
#include "host/thread.h"
#include "plans/reader.h"
#include "runtime/comm/mixed.h"
#include "runtime/comm/region.h"
#include "runtime/comm/ring.h"
#include "runtime/comm/tcp.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/rank/cpu/cpu_executor.h"
#include "runtime/rank/cuda/cuda_executor.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/rank/stages.h"
#include "runtime/world/channel.h"
#include "runtime/world/heart.h"
#include "runtime/world/hello.h"
#include "runtime/world/link_check.h"
#include "runtime/world/message_limits.h"
#include "runtime/world/progress_board.h"
#include "runtime/world/rank_team.h"
#include "runtime/world/wire.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A rank waits as long as its supervisor lives, and ends with it: who waits too long is the supervisor's to say, from
// what the ranks write on its board.
constexpr milliseconds kLastWordsWait{1000};
// Longer than connecting is tried for: whoever cannot reach its neighbour knows more than who is not reached.
constexpr milliseconds kOthersLater{600};
// For a connection to a rank of another node, which has said that it listens: a firewall may be in the way. Four
// attempts of the kernel, which asks again after 1, 2 and 4 s.
constexpr milliseconds kReach{8000};
constexpr auto kSpinForBatch = std::chrono::microseconds(500);

// The supervisor's side, shared by the threads of this process.
class Supervisor {
 public:
  explicit Supervisor(int fd) : channel_(Fd(fd)) {}

  Channel& channel() { return channel_; }

  Status Tell(const std::string& head, std::span<const std::span<const std::byte>> payload = {}) {
    const std::lock_guard lock(mutex_);
    return channel_.Send(head, payload, kForever);
  }

  // Tells why, and ends the process: the other threads may be waiting for this rank.
  [[noreturn]] void Fail(uint32_t rank, const Error& error) noexcept {
    const Status told = Guarded([&] {
      const std::lock_guard lock(mutex_);
      return channel_.Send(wire::Encode(wire::Failure{.rank = rank, .kind = error.kind, .message = error.message}),
                           Clock::now() + kLastWordsWait);
    });
    if (!told.ok()) Say("mrs-exec: rank {}: {}\n", rank, error.message);
    _exit(1);
  }

 private:
  Channel channel_;
  std::mutex mutex_;  // of sending
};

Result<wire::Config> ReceiveConfig(Channel& channel) {
  MRS_ASSIGN_OR_RETURN(const Message message, channel.Receive(kForever));
  if (message.type != wire::MessageType::kConfig) {
    return Refuse("expected a config message first, got {}", wire::MessageTypeName(message.type));
  }
  return wire::DecodeConfig(message.body);
}

Result<wire::Peers> ReceivePeers(Channel& channel, const wire::Config& config) {
  // Until all nodes are there, which is the supervisor's to bound.
  MRS_ASSIGN_OR_RETURN(const Message message, channel.Receive(kForever));
  if (message.type != wire::MessageType::kPeers) {
    return Refuse("expected a peers message, got {}", wire::MessageTypeName(message.type));
  }
  MRS_ASSIGN_OR_RETURN(wire::Peers peers, wire::DecodePeers(message.body));
  if (wire::UsesSockets(config.transport) && peers.endpoints.size() != config.world_size) {
    return Refuse("the table of endpoints has {} entries, expected {}", peers.endpoints.size(), config.world_size);
  }
  return peers;
}

// What this process writes on the board, from the moment that it has one.
struct Life {
  ProgressBoard board;
  std::deque<Pulse> pulses;     // of its ranks
  std::vector<Pulse*> of_rank;  // [rank - first_rank], into pulses
  Heart heart;                  // stops before what it beats for is gone

  void Enter(RankPhase phase) {
    for (Pulse& pulse : pulses) pulse.Enter(phase);
  }
};

Status StartLife(int fd, const wire::Config& config, Channel& channel, Life& life) {
  MRS_ASSIGN_OR_RETURN(life.board, ProgressBoard::Map(fd, config.world_size));
  for (uint32_t i = 0; i < config.rank_count; ++i) {
    life.of_rank.push_back(&life.pulses.emplace_back(&life.board.line(config.first_rank + i)));
  }
  life.Enter(RankPhase::kStarting);
  channel.set_pulse(life.pulses[0].looks(), life.pulses[0].AddCounter());
  return life.heart.Start(life.of_rank);
}

// The ranks of one node: they listen at its address.
std::vector<int> RanksAt(const std::vector<wire::Endpoint>& endpoints, const std::string& address) {
  std::vector<int> ranks;
  for (size_t rank = 0; rank < endpoints.size(); ++rank) {
    if (endpoints[rank].address == address) ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

// One communicator for each rank of this process; null where the world is one rank.
Result<std::vector<std::unique_ptr<Communicator>>> Connect(const wire::Config& config, const wire::Peers& peers,
                                                           const std::optional<TcpListener>& listener,
                                                           const std::vector<Fd>& memory, const Life& life,
                                                           const std::atomic<bool>* abort) {
  const int world_size = static_cast<int>(config.world_size);
  CommOptions options;
  options.timeout = kNoTimeout;
  options.pulse = life.of_rank[0];
  if (!config.spin) options.spin = 0;
  options.abort = abort;
  std::vector<std::unique_ptr<Communicator>> comms;
  if (world_size == 1) {
    comms.emplace_back();
    return comms;
  }
  const int rank = static_cast<int>(config.first_rank);
  const milliseconds reach = config.listen_port == 0 || config.meet_within_ms > 0 ? milliseconds(0) : kReach;
  switch (config.transport) {
    case wire::Transport::kLocal:
      return MakeLocalCommunicators(world_size, options, kDefaultRingBytes, life.of_rank);
    case wire::Transport::kShm: {
      MRS_ASSIGN_OR_RETURN(auto comm, OpenShmCommunicator(rank, world_size, memory.at(0).get(), options));
      comms.push_back(std::move(comm));
      return comms;
    }
    case wire::Transport::kTcp:
    case wire::Transport::kMixed: {
      MixedConfig mixed;
      MeshConfig& mesh = mixed.mesh;
      mesh.rank = rank;
      for (const wire::Endpoint& endpoint : peers.endpoints)
        mesh.endpoints.push_back({endpoint.address, endpoint.port});
      mesh.deadline = kNoTimeout;
      mesh.reach = reach;
      mesh.pulse = life.of_rank[0];
      mesh.secret.assign(peers.secret.begin(), peers.secret.end());
      mesh.tuning.source = config.listen_address;
      mesh.integrity = config.integrity;
      mesh.streams = static_cast<int>(config.streams);
      mesh.near = RanksAt(peers.endpoints, peers.endpoints.at(config.first_rank).address);
      mesh.tuning.congestion = config.congestion;
      mixed.local.assign(config.local_ranks.begin(), config.local_ranks.end());
      if (memory.size() == 2) {
        mixed.region_fd = memory[0].get();
        mixed.bell_fd = memory[1].get();
      }
      MRS_ASSIGN_OR_RETURN(auto comm, config.transport == wire::Transport::kTcp
                                          ? ConnectMesh(*listener, mesh, options)
                                          : ConnectMixed(&*listener, mixed, options));
      comms.push_back(std::move(comm));
      return comms;
    }
    case wire::Transport::kRing: {
      const wire::Endpoint& right = peers.endpoints[(config.first_rank + 1) % config.world_size];
      const bool bounded = config.meet_within_ms > 0;
      const RingConfig ring{.rank = rank,
                            .size = world_size,
                            .right = {right.address, right.port},
                            .secret = std::string(peers.secret.begin(), peers.secret.end()),
                            .deadline = bounded ? milliseconds(config.meet_within_ms) : kNoTimeout,
                            .reach = reach,
                            .others_later = bounded ? std::optional(kOthersLater) : std::nullopt,
                            .integrity = config.integrity,
                            .pulse = life.of_rank[0],
                            .tuning = {.congestion = config.congestion}};
      MRS_ASSIGN_OR_RETURN(auto comm, ConnectRing(*listener, ring, options));
      comms.push_back(std::move(comm));
      return comms;
    }
  }
  return Refuse("unknown transport {}", static_cast<int>(config.transport));
}

// What a process needs to rehearse, and what its ranks found.
struct Rehearsal {
  explicit Rehearsal(uint32_t rank_count) : measured(rank_count), times(rank_count) {}
  LinkWatch watch;
  LinkName name;
  std::vector<wire::Measured> measured;  // [rank - first_rank]
  std::vector<CollectiveTimes> times;
};

// Of a rank that is there for its links alone.
class NoProgram final : public Executor {
 public:
  Status Enqueue(const Batch&) override { return Refuse("only the links between the ranks were asked for"); }
  Result<StepOutput> Await() override { return Refuse("only the links between the ranks were asked for"); }
};

// "rank 1 -> rank 0 (tcp 127.0.0.1:40123)": of a socket, the end that listened: of a mesh the lower rank's, of a ring
// the right neighbour's.
LinkName NameLinks(wire::Transport transport, const wire::Peers& peers) {
  return [transport, endpoints = peers.endpoints](int from, int to) {
    const int size = static_cast<int>(endpoints.size());
    const auto at = [&](int rank) {
      const wire::Endpoint& endpoint = endpoints[static_cast<size_t>(rank)];
      return fmt::format(" {}", AddressText(endpoint.address, endpoint.port));
    };
    std::string where = wire::TransportName(transport);
    if (transport == wire::Transport::kRing && size > 1) {
      const bool to_right = to == (from + 1) % size;
      const bool to_left = from == (to + 1) % size;
      where += to_right || to_left ? at(to_right ? to : from) : std::string(", by the ranks between them");
    } else if (wire::UsesSockets(transport) && std::min(from, to) < size) {
      where += at(std::min(from, to));
    }
    return fmt::format("rank {} -> rank {} ({})", from, to, where);
  };
}

// Of what several ranks read, for the supervisor to compare, where the plan does not say what it must be.
Status TellDigests(const plan::Plan& plan, uint32_t rank, std::vector<std::string> shared, Supervisor& supervisor) {
  if (plan.digest_kind() != plan::DigestKind::none) return Status();
  const wire::Digests digests{.rank = rank, .xxh3 = std::move(shared)};
  if (digests.xxh3.size() > wire::kMaxDigests) {
    return Refuse(
        "rank {} has {} slices that others read, too, at most {} are compared; build the plan with mrs-plan "
        "build --hash-weights xxh3",
        rank, digests.xxh3.size(), wire::kMaxDigests);
  }
  return supervisor.Tell(wire::Encode(digests));
}

Result<std::unique_ptr<Executor>> Load(const plan::Plan& plan, const wire::Config& config, uint32_t rank,
                                       Communicator* comm, Pulse* pulse, GraphCache::Counts* graphs,
                                       Supervisor& supervisor, Rehearsal* rehearsal) {
  const auto progress = [&supervisor, rank](uint64_t done, uint64_t total) {
    // A supervisor that is gone is noticed at the next message that matters.
    [[maybe_unused]] const Status told =
        supervisor.Tell(wire::Encode(wire::Progress{.rank = rank, .bytes_done = done, .bytes_total = total}));
  };
  CollectiveTimes* times = nullptr;
  if (rehearsal != nullptr) {
    wire::Measured& measured = rehearsal->measured[rank - config.first_rank];
    measured.rank = rank;
    if (comm != nullptr) {
      MRS_ASSIGN_OR_RETURN(measured.links, CheckLinks(*comm, rehearsal->watch, rehearsal->name,
                                                      config.transport == wire::Transport::kRing));
    }
    if (config.rehearsal == RehearsalScope::kLinks) return std::unique_ptr<Executor>(new NoProgram());
    times = &rehearsal->times[rank - config.first_rank];
  }
  if (plan.ranks()->Get(rank)->kind() == plan::DeviceKind::cuda) {
    std::vector<std::string> shared_digests;
    MRS_ASSIGN_OR_RETURN(auto executor, MakeCudaExecutor(plan, rank, comm,
                                                         {.model_dir = config.model_dir,
                                                          .threads = static_cast<int>(config.threads),
                                                          .progress = progress,
                                                          .pulse = pulse,
                                                          .rehearsal = config.rehearsal,
                                                          .times = times,
                                                          .graphs = config.cuda_graphs,
                                                          .dependent_launch = config.dependent_launch,
                                                          .graph_counts = graphs,
                                                          .shared_digests = &shared_digests}));
    if (rehearsal == nullptr) MRS_RETURN_IF_ERROR(TellDigests(plan, rank, std::move(shared_digests), supervisor));
    return executor;
  }
  CpuExecutorOptions options;
  options.rehearsal = config.rehearsal;
  options.times = times;
  options.model_dir = config.model_dir;
  options.threads = static_cast<int>(config.threads);
  options.isa = static_cast<kernels::Isa>(config.isa);
  options.spin = config.spin;
  options.pulse = pulse;
  options.progress = progress;
  MRS_ASSIGN_OR_RETURN(std::unique_ptr<CpuExecutor> executor, MakeCpuExecutor(plan, rank, comm, std::move(options)));
  if (rehearsal == nullptr) {
    MRS_RETURN_IF_ERROR(TellDigests(plan, rank, executor->TakeSharedDigests(), supervisor));
  }
  return std::unique_ptr<Executor>(std::move(executor));
}

uint64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long pages_total = 0, pages_resident = 0;
  const int fields = std::fscanf(file, "%llu %llu", &pages_total, &pages_resident);
  std::fclose(file);
  return fields == 2 ? pages_resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

// Runs the oldest forward and, where one of this process' ranks is the one that answers, tells its result. An error
// ends the process, except that a supervisor that is gone needs no answer.
// `pulse`: of the rank that answers, null where none does.
Status FinishOne(Supervisor& supervisor, RankTeam& team, Pulse* pulse) {
  MRS_ASSIGN_OR_RETURN(const RankTeam::Finished done, team.Await());
  if (pulse == nullptr) return Status();
  pulse->Enter(RankPhase::kSending);
  const std::span<const std::byte> payload[] = {done.output.candidates, std::as_bytes(done.output.logits)};
  const Status told = supervisor.Tell(wire::EncodeResultHead(done.step, done.output), payload);
  pulse->Enter(RankPhase::kIdle);
  return supervisor.channel().peer_gone() ? Status() : told;
}

// Takes batches until the supervisor says that it is over or is gone. Each is finished before the next is waited for
// or, where several may be under way, by another thread: a batch must be taken while an earlier result is still being
// sent, or supervisor and rank would wait for each other.
Status Serve(Supervisor& supervisor, RankTeam& team, bool finishes_here, Pulse* pulse, Rehearsal* rehearsal) {
  for (;;) {
    const Result<Message> message = supervisor.channel().Receive(kForever);
    if (!message.ok()) return supervisor.channel().peer_gone() ? Status() : message.status();
    if (message->type == wire::MessageType::kShutdown) return Status();
    if (message->type == wire::MessageType::kReport && rehearsal != nullptr) {
      team.AwaitIdle();
      for (size_t i = 0; i < rehearsal->measured.size(); ++i) {
        rehearsal->measured[i].resident_bytes = ResidentBytes();
        rehearsal->measured[i].exchanges = rehearsal->times[i].Summary();
        const Status told = supervisor.Tell(wire::Encode(rehearsal->measured[i]));
        if (!told.ok()) return supervisor.channel().peer_gone() ? Status() : told;
      }
      continue;
    }
    if (message->type != wire::MessageType::kBatch) {
      return Refuse("expected a batch, got a {} message", wire::MessageTypeName(message->type));
    }
    MRS_ASSIGN_OR_RETURN(wire::BatchMessage batch, wire::DecodeBatch(message->body));
    team.Enqueue(batch.step, std::move(batch.batch));
    if (finishes_here) MRS_RETURN_IF_ERROR(FinishOne(supervisor, team, pulse));
  }
}

Status ServeInStages(Supervisor& supervisor, RankTeam& team, uint32_t lead, Pulse* pulse, Rehearsal* rehearsal) {
  MRS_ASSIGN_OR_RETURN(std::thread finishing,
                       StartThread(
                           "what finishes the forwards",
                           [&] {
                             for (;;) {
                               const Status finished = FinishOne(supervisor, team, pulse);
                               if (finished.ok()) continue;
                               if (finished.error().kind == ErrorKind::kCancelled) return;
                               supervisor.Fail(lead, finished.error());
                             }
                           },
                           [](const Error& error) { EndProcess("what finishes the forwards", error); }));
  const Status served = Guarded([&] { return Serve(supervisor, team, /*finishes_here=*/false, pulse, rehearsal); });
  if (!served.ok()) supervisor.Fail(lead, served.error());  // the other thread may be waiting in a forward
  team.Stop();
  finishing.join();
  return served;
}

// From the config to the end; the exit code.
int Live(Supervisor& supervisor, const wire::Config& config, Life& life) {
  const uint32_t first = config.first_rank;
  std::vector<Fd> passed = supervisor.channel().TakePassed();
  const size_t expected = config.transport == wire::Transport::kShm ? 3 : config.local_ranks.size() > 1 ? 4 : 2;
  if (passed.size() != expected) {  // the kernel drops those for which there is no room
    supervisor.Fail(first,
                    Refuse("{} of {} descriptors came with the config; raise the limit on open files (ulimit -n)",
                           passed.size(), expected));
  }
  if (const Status alive = StartLife(passed[1].get(), config, supervisor.channel(), life); !alive.ok()) {
    supervisor.Fail(first, alive.error());
  }
  std::vector<Fd> memory(std::make_move_iterator(passed.begin() + 2), std::make_move_iterator(passed.end()));

  const Result<OpenedPlan> opened = OpenPlanDescriptor(passed[0].get(), config.plan_path);
  passed.clear();
  if (!opened.ok()) supervisor.Fail(first, opened.error());
  wire::Hello hello = MakeHello(*opened);
  hello.first_rank = first;
  std::optional<TcpListener> listener;
  if (wire::UsesSockets(config.transport)) {
    Result<TcpListener> bound = TcpListener::Bind(config.listen_address, config.listen_port);
    if (!bound.ok() && config.listen_port != 0) {
      const bool of_ring = config.meet_within_ms > 0;
      supervisor.Fail(
          first,
          {bound.error().kind,
           fmt::format("{}; end what listens there, or give {}", bound.message(),
                       of_ring ? "the rank another 'port' in its RING_CONFIG file, and its left neighbour the same "
                                 "as 'right_port'"
                               : "every node another --cluster-port N: rank r listens on N + 1 + r")});
    }
    if (!bound.ok()) supervisor.Fail(first, bound.error());
    listener.emplace(*std::move(bound));
    hello.listen_port = listener->port();
  }
  if (!supervisor.Tell(wire::Encode(hello)).ok()) return 1;
  life.Enter(RankPhase::kIdle);  // for as long as other nodes take to come
  const Result<wire::Peers> peers = ReceivePeers(supervisor.channel(), config);
  if (!peers.ok()) {
    if (supervisor.channel().peer_gone()) return 1;
    supervisor.Fail(first, peers.error());
  }
  // The supervisor compared the plan's hash; a mismatch never gets here, and nothing was loaded for it.
  if (hello.plan_sha256 != config.plan_sha256 || hello.world_size != config.world_size) return 1;

  std::optional<Rehearsal> rehearsal;
  if (config.rehearsal != RehearsalScope::kNone) {
    rehearsal.emplace(config.rank_count);
    rehearsal->name = NameLinks(config.transport, *peers);
  }
  Rehearsal* const practice = rehearsal.has_value() ? &*rehearsal : nullptr;
  const plan::Plan& plan = opened->plan();
  const uint32_t answering = AnsweringRank(plan);
  const bool answers = answering >= first && answering - first < config.rank_count;
  Pulse* const answering_pulse = answers ? life.of_rank[answering - first] : nullptr;
  if (answers) supervisor.channel().set_pulse(life.pulses[0].looks(), answering_pulse->AddCounter());
  life.Enter(RankPhase::kMeeting);
  Result<std::vector<std::unique_ptr<Communicator>>> comms =
      Connect(config, *peers, listener, memory, life, practice == nullptr ? nullptr : practice->watch.flag());
  if (!comms.ok()) supervisor.Fail(first, comms.error());
  listener.reset();  // all are there: from here on the port is closed
  life.Enter(RankPhase::kLoading);
  const Result<std::vector<KvSpace>> spaces = KvSpacesOf(plan);
  if (!spaces.ok()) supervisor.Fail(first, spaces.error());
  const RankTeamShape shape{.first_rank = first,
                            .rank_count = config.rank_count,
                            .lead = answers ? answering : first,
                            .depth = plan.stages()->size(),
                            .pulses = life.of_rank};
  std::vector<GraphCache::Counts> graphs(config.rank_count);
  RankTeam team(
      shape,
      [&](uint32_t rank) {
        return Load(plan, config, rank, (*comms)[rank - first].get(), life.of_rank[rank - first], &graphs[rank - first],
                    supervisor, practice);
      },
      [&](uint32_t rank, const Error& error) { supervisor.Fail(rank, error); });
  // What is thrown must not unwind the team: its threads may be waiting for this one.
  const Status served = Guarded([&]() -> Status {
    team.AwaitLoaded();
    supervisor.channel().set_max_body_bytes(MaxBatchBytes(plan, spaces->size()));
    // Where another thread runs the forwards, this one would take its core.
    if (config.spin_for_batch && shape.depth == 1) supervisor.channel().set_spin(kSpinForBatch);
    wire::Ready ready{.first_rank = first, .resident_bytes = ResidentBytes()};
    for (const GraphCache::Counts& of_rank : graphs) {
      ready.graphs = std::max(ready.graphs, static_cast<uint32_t>(of_rank.captured));
      ready.capture_ms = std::max(ready.capture_ms, static_cast<uint32_t>(std::ceil(1000 * of_rank.capture_seconds)));
    }
    if (!supervisor.Tell(wire::Encode(ready)).ok()) return Status();
    if (shape.depth == 1) return Serve(supervisor, team, /*finishes_here=*/true, answering_pulse, practice);
    return ServeInStages(supervisor, team, shape.lead, answering_pulse, practice);
  });
  if (!served.ok()) supervisor.Fail(first, served.error());
  return 0;
}

}  // namespace

int RankMain(int fd) {
  // Whatever happens to the supervisor, no rank stays behind. If it is gone already, its socket says so.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int number : {SIGPIPE, SIGUSR1, SIGUSR2}) signal(number, SIG_IGN);
  Supervisor supervisor(fd);
  const Result<wire::Config> config = ReceiveConfig(supervisor.channel());
  if (!config.ok()) {
    Say("mrs-exec rank: {}\n(this verb is for mrs-exec itself; see mrs-exec --help)\n", config.message());
    return 2;
  }
  Life life;  // the supervisor's channel counts on it to the end
  try {
    return Live(supervisor, *config, life);
  } catch (...) {
    supervisor.Fail(config->first_rank, CaughtError());
  }
}

}  // namespace mrs
