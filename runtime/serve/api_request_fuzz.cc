// Any body: refused, or translated into requests within the plan's bounds.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/text/tokenizer.h"
#include "runtime/serve/api_request.h"

namespace {

constexpr std::string_view kTokenizer = R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},
    "added_tokens":[{"id":3,"content":"<x>","special":true}],"decoder":{"type":"ByteLevel"}})";

mrs::serve::ApiModel MakeModel() {
  static const mrs::Result<mrs::text::Tokenizer> tokenizer = mrs::text::ParseTokenizer(kTokenizer, "fuzz");
  if (!tokenizer.ok()) std::abort();
  mrs::ServedModel facts;
  facts.name = "mini";
  facts.chat_template = "{% for m in messages %}<x>{{ m.content }}{{ extra }}{% endfor %}{{ bos_token }}";
  facts.max_len = 64;
  facts.vocab = 4;
  facts.tokenizer = &*tokenizer;
  return mrs::serve::MakeApiModel(facts);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const mrs::serve::ApiModel model = MakeModel();
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const bool chat : {true, false}) {
    mrs::serve::ApiCall call;
    const mrs::serve::Fault fault = chat ? mrs::serve::ParseChatCall(model, body, 1, &call)
                                         : mrs::serve::ParseCompletionCall(model, body, 1, &call);
    if (fault.has_value()) {
      if (fault->status < 400 || fault->message.empty()) std::abort();
      continue;
    }
    if (call.requests.empty()) std::abort();
    for (const mrs::Request& request : call.requests) {
      if (request.prompt.empty() || request.prompt.size() >= 64 || request.sampling.max_tokens == 0) std::abort();
      for (const int32_t id : request.prompt) {
        if (id < 0 || id >= 4) std::abort();
      }
    }
  }
  return 0;
}
