#include "cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "cli/nccl_options.h"
#include "formats/input_file.h"
#include "host/cores.h"
#include "host/output.h"
#include "kernels/kernels.h"
#include "plans/cluster_nodes.h"
#include "plans/collectives.h"
#include "plans/text.h"
#include "plans/weight_digests.h"
#include "runtime/comm/ring.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/rank/model_files.h"
#include "runtime/rank/shared_slices.h"

namespace mrs::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// How many of the plan's weight files a folder has by name, and the first that it lacks.
struct Found {
  uint32_t count = 0;
  std::string lacks;  // "": nothing
};

Found FilesIn(const plan::Plan& plan, const std::string& folder) {
  Found found;
  for (const plan::File* file : *plan.files()) {
    if (IsNamed(folder + "/" + file->name()->str())) {
      ++found.count;
    } else if (found.lacks.empty()) {
      found.lacks = file->name()->str();
    }
  }
  return found;
}

// A process has one GPU: what fails on a device is lost to all of its process, a graph is captured while no other
// thread works there, and peers open each other's memory as other processes'.
Result<wire::Transport> ChooseTransport(const std::string& name, const plan::Plan& plan) {
  const uint32_t world_size = plan.ranks()->size();
  if (name == wire::TransportName(wire::Transport::kLocal) && world_size > 1 &&
      plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda) {
    return Refuse(
        "--transport local: the plan's {} ranks are GPUs, and a process has one of them; give auto, shm, tcp or ring",
        world_size);
  }
  if (name == "auto") return world_size == 1 ? wire::Transport::kLocal : wire::Transport::kShm;
  if (name == wire::TransportName(wire::Transport::kRing) && world_size > kMaxRingRanks) {
    return Refuse("--transport ring: the plan has {} ranks; a ring has 2 to {}", world_size, kMaxRingRanks);
  }
  for (const wire::Transport transport :
       {wire::Transport::kLocal, wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
    if (name == wire::TransportName(transport)) return transport;
  }
  return Error{ErrorKind::kUsage, fmt::format("--transport {}: expected auto, local, shm, tcp or ring", name)};
}

// Ranks of one host share memory; between hosts they have sockets.
Result<wire::Transport> ChooseBetweenNodes(const std::string& name, const NodeSeat& seat) {
  if (seat.ring.has_value() && (name == "auto" || name == "ring")) return wire::Transport::kRing;
  if (seat.ring.has_value()) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--transport {}: RING_CONFIG makes it a ring; expected auto or ring", name)};
  }
  const bool each_alone = std::ranges::all_of(seat.nodes, [](const PlanNode& node) { return node.ranks.size() == 1; });
  if (name == "auto") return each_alone ? wire::Transport::kTcp : wire::Transport::kMixed;
  if (name == "tcp") return wire::Transport::kTcp;
  if (name == "ring") return wire::Transport::kRing;
  return Error{ErrorKind::kUsage,
               fmt::format("--transport {}: the plan's ranks are on {} nodes, which share no memory; "
                           "expected auto, tcp or ring",
                           name, seat.nodes.size())};
}

// MRS_ISA with a name that means nothing would silently run something else.
Result<kernels::Isa> ChooseIsa() {
  const char* name = std::getenv("MRS_ISA");
  kernels::Isa isa;
  if (name != nullptr && *name != '\0' && !kernels::ParseIsa(name, &isa)) {
    return Error{ErrorKind::kUsage,
                 fmt::format("MRS_ISA={}: expected reference, avx2, avx512, avx512bf16 or amx", name)};
  }
  return kernels::DetectIsa();
}

Result<std::optional<text::Tokenizer>> OpenTokenizer(const plan::Plan& plan, const std::string& model_dir) {
  if (!plan.model()->has_tokenizer() || plan.model()->tokenizer() == nullptr) return std::optional<text::Tokenizer>();
  const plan::File& file = *plan.model()->tokenizer();
  const std::string path = ModelDirOfRank(model_dir, 0) + "/" + file.name()->str();
  MRS_ASSIGN_OR_RETURN(const std::string content, ReadCheckedFile(path, file));
  MRS_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::ParseTokenizer(content, path));
  return std::optional<text::Tokenizer>(std::move(tokenizer));
}

