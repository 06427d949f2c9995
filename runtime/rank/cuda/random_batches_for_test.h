// A small model on GPUs, and batches for it: sequences that come and go, prompts and decodes in turn. For tests.
//
//   const TestModel model = OnGpus({.max_seqs = 6}, folder, /*graph_count=*/8);
//   RandomBatches batches(model, seed);
//   BytesOf(RunForward(*executor, batches.Next()))
//
// MRS_RANDOM_BATCHES=1000:7 makes a thousand, from seed 7, of the few that tests run else (BatchRun).
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "plans/cuda_graphs.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/testing/llama_plan.h"

namespace mrs {

inline testing::TestModel OnGpus(const testing::TestModelConfig& config, const std::string& directory,
                                 int64_t graph_count, bool nccl = false) {
  std::filesystem::create_directories(directory);
  testing::TestModel model = MakeTestModel(config, directory);
  uint32_t device = 0;
  for (plan::Rank& rank : model.tree.ranks) {
    rank.mutate_kind(plan::DeviceKind::cuda);
    rank.mutate_device(device++);
  }
  for (auto& stage : model.tree.stages) {
    int64_t exchanges = 0;
    for (const plan::Step& step : stage->steps) {
      exchanges += step.op() == plan::OpKind::all_reduce || step.op() == plan::OpKind::all_gather ||
                           step.op() == plan::OpKind::send || step.op() == plan::OpKind::recv
                       ? 1
                       : 0;
    }
    if (nccl) exchanges = 0;
    stage->workspace_bytes = nccl ? 4096 : 1;  // a sum of many rows is of several pieces
    stage->communicators_bytes = nccl ? 1 : 0;
    stage->graphs_bytes =
        static_cast<uint64_t>(graph_count * GraphBytes(static_cast<int64_t>(stage->steps.size()), exchanges));
  }
  Repack(&model);
  return model;
}

// Sequences of a world of `most`, each with its own blocks, which come and go: a prompt, or a token of each of some.
class RandomBatches {
 public:
  RandomBatches(const testing::TestModel& model, uint64_t seed)
      : config_(model.config), spaces_(*KvSpacesOf(model.plan())), random_(seed), lengths_(config_.max_seqs) {}

  Batch Next() {
    if (deck_.empty()) Shuffle();
    Batch batch = Empty(deck_.back().variant);
    const bool is_decode = Below(8) != 0;
    const uint32_t most = deck_.back().rows;
    deck_.pop_back();
    const uint32_t first = Below(config_.max_seqs);
    for (uint32_t i = 0; i < config_.max_seqs && batch.sequence_count() < most; ++i) {
      const uint32_t sequence = (first + i) % config_.max_seqs;
      const uint32_t tokens = is_decode ? 1 : 1 + Below(12);
      if (lengths_[sequence] + tokens > config_.max_len || Below(64) == 0) lengths_[sequence] = 0;
      Continue(sequence, tokens, &batch);
    }
    return batch;
  }
  // So many tokens more of each of the first sequences.
  Batch Continue(uint32_t sequences, uint32_t tokens) {
    Batch batch = Empty(Variant::kAllLogits);
    for (uint32_t sequence = 0; sequence < sequences; ++sequence) Continue(sequence, tokens, &batch);
    return batch;
  }

 private:
  // Each number of rows in each variant once, in a random order.
  void Shuffle() {
    for (uint32_t rows = 1; rows <= config_.max_seqs; ++rows) {
      for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) deck_.push_back({rows, variant});
    }
    std::shuffle(deck_.begin(), deck_.end(), random_);
  }
  uint32_t Below(uint32_t count) { return static_cast<uint32_t>(random_() % count); }
  int32_t BlockOf(size_t space, uint32_t sequence, uint32_t block) const {
    return static_cast<int32_t>(block % spaces_[space].sequence_blocks * config_.max_seqs + sequence);
  }
  Batch Empty(Variant variant) const {
    Batch batch;
    batch.variant = variant;
    batch.table_stride = (config_.max_len + 31) / 32;
    batch.kv.resize(spaces_.size());
    return batch;
  }
  void Continue(uint32_t sequence, uint32_t tokens, Batch* batch) {
    const auto row = static_cast<uint32_t>(batch->sequence_count());
    for (uint32_t t = 0; t < tokens; ++t) Add(sequence, row, /*wants_logits=*/t + 1 == tokens, batch);
    for (size_t space = 0; space < spaces_.size(); ++space) {
      for (uint32_t block = 0; block < batch->table_stride; ++block) {
        batch->kv[space].block_table.push_back(BlockOf(space, sequence, block));
      }
    }
  }
  void Add(uint32_t sequence, uint32_t row, bool wants_logits, Batch* batch) {
    const uint32_t position = lengths_[sequence]++;
    if (wants_logits) batch->logit_rows.push_back(static_cast<int32_t>(batch->tokens.size()));
    batch->tokens.push_back(static_cast<int32_t>(Below(config_.vocab)));
    batch->positions.push_back(static_cast<int32_t>(position));
    batch->sequence.push_back(static_cast<int32_t>(row));
    for (size_t space = 0; space < spaces_.size(); ++space) {
      batch->kv[space].slots.push_back(BlockOf(space, sequence, position / 32) * 32 +
                                       static_cast<int32_t>(position % 32));
    }
  }

