#include "planner/ways_out.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/cluster/short_form.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;

ModelSpec Llama(int64_t layers, int64_t heads, int64_t kv_heads) {
  LayerSpec layer;
  layer.heads = heads;
  layer.kv_heads = kv_heads;
  layer.head_dim = 128;
  layer.ffn = 4 * 128 * heads;
  layer.rope = 0;
  ModelSpec spec;
  spec.architecture = "LlamaForCausalLM";
  spec.hidden = 128 * heads;
  spec.vocab = 32000;
  spec.max_position = spec.longest = 8192;
  spec.layers.assign(layers, layer);
  spec.ropes.resize(1);
  spec.ropes[0].inv_freq.resize(64);
  return spec;
}

std::string Refusal(const Subject& subject, const Wish& wish) {
  const Decider decider(subject);
  EXPECT_FALSE(decider.Plans(wish));
  return RefusalOf(decider, wish).message;
}

// On GPUs of a short form.
std::string OnGpus(const ModelSpec& spec, std::string_view gpus, Wish wish, bool of_file = false) {
  const cluster::Cluster cluster = *cluster::ParseGpus(gpus);
  wish.max_seqs = 4;
  return Refusal({.spec = &spec, .cluster = &cluster, .of_file = of_file, .takes_devices = true}, wish);
}

constexpr uint64_t kGib = uint64_t{1} << 30;

TEST(WaysOut, AChangeIsSaidAsItIsTyped) {
  const Wish from = {.tp = 4, .device_layers = "0:1;1:3", .no_nccl = "--no-nccl and MISTRALRS_NO_NCCL=1"};
  Wish to = from;
  EXPECT_EQ(AsTyped(from, to), "");
  to.tp.reset();
  to.pp = 3;
  to.device_layers.clear();
  to.any_world = true;
  to.max_len = 7;
  to.max_seqs = 2;
  to.dtype = "bf16";
  to.no_nccl.clear();
  EXPECT_EQ(AsTyped(from, to),
            "--pp 3 --max-len 7 --max-seqs 2 --dtype bf16 --allow-any-world, without --tp and --device-layers and "
            "--no-nccl and MISTRALRS_NO_NCCL");
  Wish devices = from;
  devices.cuda_visible = "1,2";
  devices.devices = "cuda:0";
  devices.device_layers = "1:4";
  EXPECT_EQ(AsTyped(from, devices), "CUDA_VISIBLE_DEVICES=1,2 --device-layers \"1:4\" --devices cuda:0");
  EXPECT_EQ(AsTyped({.local_world = "2"}, {}), "without MISTRALRS_MN_LOCAL_WORLD_SIZE");
}

TEST(WaysOut, OfAnIllegalSize) {
  EXPECT_EQ(OnGpus(Llama(8, 32, 8), "6xH100-SXM", {}),
            "tp 6: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16; what works: --tp 4 "
            "--devices cuda:0,1,2,3; or --pp 6");
  EXPECT_EQ(OnGpus(Llama(8, 32, 8), "6xH100-SXM", {}, /*of_file=*/true),
            "tp 6: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16; what works: --tp 4 "
            "--devices cuda:0,1,2,3; or CUDA_VISIBLE_DEVICES=0,1,2,3 --tp 4; or --pp 6");
  EXPECT_EQ(OnGpus(Llama(12, 12, 6), "2x8xH100-SXM+400G", {}),
            "tp 16: 12 attention heads do not divide by 16; legal tensor-parallel sizes of this model: 1, 2; what "
            "works: --tp 2; or --tp 2 --pp 8; or --pp 12");
  // The size that was asked for does not stand beside the stages.
  EXPECT_EQ(OnGpus(Llama(8, 32, 8), "8xH100-SXM", {.tp = 3}),
            "tp 3: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16; what works: --tp 2; "
            "or --pp 3, without --tp");
  EXPECT_THAT(OnGpus(Llama(8, 7, 7), "1xL4", {.tp = 2}), HasSubstr("; what works: --tp 1"));
  EXPECT_THAT(
      OnGpus(Llama(80, 64, 8), "3x1GB", {}),
      HasSubstr(
          "; nothing listed suffices (fewer sequences, a shorter context, batches of 512 tokens, bf16, other --tp, "
          "--pp and --device-layers, other devices); devices of "));
}

TEST(WaysOut, OfMoreRanksThanDevicesAndOfAWorld) {
  EXPECT_EQ(OnGpus(Llama(8, 32, 8), "4xH100-SXM", {.tp = 2, .pp = 4}),
            "8 ranks (tp 2 x 4 stages) are more than the 4 devices there are; what works: --pp 2; or without --tp");
  EXPECT_EQ(OnGpus(Llama(8, 32, 8), "8xH100-SXM", {.tp = 2, .pp = 3}),
            "3 stages x tp 2 are 6 ranks, which is no power of two; what works: --allow-any-world; or --pp 2; or --pp "
            "4");
  // 1 x 2 GPUs hold half a model each, so two stages of two do, and one does not.
  EXPECT_THAT(OnGpus(Llama(8, 32, 8), "2x80GB", {.tp = 2, .no_nccl = "--no-nccl"}),
              HasSubstr("tp 2 needs NCCL, and --no-nccl says there is none; what works: --pp 2, without --tp"));
}

