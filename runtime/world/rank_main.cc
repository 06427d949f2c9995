#include "runtime/world/rank_main.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
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
#include "runtime/comm/region.h"
#include "runtime/comm/tcp.h"
#include "runtime/rank/batch_bounds.h"
#include "runtime/rank/cpu/cpu_executor.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/rank/stages.h"
#include "runtime/world/channel.h"
#include "runtime/world/hello.h"
#include "runtime/world/rank_team.h"
#include "runtime/world/wire.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kFirstMessageWait{30000};
constexpr auto kForever = Deadline::max();  // between batches a rank waits as long as its supervisor lives
constexpr auto kSpinForBatch = std::chrono::microseconds(500);

// The supervisor's side, shared by the threads of this process.
class Supervisor {
 public:
  explicit Supervisor(int fd) : channel_(Fd(fd)) {}

  Channel& channel() { return channel_; }
  void set_timeout(milliseconds timeout) { timeout_ = timeout; }

  Status Tell(const std::string& head, std::span<const std::span<const std::byte>> payload = {}) {
    const std::lock_guard lock(mutex_);
    return channel_.Send(head, payload, Clock::now() + timeout_);
  }

  // Tells why, and ends the process: the other threads may be waiting for this rank.
  [[noreturn]] void Fail(uint32_t rank, const Error& error) noexcept {
    const Status told = Guarded([&] {
      const std::lock_guard lock(mutex_);
      return channel_.Send(wire::Encode(wire::Failure{.rank = rank, .kind = error.kind, .message = error.message}),
                           Clock::now() + milliseconds(1000));
    });
    if (!told.ok()) Say("mrs-exec: rank {}: {}\n", rank, error.message);
    _exit(1);
  }

 private:
  Channel channel_;
  milliseconds timeout_ = kFirstMessageWait;
  std::mutex mutex_;  // of sending
};

Result<wire::Config> ReceiveConfig(Channel& channel) {
  MRS_ASSIGN_OR_RETURN(const Message message, channel.Receive(Clock::now() + kFirstMessageWait));
  if (message.type != wire::MessageType::kConfig) {
    return Refuse("expected a config message first, got {}", wire::MessageTypeName(message.type));
  }
  return wire::DecodeConfig(message.body);
}

Result<wire::Peers> ReceivePeers(Channel& channel, const wire::Config& config) {
  MRS_ASSIGN_OR_RETURN(const Message message, channel.Receive(Clock::now() + milliseconds(config.timeout_ms)));
  if (message.type != wire::MessageType::kPeers) {
    return Refuse("expected a peers message, got {}", wire::MessageTypeName(message.type));
  }
  MRS_ASSIGN_OR_RETURN(wire::Peers peers, wire::DecodePeers(message.body));
  if (config.transport == wire::Transport::kTcp && peers.ports.size() != config.world_size) {
    return Refuse("the table of ports has {} entries, expected {}", peers.ports.size(), config.world_size);
  }
  return peers;
}

// One communicator for each rank of this process; null where the world is one rank.
Result<std::vector<std::unique_ptr<Communicator>>> Connect(const wire::Config& config, const wire::Peers& peers,
                                                           const std::optional<TcpListener>& listener, Fd memory) {
  const int world_size = static_cast<int>(config.world_size);
  CommOptions options;
  options.timeout = milliseconds(config.timeout_ms);
  if (!config.spin) options.spin = 0;
  std::vector<std::unique_ptr<Communicator>> comms;
  if (world_size == 1) {
    comms.emplace_back();
    return comms;
  }
  const int rank = static_cast<int>(config.first_rank);
  switch (config.transport) {
    case wire::Transport::kLocal:
      return MakeLocalCommunicators(world_size, options);
    case wire::Transport::kShm: {
      MRS_ASSIGN_OR_RETURN(auto comm, OpenShmCommunicator(rank, world_size, memory.get(), options));
      comms.push_back(std::move(comm));
      return comms;
    }
    case wire::Transport::kTcp: {
      MeshConfig mesh{.rank = rank, .endpoints = {}, .secret = {}};
      for (const uint16_t port : peers.ports) mesh.endpoints.push_back({"127.0.0.1", port});
      mesh.deadline = milliseconds(config.timeout_ms);
      mesh.secret.assign(peers.secret.begin(), peers.secret.end());
      MRS_ASSIGN_OR_RETURN(auto comm, ConnectMesh(*listener, mesh, options));
      comms.push_back(std::move(comm));
      return comms;
    }
  }
  return Refuse("unknown transport {}", static_cast<int>(config.transport));
}

