// The rank processes as their supervisor sees them: started, met, watched, asked for a forward, ended; none outlives
// it.
//
//   MRS_ASSIGN_OR_RETURN(auto world, RankWorld::Start(opened, options, {.on_lost = ..., .on_progress = ...}));
//   MRS_RETURN_IF_ERROR(world->AwaitReady());
//   MRS_RETURN_IF_ERROR(world->Enqueue(1, batch));
//   MRS_ASSIGN_OR_RETURN(const StepOutput output, world->Await());
//
// Start, Stop and the destructor are one thread's, AwaitReady, Enqueue and Await another's (or the same).
// A rank that dies is noticed by the end of its socket, one that freezes or hangs by its line on the board
// (liveness.h), whether or not anyone waits for it; the others are killed, all are reaped, and on_lost hears one
// message that names the rank. After that every call returns this message.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plans/cluster_nodes.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/rank/executor.h"
#include "runtime/world/channel.h"
#include "runtime/world/finding_text.h"
#include "runtime/world/lifeline.h"
#include "runtime/world/liveness.h"
#include "runtime/world/node_lines.h"
#include "runtime/world/rank_voices.h"
#include "runtime/world/rendezvous.h"
#include "runtime/world/verdict.h"
#include "runtime/world/wire.h"

namespace mrs {

// The ranks of a world of several nodes that are of this one.
struct NodeShare {
  std::vector<PlanNode> nodes;  // of the plan
  uint32_t node = 0;            // this one
  std::string address;          // of this one, numeric: its ranks listen there, at the ports of cluster_ports.h
  uint16_t cluster_port = 0;    // 0: at any
};

// What the head of several nodes meets the others with.
struct HeadSeat {
  Party party;
  std::shared_ptr<TcpListener> listener;  // taken by the world, and closed once it stands
};

// A process of a ring, in which each rank is started by itself.
struct RingPlace {
  std::string listen_address;  // numeric, of this host
  uint16_t listen_port = 0;    // for its left neighbour
};

struct RankOptions {
  std::string plan_path;
  std::string model_dir;
  wire::Transport transport = wire::Transport::kLocal;
  uint32_t threads = 1;  // per rank
  uint8_t isa = 0;       // kernels::Isa
  bool cuda_graphs = true;
  bool dependent_launch = true;
  LivenessLimits liveness = {};
  std::string program = "/proc/self/exe";
  std::optional<NodeShare> share = {};               // absent: all ranks are of this host
  std::optional<HeadSeat> head = {};                 // with a share of node 0
  std::optional<RingPlace> ring = {};                // with a share of one rank; the transport is kRing
  uint32_t ranks_on_host = 0;                        // that share its cores; 0: those that are started here
  RehearsalScope rehearsal = RehearsalScope::kNone;  // else no file of the model is opened
  RankVoices* voices = nullptr;  // borrowed: takes what ranks write to standard error; null: this process' own does
  bool integrity = false;        // tags on what ranks say to each other over sockets
  uint32_t streams = 1;          // connections between two ranks of different hosts
  std::string congestion = {};   // congestion control of them; "": see comm/tcp_socket.h
};

struct RankCallbacks {
  std::function<void(const std::string&)> on_lost;      // once, from the watching thread
  std::function<void(const std::string&)> on_slow;      // at most once a minute, from the watching thread
  std::function<void(uint64_t, uint64_t)> on_progress;  // bytes read and to be read, all ranks; from AwaitReady
  // Of a node that is not the head: a Failure or an Ended (node_wire.h), which the head judges; from the watching
  // thread.
  std::function<void(const std::string& message)> on_evidence = {};
};

class RankWorld {
 public:
  // Starts all rank processes and tells them what to be; ends the ignoring of SIGCHLD. The calling thread must live as
  // long as they do: the kernel ends them with it. `opened` must outlive the world.
  static Result<std::unique_ptr<RankWorld>> Start(const OpenedPlan& opened, const RankOptions& options,
                                                  RankCallbacks callbacks);
  ~RankWorld();  // Stop
  RankWorld(const RankWorld&) = delete;
  RankWorld& operator=(const RankWorld&) = delete;

  // Compares every rank with this process, brings them together, and returns when all have loaded.
  Status AwaitReady();
  // Hands a forward to all ranks. As many as the plan has stages may be under way.
  Status Enqueue(uint64_t step, const Batch& batch);
  // The result of the oldest forward under way, valid until the next call.
  Result<StepOutput> Await();
  // Of a rehearsal, with no forward under way: what every rank measured, by rank.
  Result<std::vector<wire::Measured>> Measure();
  // Of a node that is not the head, in place of the above: the next message of a rank, to be passed on; waits as long
  // as it takes. Another thread may pass messages on to all ranks.
  Result<Message> Hear();
  Status Pass(const std::string& head, std::span<const std::byte> body);
  // How far the ranks of this host are, for the head; any thread.
  wire::Beat Beat() const;
  // Any thread: ends the world with this text, as for a rank that was lost.
  void EndWith(const std::string& why);
  // Readable once there is a verdict or an interruption.
  int ended_fd() const { return broken_event_.get(); }
  std::optional<std::string> verdict();  // any thread
  // Any thread: AwaitReady gives up now, Enqueue and Await within a second.
  void Interrupt();
  // Asks all ranks to end, kills those that do not within a second, and reaps all. Other nodes end in order, or hear
  // of the head's `failure`.
  void Stop(const std::string& failure = "");

