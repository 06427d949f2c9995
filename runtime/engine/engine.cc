#include "runtime/engine/engine.h"

#include <algorithm>
#include <utility>

#include "host/process.h"
#include "host/thread.h"
#include "plans/contract.h"
#include "runtime/rank/kv_spaces.h"

namespace mrs {
Result<EngineConfig> MakeEngineConfig(const plan::Plan& plan, uint32_t chunk, const text::Tokenizer* tokenizer) {
  const uint32_t tp = plan.tp();
  const uint32_t stage_count = plan.stages()->size();
  if (stage_count == 0 || plan.ep() != 1 || plan.dp() != 1 || plan.ranks()->size() != uint64_t{tp} * stage_count ||
      tp == 0 || 16 % tp != 0 || plan.model()->vocab_padded() % 16 != 0) {
    return Refuse(
        "this mrs-exec runs plans of any number of stages with tp 1, 2, 4, 8 or 16, ep 1 and dp 1; this one has {} "
        "stages, {} ranks, tp {}, ep {} and dp {}; build it again with this version's mrs-plan",
        stage_count, plan.ranks()->size(), tp, plan.ep(), plan.dp());
  }
  const plan::Stage& last = *plan.stages()->Get(stage_count - 1);
  if (last.candidates()->size() != 1) {
    return Refuse("this mrs-exec runs plans whose last stage has one top_candidates; this one has {}",
                  last.candidates()->size());
  }
  MRS_ASSIGN_OR_RETURN(const std::vector<KvSpace> spaces, KvSpacesOf(plan));
  if (spaces.empty()) return Refuse("this mrs-exec runs plans of models with attention; this one has no KV class");
  EngineConfig config;
  config.shape = {.tp = plan.tp(),
                  .vocab = plan.model()->vocab(),
                  .vocab_padded = plan.model()->vocab_padded(),
                  .k = last.candidates()->Get(0)->k()};
  config.limits = {.max_seqs = plan.max_seqs(),
                   .tokens = UINT32_MAX,
                   .sequences = UINT32_MAX,
                   .logit_rows = UINT32_MAX,
                   .chunk = std::max(1u, chunk),
                   .kv = {},
                   .under_way = stage_count};
  for (const plan::Stage* stage : *plan.stages()) {  // a batch must fit all of them
    const plan::Bucket& bucket = *stage->buckets()->Get(stage->buckets()->size() - 1);
    config.limits.tokens = std::min(config.limits.tokens, bucket.tokens());
    config.limits.sequences = std::min(config.limits.sequences, bucket.sequences());
    config.limits.logit_rows = std::min(config.limits.logit_rows, bucket.logit_rows());
  }
  for (const KvSpace& space : spaces) {
    config.limits.kv.push_back(
        {.block_count =
             static_cast<uint32_t>(std::min<uint64_t>(space.block_count, INT32_MAX / contract::kBlockTokens)),
         .sequence_blocks = static_cast<uint32_t>(std::min<uint64_t>(space.sequence_blocks, UINT32_MAX))});
  }
  config.max_len = plan.max_len();
  config.table_stride = static_cast<uint32_t>(contract::KvBlocks(plan.max_len()));
  config.eos.assign(plan.model()->eos()->begin(), plan.model()->eos()->end());
  config.tokenizer = tokenizer;
  return config;
}

Engine::Engine(EngineConfig config, EngineRanks ranks, std::function<void(const std::string&)> on_failed)
    : config_(std::move(config)),
      ranks_(std::move(ranks)),
      on_failed_(std::move(on_failed)),
      scheduler_(config_.limits) {
  // What leaves the loop is not a step's or a request's: nobody is left to tell but the process.
  Result<std::thread> thread = StartThread(
      "the engine", [this] { Loop(); }, [](const Error& error) { EndProcess("the engine", error); });
  if (thread.ok()) {
    thread_ = *std::move(thread);
    return;
  }
  Fail(thread.message());
  if (on_failed_) on_failed_(thread.message());
}

Engine::~Engine() { Stop(); }

Status Engine::Check(const Request& request) const {
  const SamplingParams& sampling = request.sampling;
  if (request.prompt.empty()) return Refuse("the prompt has no tokens");
  if (request.prompt.size() + 1 > config_.max_len) {
    return Refuse(
        "the prompt has {} tokens, but the plan's sequences hold {} with at least one token of answer; "
        "shorten it, or build a plan with a larger --max-len",
        request.prompt.size(), config_.max_len);
  }
  for (const int32_t id : request.prompt) {
    if (id < 0 || static_cast<uint32_t>(id) >= config_.shape.vocab) {
      return Refuse("the prompt has token {}, expected 0 to {}", id, config_.shape.vocab - 1);
    }
  }
  if (!sampling.stop.empty() && config_.tokenizer == nullptr) {
    return Refuse("stop strings need a tokenizer, and this plan has none; use stop_token_ids");
  }
  MRS_RETURN_IF_ERROR(CheckSampling(sampling, config_.shape.vocab));
  const uint64_t room = config_.max_len - request.prompt.size();
  const uint64_t max_tokens = std::min<uint64_t>(sampling.max_tokens, room);
  for (const KvLimits& kv : config_.limits.kv) {
    const uint64_t needed = BlocksNeeded(kv, request.prompt.size() + max_tokens);
    if (needed <= kv.block_count) continue;
    return Refuse("prompt and answer need {} KV blocks of {} tokens, the plan has {}; ask for fewer max_tokens", needed,
                  contract::kBlockTokens, kv.block_count);
  }
  return Status();
}

Result<RequestId> Engine::Submit(Request request, EventHandler handler) {
  MRS_RETURN_IF_ERROR(Check(request));
  const uint32_t room = config_.max_len - static_cast<uint32_t>(request.prompt.size());
  request.sampling.max_tokens = std::min(request.sampling.max_tokens, room);
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) return Unavailable("{}", failure_);
  if (stop_) return Unavailable("the server is shutting down");
  if (open_count_ >= config_.max_open_requests) {
    return Unavailable("{} requests are open already; try again when some have finished", open_count_);
  }
  // A prompt that is alone is as long as the plan lets it be.
  if (open_count_ > 0 && open_prompt_tokens_ + request.prompt.size() > config_.max_open_prompt_tokens) {
    return Unavailable("{} tokens of prompts are open already; try again when some requests have finished",
                       open_prompt_tokens_);
  }
  ++open_count_;
  open_prompt_tokens_ += request.prompt.size();
  const RequestId id = next_id_++;
  submitted_.push_back({id, std::move(request), std::move(handler)});
  wake_.notify_one();
  return id;
}