Result<std::unique_ptr<Executor>> Load(const plan::Plan& plan, const wire::Config& config, uint32_t rank,
                                       Communicator* comm, Supervisor& supervisor) {
  CpuExecutorOptions options;
  options.model_dir = config.model_dir;
  options.threads = static_cast<int>(config.threads);
  options.isa = static_cast<kernels::Isa>(config.isa);
  options.spin = config.spin;
  options.progress = [&supervisor, rank](uint64_t done, uint64_t total) {
    // A supervisor that is gone is noticed at the next message that matters.
    [[maybe_unused]] const Status told =
        supervisor.Tell(wire::Encode(wire::Progress{.rank = rank, .bytes_done = done, .bytes_total = total}));
  };
  MRS_ASSIGN_OR_RETURN(std::unique_ptr<CpuExecutor> executor, MakeCpuExecutor(plan, rank, comm, std::move(options)));
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

// Largest batch that the plan's largest buckets can take.
uint32_t MaxBatchBytes(const plan::Plan& plan, uint64_t spaces) {
  wire::BatchCounts most{.spaces = spaces, .table_stride = TableStride(plan)};
  for (const plan::Stage* stage : *plan.stages()) {
    const plan::Bucket& bucket = *stage->buckets()->Get(stage->buckets()->size() - 1);
    most.tokens = std::max<uint64_t>(most.tokens, bucket.tokens());
    most.sequences = std::max<uint64_t>(most.sequences, bucket.sequences());
    most.logit_rows = std::max<uint64_t>(most.logit_rows, bucket.logit_rows());
  }
  return static_cast<uint32_t>(std::min<uint64_t>(wire::BatchBodyBytes(most), UINT32_MAX));
}

// Runs the oldest forward and, where one of this process' ranks is the one that answers, tells its result. An error
// ends the process, except that a supervisor that is gone needs no answer.
Status FinishOne(Supervisor& supervisor, RankTeam& team, bool answers) {
  MRS_ASSIGN_OR_RETURN(const RankTeam::Finished done, team.Await());
  if (!answers) return Status();
  const std::span<const std::byte> payload[] = {done.output.candidates, std::as_bytes(done.output.logits)};
  const Status told = supervisor.Tell(wire::EncodeResultHead(done.step, done.output), payload);
  return supervisor.channel().peer_gone() ? Status() : told;
}

// Takes batches until the supervisor says that it is over or is gone. Each is finished before the next is waited for
// or, where several may be under way, by another thread: a batch must be taken while an earlier result is still being
// sent, or supervisor and rank would wait for each other.
Status Serve(Supervisor& supervisor, RankTeam& team, bool finishes_here, bool answers) {
  for (;;) {
    const Result<Message> message = supervisor.channel().Receive(kForever);
    if (!message.ok()) return supervisor.channel().peer_gone() ? Status() : message.status();
    if (message->type == wire::MessageType::kShutdown) return Status();
    if (message->type != wire::MessageType::kBatch) {
      return Refuse("expected a batch, got a {} message", wire::MessageTypeName(message->type));
    }
    MRS_ASSIGN_OR_RETURN(wire::BatchMessage batch, wire::DecodeBatch(message->body));
    team.Enqueue(batch.step, std::move(batch.batch));
    if (finishes_here) MRS_RETURN_IF_ERROR(FinishOne(supervisor, team, answers));
  }
}

Status ServeInStages(Supervisor& supervisor, RankTeam& team, uint32_t lead, bool answers) {
  MRS_ASSIGN_OR_RETURN(std::thread finishing,
                       StartThread(
                           "what finishes the forwards",
                           [&] {
                             for (;;) {
                               const Status finished = FinishOne(supervisor, team, answers);
                               if (finished.ok()) continue;
                               if (finished.error().kind == ErrorKind::kCancelled) return;
                               supervisor.Fail(lead, finished.error());
                             }
                           },
                           [](const Error& error) { EndProcess("what finishes the forwards", error); }));
  const Status served = Guarded([&] { return Serve(supervisor, team, /*finishes_here=*/false, answers); });
  if (!served.ok()) supervisor.Fail(lead, served.error());  // the other thread may be waiting in a forward
  team.Stop();
  finishing.join();
  return served;
}

// From the config to the end; the exit code.
int Live(Supervisor& supervisor, const wire::Config& config) {
  supervisor.set_timeout(milliseconds(config.timeout_ms));
  const uint32_t first = config.first_rank;
  std::vector<Fd> passed = supervisor.channel().TakePassed();
  const size_t expected = config.transport == wire::Transport::kShm ? 2 : 1;
  if (passed.size() != expected) {  // the kernel drops those for which there is no room
    supervisor.Fail(first,
                    Refuse("{} of {} descriptors came with the config; raise the limit on open files (ulimit -n)",
                           passed.size(), expected));
  }
  Fd memory = expected == 2 ? std::move(passed[1]) : Fd();

  const Result<OpenedPlan> opened = OpenPlanDescriptor(passed[0].get(), config.plan_path);
  passed.clear();
  if (!opened.ok()) supervisor.Fail(first, opened.error());
  wire::Hello hello = MakeHello(*opened);
  hello.first_rank = first;
  std::optional<TcpListener> listener;
  if (config.transport == wire::Transport::kTcp) {
    Result<TcpListener> bound = TcpListener::Bind("127.0.0.1");
    if (!bound.ok()) supervisor.Fail(first, bound.error());
    listener.emplace(*std::move(bound));
    hello.listen_port = listener->port();
  }
  if (!supervisor.Tell(wire::Encode(hello)).ok()) return 1;
  const Result<wire::Peers> peers = ReceivePeers(supervisor.channel(), config);
  if (!peers.ok()) {
    if (supervisor.channel().peer_gone()) return 1;
    supervisor.Fail(first, peers.error());
  }
  // The supervisor compared the plan's hash; a mismatch never gets here, and nothing was loaded for it.
  if (hello.plan_sha256 != config.plan_sha256 || hello.world_size != config.world_size) return 1;

  Result<std::vector<std::unique_ptr<Communicator>>> comms = Connect(config, *peers, listener, std::move(memory));
  if (!comms.ok()) supervisor.Fail(first, comms.error());
  const plan::Plan& plan = opened->plan();
  const Result<std::vector<KvSpace>> spaces = KvSpacesOf(plan);
  if (!spaces.ok()) supervisor.Fail(first, spaces.error());
  const uint32_t answering = AnsweringRank(plan);
  const bool answers = answering >= first && answering - first < config.rank_count;
  const RankTeamShape shape{.first_rank = first,
                            .rank_count = config.rank_count,
                            .lead = answers ? answering : first,
                            .depth = plan.stages()->size()};
  RankTeam team(
      shape, [&](uint32_t rank) { return Load(plan, config, rank, (*comms)[rank - first].get(), supervisor); },
      [&](uint32_t rank, const Error& error) { supervisor.Fail(rank, error); });
  // What is thrown must not unwind the team: its threads may be waiting for this one.
  const Status served = Guarded([&]() -> Status {
    team.AwaitLoaded();
    supervisor.channel().set_max_body_bytes(std::max(wire::kMaxControlBytes, MaxBatchBytes(plan, spaces->size())));
    // Where another thread runs the forwards, this one would take its core.
    if (config.spin_for_batch && shape.depth == 1) supervisor.channel().set_spin(kSpinForBatch);
    const wire::Ready ready{.first_rank = first, .resident_bytes = ResidentBytes()};
    if (!supervisor.Tell(wire::Encode(ready)).ok()) return Status();
    if (shape.depth == 1) return Serve(supervisor, team, /*finishes_here=*/true, answers);
    return ServeInStages(supervisor, team, shape.lead, answers);
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
  try {
    return Live(supervisor, *config);
  } catch (...) {
    supervisor.Fail(config->first_rank, CaughtError());
  }
}

}  // namespace mrs
