#include "runtime/serve/api_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "formats/text/tokenizer.h"

namespace mrs::serve {

ApiModel MakeApiModel(const ServedModel& facts) {
  ApiModel model{.facts = facts, .chat = std::nullopt, .content_in_parts = false, .chat_refusal = ""};
  for (uint32_t id = 0; facts.tokenizer != nullptr && id < facts.vocab; ++id) {
    const std::optional<std::string_view> token = text::IdToToken(*facts.tokenizer, static_cast<int32_t>(id));
    model.longest_token_bytes = std::max(model.longest_token_bytes, token.value_or("").size());
  }
  if (facts.tokenizer == nullptr) {
    model.chat_refusal = "this model has no tokenizer; send token ids to /v1/completions";
  } else if (facts.chat_template.empty()) {
    model.chat_refusal = "this model has no chat template; use /v1/completions";
  } else if (Result<text::ChatTemplate> parsed = text::ParseTemplate(facts.chat_template); parsed.ok()) {
    model.chat = *std::move(parsed);
    model.content_in_parts = text::ReadsContentInParts(*model.chat);
  } else {
    model.chat_refusal =
        fmt::format("this model's chat template is not supported ({}); use /v1/completions", parsed.message());
  }
  return model;
}

std::string Fingerprint(const ApiModel& model) { return "plan-" + model.facts.plan_sha256.substr(0, 12); }

}  // namespace mrs::serve
