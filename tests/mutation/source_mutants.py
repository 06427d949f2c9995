"""Mutants of the sources, each with the test that must fail: what was once untested, and how we know that it is tested.

Each is (name, file, old text, new text, test, cases): the old text must stand in the file exactly once. `test` is
CTest's name of the test, and of the program to build for it unless there is a `target`; `cases` are GoogleTest's names
(a filter) of those that were written for this. More are in gpu_source_mutants.py.
"""

import os
import re
from collections import namedtuple

from scratch_tree import REPOSITORY

Mutant = namedtuple("Mutant", "name file old new test cases target")


def mutant(name, file, old, new, test, cases="", target=""):
    return Mutant(name, file, old, new, test, cases, target or test)


def refused_keys():
    """A mutant for each row of the table of refused keys of config.json: the row is left out."""
    file, cases = "planner/architecture.cc", "ModelConfig.RefusesEachKeyThatChangesTheComputation"
    with open(os.path.join(REPOSITORY, file)) as source:
        table = re.search(r"kRefusedKeys\[\] = \{\n(.*?)\n\};", source.read(), re.S).group(1)
    for row, key in re.findall(r'(^    \{"(\w+)", [^}]*\},$)', table, re.M):
        yield mutant(f"refused_{key}", file, row + "\n", "", "planner_model_config_test", cases)


ENGINE, SERVE, TEXT, VERIFY = "runtime/engine/", "runtime/serve/", "formats/text/", "plans/verify/"
COMM = "runtime/comm/scheduled_communicator.h"