void Engine::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  wake_.notify_one();
}

void Engine::Fail(const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (stop_) return;  // ends anyway, and on purpose
  if (failure_.empty()) failure_ = message;
  state_ = EngineState::kFailed;
  wake_.notify_one();
}

void Engine::RequestStop(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (!stop_) stop_reason_ = why;
  stop_ = true;
  if (failure_.empty()) state_ = EngineState::kStopping;
  wake_.notify_one();
}

void Engine::Stop() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
}

void Engine::Loop() {
  if (const Status ready = Guarded([this] { return ranks_.await_ready(); }); ready.ok()) {
    EngineState loading = EngineState::kLoading;
    state_.compare_exchange_strong(loading, EngineState::kReady);
  } else {
    Fail(ready.message());
  }
  while (TakeWork()) {
    const Status stepped = Guarded([this] { return Step(); });
    if (stepped.ok()) continue;
    under_way_.clear();  // after an error nothing is asked of the ranks any more
    Fail(stepped.message());
  }
  // Ranks that work are not left alone; where they have failed, or are told to give up, this ends at once.
  const auto broken = [this] {
    const std::lock_guard lock(mutex_);
    return !failure_.empty();
  };
  for (; !under_way_.empty() && !broken(); under_way_.pop_front()) {
    if (!Guarded([this] { return ranks_.await().status(); }).ok()) break;
  }
  std::string failure, stop_reason;
  {
    const std::lock_guard lock(mutex_);
    failure = failure_;
    stop_reason = stop_reason_;
  }
  if (failure.empty()) {
    FinishAll(FinishReason::kCancelled, stop_reason);
    return;
  }
  FinishAll(FinishReason::kError, failure);
  if (on_failed_) on_failed_(failure);
}

