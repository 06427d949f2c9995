#include "runtime/serve/whole_response.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "runtime/serve/api_logprobs.h"

namespace mrs::serve {
namespace {

constexpr size_t kTextBytes = 8192;  // of an answer's text, written at a time

// Without its braces, so that more can follow.
std::string OpenObject(const Json& object) {
  std::string text = DumpJson(object);
  text.pop_back();
  return text;
}

// As it stands between the quotes.
std::string Escaped(std::string_view text) {
  const std::string quoted = DumpJson(Json(std::string(text)));
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

void Choice::Add(const TokenEvent& token, const ApiCall& call) {
  text += token.text;
  last_token = token.token.id;
  const bool has_logprobs = call.requests[0].sampling.logprobs.has_value();
  if (has_logprobs || call.return_token_ids) tokens.push_back(token.token);
  if (!has_logprobs) return;
  top.insert(top.end(), token.top.begin(), token.top.end());
  top_end.push_back(top.size());
}

size_t Choice::bytes() const {
  return text.capacity() + (tokens.capacity() + top.capacity()) * sizeof(TokenLogprob) +
         top_end.capacity() * sizeof(size_t);
}

WholeResponse::WholeResponse(ApiCall call, ResponseHead head, const text::Tokenizer* tokenizer,
                             std::vector<Choice> choices, ByteHold hold)
    : call_(std::move(call)),
      head_(std::move(head)),
      tokenizer_(tokenizer),
      choices_(std::move(choices)),
      hold_(std::move(hold)) {}

std::string WholeResponse::Next(size_t piece_bytes) {
  std::string out;
  while (stage_ != Stage::kDone && out.size() < piece_bytes) Step(&out);
  return out;
}

// A list is its opening, its items with commas between them, and its close: each call writes one item.
template <typename Write>
bool WholeResponse::Item(std::string* out, std::string_view open, size_t count, std::string_view close,
                         const Write& write) {
  *out += item_ == 0 ? open : std::string_view(item_ < count ? "," : "");
  if (item_ < count) *out += write(item_++);
  if (item_ < count) return false;
  *out += close;
  item_ = 0;
  return true;
}

bool WholeResponse::ChatLogprobs(std::string* out) {
  return Item(out, R"({"content":[)", choice().tokens.size(), R"(],"refusal":null})", [&](size_t i) {
    const size_t begin = i == 0 ? 0 : choice().top_end[i - 1];
    const std::span<const TokenLogprob> top = std::span(choice().top).subspan(begin, choice().top_end[i] - begin);
    return DumpJson(ChatLogprob(choice().tokens[i], top, tokenizer_));
  });
}

bool WholeResponse::CompletionLogprobs(std::string* out) {
  constexpr std::string_view kOpen[] = {R"({"text_offset":[)", R"(,"token_logprobs":[)", R"(,"tokens":[)",
                                        R"(,"top_logprobs":[)"};
  const bool ended = Item(out, kOpen[list_], choice().tokens.size(), list_ == 3 ? "]}" : "]", [&](size_t i) {
    const TokenLogprob& token = choice().tokens[i];
    if (list_ == 0) {
      const std::string offset = fmt::format("{}", text_offset_);
      text_offset_ += CharactersOf(token.id, tokenizer_);
      return offset;
    }
    if (list_ == 1) return DumpJson(LogprobJson(token.logprob));
    if (list_ == 2) return DumpJson(Json(CompletionToken(token.id, tokenizer_)));
    const size_t begin = i == 0 ? 0 : choice().top_end[i - 1];
    return DumpJson(
        CompletionTop(token, std::span(choice().top).subspan(begin, choice().top_end[i] - begin), tokenizer_));
  });
  if (ended) ++list_;
  return ended && list_ == 4;
}

void WholeResponse::Step(std::string* out) {
  switch (stage_) {
    case Stage::kHead:
      *out += OpenObject(HeadJson(head_, call_.chat ? "chat.completion" : "text_completion")) + R"(,"choices":[)";
      stage_ = Stage::kChoice;
      return;
    case Stage::kChoice:
      if (index_ == choices_.size()) {
        stage_ = Stage::kUsage;
        return;
      }
      *out += fmt::format(R"({}{{"index":{},)", index_ == 0 ? "" : ",", index_);
      *out += call_.chat ? R"("message":{"role":"assistant","content":")" : R"("text":")";
      stage_ = Stage::kText;
      return;
    case Stage::kText: {
      const std::string_view text = choice().text;
      size_t end = std::min(item_ + kTextBytes, text.size());
      for (int i = 0; i < 3 && end < text.size() && (text[end] & 0xC0) == 0x80; ++i) --end;  // whole characters
      *out += Escaped(text.substr(item_, end - item_));
      item_ = end;
      if (end < text.size()) return;
      *out += call_.chat ? R"(","refusal":null},"logprobs":)" : R"(","logprobs":)";
      item_ = list_ = text_offset_ = 0;
      stage_ = Stage::kLogprobs;
      return;
    }
    case Stage::kLogprobs:
      if (!call_.requests[0].sampling.logprobs.has_value()) {
        *out += "null";
      } else if (call_.chat ? !ChatLogprobs(out) : !CompletionLogprobs(out)) {
        return;
      }
      stage_ = Stage::kFinish;
      return;
    case Stage::kFinish: {
      const FinishEvent& finish = *choice().finish;
      *out += fmt::format(R"(,"finish_reason":"{}","stop_reason":{})", FinishName(finish),
                          DumpJson(StopReason(finish, call_.requests[index_].sampling, choice().last_token)));
      prompt_tokens_ += finish.prompt_tokens;
      completion_tokens_ += finish.completion_tokens;
      stage_ = call_.return_token_ids ? Stage::kTokenIds : Stage::kChoiceEnd;
      return;
    }
    case Stage::kTokenIds:
      if (!Item(out, R"(,"token_ids":[)", choice().tokens.size(), "]",
                [&](size_t i) { return fmt::format("{}", choice().tokens[i].id); })) {
        return;
      }
      // vLLM keeps the prompt's ids in each choice of a completion, but beside the choices of a chat.
      stage_ = call_.chat ? Stage::kChoiceEnd : Stage::kPromptIds;
      return;
    case Stage::kPromptIds:
    case Stage::kChatPromptIds: {
      const std::vector<int32_t>& prompt = call_.requests[call_.chat ? 0 : index_].prompt;
      if (!Item(out, R"(,"prompt_token_ids":[)", prompt.size(), "]",
                [&](size_t i) { return fmt::format("{}", prompt[i]); })) {
        return;
      }
      stage_ = call_.chat ? Stage::kEnd : Stage::kChoiceEnd;
      return;
    }
    case Stage::kChoiceEnd:
      *out += "}";
      ++index_;
      stage_ = Stage::kChoice;
      return;
    case Stage::kUsage:
      *out += R"(],"usage":)" + DumpJson(UsageJson(prompt_tokens_, completion_tokens_));
      stage_ = call_.return_token_ids && call_.chat ? Stage::kChatPromptIds : Stage::kEnd;
      return;
    case Stage::kEnd:
      *out += "}";
      stage_ = Stage::kDone;
      return;
    case Stage::kDone:
      return;
  }
}

}  // namespace mrs::serve