// What ranks know of the bytes that they read.
std::string DescribeWeights(const plan::Plan& plan) {
  if (plan.digest_kind() != plan::DigestKind::none) {
    return fmt::format("weights       held against the plan's {} digests as they are read\n",
                       DigestName(plan.digest_kind()));
  }
  const SharedSlices shared = SharedSlicesOf(plan);
  const std::string compared = shared.bytes == 0
                                   ? ""
                                   : fmt::format(", and what several ranks read ({} of {}) for being the same",
                                                 HumanBytes(shared.bytes), HumanBytes(shared.all_bytes));
  return fmt::format(
      "weights       not checked but for their headers{}: the plan has no digests of them (mrs-plan build "
      "--hash-weights xxh3)\n",
      compared);
}

// Which ports of the nodes the nodes use; the head's count.
std::string DescribePorts(const plan::Plan& plan, const NodeSeat& seat) {
  if (seat.ring.has_value()) {
    const wire::RingFacts& facts = seat.ring->facts;
    const std::string right = facts.right.address.empty() ? fmt::format("port {} of this host", facts.right.port)
                                                          : AddressText(facts.right.address, facts.right.port);
    return fmt::format("ports         {} for its left neighbour; its right one is at {}\n",
                       AddressText(facts.listen.address, facts.listen.port), right);
  }
  if (seat.alone() || !seat.is_head()) return "";
  const uint32_t last = plan.ranks()->size() - 1;
  return fmt::format("ports         {} at the head, {} {} {} for the ranks\n", seat.port, RankPort(seat.port, 0),
                     last == 1 ? "and" : "to", RankPort(seat.port, last));
}

}  // namespace

Result<std::string> FindModel(const plan::Plan& plan, const ExecOptions& options) {
  if (!options.model_dir.empty()) return options.model_dir;
  const std::string beside = FolderOf(options.plan_path);
  const uint32_t wanted = plan.files()->size();
  std::string incomplete;
  for (const std::string& folder : {beside, std::string(".")}) {
    const Found found = FilesIn(plan, folder);
    if (wanted > 0 && found.count == wanted) return folder;
    if (found.count > 0 && incomplete.empty()) {
      incomplete = fmt::format("{} lacks {} ({} of {} files are there)", folder, found.lacks, found.count, wanted);
    }
  }
  if (!incomplete.empty()) {
    return Refuse("the plan's weights: {}; copy what is missing, or say where all are with --model DIR", incomplete);
  }
  return Refuse(
      "the plan's weights ({}) are neither in {} nor in the current folder; say where they are with --model DIR",
      wanted > 0 ? plan.files()->Get(0)->name()->str() : "none", beside);
}

std::string DescribeRun(const plan::Plan& plan, const RankOptions& ranks, const NodeSeat& seat) {
  const std::string links =
      seat.alone() ? "" : DescribeLinks(ranks.streams, ranks.congestion, ranks.transport == wire::Transport::kRing);
  if (const plan::Rank& rank = *plan.ranks()->Get(0); rank.kind() == plan::DeviceKind::cuda) {
    const size_t here = seat.identity.ranks.size();
    const bool one = plan.ranks()->size() == 1;
    const Collectives collectives = CollectivesOf(plan);
    const bool between_stages = collectives == Collectives::kIpcInStages && plan.stages()->size() > 1;
    const char* const cuts = one                                   ? ""
                             : collectives == Collectives::kStaged ? ", cut where GPUs talk"
                             : between_stages                      ? ", cut between stages"
                                                                   : "";
    const std::string arithmetic =
        plan.numerics()->chain() == plan::Chain::fast
            ? "products and attention of many rows by tensor cores (fast: within a bound of the CPU's, not its bits)"
            : fmt::format("in the CPU's arithmetic ({}: exact, and far from a GPU's speed in prompts)",
                          plan::EnumNameChain(plan.numerics()->chain()));
    return fmt::format(
               "running on    {}, {}{}, {}\n{}",
               one ? fmt::format("cuda:{}", rank.device())
                   : fmt::format("{} GPU{}, transport {}", here, here == 1 ? "" : "s",
                                 wire::TransportName(ranks.transport)),
               ranks.cuda_graphs ? fmt::format("decodes of up to {} sequences as CUDA graphs{}, prompts step by step",
                                               plan.max_seqs(), cuts)
                                 : "step by step (--cuda-graphs off)",
               ranks.dependent_launch ? "" : ", no kernel before the one before has ended (--dependent-launch off)",
               arithmetic, DescribePorts(plan, seat)) +
           DescribeIntegrity(seat) + links +
           (UsesNccl(plan) ? DescribeNccl(ReadNcclSettings(environ, FindNcclFiles())) : "");
  }
  const kernels::Isa isa = static_cast<kernels::Isa>(ranks.isa);
  const kernels::Chain chain = static_cast<kernels::Chain>(plan.numerics()->chain());
  return fmt::format("running on    {} rank{} x {} thread{}, transport {}, {} ({})\n{}", seat.identity.ranks.size(),
                     seat.identity.ranks.size() == 1 ? "" : "s", ranks.threads, ranks.threads == 1 ? "" : "s",
                     wire::TransportName(ranks.transport), kernels::IsaName(isa),
                     kernels::IsNative(isa, chain)
                         ? "the plan's order of sums in hardware"
                         : "the plan's order of sums emulated with FMAs: the same tokens, more slowly",
                     DescribePorts(plan, seat)) +
         DescribeIntegrity(seat) + links;
}

