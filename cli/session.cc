#include "cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "formats/input_file.h"
#include "host/cores.h"
#include "host/output.h"
#include "kernels/kernels.h"
#include "plans/runnable.h"
#include "plans/text.h"
#include "plans/weight_digests.h"
#include "runtime/rank/model_files.h"

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

Result<wire::Transport> ChooseTransport(const std::string& name, uint32_t world_size) {
  if (name == "auto") return world_size == 1 ? wire::Transport::kLocal : wire::Transport::kShm;
  for (const wire::Transport transport : {wire::Transport::kLocal, wire::Transport::kShm, wire::Transport::kTcp}) {
    if (name == wire::TransportName(transport)) return transport;
  }
  return Error{ErrorKind::kUsage, fmt::format("--transport {}: expected auto, local, shm or tcp", name)};
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

std::string DescribeRun(const plan::Plan& plan, const RankOptions& ranks) {
  const kernels::Isa isa = static_cast<kernels::Isa>(ranks.isa);
  const kernels::Chain chain = static_cast<kernels::Chain>(plan.numerics()->chain());
  return fmt::format("running on    {} rank{} x {} thread{}, transport {}, {} ({})\n", plan.ranks()->size(),
                     plan.ranks()->size() == 1 ? "" : "s", ranks.threads, ranks.threads == 1 ? "" : "s",
                     wire::TransportName(ranks.transport), kernels::IsaName(isa),
                     kernels::IsNative(isa, chain)
                         ? "the plan's order of sums in hardware"
                         : "the plan's order of sums emulated with FMAs: the same tokens, more slowly");
}

// What ranks know of the bytes that they read.
std::string DescribeWeights(const plan::Plan& plan) {
  if (plan.digest_kind() != plan::DigestKind::none) {
    return fmt::format("weights       held against the plan's {} digests as they are read\n",
                       DigestName(plan.digest_kind()));
  }
  return "weights       not checked but for their headers: the plan has no digests of them (mrs-plan build "
         "--hash-weights xxh3)\n";
}

}  // namespace

Result<std::unique_ptr<Session>> Session::Start(const ExecOptions& options,
                                                std::function<void(const std::string&)> on_failed) {
  const Clock::time_point started = Clock::now();
  MRS_ASSIGN_OR_RETURN(OpenedPlan opened, OpenPlan(options.plan_path));
  std::unique_ptr<Session> session(new Session(std::move(opened)));
  session->quiet_ = options.quiet;
  const plan::Plan& plan = session->plan();
  MRS_RETURN_IF_ERROR(Runnable(plan));
  RankOptions ranks;
  ranks.plan_path = options.plan_path;
  MRS_ASSIGN_OR_RETURN(ranks.model_dir, FindModel(plan, options));
  MRS_ASSIGN_OR_RETURN(ranks.transport, ChooseTransport(options.transport, plan.ranks()->size()));
  MRS_ASSIGN_OR_RETURN(const kernels::Isa isa, ChooseIsa());
  ranks.isa = static_cast<uint8_t>(isa);
  ranks.threads = options.threads > 0 ? options.threads : std::max(1u, CoreCount() / plan.ranks()->size());
  ranks.timeout = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(options.timeout_s * 1000)));
  MRS_ASSIGN_OR_RETURN(session->tokenizer_, OpenTokenizer(plan, ranks.model_dir));
  MRS_ASSIGN_OR_RETURN(EngineConfig config, MakeEngineConfig(plan, options.chunk, session->tokenizer()));
  if (!options.quiet) {
    Say("{}{}{}", PlanSummary(plan, session->opened_.name()), DescribeRun(plan, ranks), DescribeWeights(plan));
  }
  Session* raw = session.get();
  MRS_ASSIGN_OR_RETURN(session->world_, RankWorld::Start(session->opened_, ranks,
                                                         {.on_lost =
                                                              [raw](const std::string& why) {
                                                                // Before there is an engine, it hears from AwaitReady.
                                                                if (Engine* engine = raw->for_losses_)
                                                                  engine->Fail(why);
                                                              },
                                                          .on_progress =
                                                              [raw](uint64_t done, uint64_t total) {
                                                                if (!raw->quiet_) raw->loading_.Show(done, total);
                                                              }}));
  EngineRanks calls;
  calls.await_ready = [raw, started]() -> Status {
    const Status ready = raw->world_->AwaitReady();
    raw->loading_.End();
    if (ready.ok() && !raw->quiet_) {
      Say("ready         in {:.2f} s\n", std::chrono::duration<double>(Clock::now() - started).count());
    }
    return ready;
  };
  calls.enqueue = [raw](uint64_t step, const Batch& batch) { return raw->world_->Enqueue(step, batch); };
  calls.await = [raw] { return raw->world_->Await(); };
  session->engine_ = std::make_unique<Engine>(std::move(config), std::move(calls), std::move(on_failed));
  session->for_losses_ = session->engine_.get();
  return session;
}

Session::~Session() { Stop(); }

void Session::Stop() {
  if (engine_ != nullptr) engine_->RequestStop();
  if (world_ != nullptr) world_->Interrupt();
  if (engine_ != nullptr) engine_->Stop();
  if (world_ != nullptr) world_->Stop();
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
