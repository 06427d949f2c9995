#include "planner/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/cluster/short_form.h"
#include "planner/model_tensors.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;
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

struct Placed {
  Placement placement;
  std::string refusal;
  Layout layout;
  std::vector<std::string> lines;
};

Placed PlaceOn(const ModelSpec& spec, const cluster::Cluster& cluster, LayoutWish wish) {
  wish.max_seqs = 4;
  wish.max_len = 4096;
  const auto devices = ChooseDevices(cluster, {});
  EXPECT_TRUE(devices.ok()) << devices.message();
  const auto placement = Place(spec, cluster, *devices, wish);
  if (!placement) return {{}, placement.message(), {}, {}};
  const auto layout = DecideLayout(placement->flags, ReadsOfAToken(spec));
  if (!layout) return {*placement, layout.message(), {}, {}};
  return {*placement, "", *layout, PlacementLines(cluster, placement->ranks, *layout)};
}

cluster::Cluster Gpus(std::string_view text) { return *cluster::ParseGpus(text); }

TEST(Placement, OneDeviceHasAllSeveralShareIt) {
  const ModelSpec spec = Llama(8, 32, 8);
  EXPECT_EQ(PlaceOn(spec, Gpus("1xL4"), {}).placement.chosen, "one device: all of the model is on it");
  const Placed eight = PlaceOn(spec, Gpus("8xH100-SXM"), {});
  EXPECT_EQ(eight.placement.chosen, "tensor parallel over all 8 devices");
  EXPECT_EQ(eight.layout.mesh, (ir::Mesh{.tp = 8}));
  EXPECT_THAT(eight.lines,
              ElementsAre("stage 0: devices 0 to 7 of node node-0, its all-reduces cross NVLink and rely on "
                          "peer access"));
}

TEST(Placement, WithoutNcclOrALegalSizeStagesAreCutByMemory) {
  const Placed cut = PlaceOn(Llama(9, 32, 8), Gpus("48GB,24GB"), {.no_nccl = "--no-nccl"});
  EXPECT_EQ(cut.placement.chosen,
            "--no-nccl: stages cut by memory, as tensor parallelism needs NCCL: --device-layers \"0:6;1:3\"");
  EXPECT_EQ(cut.layout.stages.size(), 2u);
  const Placed odd = PlaceOn(Llama(9, 7, 7), Gpus("3xL4"), {});
  EXPECT_THAT(odd.placement.chosen, HasSubstr("stages cut by memory, as the model allows no tensor parallelism: "));
  EXPECT_EQ(odd.layout.mesh, (ir::Mesh{.stage = 3}));
  EXPECT_EQ(PlaceOn(Llama(2, 7, 7), Gpus("3xL4"), {}).layout.mesh, (ir::Mesh{.stage = 2}));  // a layer each
}

// What reaches each other's memory needs no NCCL; nor does what is staged, where that is said.
TEST(Placement, WithoutNcclPeersSumAllTheSame) {
  const auto tp = [](const cluster::Cluster& cluster, const LayoutWish& wish) {
    return PlaceOn(Llama(8, 32, 8), cluster, wish).layout.mesh.tp;
  };
  EXPECT_EQ(tp(Gpus("8xH100-SXM"), {.no_nccl = "--no-nccl"}), 8);
  EXPECT_EQ(tp(Gpus("2x4xH100-SXM+400G"), {.no_nccl = "--no-nccl"}), 1);
  EXPECT_EQ(tp(Gpus("6xH100-SXM"), {.no_nccl = "--no-nccl"}), 1);  // no legal size
  EXPECT_EQ(tp(Gpus("2xL4"), {.no_nccl = "--no-nccl"}), 1);
  EXPECT_EQ(tp(Gpus("2xL4"), {.no_nccl = "--no-nccl", .collectives = Collectives::kStaged}), 2);
}

TEST(Placement, AnIllegalSizeIsRefused) {
  EXPECT_EQ(PlaceOn(Llama(8, 32, 8), Gpus("6xH100-SXM"), {}).refusal,
            "tp 6: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16");
  EXPECT_EQ(PlaceOn(Llama(8, 32, 8), Gpus("8xH100-SXM"), {.tp = 3}).refusal,
            "tp 3: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16");
}

TEST(Placement, GroupsStayInIslandsAndStagesCrossWhatIsSlower) {
  cluster::Cluster cluster = Gpus("4xRTX-3090");
  for (const auto& [from, to] : {std::pair{0, 2}, {2, 0}, {1, 3}, {3, 1}}) {
    cluster.nodes[0].links.push_back({cluster::PeerKind::kNvlink, from, to, 4, 14});
  }
  const Placed two = PlaceOn(Llama(8, 32, 8), cluster, {.tp = 2, .pp = 2});
  ASSERT_EQ(two.lines.size(), 2u);
  EXPECT_THAT(two.lines[0], HasSubstr("stage 0: devices 0, 2 of node node-0, its all-reduces cross NVLink and rely on "
                                      "peer access; to stage 1 over "));
  EXPECT_THAT(two.lines[1], HasSubstr("stage 1: devices 1, 3 of node node-0, its all-reduces cross NVLink"));
  const Placed nodes = PlaceOn(Llama(8, 32, 8), Gpus("2x8xH100-SXM+400G"), {.tp = 8, .pp = 2});
  EXPECT_THAT(nodes.lines[0], HasSubstr("cross NVLink and rely on peer access; to stage 1 over the network"));
  const Placed some = PlaceOn(Llama(8, 32, 8), Gpus("8xH100-SXM"), {.tp = 2});
  EXPECT_EQ(some.lines.back(), "6 of 8 devices are not used");
}

TEST(Placement, AMapNamesTheClustersDevices) {
  const Placed map = PlaceOn(Llama(8, 32, 8), Gpus("4xL4"), {.device_layers = "3:5;1:3"});
  EXPECT_THAT(map.lines[0], HasSubstr("stage 0: device 3 of node node-0; to stage 1 over "));
  EXPECT_EQ(PlaceOn(Llama(8, 32, 8), Gpus("4xL4"), {.device_layers = "4:5;1:3"}).refusal,
            "--device-layers 4:5;1:3: device 4 is unknown; the cluster has 4 devices, or groups of --tp: 0 to 3");
}

}  // namespace
}  // namespace mrs