Result<RankOptions> RanksFor(const plan::Plan& plan, const ExecOptions& options, const NodeSeat& seat) {
  MRS_RETURN_IF_ERROR(CheckNccl(plan, options.no_nccl, environ));
  RankOptions ranks;
  ranks.plan_path = options.plan_path;
  if (seat.alone()) {
    MRS_ASSIGN_OR_RETURN(ranks.transport, ChooseTransport(options.transport, plan));
  } else {
    MRS_ASSIGN_OR_RETURN(ranks.transport, ChooseBetweenNodes(options.transport, seat));
  }
  MRS_ASSIGN_OR_RETURN(const kernels::Isa isa, ChooseIsa());
  ranks.isa = static_cast<uint8_t>(isa);
  ranks.cuda_graphs = options.cuda_graphs == "on";
  ranks.dependent_launch = options.dependent_launch == "on";
  ranks.integrity = seat.integrity;
  if (!seat.alone()) {
    if (ranks.transport == wire::Transport::kRing) {
      MRS_RETURN_IF_ERROR(CheckRingLinks(options.node.links, seat.ring.has_value()));
    }
    ranks.streams = options.node.links.count();
    ranks.congestion = options.node.links.congestion;
  }
  uint32_t sharing = static_cast<uint32_t>(seat.identity.ranks.size());  // this host's cores
  if (seat.ring.has_value()) {
    // Where it is not known how many are here, as many as there can be.
    const bool known = seat.ring->ranks_on_host > 0;
    sharing = known ? seat.ring->ranks_on_host : seat.identity.nodes;
    ranks.ranks_on_host = sharing;
    if (!known) sharing = CoreCount();
    ranks.ring = {.listen_address = seat.ring->facts.listen.address, .listen_port = seat.ring->facts.listen.port};
  }
  ranks.threads = options.threads > 0 ? options.threads : std::max(1u, CoreCount() / sharing);
  ranks.liveness.hang_after = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(options.hang_timeout_s * 1000)));
  return ranks;
}