bool Engine::TakeWork() {
  std::vector<Submission> submitted;
  std::vector<RequestId> cancelled;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] {
      return stop_ || !failure_.empty() || !submitted_.empty() || !cancelled_.empty() || !answers_.empty() ||
             !under_way_.empty();
    });
    if (stop_ || !failure_.empty()) return false;
    submitted.swap(submitted_);
    cancelled.swap(cancelled_);
  }
  for (Submission& submission : submitted) {
    const size_t prompt_tokens = submission.request.prompt.size();
    const Status admitted = Guarded([&] { Admit(submission); });
    if (admitted.ok()) continue;
    FinishEvent refused;
    refused.reason = FinishReason::kError;
    refused.error = admitted.message();
    submission.handler(Event{.token = std::nullopt, .finish = std::move(refused)});
    Remove(submission.id, prompt_tokens);
  }
  for (const RequestId id : cancelled) {
    const auto found = answers_.find(id);
    if (found == answers_.end()) continue;  // it ended by itself
    found->second.Finish(FinishReason::kCancelled, "");
    Remove(id);
  }
  return true;
}

// The submission keeps its handler, for the case that there is no memory for the rest.
void Engine::Admit(Submission& submission) {
  const auto prompt_tokens = static_cast<uint32_t>(submission.request.prompt.size());
  const uint32_t max_tokens = submission.request.sampling.max_tokens;
  answers_.try_emplace(submission.id, submission.id, std::move(submission.request), submission.handler,
                       config_.tokenizer);
  scheduler_.Add(submission.id, prompt_tokens, max_tokens);
}

void Engine::FinishAll(FinishReason reason, const std::string& error) {
  for (auto& [id, answer] : answers_) answer.Finish(reason, error);
  answers_.clear();
  std::vector<Submission> submitted;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;  // nothing is taken any more
    submitted.swap(submitted_);
  }
  for (Submission& submission : submitted) {
    Answer(submission.id, std::move(submission.request), std::move(submission.handler), config_.tokenizer)
        .Finish(reason, error);
  }
}

void Engine::Remove(RequestId id) { Remove(id, answers_.at(id).request().prompt.size()); }

void Engine::Remove(RequestId id, size_t prompt_tokens) {
  scheduler_.Remove(id);
  answers_.erase(id);
  const std::lock_guard lock(mutex_);
  --open_count_;
  open_prompt_tokens_ -= prompt_tokens;
}

// As many forwards go out as may be under way, then the oldest is waited for: with one stage, one.
Status Engine::Step() {
  while (under_way_.size() < config_.limits.under_way) {
    Forward forward = scheduler_.Next();
    if (forward.pieces.empty()) break;
    BuildBatch(forward);
    under_way_.push_back({.step = ++step_,
                          .variant = batch_.variant,
                          .row_count = static_cast<uint32_t>(batch_.logit_rows.size()),
                          .pieces = std::move(forward.pieces)});
    MRS_RETURN_IF_ERROR(ranks_.enqueue(step_, batch_));
  }
  if (under_way_.empty()) return Status();
  MRS_ASSIGN_OR_RETURN(const StepOutput output, ranks_.await());
  const Flight flight = std::move(under_way_.front());
  under_way_.pop_front();
  Sample(flight, output);
  return Status();
}