  // Of the CUDA graphs of a GPU, once all are ready: how many at most, and how long they took at most. Of CPUs none.
  struct Captured {
    uint32_t graphs = 0, milliseconds = 0;
  };
  Captured captured() const { return captured_; }
  std::vector<int> pids() const;
  std::string phase();  // "while loading weights", "at step 57"; any thread

 private:
  struct Process {
    uint32_t first_rank = 0;
    uint32_t rank_count = 0;
    int pid = -1;
    bool reaped = false;  // of the watching thread, then of Stop
    std::unique_ptr<Channel> channel = nullptr;
  };
  struct Incoming {
    size_t member = 0;
    Message message;
  };

  RankWorld(const OpenedPlan& opened, const RankOptions& options, RankCallbacks callbacks);
  Status Spawn();  // rank_world.cc
  Status Meet();   // rank_meeting.cc, as AwaitReady
  Status Load();
  Status HearHellos(size_t first_member, std::vector<wire::Endpoint>* endpoints);
  // Of a ring: where each rank's left neighbour connects to, as the ranks' files have it.
  std::vector<wire::Endpoint> RingEndpoints() const;
  // rank_nodes.cc: the other nodes, where this is the head.
  Status JoinNodes();
  // Before there is a world: the nodes that have come, or do while they are waited for, hear why there will be none.
  void TellNodes(const std::string& why);
  void HearNode(uint32_t node, const Message& message);
  void LoseNode(uint32_t node, const std::string& why);
  void LoseMember(size_t member);  // where it is a node whose connection closed
  // What a member tells of a rank of its own.
  Result<wire::Failure> FailureOf(size_t member, std::span<const std::byte> body) const;
  void LookAtNodes(Sight* sight);  // adds what their beats said
  std::shared_ptr<Lifelines> lines();
  // A process of this host, or another node: whoever has a socket. The processes come first.
  size_t member_count() const { return processes_.size() + nodes_.size(); }
  Channel& channel(size_t member) const {
    return member < processes_.size() ? *processes_[member].channel : *nodes_[member - processes_.size()].work;
  }
  std::string OwnAddress() const;  // where the ranks of this host listen
  uint32_t FirstRank(size_t member) const;
  bool HasRank(size_t member, uint32_t rank) const;
  uint32_t RankCount(size_t member) const;  // messages of each of which a member passes on
  // rank_running.cc, as Enqueue and Await. The next message of any rank, member `awaited` among them, however long
  // that takes while the ranks get on; a Failure, a lost rank and one that hangs end the world.
  enum class Waiting { kForStart, kForStep };
  Result<Incoming> Next(size_t awaited, Waiting waiting);
  Result<Incoming> NextMessage(Waiting waiting);
  // Waits while the rank gets on, too: the watching thread ends it otherwise.
  Status SendAll(const std::string& for_ranks, const std::string& for_nodes);
  // rank_watch.cc.
  Error AwaitVerdict();
  Error Report(uint32_t rank, ErrorKind kind, std::string message);  // a cause; returns the verdict
  void HearFailures();  // takes what has arrived; other messages of a broken world are dropped
  void Watch();
  // What the board shows now; nothing that matters: nullopt.
  std::optional<Finding> LookAtBoard(Liveness& liveness);
  WorldNames Names() const;
  void Break(const std::string& verdict);
  void SetPhase(std::string phase);

  const OpenedPlan& opened_;
  const RankOptions options_;
  const RankCallbacks callbacks_;
  std::vector<Process> processes_;  // of this host
  std::vector<NodeLink> nodes_;     // the head's, from Meet on
  size_t answering_ = 0;            // the member that gives the results
  std::deque<uint64_t> under_way_;  // steps, oldest first
  Captured captured_;               // as AwaitReady heard
  bool spin_ = false;               // cores enough for the supervisor to wait awake

  Fd wake_watcher_;  // eventfd: something for the watching thread
  Fd broken_event_;  // eventfd, readable once there is a verdict or an interruption
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> handing_out_{false};
  static constexpr uint32_t kNobodyAwaited = UINT32_MAX;
  std::atomic<uint32_t> awaited_{kNobodyAwaited};  // the rank whose message Next waits for
  ProgressBoard board_;

  std::mutex mutex_;
  std::condition_variable judged_;
  std::vector<wire::Failure> failures_;  // guarded by mutex_, as all that follow
  std::string phase_;
  std::optional<std::string> verdict_;
  std::vector<ProcessEnd> remote_ends_;
  std::optional<std::string> node_lost_;  // "node 1 (b) is gone: its connection closed"
  std::optional<std::string> work_lost_;  // the same of a connection for work, where its lifeline says nothing
  std::optional<std::string> told_;       // of EndWith
  std::shared_ptr<Lifelines> lines_;
  std::unique_ptr<NodeLines> node_lines_;  // the head's; from JoinNodes on, and set before lines_ is
  struct Remote {
    RankProgress progress = {};
    std::chrono::steady_clock::time_point heard = {};
  };
  std::vector<Remote> remote_;  // [rank], of other nodes

  std::thread watcher_;
};

}  // namespace mrs
