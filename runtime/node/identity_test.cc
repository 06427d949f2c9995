#include "runtime/node/identity.h"

#include <gtest/gtest.h>

#include "runtime/node/claims.h"

namespace mrs {
namespace {

std::vector<PlanNode> One(uint32_t ranks = 2) {
  PlanNode node{"here", "", {}};
  for (uint32_t rank = 0; rank < ranks; ++rank) node.ranks.push_back(rank);
  return {node};
}

// a has ranks 0 and 1, b has 2 and 3, ...
std::vector<PlanNode> Nodes(uint32_t count, const std::string& head = "10.0.0.1") {
  std::vector<PlanNode> nodes;
  for (uint32_t i = 0; i < count; ++i) {
    nodes.push_back({std::string(1, static_cast<char>('a' + i)),
                     i == 0         ? head
                     : head.empty() ? ""
                                    : fmt::format("10.0.0.{}", i + 1),
                     {2 * i, 2 * i + 1}});
  }
  return nodes;
}

RingFound Ring(uint32_t rank, uint32_t world, std::optional<std::string> master = "10.0.0.1") {
  return {"r.json",
          {.master_ip = master,
           .master_port = 9000,
           .port = 9001,
           .right_port = 9002,
           .right_ip = {},
           .rank = rank,
           .world_size = world}};
}

// Whose right neighbour is said.
RingFound Between(uint32_t rank, uint32_t world, std::optional<std::string> right_ip, uint16_t right_port) {
  RingFound ring = Ring(rank, world);
  ring.config.right_ip = std::move(right_ip);
  ring.config.right_port = right_port;
  return ring;
}
RingFound LastOfSix() {
  RingFound ring = Ring(3, 4, "[fd00::1]");
  ring.config.right_ip = "[fd00:0::1]";
  return ring;
}
// Whose right neighbour is where the plan has it.
RingFound AtHead(uint32_t rank, const std::string& master_ip) {
  RingFound ring = Ring(rank, 4, master_ip);
  if (rank == 1) ring.config.right_ip = "10.0.0.2";
  if (rank == 3) ring.config.right_ip = master_ip;
  return ring;
}
RingFound Clashing() {
  RingFound ring = Ring(1, 2, "127.0.0.1");
  ring.config.port = 9000;
  return ring;
}

const Environment kLws = {{"LWS_LEADER_ADDRESS", "m-0.m.ns"}, {"LWS_GROUP_SIZE", "2"}, {"LWS_WORKER_INDEX", "1"}};
const Environment kSlurm = {
    {"SLURM_NODEID", "1"},         {"SLURM_PROCID", "1"},         {"SLURM_LOCALID", "0"},
    {"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_STEP_NODELIST", "gpu-[07-08]"},
    {"SLURM_JOB_NUM_NODES", "4"},  {"SLURM_JOB_ID", "7"},         {"SLURM_STEP_ID", "0"}};
const Environment kHead = {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "4"},
                           {"MISTRALRS_MN_LOCAL_WORLD_SIZE", "2"},
                           {"MISTRALRS_MN_HEAD_NUM_WORKERS", "1"},
                           {"MISTRALRS_MN_HEAD_PORT", "9000"}};
const Environment kWorker = {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "4"},
                             {"MISTRALRS_MN_WORKER_SERVER_ADDR", "10.0.0.1:9000"},
                             {"MISTRALRS_MN_WORKER_ID", "0"}};

Environment With(Environment environment, const Environment& changes) {
  for (const auto& [name, value] : changes) environment[name] = value;
  return environment;
}
Environment Without(Environment environment, std::string_view name) {
  environment.erase(environment.find(name));
  return environment;
}

IdentityFlags Flags(std::optional<uint32_t> node = {}, std::string head = "") {
  return {.node = node, .head = std::move(head), .cluster_port = 0};
}