Result<std::unique_ptr<Session>> Session::Start(OpenedPlan opened, const NodeSeat& seat, const ExecOptions& options,
                                                std::function<void(const std::string&)> on_failed) {
  const Clock::time_point started = Clock::now();
  std::unique_ptr<Session> session(new Session(std::move(opened)));
  session->quiet_ = options.quiet;
  const plan::Plan& plan = session->plan();
  MRS_ASSIGN_OR_RETURN(const std::string model_dir, FindModel(plan, options));
  MRS_ASSIGN_OR_RETURN(RankOptions ranks, RanksFor(plan, options, seat));
  ranks.model_dir = model_dir;
  MRS_ASSIGN_OR_RETURN(session->tokenizer_, OpenTokenizer(plan, ranks.model_dir));
  MRS_ASSIGN_OR_RETURN(EngineConfig config, MakeEngineConfig(plan, options.chunk, session->tokenizer()));
  if (!options.quiet) {
    Say("{}{}{}", PlanSummary(plan, session->opened_.name()), DescribeRun(plan, ranks, seat), DescribeWeights(plan));
  }
  MRS_RETURN_IF_ERROR(TakeHeadSeat(session->opened_, seat, options, &ranks));
  Session* raw = session.get();
  MRS_ASSIGN_OR_RETURN(session->world_, RankWorld::Start(session->opened_, ranks,
                                                         {.on_lost =
                                                              [raw](const std::string& why) {
                                                                // Before there is an engine, it hears from AwaitReady.
                                                                if (raw->ending_)
                                                                  Say("mrs-exec: while ending: {}\n", why);
                                                                if (Engine* engine = raw->for_losses_)
                                                                  raw->ending_ ? engine->RequestStop()
                                                                               : engine->Fail(why);
                                                              },
                                                          .on_slow = [](const std::string& what) { Say("{}\n", what); },
                                                          .on_progress =
                                                              [raw](uint64_t done, uint64_t total) {
                                                                if (!raw->quiet_) raw->loading_.Show(done, total);
                                                              }}));
  EngineRanks calls;
  calls.await_ready = [raw, started]() -> Status {
    const Status ready = raw->world_->AwaitReady();
    raw->loading_.End();
    if (ready.ok() && !raw->quiet_) {
      const RankWorld::Captured captured = raw->world_->captured();
      if (captured.graphs > 0) {
        Say("graphs        captured {} graphs in {:.3f} s\n", captured.graphs, captured.milliseconds / 1000.0);
      }
      Say("ready         in {:.2f} s\n", std::chrono::duration<double>(Clock::now() - started).count());
    }
    return ready;
  };
  // Whatever comes first of a rank that was asked to end together with everybody.
  const auto part_of_the_end = [raw](bool ok) {
    if (!ok && raw->ending_) raw->engine_->RequestStop();
  };
  calls.enqueue = [raw, part_of_the_end](uint64_t step, const Batch& batch) {
    const Status enqueued = raw->world_->Enqueue(step, batch);
    part_of_the_end(enqueued.ok());
    return enqueued;
  };
  calls.await = [raw, part_of_the_end] {
    Result<StepOutput> output = raw->world_->Await();
    part_of_the_end(output.ok());
    return output;
  };
  session->engine_ = std::make_unique<Engine>(std::move(config), std::move(calls), std::move(on_failed));
  session->for_losses_ = session->engine_.get();
  return session;
}

Session::~Session() { Stop(); }

void Session::Stop(const std::string& why) {
  if (engine_ != nullptr) engine_->RequestStop(why);
  if (world_ != nullptr) world_->Interrupt();
  if (engine_ != nullptr) engine_->Stop();
  // Every node says why the world ended, and ends as the head does.
  const bool failed = engine_ == nullptr || engine_->state() == EngineState::kFailed;
  if (world_ != nullptr) world_->Stop(failed ? "the head failed; its own log says why" : "");
}

// A terminal gets a line that moves; a log gets a line for every tenth of a load that takes long.
ServedModel Session::served_model() const {
  const plan::Model& model = *opened_.plan().model();
  const plan::SamplingDefaults& sampling = *model.sampling();
  ServedModel served;
  served.name = model.name()->str();
  served.plan_sha256 = opened_.name();
  served.chat_template = model.chat_template()->str();
  for (const plan::TemplateToken* token : *model.template_tokens()) {
    served.template_tokens.emplace_back(token->name()->str(), token->text()->str());
  }
  served.max_len = opened_.plan().max_len();
  served.max_seqs = opened_.plan().max_seqs();
  served.vocab = model.vocab();
  served.defaults.temperature = sampling.temperature();
  served.defaults.top_p = sampling.top_p();
  served.defaults.top_k = sampling.top_k();
  served.defaults.min_p = sampling.min_p();
  served.defaults.repetition_penalty = sampling.repetition_penalty();
  served.defaults.presence_penalty = sampling.presence_penalty();
  served.defaults.frequency_penalty = sampling.frequency_penalty();
  served.defaults.max_tokens = sampling.max_tokens();
  std::vector<std::string> stops;
  for (const flatbuffers::String* stop : *sampling.stop()) stops.push_back(stop->str());
  served.defaults.stop = std::move(stops);
  served.tokenizer = tokenizer();
  return served;
}

}  // namespace mrs::cli
