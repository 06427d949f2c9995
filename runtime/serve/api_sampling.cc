#include "runtime/serve/api_sampling.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <string_view>

#include "formats/text/added_tokens.h"
#include "formats/text/tokenizer.h"
#include "runtime/serve/api_fields.h"

namespace mrs::serve {
namespace {

constexpr size_t kMaxStops = 64;           // OpenAI has 4; agents and evaluations send more
constexpr size_t kMaxStopBytes = 1024;     // of one
constexpr size_t kMaxAllStopBytes = 4096;  // the automaton of a request has a node a byte
constexpr size_t kMaxShownBytes = 80;
constexpr size_t kMaxStopTokens = 1024;
constexpr size_t kMaxBiases = 1024;
constexpr float kGreedyBelow = 1e-5f;  // as vLLM: dividing by less overflows

// A parameter that is refused unless its value asks for nothing. `neutral`: such values as JSON, separated by spaces.
struct Unsupported {
  std::string_view name;
  std::string_view neutral;
};

constexpr Unsupported kUnsupported[] = {
    {"n", "1 1.0"},
    {"best_of", "1 1.0"},
    {"echo", "false"},
    {"suffix", "\"\""},
    {"tools", "[]"},
    {"tool_choice", "\"none\" \"auto\""},
    {"functions", "[]"},
    {"function_call", "\"none\" \"auto\""},
    {"response_format", "{\"type\":\"text\"}"},
    {"audio", ""},
    {"modalities", "[\"text\"]"},
    {"web_search_options", ""},
    {"reasoning_effort", "\"none\""},
    {"use_beam_search", "false"},
    {"bad_words", "[]"},
    {"allowed_token_ids", "[]"},
    {"prompt_logprobs", ""},
    {"truncate_prompt_tokens", ""},
    {"prompt_embeds", ""},
    {"structured_outputs", ""},
    {"guided_json", ""},
    {"guided_regex", ""},
    {"guided_choice", ""},
    {"guided_grammar", ""},
    {"guided_whitespace_pattern", ""},
    {"structural_tag", ""},
    {"grammar", "\"\""},
    {"json_schema", ""},
    {"format", "\"\""},
    {"length_penalty", "1 1.0"},
    {"repeat_penalty", "1 1.0"},
    {"typical_p", "1 1.0"},
    {"top_n_sigma", "-1 -1.0 0 0.0"},
    {"eta_cutoff", "0 0.0"},
    {"epsilon_cutoff", "0 0.0"},
    {"smoothing_factor", "0 0.0"},
    {"do_sample", ""},
    {"max_new_tokens", ""},
    {"regex", ""},
    {"ebnf", ""},
    {"stop_regex", ""},
    {"enable_thinking", ""},
    {"thinking", ""},
    {"verbosity", "\"medium\""},
    {"tfs_z", "1 1.0"},
    {"mirostat", "0"},
    {"mirostat_mode", "0"},
    {"dry_multiplier", "0 0.0"},
    {"xtc_probability", "0 0.0"},
    {"dynatemp_range", "0 0.0"},
    {"samplers", "[]"},
    {"n_predict", ""},
    {"logits_processors", "[]"},
    {"logprob_token_ids", "[]"},
    {"thinking_token_budget", ""},
    {"return_tokens_as_token_ids", "false"},
    {"spaces_between_special_tokens", "true"},
    {"skip_special_tokens", "true"},
    {"detokenize", "true"},
    {"include_stop_str_in_output", "false"},
    {"continue_final_message", "false"},
    {"chat_template", ""},
    {"documents", "[]"},
};

bool IsNeutral(const Json& value, std::string_view neutral) {
  if (neutral.empty() || value.size() > 1) return false;
  const std::string text = DumpJson(value);
  while (!neutral.empty()) {
    const size_t end = std::min(neutral.find(' '), neutral.size());
    if (neutral.substr(0, end) == text) return true;
    neutral.remove_prefix(std::min(end + 1, neutral.size()));
  }
  return false;
}

Fault ReadStops(const ApiModel& model, const Fields& body, StopStrings* stops) {
  const Json* field = body.Find("stop");
  if (field == nullptr) return {};
  const Json list = field->is_string() ? Json::array({*field}) : *field;
  if (!list.is_array())
    return BadParameter("stop", "expected a string or a list of strings, got {}", DescribeJson(*field));
  if (list.size() > kMaxStops) {
    return BadParameter("stop", "{} stop strings, at most {} are accepted", list.size(), kMaxStops);
  }
  size_t all_bytes = 0;
  std::vector<std::string> texts;
  for (const Json& item : list) {
    const auto* text = item.get_ptr<const Json::string_t*>();
    if (text == nullptr || text->empty() || text->size() > kMaxStopBytes) {
      return BadParameter("stop", "expected strings of 1 to {} bytes, got {}", kMaxStopBytes, DescribeJson(item));
    }
    texts.push_back(*text);
    all_bytes += text->size();
  }
  if (all_bytes > kMaxAllStopBytes) {
    return BadParameter("stop", "{} bytes of stop strings, at most {} are accepted", all_bytes, kMaxAllStopBytes);
  }
  if (!texts.empty() && model.facts.tokenizer == nullptr) {
    return BadParameter("stop", "this model has no tokenizer; use stop_token_ids");
  }
  *stops = std::move(texts);
  return {};
}

// A special token never shows in a text, so a stop string that is one means the token.
Fault AddSpecialStops(const ApiModel& model, const StopStrings& stops, std::vector<int32_t>* ids) {
  if (model.facts.tokenizer == nullptr) return {};
  const text::Tokenizer& tokenizer = *model.facts.tokenizer;
  for (const std::string& stop : stops.texts()) {
    const auto pieces = text::SplitAtAddedTokens(tokenizer.added, tokenizer.normalizer, stop);
    if (!pieces.ok()) continue;
    for (const text::Piece& piece : *pieces) {
      if (piece.id < 0 || !text::IsSpecial(tokenizer, piece.id)) continue;
      if (pieces->size() > 1) {
        return BadParameter("stop", "{} holds the special token {}, which no answer shows; use stop_token_ids: [{}]",
                            DescribeJson(Json(stop)), DescribeJson(Json(piece.text)), piece.id);
      }
      ids->push_back(piece.id);
    }
  }
  return {};
}

Fault ReadBiases(const ApiModel& model, const Fields& body, SharedList<std::pair<int32_t, float>>* biases) {
  const Json* field = body.Find("logit_bias");
  if (field == nullptr) return {};
  if (!field->is_object()) {
    return BadParameter("logit_bias", "expected an object of token id to bias, got {}", DescribeJson(*field));
  }
  if (field->size() > kMaxBiases) {
    return BadParameter("logit_bias", "{} biases, at most {} are accepted", field->size(), kMaxBiases);
  }
  std::vector<std::pair<int32_t, float>> pairs;
  std::vector<bool> seen(model.facts.vocab);
  for (const auto& [key, value] : field->items()) {
    uint32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id >= model.facts.vocab) {
      return BadParameter("logit_bias", "expected a token id from 0 to {} as the key, got {}", model.facts.vocab - 1,
                          DescribeJson(Json(key)));
    }
    const double bias = value.is_number() ? value.get<double>() : 1e9;
    if (!(bias >= -100 && bias <= 100)) {
      return BadParameter("logit_bias", "expected a bias from -100 to 100 for token {}, got {}", id,
                          DescribeJson(value));
    }
    if (seen[id]) return BadParameter("logit_bias", "token {} appears twice", id);
    seen[id] = true;
    pairs.emplace_back(static_cast<int32_t>(id), static_cast<float>(bias));
  }
  *biases = std::move(pairs);
  return {};
}

Fault ReadTopK(const Fields& body, uint32_t* top_k) {
  int64_t value = *top_k;
  if (Fault fault = ReadInteger(body, "top_k", -1, std::numeric_limits<int32_t>::max(), &value)) return fault;
  *top_k = static_cast<uint32_t>(std::max<int64_t>(value, 0));  // -1 and 0: off
  return {};
}

Fault ReadSeed(const Fields& body, uint64_t fresh, uint64_t* seed) {
  const Json* field = body.Find("seed");
  if (field == nullptr) {
    *seed = fresh;
    return {};
  }
  if (field->is_number_unsigned()) {
    *seed = field->get<uint64_t>();
    return {};
  }
  const std::optional<int64_t> number = WholeNumber(*field);
  if (!number.has_value()) return BadParameter("seed", "expected an integer, got {}", DescribeJson(*field));
  *seed = static_cast<uint64_t>(*number);
  return {};
}

}  // namespace