TEST(Identity, IsWhatIsSaid) {
  struct Case {
    IdentityFlags flags;
    Environment environment;
    std::vector<PlanNode> nodes;
    std::optional<RingFound> ring;
    uint32_t node, count;
    std::vector<uint32_t> ranks;
    std::string head;
    uint16_t port;
    std::string source;
    std::vector<std::string> notices = {};
  };
  const std::vector<Case> cases = {
      {Flags(), {}, One(), {}, 0, 1, {0, 1}, "", 0, "the plan, which has one node"},
      {Flags(0), {}, One(), {}, 0, 1, {0, 1}, "", 0, "--node 0"},
      {Flags(1), {}, Nodes(2), {}, 1, 2, {2, 3}, "10.0.0.1", 0, "--node 1"},
      {Flags(1, "h:77"), {}, Nodes(2, ""), {}, 1, 2, {2, 3}, "h", 77, "--node 1"},
      {Flags(1, "[fd00::1]"), {}, Nodes(2, "fd00:0::1"), {}, 1, 2, {2, 3}, "fd00::1", 0, "--node 1"},
      {Flags(), kLws, Nodes(2, ""), {}, 1, 2, {2, 3}, "m-0.m.ns", 0, "LWS_WORKER_INDEX=1"},
      {Flags(),
       kLws,
       Nodes(2),
       {},
       1,
       2,
       {2, 3},
       "10.0.0.1",
       0,
       "LWS_WORKER_INDEX=1",
       {"the head is met at 10.0.0.1, where the plan has it; LWS_LEADER_ADDRESS=m-0.m.ns is not used"}},
      {Flags(1), With(kLws, kSlurm), Nodes(2, ""), {}, 1, 2, {2, 3}, "m-0.m.ns", 0, "--node 1"},
      {Flags(), kSlurm, Nodes(2, ""), {}, 1, 2, {2, 3}, "gpu-07", 0, "SLURM_NODEID=1"},
      {Flags(), kSlurm, Nodes(2), {}, 1, 2, {2, 3}, "10.0.0.1", 0, "SLURM_NODEID=1"},
      {Flags(), Without(kSlurm, "SLURM_NODEID"), Nodes(2), {}, 1, 2, {2, 3}, "10.0.0.1", 0, "SLURM_PROCID=1"},
      {Flags(),
       {{"SLURM_NODEID", "0"}, {"SLURM_NNODES", "2"}},
       Nodes(2),
       {},
       0,
       2,
       {0, 1},
       "10.0.0.1",
       0,
       "SLURM_NODEID=0"},
      // salloc's shell, and a variable that somebody emptied
      {Flags(),
       {{"SLURM_NNODES", "4"}, {"LWS_GROUP_SIZE", ""}},
       One(),
       {},
       0,
       1,
       {0, 1},
       "",
       0,
       "the plan, which has one node"},
      {Flags(),
       {{"SLURM_NODEID", "0"}, {"SLURM_NNODES", "2"}, {"SLURM_JOB_ID", "7"}},
       Nodes(2),
       {},
       0,
       2,
       {0, 1},
       "10.0.0.1",
       0,
       "SLURM_NODEID=0",
       {"SLURM_STEP_ID is not set: this is the batch script on the first node, and nothing starts the other 1 node; "
        "start all with srun --nodes=2 --ntasks-per-node=1 mrs-exec ..."}},
      {Flags(), kHead, Nodes(2), {}, 0, 2, {0, 1}, "10.0.0.1", 9000, "MISTRALRS_MN_HEAD_NUM_WORKERS=1"},
      {Flags(), kWorker, Nodes(2), {}, 1, 2, {2, 3}, "10.0.0.1", 9000, "MISTRALRS_MN_WORKER_ID=0"},
      {Flags(),
       Without(With(kWorker, {{"MISTRALRS_WORKER_SERVER_ADDR", "10.0.0.1:9000"}}), "MISTRALRS_MN_WORKER_SERVER_ADDR"),
       Nodes(2, ""),
       {},
       1,
       2,
       {2, 3},
       "10.0.0.1",
       9000,
       "MISTRALRS_MN_WORKER_ID=0",
       {"MISTRALRS_WORKER_SERVER_ADDR is taken for MISTRALRS_MN_WORKER_SERVER_ADDR, as mistral.rs reads it; rename "
        "it"}},
      {Flags(),
       {{"MISTRALRS_MN_LOCAL_WORLD_SIZE", "2"}},
       One(),
       {},
       0,
       1,
       {0, 1},
       "",
       0,
       "the plan, which has one node"},
      {Flags(),
       {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "2"}},
       One(),
       {},
       0,
       1,
       {0, 1},
       "",
       0,
       "MISTRALRS_MN_GLOBAL_WORLD_SIZE=2"},
      {Flags(1), {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "4"}}, Nodes(2), {}, 1, 2, {2, 3}, "10.0.0.1", 0, "--node 1"},
      {Flags(), {}, Nodes(2), Between(2, 4, {}, 9003), 2, 4, {2}, "10.0.0.1", 9000, "RING_CONFIG=r.json, rank 2"},
      {Flags(), {}, One(), Ring(1, 2, "0.0.0.0"), 1, 2, {1}, "127.0.0.1", 9000, "RING_CONFIG=r.json, rank 1"},
      {Flags(1), {}, Nodes(2, ""), LastOfSix(), 3, 4, {3}, "fd00::1", 9000, "--node 1"},
  };
  for (const Case& c : cases) {
    const Result<NodeIdentity> identity = IdentifyNode(c.flags, c.environment, c.nodes, c.ring);
    ASSERT_TRUE(identity.ok()) << identity.message();
    EXPECT_EQ(identity->node, c.node) << c.source;
    EXPECT_EQ(identity->nodes, c.count) << c.source;
    EXPECT_EQ(identity->ranks, c.ranks) << c.source;
    EXPECT_EQ(identity->head_address, c.head) << c.source;
    EXPECT_EQ(identity->head_port, c.port) << c.source;
    EXPECT_EQ(identity->source, c.source);
    EXPECT_EQ(identity->notices, c.notices) << c.source;
  }
}

