#include "runtime/engine/answer.h"

#include <algorithm>
#include <utility>

namespace mrs {

Answer::Answer(RequestId id, Request request, EventHandler handler, const text::Tokenizer* tokenizer)
    : id_(id),
      request_(std::move(request)),
      handler_(std::move(handler)),
      tokenizer_(tokenizer),
      scanner_(request_.sampling.stop) {
  if (request_.sampling.logits_hash) hash_.emplace();
}

void Answer::BeginText() {
  if (tokenizer_ == nullptr) return;
  detokenizer_.emplace(*tokenizer_, /*skip_special_tokens=*/true);
  if (request_.goes_on) detokenizer_->GoOnAfter(request_.prompt);
}

void Answer::HashLogits(std::span<const float> logits) {
  if (hash_.has_value()) hash_->Update(std::as_bytes(logits));
  if (request_.on_logits) request_.on_logits(logits);
}

std::string Answer::Show(int32_t id) {
  if (!detokenizer_.has_value()) return "";
  const Result<std::string> text = detokenizer_->Push(id);
  return text.ok() ? scanner_.Push(*text) : "";
}

// Half a character that never got its other half may still complete a stop string, so it passes the scanner too.
std::string Answer::Rest() {
  if (!detokenizer_.has_value() || scanner_.stopped()) return "";
  const Result<std::string> text = detokenizer_->Finish();
  std::string rest = text.ok() ? scanner_.Push(*text) : "";
  return rest + scanner_.Finish();
}

bool Answer::Append(const Sampled& sampled, const std::vector<int32_t>& eos) {
  const SamplingParams& sampling = request_.sampling;
  const int32_t id = sampled.token.id;
  if (tokens_.empty()) BeginText();
  tokens_.push_back(id);
  const bool is_eos = !sampling.ignore_eos && std::find(eos.begin(), eos.end(), id) != eos.end();
  const bool is_stop =
      std::find(sampling.stop_token_ids.begin(), sampling.stop_token_ids.end(), id) != sampling.stop_token_ids.end();
  TokenEvent token{.token = sampled.token, .top = sampled.top, .text = is_eos || is_stop ? "" : Show(id)};
  handler_(Event{.token = std::move(token), .finish = std::nullopt});
  if (is_eos || is_stop || scanner_.stopped()) {
    Finish(FinishReason::kStop, "");
    return true;
  }
  if (tokens_.size() < sampling.max_tokens) return false;
  Finish(FinishReason::kLength, "");
  return true;
}

void Answer::Finish(FinishReason reason, const std::string& error) {
  FinishEvent event;
  event.text = Rest();
  event.reason = reason == FinishReason::kLength && scanner_.stopped() ? FinishReason::kStop : reason;
  event.stop_text = scanner_.matched();
  event.error = error;
  if (hash_.has_value()) event.logits_sha256 = Hex(hash_->Finish());
  event.prompt_tokens = static_cast<uint32_t>(request_.prompt.size());
  event.completion_tokens = static_cast<uint32_t>(tokens_.size());
  handler_(Event{.token = std::nullopt, .finish = std::move(event)});
}

}  // namespace mrs