Fault CheckUnsupported(const Fields& body) {
  for (const Unsupported& parameter : kUnsupported) {
    const Json* value = body.Find(parameter.name);
    if (value != nullptr && !IsNeutral(*value, parameter.neutral)) {
      const std::string whole = DumpJson(*value);
      return BadParameter(parameter.name, "{} is not supported; leave it out",
                          whole.size() <= kMaxShownBytes ? whole : DescribeJson(*value));
    }
  }
  return {};
}

Fault CheckMinTokens(const Fields& body, const SamplingParams& sampling) {
  int64_t min_tokens = 0;
  if (Fault fault = ReadInteger(body, "min_tokens", 0, sampling.max_tokens, &min_tokens)) return fault;
  const bool ends_early = !sampling.ignore_eos || !sampling.stop.empty() || !sampling.stop_token_ids.empty();
  if (min_tokens == 0 || !ends_early) return {};  // else the answer has max_tokens anyway
  return BadParameter("min_tokens", "{} is supported only with ignore_eos and without stops", min_tokens);
}

Fault ReadSampling(const ApiModel& model, const Fields& body, uint64_t seed, SamplingParams* sampling) {
  const ServedModel& facts = model.facts;
  *sampling = facts.defaults;
  const NumberRange penalty{.min = -2, .max = 2};
  if (Fault fault = ReadNumber(body, "temperature", {.min = 0, .max = 100}, &sampling->temperature)) return fault;
  if (sampling->temperature < kGreedyBelow) sampling->temperature = 0;
  if (Fault fault = ReadNumber(body, "top_p", {.min = 0, .max = 1, .above_min = true}, &sampling->top_p)) return fault;
  // A double above 0 may be 0 as a float.
  sampling->top_p = std::max(sampling->top_p, std::numeric_limits<float>::min());
  if (Fault fault = ReadTopK(body, &sampling->top_k)) return fault;
  if (Fault fault = ReadNumber(body, "min_p", {.min = 0, .max = 1}, &sampling->min_p)) return fault;
  if (Fault fault = ReadNumber(body, "presence_penalty", penalty, &sampling->presence_penalty)) return fault;
  if (Fault fault = ReadNumber(body, "frequency_penalty", penalty, &sampling->frequency_penalty)) return fault;
  if (Fault fault = ReadNumber(body, "repetition_penalty", {.min = 0.01, .max = 100}, &sampling->repetition_penalty)) {
    return fault;
  }
  if (Fault fault = ReadSeed(body, seed, &sampling->seed)) return fault;
  if (Fault fault = ReadFlag(body, "ignore_eos", &sampling->ignore_eos)) return fault;
  if (Fault fault = ReadStops(model, body, &sampling->stop)) return fault;
  std::vector<int32_t> stop_ids;
  if (const Json* ids = body.Find("stop_token_ids")) {
    if (Fault fault = ReadTokenIds(*ids, "stop_token_ids", facts.vocab, kMaxStopTokens, &stop_ids)) return fault;
  }
  if (Fault fault = AddSpecialStops(model, sampling->stop, &stop_ids)) return fault;
  sampling->stop_token_ids = std::move(stop_ids);
  return ReadBiases(model, body, &sampling->logit_bias);
}

}  // namespace mrs::serve
