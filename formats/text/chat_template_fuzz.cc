// A template: refused, or rendered within its budgets over a fixed conversation.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/json.h"
#include "formats/text/chat_template.h"
#include "formats/text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const mrs::Json context = *mrs::ParseJson(
      R"({"messages": [{"role": "system", "content": "a é"}, {"role": "user", "content": "hi", "n": [1, 2.5, null]}],
          "tools": [{"function": {"name": "f"}}], "add_generation_prompt": true, "bos_token": "<s>"})",
      "fuzz");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mrs::Result<mrs::text::ChatTemplate> chat = mrs::text::ParseTemplate(text);
  if (!chat.ok()) return 0;
  (void)mrs::text::ReadsContentInParts(*chat);
  mrs::text::RenderOptions options;
  options.max_steps = 200'000;
  options.max_output_bytes = 1 << 20;
  const mrs::Result<std::string> rendered = mrs::text::Render(*chat, context, options);
  if (rendered.ok() && mrs::text::FindInvalidUtf8(*rendered) != std::string::npos) std::abort();
  return 0;
}
