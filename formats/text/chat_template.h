// A model's chat template: the core of the Jinja language, rendered as `transformers` renders it.
//
//   MRS_ASSIGN_OR_RETURN(const ChatTemplate chat, ParseTemplate("{% for m in messages %}{{ m.content }}{% endfor %}"));
//   MRS_ASSIGN_OR_RETURN(const std::string prompt, Render(chat, {{"messages", messages}}, {}));
//
// As there: blocks trim the newline after them and the indentation before them (trim_blocks, lstrip_blocks), values
// cannot be changed in place, and undefined values print as nothing. What is not of the core is refused by name and
// line.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "formats/json.h"
#include "plans/status.h"

namespace mrs::text {

struct TemplateAst;

// A parsed template; copies share it, threads may too.
struct ChatTemplate {
  std::shared_ptr<const TemplateAst> ast;
};

struct RenderOptions {
  int64_t max_steps = 20'000'000;              // expressions evaluated, and bytes handled / 16
  size_t max_output_bytes = size_t{64} << 20;  // of the result, and of any string on the way
  const std::atomic<bool>* stop = nullptr;     // set by another thread: nobody wants the result any more
  std::optional<std::tm> now;                  // what strftime_now() tells; without it that name is undefined
};

// At most 1 MB of template.
Result<ChatTemplate> ParseTemplate(std::string_view text);

// Whether the template goes through a message's content part by part, {"type": "text", "text": ...}, and must be given
// it so. False: it wants one string.
bool ReadsContentInParts(const ChatTemplate& chat_template);

// `context` is an object: its keys are the template's variables. What raise_exception("...") says becomes the error.
Result<std::string> Render(const ChatTemplate& chat_template, const Json& context, const RenderOptions& options = {});

}  // namespace mrs::text
