#include "runtime/serve/api_prompt.h"

#include <algorithm>
#include <ctime>
#include <string>
#include <string_view>

#include "formats/text/tokenizer.h"
#include "runtime/serve/api_fields.h"
#include "runtime/serve/api_request.h"

namespace mrs::serve {
namespace {

constexpr size_t kMaxTemplateVariables = 64;
constexpr int64_t kMaxTemplateSteps = 5'000'000;  // about a second, for which other requests wait

// Clients know this case by OpenAI's code or by the words "maximum context length is".
ApiError TooLong(const ApiModel& model, std::string_view param, std::string_view size) {
  ApiError error = BadParameter(param,
                                "this model's maximum context length is {} tokens, prompt and answer together, and {} "
                                "leave no room for an answer (context_length_exceeded); send less",
                                model.facts.max_len, size);
  error.code = "context_length_exceeded";
  return error;
}

Fault CheckLength(const ApiModel& model, std::string_view param, size_t token_count) {
  if (token_count == 0) return BadParameter(param, "has no tokens");
  if (token_count < model.facts.max_len) return {};
  return TooLong(model, param, fmt::format("{} tokens", token_count));
}

// More bytes than the longest tokens could hold: it would fit only if the tokenizer dropped most of it, as some drop
// blanks and unknown characters. Not worth an encoder's seconds, for which all other requests wait.
Fault CheckBytes(const ApiModel& model, std::string_view param, size_t bytes) {
  if (bytes / model.longest_token_bytes <= model.facts.max_len) return {};
  return TooLong(model, param, fmt::format("{} bytes", bytes));
}

Fault EncodeText(const ApiModel& model, std::string_view param, std::string_view text, bool add_special_tokens,
                 const std::atomic<bool>* stop, std::vector<int32_t>* ids) {
  if (Fault fault = CheckBytes(model, param, text.size())) return fault;
  Result<std::vector<int32_t>> encoded = text::Encode(*model.facts.tokenizer, text, add_special_tokens, stop);
  if (!encoded.ok()) return BadParameter(param, "{}", encoded.message());
  *ids = *std::move(encoded);
  return CheckLength(model, param, ids->size());
}

// A string, or a list of text parts. `part_count`: of all messages so far.
Fault ReadContent(const Json& message, const std::string& where, size_t* part_count, std::vector<std::string>* parts) {
  const std::string param = where + ".content";
  const Json* field = FindValue(message, "content");
  if (field == nullptr && FindValue(message, "role") != nullptr && *FindValue(message, "role") == "assistant")
    return {};
  if (field == nullptr) return BadParameter(param, "is missing or null; expected a string or a list of text parts");
  if (field->is_string()) {
    parts->push_back(field->get_ref<const std::string&>());
    return {};
  }
  if (!field->is_array()) {
    return BadParameter(param, "expected a string or a list of text parts, got {}", DescribeJson(*field));
  }
  *part_count += field->size();
  if (*part_count > kMaxContentParts) {
    return BadParameter(param, "the messages have more than {} parts so far; send fewer, longer ones",
                        kMaxContentParts);
  }
  for (size_t i = 0; i < field->size(); ++i) {
    const Json& part = (*field)[i];
    const Json* type = FindValue(part, "type");
    if (type == nullptr || !type->is_string()) {
      return BadParameter(fmt::format("{}[{}].type", param, i), "is missing; expected \"text\"");
    }
    if (*type != "text") {
      return BadParameter(fmt::format("{}[{}].type", param, i), "{} is not supported; this server takes text only",
                          DescribeJson(*type));
    }
    const Json* text = FindValue(part, "text");
    if (text == nullptr || !text->is_string()) {
      return BadParameter(fmt::format("{}[{}].text", param, i), "is missing; expected a string");
    }
    parts->push_back(text->get_ref<const std::string&>());
  }
  return {};
}

// As the template reads it, and as vLLM hands it over: part by part, or as one string, where parts join with newlines.
Json ContentFor(const ApiModel& model, const std::vector<std::string>& parts) {
  if (!model.content_in_parts) return fmt::format("{}", fmt::join(parts, "\n"));
  Json list = Json::array();
  for (const std::string& text : parts) list.push_back({{"type", "text"}, {"text", text}});
  return list;
}

Fault ReadRole(const Json& message, const std::string& where, std::string* role) {
  const std::string param = where + ".role";
  const Json* field = FindValue(message, "role");
  if (field == nullptr) return BadParameter(param, "is missing; expected system, developer, user or assistant");
  // "developer" is OpenAI's later name of "system"; templates know only the latter.
  for (const std::string_view known : {"system", "developer", "user", "assistant"}) {
    if (*field == known) *role = known == "developer" ? "system" : known;
  }
  if (!role->empty()) return {};
  if (*field == "tool" || *field == "function") {
    return BadParameter(param, "{} is not supported; tools come later", DescribeJson(*field));
  }
  return BadParameter(param, "expected system, developer, user or assistant, got {}", DescribeJson(*field));
}

Fault ReadMessage(const ApiModel& model, const Json& message, const std::string& where, size_t* part_count, Json* out) {
  if (!message.is_object()) return BadParameter(where, "expected an object, got {}", DescribeJson(message));
  std::string role;
  std::vector<std::string> parts;
  if (Fault fault = ReadRole(message, where, &role)) return fault;
  if (const Json* calls = FindValue(message, "tool_calls"); calls != nullptr && !calls->empty()) {
    return BadParameter(where + ".tool_calls", "is not supported; tools come later");
  }
  if (FindValue(message, "function_call") != nullptr) {
    return BadParameter(where + ".function_call", "is not supported; tools come later");
  }
  if (Fault fault = ReadContent(message, where, part_count, &parts)) return fault;
  *out = Json::object();
  (*out)["role"] = role;
  (*out)["content"] = ContentFor(model, parts);
  for (const char* key : {"name", "reasoning_content"}) {  // templates may read them
    if (const Json* text = FindValue(message, key); text != nullptr && text->is_string()) (*out)[key] = *text;
  }
  return {};
}

// Of a content: a string, or parts.
size_t TextBytes(const Json& content) {
  if (const auto* text = content.get_ptr<const Json::string_t*>(); text != nullptr) return text->size();
  size_t bytes = 0;
  if (!content.is_array()) return bytes;
  for (const Json& part : content) {
    const Json* text = FindValue(part, "text");
    if (text != nullptr && text->is_string()) bytes += text->get_ref<const std::string&>().size();
  }
  return bytes;
}

// What transformers passes to a template, and what the client adds with chat_template_kwargs.
Fault MakeContext(const ApiModel& model, const Fields& body, Json messages, Json* context) {
  bool add_generation_prompt = true;
  if (Fault fault = ReadFlag(body, "add_generation_prompt", &add_generation_prompt)) return fault;
  *context = Json::object();
  (*context)["messages"] = std::move(messages);
  (*context)["tools"] = nullptr;
  (*context)["documents"] = nullptr;
  (*context)["add_generation_prompt"] = add_generation_prompt;
  for (const auto& [name, text] : model.facts.template_tokens) (*context)[name] = text;
  const Json* added = body.Find("chat_template_kwargs");
  if (added == nullptr) return {};
  if (!added->is_object() || added->size() > kMaxTemplateVariables) {
    return BadParameter("chat_template_kwargs", "expected an object of at most {} keys, got {}", kMaxTemplateVariables,
                        DescribeJson(*added));
  }
  for (const auto& [key, value] : added->items()) {
    if (context->contains(key)) return BadParameter("chat_template_kwargs", "{} cannot be set here", DescribeJson(key));
    (*context)[key] = value;
  }
  return {};
}

std::tm LocalTime() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

}  // namespace

Fault ReadMessages(const ApiModel& model, const Fields& body, const std::atomic<bool>* stop,
                   std::vector<int32_t>* ids) {
  if (!model.chat.has_value()) return BadParameter("messages", "{}", model.chat_refusal);
  const Json* list = body.Find("messages");
  if (list == nullptr) return BadParameter("messages", "is missing; expected a list of messages");
  if (!list->is_array() || list->empty()) {
    return BadParameter("messages", "expected a list of at least one message, got {}", DescribeJson(*list));
  }
  if (list->size() > kMaxMessages) {
    return BadParameter("messages", "{} messages, at most {} are accepted", list->size(), kMaxMessages);
  }
  ClearedJson messages{Json::array()};
  size_t part_count = 0;
  size_t content_bytes = 0;
  for (size_t i = 0; i < list->size(); ++i) {
    Json message;
    if (Fault fault = ReadMessage(model, (*list)[i], fmt::format("messages[{}]", i), &part_count, &message)) return fault;
    content_bytes += TextBytes(message["content"]);
    if (Fault fault = CheckBytes(model, "messages", content_bytes)) return fault;  // before a template copies it
    messages.value.push_back(std::move(message));
  }
  bool add_special_tokens = false;  // templates write them
  if (Fault fault = ReadFlag(body, "add_special_tokens", &add_special_tokens)) return fault;
  ClearedJson context;
  if (Fault fault = MakeContext(model, body, std::move(messages.value), &context.value)) return fault;
  text::RenderOptions options;
  options.now = LocalTime();
  options.max_steps = kMaxTemplateSteps;
  options.stop = stop;
  const Result<std::string> prompt = text::Render(*model.chat, context.value, options);
  if (!prompt.ok()) return BadParameter("messages", "the chat template refuses them: {}", prompt.message());
  return EncodeText(model, "messages", *prompt, add_special_tokens, stop, ids);
}

Fault ReadPrompts(const ApiModel& model, const Fields& body, const std::atomic<bool>* stop,
                  std::vector<std::vector<int32_t>>* prompts) {
  constexpr std::string_view kExpected = "expected a string, a list of strings, token ids, or lists of token ids";
  const Json* field = body.Find("prompt");
  if (field == nullptr) return BadParameter("prompt", "is missing; {}", kExpected);
  bool add_special_tokens = true;
  if (Fault fault = ReadFlag(body, "add_special_tokens", &add_special_tokens)) return fault;
  const bool is_list = field->is_array() && !field->empty() && !field->front().is_number();
  const size_t count = is_list ? field->size() : 1;
  if (count > kMaxPrompts) return BadParameter("prompt", "{} prompts, at most {} are accepted", count, kMaxPrompts);
  size_t token_count = 0;
  for (size_t i = 0; i < count; ++i) {
    const Json& item = is_list ? (*field)[i] : *field;
    const std::string param = is_list ? fmt::format("prompt[{}]", i) : "prompt";
    std::vector<int32_t>& ids = prompts->emplace_back();
    if (item.is_array()) {
      if (Fault fault = ReadTokenIds(item, param, model.facts.vocab, kMaxBodyBytes, &ids)) return fault;
      if (Fault fault = CheckLength(model, param, ids.size())) return fault;
    } else if (!item.is_string()) {
      return BadParameter(param, "{}, got {}", kExpected, DescribeJson(item));
    } else if (model.facts.tokenizer == nullptr) {
      return BadParameter(param, "this model has no tokenizer; send a list of token ids");
    } else if (Fault fault =
                   EncodeText(model, param, item.get_ref<const std::string&>(), add_special_tokens, stop, &ids)) {
      return fault;
    }
    token_count += ids.size();
    if (count > 1 && token_count > kMaxPromptTokens) {
      return BadParameter("prompt", "{} tokens in the first {} prompts, at most {} are accepted in all", token_count,
                          i + 1, kMaxPromptTokens);
    }
  }
  return {};
}

}  // namespace mrs::serve