MUTANTS = [
    # The engine.
    mutant(
        "stop_inside_a_longer_one",
        ENGINE + "stop_scanner.cc",
        "      mutable_node(child).longest = std::max(node(child).longest, node(node(child).fail).longest);\n",
        "",
        "engine_stop_scanner_test",
        "StopScanner.SeesAStopInsideALongerOne",
    ),
    mutant(
        "min_p_is_1",
        ENGINE + "sampler.cc",
        "weights[id] < static_cast<double>(params.min_p)",
        "weights[id] <= static_cast<double>(params.min_p)",
        "engine_sampler_test",
        "Sampler.MinPOfOneLeavesTheBestAlone",
    ),
    mutant(
        "top_p_on_the_line",
        ENGINE + "sampler.cc",
        "reached < static_cast<double>(params.top_p) * total",
        "reached <= static_cast<double>(params.top_p) * total",
        "engine_sampler_test",
        "Sampler.TopPExactlyOnTheLineKeepsNoMore",
    ),
    mutant(
        "temperature_of_a_millionth",
        ENGINE + "sampler.cc",
        "if (params.temperature > 0.0f) chosen = Draw(",
        "if (params.temperature > 1e-5f) chosen = Draw(",
        "engine_sampler_test",
        "Sampler.ATinyTemperatureIsStillOne",
    ),
    mutant(
        "stop_completed_in_the_rest",
        ENGINE + "answer.cc",
        'std::string rest = text.ok() ? scanner_.Push(*text) : "";',
        'std::string rest = text.ok() ? *text : "";',
        "engine_answer_test",
        "*AStopMayBeCompletedByTheRest*",
    ),
    mutant(
        "character_cut_at_the_prompts_end",
        TEXT + "detokenizer.h",
        "if (held.ok()) held_before_ = *held;",
        'if (held.ok() && held->find("\\xef\\xbf\\xbd") == std::string::npos) held_before_ = *held;',
        "engine_answer_test",
        "*LeavesThePromptTheHalfThatNothingCompletes*",
    ),
    mutant(
        "whose_turn_after_a_removal",
        ENGINE + "scheduler.cc",
        "if (static_cast<size_t>(found - running_.begin()) < cursor_) --cursor_;",
        "",
        "engine_scheduler_test",
        "Scheduler.TheTurnIsTheSameAfterARemoval",
    ),
    mutant(
        "bucket_filled_to_the_last_token",
        ENGINE + "scheduler.cc",
        "limits_.chunk, tokens_left + 1});",
        "limits_.chunk, tokens_left});",
        "engine_scheduler_test",
        "Scheduler.FillsABucketToTheLastToken",
    ),
    mutant(
        "ring_that_does_not_go_around",
        ENGINE + "scheduler.cc",
        "return std::min<uint64_t>(contract::KvBlocks(token_count), kv.sequence_blocks);",
        "return contract::KvBlocks(token_count) + 0 * kv.block_count;",
        "engine_scheduler_test",
        "Scheduler.ALongSequenceHoldsNoMoreThanItsRing",
    ),
    mutant(
        "one_forward_takes_all_who_run",
        ENGINE + "scheduler.cc",
        "const size_t most = std::min<size_t>(limits_.sequences, part);",
        "const size_t most = std::max<size_t>(limits_.sequences, part);",
        "engine_scheduler_test",
        "Scheduler.SplitsTheRunningOverAsManyForwardsAsMayBeUnderWay",
    ),
    mutant(
        "slots_of_a_ring",
        ENGINE + "engine.cc",
        "kv.block_table[row * config_.table_stride + block] = blocks[block % blocks.size()];",
        "kv.block_table[row * config_.table_stride + block] = blocks[std::min(block, blocks.size() - 1)];",
        "engine_engine_test",
        "Engine.WritesAndReadsAWindowInItsRing",
    ),
    # Serving.
    mutant(
        "two_hosts",
        SERVE + "http_head.cc",
        "  if (count > 1) return BadHead",
        "  if (count > 2) return BadHead",
        "serve_http_head_test",
        "HeadFacts.AHostThereMustBeAndOnlyOne",
    ),
    mutant(
        "no_host",
        SERVE + "http_head.cc",
        "if (count == 0 && version >= 11)",
        "if (count == 0 && version >= 12)",
        "serve_http_head_test",
        "HeadFacts.AHostThereMustBeAndOnlyOne",
    ),
    mutant(
        "chunked_not_last",
        SERVE + "http_head.cc",
        'if (chunked != 1 || !SameName(codings.back(), "chunked")) {',
        "if (chunked != 1) {",
        "serve_http_head_test",
        "HeadFacts.ABodyEndsBeyondDoubt",
    ),
    mutant(
        "http10_stream_with_keep_alive",
        SERVE + "http_answer.cc",
        "  keep_alive_ = keep_alive_ && chunked_;\n",
        "",
        "serve_http_rfc_test",
        "HttpRfc.AStreamToHttp10EndsWithTheConnection",
    ),
    mutant(
        "half_close_is_leaving",
        SERVE + "http_session.cc",
        "    return OnClientEnd();\n  }\n  buffer_",
        "    return Close();\n  }\n  buffer_",
        "serve_http_rfc_test",
        "HttpRfc.AClientThatClosesItsSendingHalfIsAnswered",
    ),
    mutant(
        "lost_after_half_close",
        SERVE + "http_answer.cc",
        "    if (!error && self != nullptr) self->OrClose([&] { self->Probe(); });\n",
        "    if (!error && self != nullptr) return;\n",
        "serve_http_rfc_test",
        "HttpRfc.AClientThatListensNoMoreIsNoticed",
    ),
    mutant(
        "usage_of_two_prompts",
        SERVE + "api_response.cc",
        "  prompt_tokens_ += finish.prompt_tokens;",
        "  prompt_tokens_ = finish.prompt_tokens;",
        "serve_api_response_test",
        "ChunkWriter.AddsUpTheUsageOfTwoPrompts",
    ),
    mutant(
        "continuous_usage_alone",
        SERVE + "api_request.cc",
        "  call->usage_so_far = call->usage_so_far && call->include_usage;\n",
        "",
        "serve_api_request_test",
        "ParseCompletionCall.ContinuousUsageStatsAloneAsksForNothing",
    ),
    mutant(
        "read_ahead_without_bound",
        SERVE + "http_session.cc",
        "buffer_.size() >= state_.options.max_read_ahead_bytes",
        "buffer_.size() >= ~size_t{0}",
        "serve_server_budget_test",
        "ServerBudgetTest.ReadsAheadNoFurtherThanItMay",
    ),
    mutant(
        "linger_without_bound",
        SERVE + "http_session.cc",
        "    if (lingered_bytes_ > state_.options.max_linger_bytes) Close();\n",
        "",
        "serve_server_budget_test",
        "ServerBudgetTest.ListensToARefusedClientNoFurtherThanItMay",
    ),
    mutant(
        "ended_client_is_translated_for",
        SERVE + "http_session.cc",
        "translation_->body_bytes() > state_.options.free_bytes && chunked_) Send(kContinue);",
        "translation_->body_bytes() > state_.options.free_bytes && chunked_) return;",
        "serve_server_budget_test",
        "ServerBudgetTest.AClientThatClosedIsNotTranslatedFor",
    ),
    mutant(
        "backlog_without_bound",
        SERVE + "http_answer.cc",
        "outgoing_.size() > state_.options.max_backlog_bytes",
        "outgoing_.size() > ~size_t{0} - 1",
        "serve_server_budget_test",
        "ServerBudgetTest.EndsAStreamThatIsTooFarBehind",
    ),
    # Templates.
    mutant(
        "chained_comparison",
        TEXT + "template_eval.cc",
        "          left = std::move(right);\n",
        "",
        "formats_text_chat_template_test",
        "Render.AChainComparesEachWithTheNext",
    ),
    # Communicators.
    mutant(
        "progress_renews_a_timeout",
        COMM,
        "        idle_count = 0;\n        give_up = {};\n",
        "        idle_count = 0;\n",
        "comm_exchange_test",
        "Exchange.ProgressIn*RenewsTheTimeout",
    ),
    mutant(
        "write_error_hides_a_mismatch",
        COMM,
        "if (write_error && moved == 0) return",
        "if (write_error) return",
        "comm_exchange_test",
        "Exchange.AWriteErrorHidesNoMismatch",
    ),
    # The executor.
    mutant(
        "attention_factor",
        "runtime/rank/bind.cc",
        ".scale = rope.attention_factor()",
        ".scale = 1.0f",
        "rank_cpu_executor_test",
        "CpuExecutorTest.MultipliesRotationsByTheAttentionFactor",
    ),
    mutant(
        "second_kv_class",
        "runtime/rank/bind.cc",
        "for (uint32_t i = 0; i < attr.kv_class(); ++i) {",
        "for (uint32_t i = 0; i < 0 * attr.kv_class(); ++i) {",
        "rank_cpu_executor_test",
        "CpuExecutorTest.KeepsEachCacheClassApart",
    ),
    # The verifier.
    mutant(
        "sources_disagree_on_type",
        VERIFY + "tensors.cc",
        " ||\n          source.dtype() != first.dtype()) {",
        ") {",
        "plans_verify_test",
        "Verify.RejectsTensorOfTwoTypes",
    ),
    mutant(
        "overwrite_that_nobody_reads",
        VERIFY + "liveness.cc",
        "if (definer == step || (definer != kStart && !IsOver(definer, step)))",
        "if (definer == step)",
        "plans_verify_test",
        "Verify.RejectsAnOverwriteThatNobodyReads",
    ),
    mutant(
        "three_query_heads_on_two",
        VERIFY + "shapes.cc",
        "attr.heads() == 0 || attr.heads() % attr.kv_heads() != 0",
        "attr.heads() == 0",
        "plans_verify_test",
        "Verify.RejectsThreeQueryHeads*",
    ),
    # The planner.
    mutant(
        "linear_rope_to_the_bit",
        "planner/rope.cc",
        "frequency /= static_cast<float>(config.factor);",
        "frequency *= 1.0f / static_cast<float>(config.factor);",
        "planner_rope_test",
        "Rope.LinearDividesEachFrequencyToTheBit",
    ),
    mutant(
        "end_tokens_past_the_vocabulary",
        "planner/generation_config.cc",
        "!std::cmp_less(value.get<uint64_t>(), vocab)",
        "!std::cmp_less_equal(value.get<uint64_t>(), vocab)",
        "planner_generation_config_test",
        "GenerationConfig.WarnsOfTokensPastTheVocabulary",
    ),
    mutant(
        "end_token_of_the_tokenizer_past_the_vocabulary",
        "planner/model_text.cc",
        "} else if (*id >= spec.vocab) {",
        "} else if (*id > spec.vocab) {",
        "planner_model_text_test",
    ),
    mutant(
        "end_tokens_of_a_plan_past_the_vocabulary",
        VERIFY + "facts.cc",
        "if (eos < 0 || eos > last)",
        "if (eos < 0 || eos > last + 1)",
        "plans_verify_test",
    ),
    mutant(
        "end_token_of_the_tokenizer",
        "planner/model_text.cc",
        "    return AddEndTokens({static_cast<int32_t>(*id)}, place, spec);\n",
        "    return {};\n",
        "planner_model_text_test",
    ),
    mutant(
        "head_of_a_tied_model",
        "planner/model_tensors.cc",
        "    spec.tied_embeddings = false;\n",
        "",
        "planner_model_tensors_test",
    ),
    mutant(
        "default_min_p",
        "planner/generation_config.cc",
        'sampling.min_p, ReadNumber(config, "min_p", 0, 0, 1)',
        'sampling.top_p, ReadNumber(config, "min_p", 0, 0, 1)',
        "planner_generation_config_test",
    ),
    mutant(
        "content_in_parts",
        SERVE + "api_model.cc",
        "    model.content_in_parts = text::ReadsContentInParts(*model.chat);\n",
        "",
        "serve_api_request_test",
    ),
    mutant(
        "template_that_is_not_used",
        "planner/model_text.cc",
        '    MRS_RETURN_IF_ERROR(CheckTemplate(text, fmt::format("{}: {}", place, shown)));\n',
        "",
        "planner_model_text_test",
    ),
    mutant(
        "infinity_in_config",
        "planner/model_config.cc",
        "ParseModelJson(text, kConfig, kModelJsonLimits)",
        "ParseModelJson(text, kConfig)",
        "planner_model_config_test",
    ),
    *refused_keys(),
    # The IR verifier.
    mutant(
        "kv_heads_of_other_queries",
        "ir/dim_slice.cc",
        "if (CoarseRange(fine_slice.At(c), group) != coarse_slice.At(c)) return false;",
        "if (coarse_slice.every == 1 && CoarseRange(fine_slice.At(c), group) != coarse_slice.At(c)) return false;",
        "lit",
        target="mrs-opt",
    ),
    mutant(
        "all_reduce_typed_split",
        "ir/verify_sharding.cc",
        "if (TypeOf(op.getResult()) != in.withPartial(in.getPartial().Without(axis))) {",
        "if (TypeOf(op.getResult()).getPartial()) {",
        "lit",
        target="mrs-opt",
    ),
    mutant(
        "sum_counted_twice",
        "ir/verify_sharding.cc",
        "if (slice.every > 1) {",
        "if (slice.every > 1 && RanksOf(slice) == 1) {",
        "lit",
        target="mrs-opt",
    ),
    mutant(
        "border_takes_another_type",
        "ir/verify_sharding.cc",
        "if (sends[i].getX().getType() != receives[i].getResult().getType()) {",
        "if (sends[i].getX().getType() == nullptr) {",
        "lit",
        target="mrs-opt",
    ),
    mutant(
        "slices_of_another_axis",
        "ir/dim_slice.cc",
        " || fine_slice.axis != coarse_slice.axis) return false;",
        ") return false;",
        "dim_slice_test",
    ),
    # Layouts, and what holds stages together.
    mutant(
        "layers_of_nobody",
        "planner/layout.cc",
        "  if (sum != layers) {",
        "  if (sum > layers) {",
        "planner_layout_test",
    ),
    mutant(
        "first_class_without_the_rest",
        "planner/passes/kv_blocks.cc",
        "of_class.block_count += left / of_class.block_bytes;",
        "of_class.block_count += 0 * left;",
        "planner_kv_blocks_test",
    ),
    mutant(
        "transfer_to_anybody",
        "plans/verify/stages.cc",
        "    if (transfer.peer_stage() != peer) {",
        "    if (transfer.peer_stage() == UINT32_MAX && peer == 0) {",
        "planner_stages_test",
    ),
    mutant(
        "sent_to_nobody",
        "plans/verify/stages.cc",
        "  if (sends.size() != receives.size()) {",
        "  if (sends.size() > receives.size()) {",
        "planner_stages_test",
    ),
    mutant(
        "answers_of_the_first_stage",
        "plans/verify/outputs.cc",
        "tables.candidates_buffer() == contract::kNone && tables.logits_buffer() == contract::kNone",
        "tables.logits_buffer() == contract::kNone",
        "planner_stages_test",
    ),
]
