#include "planner/layer_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "planner/model_tensors.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kMib = int64_t{1} << 20;

ModelSpec Model(const std::vector<int64_t>& windows, const std::vector<int64_t>& ffns) {
  ModelSpec spec;
  spec.architecture = "LlamaForCausalLM";
  spec.hidden = 512;
  spec.vocab = 32000;
  spec.max_position = spec.longest = 4096;
  spec.ropes.resize(1);
  spec.ropes[0].inv_freq.resize(32);
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    LayerSpec of;
    of.heads = 8;
    of.kv_heads = 4;
    of.head_dim = 64;
    of.ffn = ffns[layer];
    of.window = windows[layer];
    of.rope = 0;
    spec.layers.push_back(of);
  }
  return spec;
}

ModelSpec Alike(size_t layers) { return Model(std::vector<int64_t>(layers, 0), std::vector<int64_t>(layers, 2048)); }

NeedsOf Limits(const ModelSpec& spec, bool cuda = false) {
  return {*DecideLayout({.max_seqs = 4}, ReadsOfAToken(spec)), true, 4096, 4, cuda, Collectives::kNccl};
}

// How full the fullest device is under a cut, from the needs of its plan.
double Fullest(const ModelSpec& spec, NeedsOf of, const std::vector<int64_t>& lengths,
               const std::vector<int64_t>& usable) {
  of.layout.stages.clear();
  int64_t begin = 0;
  std::vector<double> may;
  for (size_t device = 0; device < lengths.size(); ++device) {
    if (lengths[device] == 0) continue;
    of.layout.stages.push_back({begin, begin + lengths[device], static_cast<int64_t>(device)});
    may.push_back(static_cast<double>(usable[device]));
    begin += lengths[device];
  }
  const std::vector<RankNeed> needs = RankNeeds(spec, of);
  double fullest = 0;
  for (size_t s = 0; s < needs.size(); ++s) fullest = std::max(fullest, static_cast<double>(needs[s].Least()) / may[s]);
  return fullest;
}

// Of all cuts that use as many devices as there are layers for, or with `any` of all cuts.
double BestOfAll(const ModelSpec& spec, const NeedsOf& of, const std::vector<int64_t>& usable, bool any) {
  double best = 1e300;
  std::vector<int64_t> lengths;
  const auto layers = static_cast<int64_t>(spec.layers.size());
  const auto go = [&](const auto& self, int64_t left) -> void {
    if (lengths.size() == usable.size()) {
      const auto idle = static_cast<int64_t>(std::count(lengths.begin(), lengths.end(), 0));
      const int64_t spare = std::max<int64_t>(static_cast<int64_t>(usable.size()) - layers, 0);
      if (left == 0 && (any || idle == spare)) best = std::min(best, Fullest(spec, of, lengths, usable));
      return;
    }
    for (int64_t length = 0; length <= left; ++length) {
      lengths.push_back(length);
      self(self, left - length);
      lengths.pop_back();
    }
  };
  go(go, layers);
  return best;
}

TEST(LayerMap, LayersGoByMemory) {
  const ModelSpec nine = Alike(9);
  EXPECT_THAT(CutByMemory(nine, Limits(nine), {48000 * kMib, 24000 * kMib}), ElementsAre(7, 2));
  EXPECT_THAT(CutByMemory(nine, Limits(nine), {kMib}), ElementsAre(9));
}

TEST(LayerMap, NoStageIsShorterThanItNeedBe) {
  // With the embedding in the first and the head in the last, five stages of twelve layers: none is 3 but where it
  // must.
  const ModelSpec spec = Alike(12);
  EXPECT_THAT(CutByMemory(spec, Limits(spec), std::vector<int64_t>(5, 2000 * kMib)), ElementsAre(1, 3, 3, 4, 1));
}

TEST(LayerMap, ADeviceIsLeftOutWhereItHoldsNoLayer) {
  const ModelSpec four = Alike(4);
  EXPECT_THAT(CutByMemory(four, Limits(four), {800 * kMib, 800 * kMib, kMib}), ElementsAre(2, 2, 0));
  EXPECT_THAT(CutByMemory(four, Limits(four), {kMib, 800 * kMib, 800 * kMib}), ElementsAre(0, 2, 2));
  // Where nothing fits anyway all are used, and the refusal says what is too little.
  EXPECT_THAT(CutByMemory(four, Limits(four), {kMib, kMib}), ElementsAre(2, 2));
  const ModelSpec two = Alike(2);
  const std::vector<int64_t> cut = CutByMemory(two, Limits(two), {100 * kMib, 800 * kMib, 800 * kMib});
  EXPECT_THAT(cut, ElementsAre(0, 1, 1));
}

TEST(LayerMap, NoCutIsLessFull) {
  std::mt19937 random(9);
  const auto any = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  for (int i = 0; i < 60; ++i) {
    std::vector<int64_t> windows, ffns, usable;
    const int64_t layers = any(2, 9), period = any(1, 3);
    for (int64_t layer = 0; layer < layers; ++layer) {
      windows.push_back(layer < period ? any(0, 1) * 512 : windows[layer - period]);
      ffns.push_back(layer < period ? 1024 * any(1, 8) : ffns[layer - period]);
    }
    if (i % 3 == 0) ffns.back() *= 3;  // no period
    const ModelSpec spec = Model(windows, ffns);
    for (int64_t device = any(2, 4); device > 0; --device) usable.push_back(any(30, 400) * kMib);
    const NeedsOf of = Limits(spec, /*cuda=*/i % 2 == 1);
    const std::vector<int64_t> cut = CutByMemory(spec, of, usable);
    ASSERT_EQ(cut.size(), usable.size());
    const double full = Fullest(spec, of, cut, usable);
    // Devices are left out where nothing fits otherwise.
    const double with_all = BestOfAll(spec, of, usable, false), with_any = BestOfAll(spec, of, usable, true);
    EXPECT_EQ(full, with_all <= 1 || with_any > 1 ? with_all : with_any) << i;
  }
}

TEST(LayerMap, ManyLayersAreCutToo) {
  const ModelSpec spec = Alike(4096);
  const std::vector<int64_t> usable(7, int64_t{80000} * kMib);
  const std::vector<int64_t> cut = CutByMemory(spec, Limits(spec), usable);
  int64_t sum = 0;
  for (const int64_t length : cut) sum += length;
  EXPECT_EQ(sum, 4096);
  EXPECT_LE(*std::max_element(cut.begin(), cut.end()), 588);  // a border is each fourth layer
}

}  // namespace
}  // namespace mrs
