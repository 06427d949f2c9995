#include "planner/fact_keys.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "plans/append.h"

namespace mrs {
namespace {

// Keys, separated by spaces, that the planner reads; it refuses values that it cannot plan.
struct UsedKeys {
  FactFile file;
  std::string_view keys;
};

constexpr UsedKeys kUsed[] = {
    {FactFile::kConfig,
     "architectures model_type hidden_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
     "intermediate_size vocab_size max_position_embeddings rms_norm_eps layer_norm_eps tie_word_embeddings "
     "attention_bias use_qkv_bias mlp_bias hidden_act hidden_activation rope_theta rope_scaling rope_parameters "
     "rope_local_base_freq partial_rotary_factor original_max_position_embeddings no_rope_layers "
     "no_rope_layer_interval sliding_window use_sliding_window sliding_window_pattern max_window_layers layer_types "
     "attn_logit_softcapping final_logit_softcapping query_pre_attn_scalar attention_multiplier embedding_multiplier "
     "residual_multiplier logits_scaling use_parallel_residual bos_token_id eos_token_id pad_token_id"},
    {FactFile::kConfig,  // refused unless null, false or 0
     "quantization_config compression_config quantization text_config vision_config audio_config num_experts "
     "num_local_experts n_routed_experts moe_intermediate_size clip_qkv attn_output_gate attention_chunk_size "
     "use_bidirectional_attention qk_layernorm"},
    {FactFile::kRope,
     "type rope_type rope_theta factor low_freq_factor high_freq_factor original_max_position_embeddings "
     "partial_rotary_factor attention_factor beta_fast beta_slow mscale mscale_all_dim truncate short_factor "
     "long_factor llama_4_scaling_beta"},
    {FactFile::kGeneration,
     "bos_token_id eos_token_id pad_token_id do_sample temperature top_k top_p min_p repetition_penalty "
     "presence_penalty frequency_penalty max_new_tokens max_length stop_strings"},
    {FactFile::kTokenizerConfig,
     "chat_template added_tokens_decoder add_bos_token add_eos_token extra_special_tokens "
     "model_specific_special_tokens"},
    {FactFile::kTokenizer, "version added_tokens normalizer pre_tokenizer post_processor decoder model"},
};

// Keys without effect. `harmless`: values of which that holds, as JSON, separated by spaces; "": all. Others are warned
// of.
struct IdleKeys {
  FactFile file;
  std::string_view keys;
  std::string_view harmless;
  std::string_view why;
};

constexpr std::string_view kOnlyNull = "null";

constexpr IdleKeys kIdle[] = {
    {FactFile::kConfig,
     "_name_or_path name_or_path _commit_hash transformers_version transformers.js_config unsloth_version "
     "unsloth_fixed "
     "auto_map",
     "", "say where the file comes from; code of a repository is never run"},
    {FactFile::kConfig, "torch_dtype dtype", "", "the tensors' own headers say their type, --dtype what is computed"},
    {FactFile::kConfig,
     "attention_dropout hidden_dropout hidden_dropout_prob embd_pdrop resid_pdrop attn_pdrop classifier_dropout "
     "initializer_range initializer_factor gradient_checkpointing neftune_noise_alpha ignore_index",
     "", "concern training"},
    {FactFile::kConfig, "pretraining_tp", "", "cuts sums into parts whose sum is the same"},
    {FactFile::kConfig,
     "use_cache cache_implementation output_attentions output_hidden_states return_dict torchscript use_bfloat16 "
     "_attn_implementation _attn_implementation_autoset _attn_implementation_internal attn_implementation "
     "_flash_attn_2_enabled _experts_implementation chunk_size_feed_forward logits_to_keep num_logits_to_keep "
     "base_model_tp_plan base_model_pp_plan",
     "", "choose how transformers runs, not what it computes"},
    {FactFile::kConfig, "id2label label2id num_labels problem_type finetuning_task task_specific_params prefix", "",
     "concern tasks other than text"},
    {FactFile::kConfig, "max_length max_sequence_length model_max_length seq_length", "",
     "max_position_embeddings and --max-len decide"},
    {FactFile::kConfig, "sep_token_id unk_token_id cls_token_id mask_token_id decoder_start_token_id", "",
     "no computation reads them"},
    {FactFile::kConfig, "tokenizer_class", "", "tokenizer.json alone says how text becomes tokens"},
    {FactFile::kConfig, "is_decoder cross_attention_hidden_size", "", "every model here is a decoder alone"},
    {FactFile::kConfig, "is_encoder_decoder add_cross_attention tie_encoder_decoder pruned_heads", "false {}",
     "every model here is a decoder alone, with all its heads"},
    {FactFile::kConfig, "_sliding_window_pattern", "", "layer_types has what follows from it"},
    {FactFile::kConfig, "lm_head_bias", "false", "transformers' heads have none"},
    {FactFile::kConfig, "full_attn_mod interpolate_factor", "1", "transformers does not read them"},
    {FactFile::kConfig, "use_mrope", "false", "positions are those of text"},
    {FactFile::kConfig, "rope_traditional rope_interleaved", "false",
     "RoPE turns the halves of a head, as transformers does"},
    {FactFile::kConfig, "is_llama_config", "", "architectures says which model it is"},
    {FactFile::kConfig, "sliding_window_size", "", "transformers reads sliding_window"},
    {FactFile::kConfig, "num_nextn_predict_layers", "0", "tokens are predicted one at a time"},
    {FactFile::kConfig, "do_sample early_stopping output_scores return_dict_in_generate remove_invalid_values", "false",
     "how to draw is said by generation_config.json"},
    {FactFile::kConfig,
     "temperature top_p typical_p repetition_penalty length_penalty num_beams num_beam_groups num_return_sequences",
     "1 1.0", "how to draw is said by generation_config.json"},
    {FactFile::kConfig, "min_length no_repeat_ngram_size encoder_no_repeat_ngram_size diversity_penalty", "0 0.0",
     "how to draw is said by generation_config.json"},
    {FactFile::kConfig, "top_k", "50", "how to draw is said by generation_config.json"},
    {FactFile::kConfig,
     "min_p max_new_tokens presence_penalty frequency_penalty stop_strings bad_words_ids forced_bos_token_id "
     "forced_eos_token_id suppress_tokens begin_suppress_tokens exponential_decay_length_penalty",
     kOnlyNull, "how to draw is said by generation_config.json"},

    {FactFile::kRope, "short_mscale long_mscale", "", "transformers has one attention factor for both"},
    {FactFile::kRope, "max_position_embeddings", "", "the model's own length stands beside the rule"},
    {FactFile::kRope, "finetuned", "", "concerns training"},

    {FactFile::kGeneration, "transformers_version _from_model_config _commit_hash _original_object_hash", "",
     "say where the file comes from"},
    {FactFile::kGeneration,
     "use_cache cache_implementation cache_config return_legacy_cache output_attentions output_hidden_states "
     "output_scores output_logits return_dict_in_generate disable_compile compile_config low_memory "
     "prefill_chunk_size renormalize_logits remove_invalid_values",
     "", "choose how transformers runs and what it returns, not which tokens"},
    {FactFile::kGeneration,
     "is_assistant num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold "
     "assistant_early_exit assistant_lookbehind target_lookbehind prompt_lookup_num_tokens max_matching_ngram_size",
     "", "guess tokens ahead for speed; the answer is the same"},
    {FactFile::kGeneration, "length_penalty early_stopping num_beam_groups diversity_penalty constraints", "",
     "concern beams, and there are none"},
    {FactFile::kGeneration,
     "decoder_start_token_id encoder_no_repeat_ngram_size encoder_repetition_penalty forced_decoder_ids", "",
     "concern encoders, and there are none"},
    {FactFile::kGeneration, "num_beams num_return_sequences", "1", "answers are drawn one by one, without beams"},
    {FactFile::kGeneration, "typical_p guidance_scale", "1 1.0", "the sampler has no such rule"},
    {FactFile::kGeneration,
     "epsilon_cutoff eta_cutoff no_repeat_ngram_size penalty_alpha min_length min_new_tokens top_n_sigma", "0 0.0",
     "the sampler has no such rule"},
    {FactFile::kGeneration, "token_healing", "false", "a prompt's last token stays"},
    {FactFile::kGeneration,
     "top_h bad_words_ids force_words_ids forced_bos_token_id forced_eos_token_id suppress_tokens "
     "begin_suppress_tokens sequence_bias exponential_decay_length_penalty watermarking_config max_time dola_layers",
     kOnlyNull, "the sampler has no such rule"},

    {FactFile::kTokenizerConfig,
     "tokenizer_class processor_class auto_map backend name_or_path _name_or_path tokenizer_file vocab_file "
     "merges_file "
     "special_tokens_map_file transformers_version use_fast from_slow legacy is_local local_files_only "
     "trust_remote_code "
     "_commit_hash sp_model_kwargs add_prefix_space trim_offsets do_lower_case strip_accents tokenize_chinese_chars "
     "vocab_size additional_special_tokens",
     "", "tokenizer.json alone says how text becomes tokens, and which are special"},
    {FactFile::kTokenizerConfig,
     "model_max_length max_length max_model_input_sizes truncation truncation_side truncation_strategy stride padding "
     "padding_side pad_to_multiple_of pad_token_type_id return_token_type_ids model_input_names",
     "", "prompts are neither cut nor padded; --max-len bounds them"},
    {FactFile::kTokenizerConfig, "clean_up_tokenization_spaces spaces_between_special_tokens errors", "",
     "text goes out token by token as it was decoded, and is not tidied afterwards"},
    {FactFile::kTokenizerConfig, "use_default_system_prompt", "", "the chat template has what is to be said"},
    {FactFile::kTokenizerConfig, "response_schema response_template", "", "answers go out as text"},
    {FactFile::kTokenizerConfig, "split_special_tokens fix_mistral_regex", "false",
     "tokenizer.json alone says how text becomes tokens"},

    {FactFile::kSpecialTokensMap, "additional_special_tokens extra_special_tokens", "",
     "tokenizer.json says which tokens are special"},

    {FactFile::kTokenizer, "truncation padding", "", "prompts are neither cut nor padded"},
};

// Special tokens have names that only the model's makers know: "image_token".
bool NamesAToken(FactFile file, std::string_view key, const Json& value) {
  if (file != FactFile::kTokenizerConfig && file != FactFile::kSpecialTokensMap) return false;
  return key.ends_with("_token") && (value.is_string() || value.is_object());
}

const IdleKeys* FindIdle(FactFile file, std::string_view key) {
  const auto* found = std::find_if(std::begin(kIdle), std::end(kIdle),
                                   [&](const IdleKeys& row) { return row.file == file && HasWord(row.keys, key); });
  return found == std::end(kIdle) ? nullptr : found;
}

bool IsUsed(FactFile file, std::string_view key) {
  return std::any_of(std::begin(kUsed), std::end(kUsed),
                     [&](const UsedKeys& row) { return row.file == file && HasWord(row.keys, key); });
}

bool IsHarmless(const IdleKeys& row, const Json& value) {
  if (row.harmless.empty()) return true;
  if (value.is_structured() && !value.empty()) return false;
  if (value.is_number_float() && !std::isfinite(value.get<double>())) return false;  // DumpJson makes null of it
  return HasWord(row.harmless, DumpJson(value));
}

std::string_view FileName(FactFile file) {
  switch (file) {
    case FactFile::kConfig:
      return "config.json";
    case FactFile::kRope:
      return "config.json: RoPE";
    case FactFile::kGeneration:
      return "generation_config.json";
    case FactFile::kTokenizerConfig:
      return "tokenizer_config.json";
    case FactFile::kSpecialTokensMap:
      return "special_tokens_map.json";
    case FactFile::kTokenizer:
      return "tokenizer.json";
  }
  MRS_CHECK(false);
}

std::string Code(std::string_view words, std::string_view separator) {
  std::string out;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    Append(&out, "{}`{}`", out.empty() ? "" : separator, words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return out;
}

}  // namespace

bool HasWord(std::string_view words, std::string_view word) {
  for (size_t at = words.find(word); at != words.npos; at = words.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

void WarnOfKeys(FactFile file, const Json& facts, std::string_view where, std::vector<std::string>* warnings) {
  constexpr size_t kNamed = 50;
  std::string unknown;
  size_t unknown_count = 0;
  for (const auto& [key, value] : *facts.get_ptr<const Json::object_t*>()) {
    if (value.is_null() || IsUsed(file, key) || NamesAToken(file, key, value)) continue;
    if (const IdleKeys* row = FindIdle(file, key)) {
      if (IsHarmless(*row, value)) continue;
      warnings->push_back(fmt::format("{}: '{}' {} is not used: {}", where, key, DescribeJson(value), row->why));
    } else if (++unknown_count <= kNamed) {
      Append(&unknown, "{}{}", unknown.empty() ? "" : ", ", DescribeJson(Json(key)));
    }
  }
  if (unknown_count > kNamed) unknown += fmt::format(" and {} more", unknown_count - kNamed);
  if (unknown_count > 0) {
    warnings->push_back(fmt::format("{}: mrs does not know {}; nothing of {} is used", where, unknown,
                                    unknown_count == 1 ? "it" : "them"));
  }
}

std::string KeysWithoutEffect() {
  std::string table = "| file | keys | values | because |\n|---|---|---|---|\n";
  for (const IdleKeys& row : kIdle) {
    table += fmt::format("| {} | {} | {} | {} |\n", FileName(row.file), Code(row.keys, ", "),
                         row.harmless.empty() ? "anything" : Code(row.harmless, " or "), row.why);
  }
  return table;
}

}  // namespace mrs
