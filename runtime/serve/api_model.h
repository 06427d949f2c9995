// The served model as requests are translated for it: its facts, and its chat template parsed once.
//
//   const ApiModel model = MakeApiModel(handle.model);
//   if (!model.chat) Tell(model.chat_refusal);
#pragma once

#include <optional>
#include <string>

#include "formats/text/chat_template.h"
#include "runtime/engine/served_model.h"

namespace mrs::serve {

struct ApiModel {
  ServedModel facts;
  size_t longest_token_bytes = 64;  // at least that
  std::optional<text::ChatTemplate> chat;
  bool content_in_parts = false;  // `chat` goes through a message's content part by part
  std::string chat_refusal;  // why there is no `chat`
};

ApiModel MakeApiModel(const ServedModel& facts);

// system_fingerprint: "plan-" and the first 12 digits of the plan's hash.
std::string Fingerprint(const ApiModel& model);

}  // namespace mrs::serve