TEST(Identity, EveryMistakeHasItsMessage) {
  struct Case {
    IdentityFlags flags;
    Environment environment;
    std::vector<PlanNode> nodes;
    std::optional<RingFound> ring;
    std::string message;
  };
  const std::string start = "start it with srun --nodes=2 --ntasks-per-node=1 mrs-exec ...";
  const std::vector<Case> cases = {
      {Flags(),
       {},
       Nodes(3),
       {},
       "the plan has 3 nodes (a, b, c), and nothing says which of them this is: give --node K (0 to 2), or start it by "
       "LeaderWorkerSet (LWS_WORKER_INDEX), srun (SLURM_NODEID), with mistral.rs' MISTRALRS_MN_* variables, or with "
       "RING_CONFIG"},
      {Flags(2), {}, Nodes(2), {}, "--node 2: the plan has 2 nodes (a, b), so --node is 0 to 1"},
      {Flags(1), {}, One(), {}, "--node 1: the plan has 1 node (here), so --node is 0"},
      {Flags({}, "10.0.0.1:0"),
       {},
       Nodes(2),
       {},
       "--head 10.0.0.1:0: the port is no whole number from 1 to 65535; expected ADDRESS or ADDRESS:PORT, such as "
       "10.0.0.1 or [fd00::1]"},
      {Flags(0, "10.0.0.9"),
       {},
       Nodes(2),
       {},
       "--head 10.0.0.9, but the plan has its head a at 10.0.0.1: correct it, or the address in the cluster file, and "
       "plan anew"},
      {Flags(0),
       kLws,
       Nodes(2),
       {},
       "--node 0 is node 0 (a) of the plan, but LWS_WORKER_INDEX=1 is node 1 (b): give one of the two, or make them "
       "agree"},
      // LeaderWorkerSet
      {Flags(),
       Without(kLws, "LWS_WORKER_INDEX"),
       Nodes(2),
       {},
       "LWS_LEADER_ADDRESS is set, but LWS_WORKER_INDEX is not set: LeaderWorkerSet sets LWS_LEADER_ADDRESS, "
       "LWS_GROUP_SIZE and LWS_WORKER_INDEX together (the last since v0.5.0); set LWS_WORKER_INDEX, or unset the "
       "others "
       "and say --node K"},
      {Flags(),
       With(kLws, {{"LWS_GROUP_SIZE", ""}}),
       Nodes(2),
       {},
       "LWS_LEADER_ADDRESS is set, but LWS_GROUP_SIZE is empty: LeaderWorkerSet sets LWS_LEADER_ADDRESS, "
       "LWS_GROUP_SIZE "
       "and LWS_WORKER_INDEX together (the last since v0.5.0); set LWS_GROUP_SIZE, or unset the others and say --node "
       "K"},
      {Flags(),
       With(kLws, {{"LWS_GROUP_SIZE", "3"}}),
       Nodes(2),
       {},
       "LWS_GROUP_SIZE=3, but the plan has 2 nodes (a, b): set leaderWorkerTemplate.size to 2, or plan for 3 nodes"},
      {Flags(),
       With(kLws, {{"LWS_WORKER_INDEX", "2"}}),
       Nodes(2),
       {},
       "LWS_WORKER_INDEX=2, but LWS_GROUP_SIZE=2: the workers of a group are 0 (the leader) to 1"},
      {Flags(),
       With(kLws, {{"LWS_WORKER_INDEX", "-1"}}),
       Nodes(2),
       {},
       "LWS_WORKER_INDEX=-1: expected a whole number from 0 to 65535"},
      {Flags(),
       With(kLws, {{"LWS_WORKER_INDEX", "1\n\x1b[31m"}}),
       Nodes(2),
       {},
       "LWS_WORKER_INDEX=1\\x0a\\x1b[31m: expected a whole number from 0 to 65535"},
      {Flags(),
       With(kLws, {{"LWS_LEADER_ADDRESS", "a b"}}),
       Nodes(2),
       {},
       "LWS_LEADER_ADDRESS=a b: neither a host name nor an IP address; expected ADDRESS or ADDRESS:PORT, such as "
       "10.0.0.1 or [fd00::1]"},
      {Flags(),
       With(kLws, {{"LWS_LEADER_ADDRESS", "10.0.0.2"}}),
       Nodes(2),
       {},
       "LWS_LEADER_ADDRESS=10.0.0.2, but the plan has its head a at 10.0.0.1: correct it, or the address in the "
       "cluster "
       "file, and plan anew"},
      // Slurm
      {Flags(),
       {{"SLURM_NODEID", "0"}},
       Nodes(2),
       {},
       "SLURM_NODEID=0 is set, but SLURM_STEP_NUM_NODES, SLURM_JOB_NUM_NODES and SLURM_NNODES are not: " + start +
           ", or unset SLURM_NODEID and say --node K"},
      {Flags(),
       {{"SLURM_JOB_NUM_NODES", "2"}},
       Nodes(2),
       {},
       "SLURM_JOB_NUM_NODES=2 is set, but SLURM_NODEID is not set: this is an allocation, and no step of it; " + start},
      {Flags(),
       With(kSlurm, {{"SLURM_STEP_NUM_NODES", "3"}}),
       Nodes(2),
       {},
       "SLURM_STEP_NUM_NODES=3, but the plan has 2 nodes (a, b): " + start + ", or plan for 3 nodes"},
      {Flags(),
       {{"SLURM_NNODES", "4"}, {"SLURM_NODEID", "0"}},
       Nodes(2),
       {},
       "SLURM_NNODES=4, but the plan has 2 nodes (a, b): " + start + ", or plan for 4 nodes"},
      {Flags(),
       With(kSlurm, {{"SLURM_NODEID", "2"}}),
       Nodes(2),
       {},
       "SLURM_NODEID=2, but SLURM_STEP_NUM_NODES=2: the nodes of a step are 0 to 1"},
      {Flags(),
       With(kSlurm, {{"SLURM_LOCALID", "1"}}),
       Nodes(2),
       {},
       "SLURM_LOCALID=1: a node's first task starts all of its ranks, and another has nothing to do; " + start},
      {Flags(),
       With(kSlurm, {{"SLURM_STEP_NUM_TASKS", "4"}}),
       Nodes(2),
       {},
       "SLURM_STEP_NUM_TASKS=4, but SLURM_STEP_NUM_NODES=2: one task a node starts all of its ranks; " + start},
      {Flags(),
       Without(With(kSlurm, {{"SLURM_STEP_NUM_TASKS", "4"}}), "SLURM_NODEID"),
       Nodes(2),
       {},
       "SLURM_PROCID=1 tells the node only where each has one task, but SLURM_STEP_NUM_TASKS=4 and "
       "SLURM_STEP_NUM_NODES=2: " +
           start},
      {Flags(),
       With(kSlurm, {{"SLURM_STEP_NODELIST", "gpu-[07"}}),
       Nodes(2),
       {},
       "SLURM_STEP_NODELIST=gpu-[07: expected a list of hosts such as gpu-[01-04,7],login-2"},
      // mistral.rs: the lines of its manual, a head of one worker beside the workers 0, 1 and 2, with 32 ranks
      {Flags(),
       Without(With(kHead, {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "8"}}), "MISTRALRS_MN_LOCAL_WORLD_SIZE"),
       Nodes(4),
       {},
       "MISTRALRS_MN_HEAD_NUM_WORKERS=1, so the head and its workers are 2 nodes, but the plan has 4 nodes (a, b, c, "
       "d): set it to 3, or plan for 2"},
      {Flags(),
       With(kWorker, {{"MISTRALRS_MN_WORKER_ID", "1"}}),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_ID=1, but the plan has 2 nodes (a, b): a head and the workers 0 to 0; plan for at least 3 "
       "nodes, or leave this one out"},
      {Flags(),
       With(kHead, {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "32"}}),
       Nodes(2),
       {},
       "MISTRALRS_MN_GLOBAL_WORLD_SIZE=32, but the plan has 4 ranks on 2 nodes (a, b): set it to 4, or plan for 32 "
       "ranks"},
      {Flags(),
       With(kHead, {{"MISTRALRS_MN_LOCAL_WORLD_SIZE", "1"}}),
       Nodes(2),
       {},
       "MISTRALRS_MN_LOCAL_WORLD_SIZE=1, but the plan has 2 ranks on node a: set it to 2, or plan for 1 there"},
      {Flags(),
       {{"MISTRALRS_MN_LOCAL_WORLD_SIZE", "4"}},
       One(),
       {},
       "MISTRALRS_MN_LOCAL_WORLD_SIZE=4, but the plan has 2 ranks on node here: set it to 2, or plan for 4 there"},
      {Flags(),
       kWorker,
       One(4),
       {},
       "MISTRALRS_MN_WORKER_ID=0, but the plan has 1 node (here), and so no workers: unset it, or plan for several "
       "nodes"},
      {Flags(),
       Without(kHead, "MISTRALRS_MN_HEAD_PORT"),
       Nodes(2),
       {},
       "MISTRALRS_MN_HEAD_NUM_WORKERS=1 is set, but MISTRALRS_MN_HEAD_PORT is not set: set it to the port on which the "
       "head listens for its workers"},
      {Flags(),
       Without(kHead, "MISTRALRS_MN_HEAD_NUM_WORKERS"),
       Nodes(2),
       {},
       "MISTRALRS_MN_HEAD_PORT=9000 is set, but MISTRALRS_MN_HEAD_NUM_WORKERS is not set: set it to 1, the plan's "
       "nodes "
       "without the head"},
      {Flags(),
       Without(kHead, "MISTRALRS_MN_GLOBAL_WORLD_SIZE"),
       Nodes(2),
       {},
       "MISTRALRS_MN_HEAD_NUM_WORKERS=1 is set, but MISTRALRS_MN_GLOBAL_WORLD_SIZE is not set: set it to 4, the plan's "
       "ranks on all nodes"},
      {Flags(),
       Without(kWorker, "MISTRALRS_MN_GLOBAL_WORLD_SIZE"),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_ID=0 is set, but MISTRALRS_MN_GLOBAL_WORLD_SIZE is not set: set it to 4, the plan's ranks "
       "on "
       "all nodes"},
      {Flags(),
       Without(kWorker, "MISTRALRS_MN_WORKER_ID"),
       Nodes(3),
       {},
       "MISTRALRS_MN_GLOBAL_WORLD_SIZE=4, but the plan has 6 ranks on 3 nodes (a, b, c): set it to 6, or plan for 4 "
       "ranks"},
      {Flags(),
       Without(kWorker, "MISTRALRS_MN_WORKER_ID"),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_SERVER_ADDR=10.0.0.1:9000 is set, but MISTRALRS_MN_WORKER_ID is not set: set it to which "
       "worker this is, 0 to 0"},
      {Flags(),
       Without(kWorker, "MISTRALRS_MN_WORKER_SERVER_ADDR"),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_ID=0 is set, but MISTRALRS_MN_WORKER_SERVER_ADDR is not set: a worker needs the head's "
       "address and port, such as 10.0.0.1:9000"},
      {Flags(),
       With(kWorker, {{"MISTRALRS_WORKER_SERVER_ADDR", "10.0.0.1:9001"}}),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_SERVER_ADDR=10.0.0.1:9000, but MISTRALRS_WORKER_SERVER_ADDR=10.0.0.1:9001: unset the "
       "latter, which mistral.rs itself does not read"},
      {Flags(),
       With(kHead, kWorker),
       Nodes(2),
       {},
       "MISTRALRS_MN_HEAD_NUM_WORKERS=1 is a head's, MISTRALRS_MN_WORKER_ID=0 a worker's: a node is one of the two; "
       "unset the other's variables"},
      {Flags(),
       With(kWorker, {{"MISTRALRS_MN_WORKER_SERVER_ADDR", "10.0.0.1"}}),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_SERVER_ADDR=10.0.0.1: the port is missing; expected ADDRESS:PORT, such as 10.0.0.1:9000 or "
       "[fd00::1]:9000"},
      {Flags(),
       With(kWorker, {{"MISTRALRS_MN_WORKER_SERVER_ADDR", "10.0.0.7:9000"}}),
       Nodes(2),
       {},
       "MISTRALRS_MN_WORKER_SERVER_ADDR=10.0.0.7:9000, but the plan has its head a at 10.0.0.1: correct it, or the "
       "address in the cluster file, and plan anew"},
      {Flags(),
       {{"MISTRALRS_MN_GLOBAL_WORLD_SIZE", "4"}},
       Nodes(2),
       {},
       "the plan has 2 nodes (a, b), and nothing says which of them this is (MISTRALRS_MN_GLOBAL_WORLD_SIZE=4 does "
       "not): give --node K (0 to 1), or start it by LeaderWorkerSet (LWS_WORKER_INDEX), srun (SLURM_NODEID), with "
       "mistral.rs' MISTRALRS_MN_* variables, or with RING_CONFIG"},
      {Flags(), With(kWorker, kSlurm), Nodes(2, ""), {}, ""},
      {Flags(),
       With(kHead, kSlurm),
       Nodes(2),
       {},
       "SLURM_NODEID=1 is node 1 (b) of the plan, but MISTRALRS_MN_HEAD_NUM_WORKERS=1 is node 0 (a): give one of the "
       "two, or make them agree"},
      // The ring
      {Flags(),
       {},
       Nodes(2),
       Between(1, 4, {}, 9002),
       "r.json: 'right_ip' is left out, which is this host, but the plan has the right neighbour, rank 2, on node 1 (b "
       "at 10.0.0.2): write its address"},
      {Flags(),
       {},
       Nodes(2),
       Between(1, 4, "0.0.0.0", 9002),
       "r.json: 'right_ip' \"0.0.0.0\" is this host, but the plan has the right neighbour, rank 2, on node 1 (b at "
       "10.0.0.2): write its address"},
      {Flags(),
       {},
       Nodes(2),
       Between(1, 4, "10.0.0.7", 9002),
       "r.json: 'right_ip' \"10.0.0.7\", but the plan has the right neighbour, rank 2, on node 1 (b at 10.0.0.2): "
       "correct "
       "it, or the address in the cluster file, and plan anew"},
      {Flags(),
       {},
       Nodes(2, ""),
       Between(3, 4, "10.0.0.7", 9002),
       "r.json: 'right_ip' \"10.0.0.7\", but 'master_ip' \"10.0.0.1\": the right neighbour of rank 3 is rank 0, the "
       "master: the ring is not closed; write rank 0's address in both"},
      {Flags(),
       {},
       Nodes(2),
       Between(3, 4, "10.0.0.1", 9000),
       "r.json: 'right_port' 9000 is 'master_port', where rank 0 meets all ranks: the ring is not closed; write rank "
       "0's "
       "'port', where it hears its left neighbour"},
      {Flags(),
       {},
       One(),
       Clashing(),
       "r.json: 'port' 9000 is 'master_port', too, and the master is on this host: give this rank a port of its own"},
      {Flags(),
       {},
       Nodes(2),
       Ring(0, 2),
       "r.json: 'world_size' 2, but the plan has 4 ranks: write the files of its ranks with mrs-plan export --for "
       "mistralrs, or plan for 2 ranks"},
      {Flags(),
       {},
       Nodes(2),
       AtHead(1, "10.0.0.2"),
       "r.json: 'master_ip' \"10.0.0.2\", but the plan has its head a at 10.0.0.1: correct it, or the address in the "
       "cluster file, and plan anew"},
      {Flags(0),
       {},
       Nodes(2),
       AtHead(3, "10.0.0.1"),
       "--node 0 is node 0 (a) of the plan, but RING_CONFIG=r.json, rank 3 is node 1 (b): give one of the two, or make "
       "them agree"},
      {Flags(), With(kHead, {{"MISTRALRS_MN_HEAD_PORT", "9009"}}), Nodes(2), AtHead(0, "10.0.0.1"),
       "MISTRALRS_MN_HEAD_PORT=9009, but r.json: 'master_ip' \"10.0.0.1\": both say the head's port, 9009 and 9000; "
       "give "
       "one of the two, or make them agree"},
      {Flags(1, "10.0.0.1"), kWorker, Nodes(2, ""), AtHead(2, "10.0.0.5"),
       "--head 10.0.0.1, but r.json: 'master_ip' \"10.0.0.5\": both say where the head is; give one of the two, or "
       "make "
       "them agree"},
  };
  for (const Case& c : cases) {
    const Result<NodeIdentity> identity = IdentifyNode(c.flags, c.environment, c.nodes, c.ring);
    if (c.message.empty()) {
      EXPECT_TRUE(identity.ok()) << identity.message();
      continue;
    }
    ASSERT_FALSE(identity.ok()) << c.message;
    EXPECT_EQ(identity.message(), c.message);
  }
}

