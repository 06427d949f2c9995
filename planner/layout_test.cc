#include "planner/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// So many layers, alike, and a head as heavy as `head` of them.
TokenReads Alike(int64_t layers, double head = 0) {
  return {std::vector<int64_t>(layers, 1000), static_cast<int64_t>(head * 1000)};
}

// The map that the flags lead to, or the error.
std::string Decided(const LayoutFlags& flags, const TokenReads& reads) {
  const Result<Layout> layout = DecideLayout(flags, reads);
  return layout ? DeviceLayers(*layout) : layout.error().message;
}
std::string OfMap(const std::string& map, int64_t layers = 32) {
  return Decided({.device_layers = map}, Alike(layers));
}
std::string OfPp(int64_t pp, int64_t layers, double head = 0) { return Decided({.pp = pp}, Alike(layers, head)); }

TEST(Layout, OneStageHasAllLayers) {
  const Result<Layout> layout = DecideLayout({.tp = 4, .max_seqs = 16}, Alike(32));
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->mesh, (ir::Mesh{.tp = 4}));
  EXPECT_THAT(layout->stages, ElementsAre(LayoutStage{0, 32, 0}));
  EXPECT_THAT(layout->buckets,
              ElementsAre(ir::BucketSize{16, 16, 16}, ir::BucketSize{64, 16, 16}, ir::BucketSize{512, 16, 16}));
}

TEST(Layout, BucketsGrow) {
  EXPECT_THAT(DecideLayout({.max_seqs = 64}, Alike(1))->buckets,
              ElementsAre(ir::BucketSize{64, 64, 64}, ir::BucketSize{512, 64, 64}));
  EXPECT_THAT(DecideLayout({.max_seqs = 600}, Alike(1))->buckets, ElementsAre(ir::BucketSize{600, 600, 600}));
  EXPECT_THAT(DecideLayout({.max_seqs = 8, .max_batched_tokens = 8192}, Alike(1))->buckets,
              ElementsAre(ir::BucketSize{8, 8, 8}, ir::BucketSize{64, 8, 8}, ir::BucketSize{512, 8, 8},
                          ir::BucketSize{8192, 8, 8}));
  EXPECT_THAT(DecideLayout({.max_seqs = 8, .max_batched_tokens = 100}, Alike(1))->buckets,
              ElementsAre(ir::BucketSize{8, 8, 8}, ir::BucketSize{64, 8, 8}, ir::BucketSize{100, 8, 8}));
  EXPECT_THAT(DecideLayout({.max_seqs = 8, .max_batched_tokens = 8}, Alike(1))->buckets,
              ElementsAre(ir::BucketSize{8, 8, 8}));
  EXPECT_EQ(DecideLayout({.max_seqs = 8, .max_batched_tokens = 7}, Alike(1)).message(),
            "--max-batched-tokens 7: expected at least --max-seqs 8, a token of each sequence");
}

TEST(Layout, PpSplitsAsEvenlyAsCanBe) {
  EXPECT_EQ(OfPp(1, 32), "0:32");
  EXPECT_EQ(OfPp(2, 32), "0:16;1:16");
  EXPECT_EQ(OfPp(4, 30), "0:8;1:7;2:8;3:7");
  EXPECT_EQ(OfPp(4, 4), "0:1;1:1;2:1;3:1");
  EXPECT_EQ(OfPp(8, 126), "0:16;1:16;2:16;3:16;4:16;5:15;6:16;7:15");
}

TEST(Layout, PpWeighsWhatAStageReads) {
  EXPECT_EQ(OfPp(2, 16, 4.3), "0:10;1:6");                                   // Llama 3.2 1B
  EXPECT_EQ(OfPp(8, 126, 0.66), "0:16;1:16;2:16;3:16;4:16;5:16;6:15;7:15");  // Llama 3.1 405B
  EXPECT_EQ(OfPp(2, 4, 100), "0:3;1:1");                                     // a stage has a layer
  EXPECT_EQ(OfPp(8, 16, 4.3), "0:3;1:2;2:3;3:2;4:3;5:1;6:1;7:1");
  EXPECT_EQ(Decided({.pp = 2}, {.layers = {1, 1, 1, 9}, .head = 0}), "0:3;1:1");
  EXPECT_EQ(Decided({.pp = 3}, {.layers = {9, 1, 1, 1, 1, 4}, .head = 5}), "0:1;1:4;2:1");
}

