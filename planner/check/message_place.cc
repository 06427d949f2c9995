#include "planner/check/message_place.h"

#include <charconv>
#include <optional>
#include <vector>

#include "formats/json.h"
#include "formats/model_json.h"
#include "planner/optional_file.h"

namespace mrs::check {
namespace {

constexpr std::string_view kParts[] = {
    "config.json",           "generation_config.json",    "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json",   "chat_template.jinja",
    "chat_template.json",    "additional_chat_templates", "model.safetensors.index.json",
    "hf_quant_config.json",  "quantize_config.json",      "quant_config.json"};

bool OfWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

// The next name of a message: what stands in quotes, or a word; "" at its end.
std::string_view TakeWord(std::string_view* message) {
  while (!message->empty()) {
    const char first = message->front();
    if (first == '\'' || first == '"') {
      const size_t end = message->find(first, 1);
      if (end != message->npos) {
        const std::string_view word = message->substr(1, end - 1);
        message->remove_prefix(end + 1);
        return word;
      }
    }
    size_t length = 0;
    while (length < message->size() && OfWord((*message)[length])) ++length;
    std::string_view word = message->substr(0, length);
    message->remove_prefix(std::max<size_t>(length, 1));
    while (word.ends_with('.')) word.remove_suffix(1);
    if (!word.empty()) return word;
  }
  return {};
}

// "[3]" at the start of the rest of a message.
std::optional<size_t> TakeIndex(std::string_view* message) {
  if (!message->starts_with('[')) return std::nullopt;
  size_t index = 0;
  const char* const begin = message->data() + 1;
  const auto [end, error] = std::from_chars(begin, message->data() + message->size(), index);
  if (error != std::errc() || end == message->data() + message->size() || *end != ']') return std::nullopt;
  message->remove_prefix(static_cast<size_t>(end + 1 - message->data()));
  return index;
}

}  // namespace

MessageFile FileOfMessage(const std::string& folder, std::string_view message) {
  const auto rest_after = [&](size_t bytes) { return std::string(message.substr(bytes)); };
  if (message.starts_with(fmt::format("{}: ", folder))) return {"", folder, rest_after(folder.size() + 2)};
  if (message.starts_with(fmt::format("{}/", folder))) {
    const size_t end = message.find(": ", folder.size() + 1);
    if (end != message.npos) {
      return {std::string(message.substr(folder.size() + 1, end - folder.size() - 1)),
              std::string(message.substr(0, end)), rest_after(end + 2)};
    }
  }
  constexpr std::string_view kCheckpoint = "checkpoint: ";
  if (message.starts_with(kCheckpoint)) return {"checkpoint", folder, rest_after(kCheckpoint.size())};
  for (const std::string_view part : kParts) {
    if (message.starts_with(part) && message.substr(part.size()).starts_with(": ")) {
      return {std::string(part), fmt::format("{}/{}", folder, part), rest_after(part.size() + 2)};
    }
  }
  return {"", folder, std::string(message)};
}

Place PlaceOfMessage(const std::string& path, std::string_view text, std::string_view message) {
  Result<Json> parsed = ParseModelJson(text, "", kModelJsonLimits);
  if (!parsed) return WholeOf(path);
  ClearedJson json{*std::move(parsed)};
  const Json* at = &json.value;
  std::vector<JsonStep> steps;
  // What was expected instead names no place.
  message = message.substr(0, message.find(": expected"));
  std::string named(message);
  if (const size_t words = named.find("chat template"); words != named.npos) named[words + 4] = '_';
  message = named;
  for (std::string_view word = TakeWord(&message); !word.empty() && steps.size() < 16; word = TakeWord(&message)) {
    const auto* entries = at->get_ptr<const Json::object_t*>();
    if (entries == nullptr) break;
    if (word == "architecture") word = "architectures";
    const Json* value = FindValue(*at, word);
    if (value == nullptr) continue;
    steps.push_back({std::string(word)});
    at = value;
    const std::optional<size_t> index = TakeIndex(&message);
    if (!index || !at->is_array() || *index >= at->size()) continue;
    steps.push_back({.index = index});
    at = &(*at)[*index];
  }
  const std::optional<JsonSpan> span = steps.empty() ? std::nullopt : FindJsonSpan(text, steps);
  if (!span) return {path, {1, 1}, {1, 1}};
  return {path, PlaceOf(text, span->has_key() ? span->key_begin : span->begin), PlaceOf(text, span->end)};
}

}  // namespace mrs::check
