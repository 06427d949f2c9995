// The names and numbers that planner, verifier and runtime must agree on, stated once.
//
//   BufferT{.name = name_of(contract::kTokens), .rows = Rows::tokens, .width = 1, .dtype = DType::i32, .input = true}
//
// A change here that makes an older reader misread a plan raises kFormatMajor; one that it can ignore, kFormatMinor.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace mrs::contract {

inline constexpr std::string_view kFileExtension = ".mrsplan";
inline constexpr uint16_t kFormatMajor = 3;
inline constexpr uint16_t kFormatMinor = 1;
inline constexpr uint32_t kNumericsRevision = 1;  // of the sums that kernels/kernels.h describes
inline constexpr uint32_t kNone = 0xFFFFFFFF;     // an index of nothing: the outputs of a stage that answers nothing

// The inputs, all i32. The executor writes them before the first step; there are no others, and a stage has those it
// uses. Each KV class has its own slots and block table: of class 0 the names here, of class 2 "slots.2".
inline constexpr std::string_view kTokens = "tokens";           // [tokens, 1] ids
inline constexpr std::string_view kPositions = "positions";     // [tokens, 1] from 0
inline constexpr std::string_view kSequence = "sequence";       // [tokens, 1] row of block_table
inline constexpr std::string_view kSlots = "slots";             // [tokens, 1] KV block * 32 + position % 32
inline constexpr std::string_view kBlockTable = "block_table";  // [sequences, ceil(max_len / 32)] KV blocks
inline constexpr std::string_view kLogitRows = "logit_rows";    // [logit_rows, 1] indices into tokens

inline std::string KvInputName(std::string_view name, uint32_t kv_class) {
  std::string of_class(name);
  if (kv_class > 0) of_class.append(".").append(std::to_string(kv_class));
  return of_class;
}

// The outputs, Stage.candidates_buffer and logits_buffer, are the first result of the last step of their variant:
//   candidates  u8 [logit_rows, tp * record bytes], one rank's records [logit_rows, record] after the other's
//   all_logits  f32 [logit_rows, vocab_padded], one rank's logits [logit_rows, vocab_padded / tp] after the other's

inline constexpr uint64_t kArenaAlignment = 64;  // of every buffer and weight
inline constexpr uint64_t kLanes = 16;           // rows of a packed weight are padded to this
inline constexpr uint64_t kGranule = 32;         // K of a packed chunk is padded to this
inline constexpr uint32_t kBlockTokens = 32;     // tokens of one KV block
inline constexpr uint32_t kVocabChunks = 16;     // the padded vocabulary is cut into this many for log-sum-exp
inline constexpr uint32_t kMaxCandidates = 64;
inline constexpr uint32_t kMaxChunks = 16;  // canonical chunks of K of one matrix
inline constexpr uint64_t kTrailerBytes = 32;

// What a plan may at most ask for. Far above any real model, low enough that checking a hostile plan stays quick.
inline constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxRanks = 65536;
inline constexpr uint64_t kMaxTp = 1024;
inline constexpr uint64_t kMaxLayers = 4096;
inline constexpr uint64_t kMaxSteps = uint64_t{1} << 20;
inline constexpr uint64_t kMaxBuffers = uint64_t{1} << 20;
inline constexpr uint64_t kMaxWeights = uint64_t{1} << 20;
inline constexpr uint64_t kMaxBuckets = 256;
inline constexpr uint64_t kMaxWindows = 256;  // of the KV classes of all stages: each is a space of KV blocks
inline constexpr uint64_t kMaxPlacements = uint64_t{1} << 20;  // buckets * buffers
inline constexpr uint64_t kMaxLen = uint64_t{16} << 20;
inline constexpr uint64_t kMaxSeqs = 65536;
inline constexpr uint64_t kMaxBatchTokens = uint64_t{1} << 20;
inline constexpr uint64_t kMaxVocab = uint64_t{1} << 24;
inline constexpr uint64_t kMaxWidth = uint64_t{1} << 31;       // elements of a row, rows or columns of a tensor
inline constexpr uint64_t kMaxArenaBytes = uint64_t{1} << 48;  // of one rank
inline constexpr uint64_t kMaxEndTokens = 256;
inline constexpr uint64_t kMaxTemplateTokens = 64;
inline constexpr uint64_t kMaxTemplateTokenBytes = 1024;  // of a name or a text
inline constexpr uint64_t kMaxStops = 64;                 // default stop strings
inline constexpr uint64_t kMaxStopBytes = 1024;           // of one
inline constexpr uint64_t kMaxAllStopBytes = 4096;
inline constexpr uint64_t kMaxAnswerTokens = (uint64_t{1} << 31) - 1;

// KV blocks that hold this many tokens.
constexpr uint64_t KvBlocks(uint64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

// A record of top_candidates, one rank's of one row: k ids (i32) and k logits (f32), then for each of the rank's chunks
// of the vocabulary a maximum and a sum (f32).
constexpr uint64_t CandidateRecordBytes(uint64_t k, uint64_t chunk_count) { return k * 8 + chunk_count * 8; }

// The most KV blocks of a class that one sequence holds. A forward of `tokens` (of the largest bucket) writes that many
// new tokens while the first of them still sees the window - 1 before it; a block more, as those may start anywhere.
constexpr uint64_t SequenceBlocks(uint64_t max_len, uint64_t window, uint64_t tokens) {
  const uint64_t all = KvBlocks(max_len);
  if (window == 0) return all;
  const uint64_t seen = std::min(window, kMaxLen) + std::min(tokens, kMaxBatchTokens) - 2;
  return std::min(all, KvBlocks(seen) + 1);
}

}  // namespace mrs::contract