TEST(Identity, ThePortMayBeSaidAlone) {
  const Result<NodeIdentity> identity = IdentifyNode({.node = 1, .head = "", .cluster_port = 77}, kLws, Nodes(2));
  ASSERT_TRUE(identity.ok()) << identity.message();
  EXPECT_EQ(identity->head_address, "10.0.0.1");
  EXPECT_EQ(identity->head_port, 77);
  EXPECT_EQ(IdentifyNode({.node = 1, .head = "10.0.0.1:78", .cluster_port = 77}, {}, Nodes(2)).message(),
            "--head 10.0.0.1:78, but --cluster-port 77: both say the head's port; give one of the two");
  EXPECT_EQ(
      IdentifyNode({.node = 0, .head = "", .cluster_port = 77}, kHead, Nodes(2)).message(),
      "--cluster-port 77, but MISTRALRS_MN_HEAD_PORT=9000: both say the head's port, 77 and 9000; give one of the "
      "two, or make them agree");
}

TEST(Identity, HeadsAreReadAsTheyAreWritten) {
  const auto read = [](std::string_view text) -> std::string {
    const Result<node::HeadClaim> head = node::ReadHead("X", text, /*port_needed=*/false);
    if (!head.ok()) return head.message().substr(0, head.message().find(';'));
    return fmt::format("{} {}", head->address, head->port);
  };
  EXPECT_EQ(read("10.0.0.1"), "10.0.0.1 0");
  EXPECT_EQ(read("node-7.rack_2:80"), "node-7.rack_2 80");
  EXPECT_EQ(read("[fd00::1]:65535"), "fd00::1 65535");
  EXPECT_EQ(read("fd00::1"), "fd00::1 0");
  EXPECT_EQ(read(""), "X=: no address of 1 to 253 bytes");
  EXPECT_EQ(read(":80"), "X=:80: no address of 1 to 253 bytes");
  EXPECT_EQ(read("[fd00::1"), "X=[fd00::1: '[' without ']'");
  EXPECT_EQ(read("[fd00::1]80"), "X=[fd00::1]80: something other than a port follows ']'");
  EXPECT_EQ(read("[10.0.0.1]:80"), "X=[10.0.0.1]:80: no IPv6 address stands in the brackets");
  EXPECT_EQ(read("10.0.0.256"), "X=10.0.0.256: no IPv4 address: four numbers from 0 to 255");
  EXPECT_EQ(read("fd00::1::2"), "X=fd00::1::2: neither a host name nor an IP address");
  EXPECT_EQ(read("h:65536"), "X=h:65536: the port is no whole number from 1 to 65535");
  EXPECT_EQ(read("http://h"), "X=http://h: the port is no whole number from 1 to 65535");
  EXPECT_EQ(read(std::string(254, 'a')).substr(0, 5), "X=aaa");
}

