// The activation arena: the inputs are the known ones, the buckets ascend, and every buffer lies inside its arena.
#include <array>
#include <charconv>
#include <optional>
#include <set>

#include "plans/verify/checks.h"
#include "plans/verify/inputs.h"

namespace mrs::verify {
namespace {

using plan::DType;
using plan::Rows;

struct InputRule {
  std::string_view name;
  Rows rows;
  bool is_table;  // width ceil(max_len / block tokens), else 1
  bool of_class;  // there for each KV class
};

constexpr std::array<InputRule, kInputCount> kInputs = {{{contract::kTokens, Rows::tokens, false, false},
                                                         {contract::kPositions, Rows::tokens, false, false},
                                                         {contract::kSequence, Rows::tokens, false, false},
                                                         {contract::kSlots, Rows::tokens, false, true},
                                                         {contract::kBlockTable, Rows::sequences, true, true},
                                                         {contract::kLogitRows, Rows::logit_rows, false, false}}};

Status CheckInputs(const StageView& stage) {
  std::set<InputBuffer> found;
  for (uint32_t b = 0; b < stage.buffers.size(); ++b) {
    const plan::Buffer& buffer = stage.buffers[b];
    if (!buffer.input()) continue;
    const std::optional<InputBuffer> input = InputOf(stage, b);
    if (!input) return stage.AtBuffer(b, "is no known input");
    const InputRule& rule = kInputs[static_cast<size_t>(input->input)];
    const uint64_t table_width = contract::KvBlocks(stage.plan.max_len());
    const uint64_t width = rule.is_table ? table_width : 1;
    if (buffer.dtype() != DType::i32 || buffer.rows() != rule.rows || buffer.width() != width) {
      return stage.AtBuffer(b, "is {} [{}, {}], expected i32 [{}, {}]", plan::EnumNameDType(buffer.dtype()),
                            plan::EnumNameRows(buffer.rows()), buffer.width(), plan::EnumNameRows(rule.rows), width);
    }
    if (!found.insert(*input).second) return stage.AtBuffer(b, "is there twice");
  }
  // A stage has the inputs that it reads; one alone reads all.
  for (size_t i = 0; i < kInputs.size() && stage.plan.stages()->size() == 1; ++i) {
    const uint32_t count = kInputs[i].of_class ? std::max<uint32_t>(stage.kv_classes.size(), 1) : 1;
    for (uint32_t c = 0; c < count; ++c) {
      const InputBuffer input{static_cast<Input>(i), c};
      if (!found.contains(input)) return Refuse("stage {}: input '{}' is missing", stage.index, InputName(input));
    }
  }
  return Status();
}

Status CheckBuckets(const StageView& stage) {
  const auto refuse = [&](size_t i, const std::string& what) {
    return Refuse("stage {} bucket {}: {}", stage.index, i, what);
  };
  for (size_t i = 0; i < stage.buckets.size(); ++i) {
    const plan::Bucket& bucket = stage.buckets[i];
    if (bucket.tokens() == 0 || bucket.tokens() > contract::kMaxBatchTokens) {
      return refuse(i, fmt::format("has {} tokens, expected 1 to {}", bucket.tokens(), contract::kMaxBatchTokens));
    }
    if (bucket.sequences() == 0 || bucket.sequences() > stage.plan.max_seqs()) {
      return refuse(
          i, fmt::format("has {} sequences, expected 1 to max_seqs {}", bucket.sequences(), stage.plan.max_seqs()));
    }
    if (bucket.logit_rows() == 0 || bucket.logit_rows() > bucket.tokens()) {
      return refuse(
          i, fmt::format("has {} logit rows, expected 1 to its {} tokens", bucket.logit_rows(), bucket.tokens()));
    }
    if (bucket.arena_bytes() > stage.stage.activation_arena_bytes()) {
      return refuse(i, fmt::format("needs {} bytes, the activation arena has {}", bucket.arena_bytes(),
                                   stage.stage.activation_arena_bytes()));
    }
    if (i == 0) continue;
    const plan::Bucket& before = stage.buckets[i - 1];
    if (bucket.tokens() <= before.tokens() || bucket.sequences() < before.sequences() ||
        bucket.logit_rows() < before.logit_rows()) {
      return refuse(i, fmt::format("({} tokens, {} sequences, {} logit rows) does not follow ({}, {}, {}) ascending",
                                   bucket.tokens(), bucket.sequences(), bucket.logit_rows(), before.tokens(),
                                   before.sequences(), before.logit_rows()));
    }
  }
  return Status();
}

Status CheckPlacements(const StageView& stage) {
  const uint64_t expected = uint64_t{stage.buckets.size()} * stage.buffers.size();
  if (stage.placements.size() != expected) {
    return Refuse("stage {}: has {} placements, expected {} buckets x {} buffers", stage.index, stage.placements.size(),
                  stage.buckets.size(), stage.buffers.size());
  }
  for (size_t i = 0; i < stage.buckets.size(); ++i) {
    const plan::Bucket& bucket = stage.buckets[i];
    for (uint32_t b = 0; b < stage.buffers.size(); ++b) {
      const uint64_t offset = stage.placements[i * stage.buffers.size() + b];
      const uint64_t end = SatAdd(offset, stage.BufferBytes(bucket, stage.buffers[b]));
      if (offset % contract::kArenaAlignment != 0) {
        return stage.AtBuffer(b, "bucket {}: its offset {} is no multiple of {}", bucket.tokens(), offset,
                              contract::kArenaAlignment);
      }
      if (end > bucket.arena_bytes()) {
        return stage.AtBuffer(b, "bucket {}: lies at [{}, {}), past the arena's {} bytes", bucket.tokens(), offset, end,
                              bucket.arena_bytes());
      }
    }
  }
  return Status();
}

}  // namespace

std::optional<InputBuffer> InputOf(const StageView& stage, uint32_t buffer) {
  if (!stage.buffers[buffer].input()) return std::nullopt;
  const std::string_view name = stage.BufferName(buffer);
  const size_t dot = name.find('.');
  InputBuffer found;
  if (dot != name.npos) std::from_chars(name.data() + dot + 1, name.data() + name.size(), found.kv_class);
  if (found.kv_class != 0 && found.kv_class >= stage.kv_classes.size()) return std::nullopt;
  for (size_t i = 0; i < kInputs.size(); ++i) {
    found.input = static_cast<Input>(i);
    if ((kInputs[i].of_class || found.kv_class == 0) && InputName(found) == name) return found;
  }
  return std::nullopt;
}

std::string InputName(InputBuffer input) {
  return contract::KvInputName(kInputs[static_cast<size_t>(input.input)].name, input.kv_class);
}

Status CheckBuffers(const StageView& stage) {
  if (stage.stage.activation_arena_bytes() > contract::kMaxArenaBytes) {
    return Refuse("stage {}: an activation arena of {} bytes, at most {} are accepted", stage.index,
                  stage.stage.activation_arena_bytes(), contract::kMaxArenaBytes);
  }
  for (uint32_t b = 0; b < stage.buffers.size(); ++b) {
    const uint64_t width = stage.buffers[b].width();
    if (width == 0 || width > contract::kMaxWidth) {
      return stage.AtBuffer(b, "its width is {}, expected 1 to {}", width, contract::kMaxWidth);
    }
  }
  MRS_RETURN_IF_ERROR(CheckInputs(stage));
  MRS_RETURN_IF_ERROR(CheckBuckets(stage));
  return CheckPlacements(stage);
}

}  // namespace mrs::verify