void Engine::BuildBatch(const Forward& forward) {
  batch_.variant = Variant::kCandidates;
  batch_.table_stride = config_.table_stride;
  for (auto* field : {&batch_.tokens, &batch_.positions, &batch_.sequence, &batch_.logit_rows}) field->clear();
  batch_.kv.resize(config_.limits.kv.size());
  for (KvBatch& kv : batch_.kv) {
    kv.slots.clear();
    kv.block_table.assign(forward.pieces.size() * config_.table_stride, 0);
  }
  for (size_t row = 0; row < forward.pieces.size(); ++row) {
    const Piece& piece = forward.pieces[row];
    const Answer& answer = answers_.at(piece.id);
    for (uint32_t position = piece.begin; position < piece.begin + piece.count; ++position) {
      batch_.tokens.push_back(answer.TokenAt(position));
      batch_.positions.push_back(static_cast<int32_t>(position));
      batch_.sequence.push_back(static_cast<int32_t>(row));
    }
    for (size_t space = 0; space < batch_.kv.size(); ++space) {
      KvBatch& kv = batch_.kv[space];
      const std::vector<int32_t>& blocks = scheduler_.blocks(piece.id, space);
      const uint64_t end = contract::KvBlocks(uint64_t{piece.begin} + piece.count);  // of what a token here may see
      for (size_t block = 0; block < std::max<size_t>(end, blocks.size()); ++block) {
        kv.block_table[row * config_.table_stride + block] = blocks[block % blocks.size()];
      }
      for (uint32_t position = piece.begin; position < piece.begin + piece.count; ++position) {
        kv.slots.push_back(blocks[position / contract::kBlockTokens % blocks.size()] *
                               static_cast<int32_t>(contract::kBlockTokens) +
                           static_cast<int32_t>(position % contract::kBlockTokens));
      }
    }
    if (!piece.wants_logits) continue;
    batch_.logit_rows.push_back(static_cast<int32_t>(batch_.tokens.size() - 1));
    if (NeedsAllLogits(answer.request().sampling, config_.shape.k)) batch_.variant = Variant::kAllLogits;
  }
}

void Engine::Sample(const Flight& flight, const StepOutput& output) {
  uint32_t row = 0;
  for (const Piece& piece : flight.pieces) {
    if (!piece.wants_logits) continue;
    const auto found = answers_.find(piece.id);
    if (found == answers_.end()) {  // cancelled while its forward was under way
      ++row;
      continue;
    }
    Answer& answer = found->second;
    bool ended = false;
    const Status chosen = Guarded([&]() -> Status {
      MRS_ASSIGN_OR_RETURN(ended, Choose(answer, flight, output, row));
      return Status();
    });
    ++row;
    if (!chosen.ok()) {
      answer.Finish(FinishReason::kError, "step " + std::to_string(flight.step) + ": " + chosen.message());
      Remove(piece.id);
    } else if (ended) {
      Remove(piece.id);
    } else {
      scheduler_.Append(piece.id);
    }
  }
}

// One token of one answer; whether it was the last.
Result<bool> Engine::Choose(Answer& answer, const Flight& flight, const StepOutput& output, uint32_t row) {
  const SamplingParams& sampling = answer.request().sampling;
  if (flight.variant == Variant::kCandidates) {
    MRS_ASSIGN_OR_RETURN(const Sampled sampled,
                         SampleFromCandidates(config_.shape, output.candidates, flight.row_count, row, sampling));
    return answer.Append(sampled, config_.eos);
  }
  MRS_RETURN_IF_ERROR(JoinLogits(config_.shape, output.logits, flight.row_count, row, &joined_));
  answer.HashLogits(joined_);
  MRS_ASSIGN_OR_RETURN(const Sampled sampled, SampleFromLogits(config_.shape, joined_, sampling, answer.context()));
  return answer.Append(sampled, config_.eos);
}

EngineHandle MakeEngineHandle(Engine& engine, ServedModel model) {
  return EngineHandle{
      .model = std::move(model),
      .submit = [&engine](Request request,
                          EventHandler handler) { return engine.Submit(std::move(request), std::move(handler)); },
      .cancel = [&engine](RequestId id) { engine.Cancel(id); },
      .state = [&engine] { return engine.state(); },
  };
}

}  // namespace mrs