TEST(Identity, TheFirstHostOfASlurmList) {
  EXPECT_EQ(node::FirstHost("gpu-07"), "gpu-07");
  EXPECT_EQ(node::FirstHost("gpu-07,gpu-09"), "gpu-07");
  EXPECT_EQ(node::FirstHost("gpu-[007-012,30],x"), "gpu-007");
  EXPECT_EQ(node::FirstHost("r[3,5]n[01-16].example"), "r3n01.example");
  EXPECT_EQ(node::FirstHost(""), "");
  EXPECT_EQ(node::FirstHost("a[b]"), "");
  EXPECT_EQ(node::FirstHost("a[1"), "");
  EXPECT_EQ(node::FirstHost("a;reboot"), "");
  EXPECT_EQ(node::FirstHost("a[" + std::string(1000, '1') + "]"), "");
}

TEST(Identity, TakesWhatIsItsOwnOfTheEnvironment) {
  const char* const entries[] = {"PATH=/bin", "LWS_GROUP_SIZE=2", "SLURM_X=a=b", "RING_CONFIG=r", "LWS_", nullptr};
  EXPECT_EQ(EnvironmentOf(entries), (Environment{{"LWS_GROUP_SIZE", "2"}, {"SLURM_X", "a=b"}, {"RING_CONFIG", "r"}}));
  EXPECT_EQ(EnvironmentOf(nullptr), Environment{});
}

}  // namespace
}  // namespace mrs