TEST(Layout, AMapIsTakenAtItsWord) {
  const Result<Layout> layout = DecideLayout({.tp = 2, .device_layers = "1:20;0:12"}, Alike(32));
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->mesh, (ir::Mesh{.tp = 2, .stage = 2}));
  EXPECT_THAT(layout->stages, ElementsAre(LayoutStage{0, 20, 1}, LayoutStage{20, 32, 0}));
  EXPECT_EQ(DeviceLayers(*layout), "1:20;0:12");
  EXPECT_EQ(OfMap("0:32"), "0:32");
}

TEST(Layout, RefusesByName) {
  EXPECT_EQ(OfPp(5, 4), "--pp 5: the model has 4 layers, and a stage at least one");
  EXPECT_EQ(OfPp(2, 1), "--pp 2: the model has 1 layer, and a stage at least one");
  EXPECT_EQ(Decided({.pp = 2, .device_layers = "0:16;1:16"}, Alike(32)),
            "--device-layers 0:16;1:16: --pp 2 says how many stages there are, too; give one");
  EXPECT_EQ(OfMap("0:16;1:15"), "--device-layers 0:16;1:15: its stages have 31 layers together, the model has 32");
  EXPECT_EQ(OfMap("0:16;1:17"), "--device-layers 0:16;1:17: its stages have 33 layers together, the model has 32");
  EXPECT_EQ(OfMap("0:4294967295;1:4294967295"),
            "--device-layers 0:4294967295;1:4294967295: its stages have 8589934590 layers together, the model has 32");
  EXPECT_EQ(OfMap("0:16;2:16"),
            "--device-layers 0:16;2:16: device 2 is unknown; without a cluster the devices are CPU ranks of this host, "
            "or their groups of --tp, one for each of the 2 stages: 0 to 1");
  EXPECT_EQ(OfMap("7:32"),
            "--device-layers 7:32: device 7 is unknown; without a cluster the devices are CPU ranks of this host, or "
            "their groups of --tp, one for each of the 1 stage: 0 to 0");
  EXPECT_EQ(OfMap("0:8;1:16;0:8"),
            "--device-layers 0:8;1:16;0:8: device 0 stands twice; a device has one run of layers, so it stands once, "
            "in the order of the layers");
  EXPECT_EQ(OfMap("0:32;1:0"), "--device-layers 0:32;1:0: device 1 has no layers; leave it out, or give it some");
}

TEST(Layout, RefusesTextThatIsNoMap) {
  const std::string form =
      " is no stage; expected DEVICE:LAYERS for each stage, separated by semicolons, e.g. 0:16;1:16";
  EXPECT_EQ(OfMap("0:16,1:16"), "--device-layers 0:16,1:16: \"0:16,1:16\"" + form);
  EXPECT_EQ(OfMap("16;16"), "--device-layers 16;16: \"16\"" + form);
  for (const char* part :
       {"", "0", "0:", ":16", "a:16", "0:b", "-1:16", "0:-16", "0: 16", "0:16:2", "+0:16", "0:99999999999"}) {
    EXPECT_EQ(OfMap(fmt::format("0:16;{}", part)), fmt::format("--device-layers 0:16;{}: \"{}\"{}", part, part, form));
  }
}

TEST(Layout, WarnsOfAnOrderThatReturnsToANode) {
  const auto warnings = [](const std::string& map, const std::vector<int64_t>& nodes) {
    return LayoutWarnings(*DecideLayout({.device_layers = map}, Alike(4)), nodes);
  };
  EXPECT_THAT(warnings("0:1;1:1;2:1;3:1", {}), IsEmpty());            // one host
  EXPECT_THAT(warnings("0:1;1:1;2:1;3:1", {0, 0, 1, 1}), IsEmpty());  // leaves a node once
  EXPECT_THAT(warnings("2:1;3:1;0:1;1:1", {0, 0, 1, 1}), IsEmpty());
  EXPECT_THAT(
      warnings("0:1;2:1;1:1;3:1", {0, 0, 1, 1}),
      ElementsAre("--device-layers 0:1;2:1;1:1;3:1: stage 2 returns to node 0, which an earlier stage has left; "
                  "each return sends every token over the network once more",
                  "--device-layers 0:1;2:1;1:1;3:1: stage 3 returns to node 1, which an earlier stage has left; "
                  "each return sends every token over the network once more"));
}

}  // namespace
}  // namespace mrs