  const testing::TestModelConfig& config_;
  const std::vector<KvSpace> spaces_;
  std::mt19937_64 random_;
  std::vector<uint32_t> lengths_;  // of each sequence so far
  struct Size {
    uint32_t rows;
    Variant variant;
  };
  std::vector<Size> deck_;  // of the batches to come, the next last
};

// How many batches, of which seed; said, so that a run can be done again.
struct BatchRun {
  int count;
  uint64_t seed = 20261126;

  static BatchRun Asked(int few) {
    BatchRun run = {.count = std::getenv("MRS_EVERY_FAULT") == nullptr ? few : 1000};
    const char* const asked = std::getenv("MRS_RANDOM_BATCHES");
    if (asked != nullptr && (std::sscanf(asked, "%d:%" SCNu64, &run.count, &run.seed) < 1 || run.count < few)) {
      ADD_FAILURE() << "MRS_RANDOM_BATCHES=" << asked << ": expected COUNT or COUNT:SEED, at least " << few;
      run.count = few;
    }
    fmt::print("{} random batches of seed {}\n", run.count, run.seed);
    return run;
  }
};

// What batches come to: the plan's buckets in both variants, and decodes of the sizes that graphs have.
class Coverage {
 public:
  explicit Coverage(const testing::TestModel& model) : most_(model.config.max_seqs) {
    for (const plan::Bucket& bucket : model.tree.stages.front()->buckets) bucket_tokens_.push_back(bucket.tokens());
    for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
      for (const int64_t tokens : bucket_tokens_) left_[{"bucket", tokens, variant}] = 1;
      for (int64_t rows = 1; rows <= most_; ++rows) left_[{"graph", GraphRows(rows, most_), variant}] = kUsesOfGraph;
    }
  }

  void Add(const Batch& batch) {
    const auto tokens = static_cast<int64_t>(batch.tokens.size());
    const auto at =
        std::find_if(bucket_tokens_.begin(), bucket_tokens_.end(), [&](int64_t of) { return tokens <= of; });
    ASSERT_NE(at, bucket_tokens_.end()) << tokens;
    Take({"bucket", *at, batch.variant});
    if (batch.tokens.size() == batch.sequence_count()) Take({"graph", GraphRows(tokens, most_), batch.variant});
  }

  // "graph of 4, all logits: 2 more"; empty: all was there.
  std::string Missing() const {
    std::string missing;
    for (const auto& [what, uses] : left_) {
      const auto& [kind, size, variant] = what;
      const char* const called = variant == Variant::kCandidates ? "candidates" : "all logits";
      if (uses > 0) missing += fmt::format("{} of {}, {}: {} more\n", kind, size, called, uses);
    }
    return missing;
  }

 private:
  static constexpr int kUsesOfGraph = 2;  // replayed, and again after other batches
  using What = std::tuple<std::string, int64_t, Variant>;
  void Take(const What& what) { --left_.at(what); }

  const int64_t most_;
  std::vector<int64_t> bucket_tokens_;  // ascending
  std::map<What, int> left_;
};

inline std::string BytesOf(const Result<StepOutput>& out) {
  EXPECT_TRUE(out.ok()) << out.message();
  if (!out.ok()) return "";
  const auto bytes = out->logits.empty() ? out->candidates : std::as_bytes(out->logits);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace mrs