// NCCL's buffers are on the devices, what is staged on their hosts.
TEST(WaysOut, OfMemoryThatNcclTakes) {
  const ModelSpec spec = Llama(8, 32, 8);
  const cluster::Cluster cluster = *cluster::ParseGpus("2x80GB");
  const Decider decider({.spec = &spec, .cluster = &cluster, .takes_devices = true});
  Wish wish = {.tp = 2, .max_len = 1, .max_seqs = 1, .dtype = "bf16"};
  const auto nccl = decider.Decide(wish);
  ASSERT_TRUE(nccl.ok()) << nccl.message();
  EXPECT_EQ(nccl->budget.collectives, Collectives::kNccl);
  wish.memory = static_cast<uint64_t>(LeastOf(nccl->verdict) - 1);
  const std::string refusal = Refusal({.spec = &spec, .cluster = &cluster, .takes_devices = true}, wish);
  EXPECT_THAT(refusal, HasSubstr("; what works: --collectives staged; or --pp 2, without --tp; or --memory "));
  wish.collectives = "staged";
  EXPECT_TRUE(decider.Plans(wish));
}

TEST(WaysOut, OfMapsAndStagesThatAreNone) {
  EXPECT_EQ(OnGpus(Llama(8, 32, 8), "4xH100-SXM", {.pp = 9}),
            "--pp 9: the model has 8 layers, and a stage at least one; what works: --tp 2 --pp 2; or --pp 4");
}

TEST(WaysOut, OfMemory) {
  const ModelSpec spec = Llama(32, 32, 8);
  const Decider decider({.spec = &spec});
  const Wish wish = {.max_len = 8192, .memory = 12 * kGib};
  const auto least = LeastOf(decider.Decide(wish)->verdict);
  EXPECT_THAT(RefusalOf(decider, wish).message,
              HasSubstr(fmt::format(" too few; what works: --tp 2; or --pp 2; or --memory {}", least)));
  Wish enough = wish;
  enough.memory = least;
  EXPECT_TRUE(decider.Plans(enough));
  --*enough.memory;
  EXPECT_FALSE(decider.Plans(enough));
  const Wish tiny = {.memory = 1 << 20};
  EXPECT_THAT(RefusalOf(decider, tiny).message,
              HasSubstr(fmt::format(
                  "too few; nothing listed suffices (fewer sequences, a shorter context, batches of 512 tokens, "
                  "bf16, other --tp, --pp and --device-layers, other devices); --memory {} would",
                  LeastOf(decider.Decide(tiny)->verdict))));
}

TEST(WaysOut, OfBatchesThatAreTooLarge) {
  const ModelSpec spec = Llama(32, 32, 8);
  const Decider decider({.spec = &spec});
  Wish wish = {.max_batched_tokens = 65536};
  const auto needs = [&] { return static_cast<uint64_t>(LeastOf(decider.Decide(wish)->verdict)); };
  wish.memory = uint64_t{1} << 46;
  const uint64_t large = needs();
  wish.memory = large - 1;
  const std::string refusal = RefusalOf(decider, wish).message;
  const std::string_view way = "; what works: --max-batched-tokens ";
  ASSERT_THAT(refusal, HasSubstr(way));
  wish.max_batched_tokens = std::stol(refusal.substr(refusal.find(way) + way.size()));
  EXPECT_LT(*wish.max_batched_tokens, 65536);
  EXPECT_TRUE(decider.Plans(wish));
  ++*wish.max_batched_tokens;
  EXPECT_FALSE(decider.Plans(wish));
}

TEST(WaysOut, OfBatchesThatAreTooSmall) {
  const ModelSpec spec = Llama(32, 32, 8);
  const Decider decider({.spec = &spec});
  Wish wish = {.max_seqs = 16, .max_batched_tokens = 8, .memory = uint64_t{1} << 46};
  EXPECT_THAT(RefusalOf(decider, wish).message,
              HasSubstr("a token of each sequence; what works: --max-batched-tokens 16; or "));
  wish.tp = 3;
  EXPECT_THAT(RefusalOf(decider, wish).message, HasSubstr(" --max-batched-tokens 16"));
}

TEST(WaysOut, AHalfTypeIsToldOfBf16) {
  ModelSpec spec = Llama(32, 32, 8);
  spec.config_type = ElementType::kF16;
  const Decider decider({.spec = &spec, .bf16 = false});
  Wish wish = {.memory = 20 * kGib};
  EXPECT_THAT(RefusalOf(decider, wish).message, HasSubstr("; what works: --dtype bf16; or "));
  wish.dtype = "bf16";
  EXPECT_TRUE(decider.Plans(wish));
}

}  // namespace
}  // namespace mrs
