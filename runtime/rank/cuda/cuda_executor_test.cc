// Decodes as graphs on the emulated device: what a device would refuse is refused, and a replay has the bits of the
// steps run one by one, over random batches that share a cache. Several ranks have the bits of as many CPU ranks.
#include "runtime/rank/cuda/cuda_executor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/exact.h"
#include "plans/cuda_graphs.h"
#include "plans/nccl_memory.h"
#include "plans/rank_memory.h"
#include "runtime/comm/region.h"
#include "runtime/rank/cpu/cpu_executor.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/rank/cuda/graph_cache.h"
#include "runtime/rank/cuda/random_batches_for_test.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/rank/stages.h"
#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

using testing::TestModel;

TEST(CudaGraphs, RowsArePaddedToTheNextSize) {
  const int64_t of_six[] = {1, 2, 4, 4, 6, 6, 0};
  for (int64_t rows = 1; rows <= 7; ++rows) EXPECT_EQ(GraphRows(rows, 6), of_six[rows - 1]) << rows;
  for (int64_t most = 1; most <= 70; ++most) {
    int64_t sizes = 0;
    for (int64_t rows = 1; rows <= most; ++rows) {
      EXPECT_GE(GraphRows(rows, most), rows);
      sizes += GraphRows(rows, most) == rows ? 1 : 0;
    }
    EXPECT_EQ(GraphCount(most, /*ends_model=*/false), sizes) << most;
    EXPECT_EQ(GraphCount(most, /*ends_model=*/true), 2 * sizes) << most;  // in both variants
  }
}

// ---- The device ----

struct Host {
  std::unique_ptr<Device> device = *Device::Open(0);
  DeviceArena from = *device->Allocate("from", 4), to = *device->Allocate("to", 4);
  int At(const DeviceArena& arena) const {
    EXPECT_TRUE(device->Finish().ok());
    return *reinterpret_cast<int*>(arena.data());
  }
  void Set(int value) { EXPECT_TRUE(device->CopyIn(from.data(), &value, sizeof(value)).ok()); }
};

TEST(DeviceGraph, RunsWhatWasCapturedEachTimeAndNotBefore) {
  Host host;
  host.Set(7);
  const Result<DeviceGraph> graph =
      host.device->Capture([&] { return host.device->CopyWithin(host.to.data(), host.from.data(), 4); });
  ASSERT_TRUE(graph.ok()) << graph.message();
  EXPECT_EQ(host.At(host.to), 0);
  for (const int value : {7, 8}) {
    host.Set(value);
    EXPECT_TRUE(host.device->Launch(*graph).ok());
    EXPECT_TRUE(host.device->Finish().ok());
    EXPECT_EQ(host.At(host.to), value);
  }
}

TEST(DeviceGraph, WhatADeviceRefusesWhileItCapturesLeavesNoGraph) {
  Host host;
  int word = 0;
  struct Row {
    const char* failed;
    const char* what;
    std::function<Status()> work;
  };
  const Row rows[] = {
      {"no 4 bytes of memory for x", "an allocation", [&] { return host.device->Allocate("x", 4).status(); }},
      {"no 4 bytes of the host's memory, pinned, for x", "an allocation",
       [&] { return host.device->AllocateHost("x", 4).status(); }},
      {"a copy to it failed", "a copy from the host", [&] { return host.device->CopyIn(host.to.data(), &word, 4); }},
      {"a copy from it failed", "a copy to the host", [&] { return host.device->CopyOut(&word, host.to.data(), 4); }},
      {"what was launched failed", "a wait", [&] { return host.device->Finish(); }},
      {"what was launched failed", "a look at the stream", [&] { return host.device->IsDone().status(); }},
      {"its work could not be marked", "a mark", [&] { return host.device->Mark(); }},
      {"no graph can be captured", "another capture",
       [&] { return host.device->Capture([] { return Status(); }).status(); }},
      {"a graph could not be launched", "a graph's launch", [&] { return host.device->Launch(DeviceGraph()); }},
  };
  for (const Row& row : rows) {
    const std::string why = std::string(row.what) + " while a graph is captured";
    const std::string said = fmt::format(
        "cuda:0 (emulated): {}: operation not permitted when stream is capturing: {} "
        "(cudaErrorStreamCaptureUnsupported)",
        row.failed, why);
    EXPECT_EQ(host.device->Capture(row.work).message(), said);
    // Who takes no notice of it has no graph either.
    const Result<DeviceGraph> graph = host.device->Capture([&] {
      EXPECT_EQ(row.work().message(), said);
      return Status();
    });
    EXPECT_EQ(graph.message(),
              fmt::format("cuda:0 (emulated): a graph could not be captured: operation failed due to a previous error "
                          "during capture: {} (cudaErrorStreamCaptureInvalidated)",
                          why));
    EXPECT_TRUE(host.device->Finish().ok());  // the stream is as before
  }
}

// ---- Which graphs there are ----

TEST(GraphCache, HasWhatIsKeptByRowsAndVariant) {
  const std::unique_ptr<Device> device = *Device::Open(0);
  GraphCache cache;
  const auto keep = [&](int64_t rows, size_t segments) {
    GraphCache::Graphs captured;
    while (captured.size() < segments) captured.push_back(*device->Capture([] { return Status(); }));
    cache.Keep({rows, Variant::kCandidates}, std::move(captured));
  };
  keep(1, 1);
  keep(4, 3);
  EXPECT_EQ(cache.Find({1, Variant::kCandidates})->size(), 1u);
  EXPECT_EQ(cache.Find({4, Variant::kCandidates})->size(), 3u);
  EXPECT_EQ(cache.Find({2, Variant::kCandidates}), nullptr);
  EXPECT_EQ(cache.Find({4, Variant::kAllLogits}), nullptr);  // another graph
  EXPECT_EQ(cache.counts.captured, 2u);
  cache.Clear();
  EXPECT_EQ(cache.size(), 0u);
}

// ---- Whole forwards ----

// What the batches came to.
std::string CompareWithSteps(const TestModel& model, const BatchRun& run, GraphCache::Counts* counts) {
  const auto steps = MakeCudaExecutor(model.plan(), 0, nullptr,
                                      {.model_dir = model.directory, .graphs = false, .dependent_launch = false});
  const auto graphs =
      MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = model.directory, .graph_counts = counts});
  if (!steps.ok() || !graphs.ok()) return steps.message() + graphs.message();
  RandomBatches batches(model, run.seed);
  Coverage coverage(model);
  for (int i = 0; i < run.count; ++i) {
    const Batch batch = batches.Next();
    coverage.Add(batch);
    const std::string expected = BytesOf(RunForward(**steps, batch));
    if (expected.empty() || BytesOf(RunForward(**graphs, batch)) != expected) {
      return fmt::format("batch {} of {} tokens has other bits, seed {}", i, batch.tokens.size(), run.seed);
    }
  }
  return coverage.Missing();
}

std::string Folder(const char* name) { return ::testing::TempDir() + "/" + name; }

// Of each graph and of each of the plan's buckets, in both variants.
TEST(CudaExecutor, GraphsHaveTheBitsOfSteps) {
  const BatchRun run = BatchRun::Asked(150);
  for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
    const TestModel model =
        OnGpus({.dtype = dtype, .window = dtype == plan::DType::f32 ? 40u : 0u, .max_seqs = 6, .max_tokens = 96},
               Folder("graphs"), GraphCount(6, /*ends_model=*/true));
    GraphCache::Counts counts;
    EXPECT_EQ(CompareWithSteps(model, run, &counts), "");
    EXPECT_EQ(counts.captured, 8u);  // of 1, 2, 4 and 6 rows, in both variants
    EXPECT_GT(counts.launched, static_cast<uint64_t>(run.count) / 2);
  }
}

// Of steps and of graphs all launches, but where it is off none; of two executors of one thread each by its own.
TEST(CudaExecutor, LaunchesAreDependentUnlessThatIsOff) {
  const TestModel model = OnGpus({.max_seqs = 4}, Folder("dependent"), GraphCount(4, /*ends_model=*/true));
  const auto with = MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = model.directory});
  const auto without =
      MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = model.directory, .dependent_launch = false});
  ASSERT_TRUE(with.ok() && without.ok()) << with.message() << without.message();
  RandomBatches batches(model, 5);
  for (int i = 0; i < 40; ++i) {
    const Batch batch = batches.Next();
    const uint64_t at_first = emulation::DependentGrids();
    const std::string expected = BytesOf(RunForward(**with, batch));
    const uint64_t grids = emulation::DependentGrids() - at_first;
    EXPECT_GT(grids, 10u) << i;
    EXPECT_EQ(BytesOf(RunForward(**without, batch)), expected) << i;
    EXPECT_EQ(emulation::DependentGrids() - at_first, grids) << i;
  }
}

// The plan counts two, which are of one row: steps of others run one by one.
TEST(CudaExecutor, HasNoMoreGraphsThanThePlanCounts) {
  const TestModel model = OnGpus({.max_seqs = 4}, Folder("two"), 2);
  GraphCache::Counts counts;
  EXPECT_EQ(CompareWithSteps(model, {.count = 60}, &counts), "");
  EXPECT_EQ(counts.captured, 2u);
  EXPECT_GT(counts.launched, 3u);
  EXPECT_LT(counts.launched, 30u);
}

// Where the driver loads kernels when they are launched first, what is captured has run: by nobody's rows, so that it
// leaves nothing in any cache.
TEST(CudaExecutor, RunsWhatItCapturesWhereKernelsAreLoadedLazily) {
  const TestModel model = OnGpus({.window = 40u, .max_seqs = 3}, Folder("lazy"), GraphCount(3, /*ends_model=*/true));
  uint64_t grids[2] = {};
  for (const bool lazy : {false, true}) {
    SCOPED_TRACE(lazy);
    if (lazy) setenv("CUDA_MODULE_LOADING", "LAZY", 1);
    const uint64_t before = emulation::DependentGrids();
    GraphCache::Counts counts;
    const auto executor =
        MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = model.directory, .graph_counts = &counts});
    ASSERT_TRUE(executor.ok()) << executor.message();
    EXPECT_EQ(counts.captured, 6u);
    EXPECT_EQ(counts.launched, 0u);
    grids[lazy] = emulation::DependentGrids() - before;
    EXPECT_EQ(CompareWithSteps(model, {.count = 100}, &counts), "");
    unsetenv("CUDA_MODULE_LOADING");
  }
  EXPECT_GT(grids[1], grids[0] + 60);  // each of six forwards' kernels, but what packs weights
}

// Of every source, as each is a module to the driver; and by a rank before it looks for memory that is free.
TEST(CudaExecutor, KernelsAreLoadedBeforeMemoryIsLookedFor) {
  constexpr uint64_t kLoadedBytes = 64 << 10;  // of a source (emulated/cudart_devices.cc)
  constexpr uint64_t kLoaded = MRS_KERNEL_SOURCES * kLoadedBytes;
  const auto free_after_loading = [] {
    const auto device = *Device::Open(0);
    EXPECT_TRUE(device->LoadKernels().ok());
    return *device->FreeBytes();
  };
  const TestModel model = OnGpus({.max_seqs = 2}, Folder("loaded"), GraphCount(2, /*ends_model=*/true));
  const uint64_t needed = MemoryOf(*model.plan().stages()->Get(0)).Total();
  const auto said = [&](uint64_t free_bytes) {
    emulated::UseFaults(*emulated::ParseFaults(fmt::format("free-memory:{}", free_bytes)));
    const auto executor = MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = model.directory});
    emulated::UseFaults({});
    return executor.ok() ? "" : executor.message();
  };
  const uint64_t at_once = free_after_loading();
  EXPECT_EQ(said(needed + kLoaded / 2), "");
  setenv("CUDA_MODULE_LOADING", "LAZY", 1);
  EXPECT_EQ(free_after_loading(), at_once - kLoaded);
  EXPECT_NE(said(needed + kLoaded / 2).find(fmt::format("but {} are free now", needed - kLoaded / 2)),
            std::string::npos);
  EXPECT_EQ(said(needed + kLoaded), "");
  EXPECT_NE(said(kLoadedBytes * 2).find("its kernels cannot be loaded: out of memory"), std::string::npos);
  unsetenv("CUDA_MODULE_LOADING");
}

// ---- Several ranks ----

using Maker =
    std::function<Result<std::unique_ptr<Executor>>(const TestModel& model, uint32_t rank, Communicator* world)>;

// What the rank that answers gives for each batch; a thread a rank.
std::vector<std::string> RunRanks(const TestModel& model, const std::vector<Batch>& batches, const Maker& make) {
  const uint32_t rank_count = model.plan().ranks()->size();
  std::vector<std::unique_ptr<Communicator>> world = *MakeLocalCommunicators(static_cast<int>(rank_count));
  std::vector<std::string> answers;
  std::vector<std::thread> ranks;
  for (uint32_t rank = 0; rank < rank_count; ++rank) {
    ranks.emplace_back([&, rank] {
      const kernels::ScopedFlushToZero flush;
      const auto executor = make(model, rank, world[rank].get());
      ASSERT_TRUE(executor.ok()) << executor.message();
      for (const Batch& batch : batches) {
        const Result<StepOutput> out = RunForward(**executor, batch);
        ASSERT_TRUE(out.ok()) << out.message();
        if (rank == AnsweringRank(model.plan())) answers.push_back(BytesOf(out));
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  return answers;
}

TEST(CudaExecutor, SeveralRanksHaveTheBitsOfCpuRanks) {
  struct Row {
    uint32_t tp, stages;
    plan::DType dtype;
    plan::CollectiveAlgorithm sum;
  };
  const Row rows[] = {{2, 1, plan::DType::bf16, plan::CollectiveAlgorithm::doubling},
                      {4, 1, plan::DType::f32, plan::CollectiveAlgorithm::halving_doubling},
                      {1, 2, plan::DType::f32, plan::CollectiveAlgorithm::doubling},
                      {2, 2, plan::DType::bf16, plan::CollectiveAlgorithm::gather_add}};
  const BatchRun run = BatchRun::Asked(60);
  for (const Row& row : rows) {
    SCOPED_TRACE(fmt::format("tp {}, {} stages", row.tp, row.stages));
    testing::TestModelConfig config = {.tp = row.tp, .stages = row.stages, .dtype = row.dtype, .sum = row.sum};
    config.max_seqs = 5;
    config.max_tokens = 64;
    const std::string folder = Folder(fmt::format("ranks-{}-{}", row.tp, row.stages).c_str());
    std::filesystem::create_directories(folder);
    const TestModel cpus = MakeTestModel(config, folder);
    const TestModel staged = OnGpus(config, folder, GraphCount(5, /*ends_model=*/true));
    const TestModel by_nccl = OnGpus(config, folder, GraphCount(5, /*ends_model=*/true), /*nccl=*/true);
    TestModel in_shares = OnGpus(config, folder, GraphCount(5, /*ends_model=*/true), /*nccl=*/true);  // all that can be
    for (uint32_t s = 0; s < row.stages; ++s) {
      in_shares.tree.stages[s]->communicators_bytes =
          static_cast<uint64_t>(NcclBytes({.tp = row.tp, .first = s == 0, .last = s + 1 == row.stages}));
    }
    Repack(&in_shares);
    RandomBatches random(cpus, run.seed + 1);
    Coverage coverage(cpus);
    std::vector<Batch> batches;
    for (int i = 0; i < run.count; ++i) {
      batches.push_back(random.Next());
      coverage.Add(batches.back());
    }
    EXPECT_EQ(coverage.Missing(), "");
    const std::vector<std::string> expected =
        RunRanks(cpus, batches, [](const TestModel& model, uint32_t rank, Communicator* world) {
          return Result<std::unique_ptr<Executor>>(
              *MakeCpuExecutor(model.plan(), rank, world, {.model_dir = model.directory}));
        });
    ASSERT_EQ(expected.size(), batches.size());
    uint64_t calls_whole = 0;  // of NCCL
    struct Way {
      const TestModel* gpus;
      bool graphs, lazy = false;  // lazy: each launch runs once before it is captured, not only what calls libraries
    };
    const bool is_lazy = row.stages > 1;  // so that both are held
    const Way ways[] = {{&staged, true},   {&staged, false},   {&by_nccl, true, is_lazy},
                        {&by_nccl, false}, {&in_shares, true}, {&in_shares, false}};
    for (const auto& [gpus, graphs, lazy] : ways) {
      if (gpus == &in_shares && row.tp < 4) continue;
      const bool with_graphs = graphs;
      SCOPED_TRACE(fmt::format("{}, graphs {}, lazy {}",
                               gpus == &staged    ? "staged"
                               : gpus == &by_nccl ? "nccl"
                                                  : "nccl in shares",
                               graphs, lazy));
      const uint64_t calls = emulated::CountOf(emulated::Point::kNcclCall);
      if (gpus == &in_shares) setenv("MRS_NCCL_LEAST_SAVED", "0", 1);
      if (lazy) setenv("CUDA_MODULE_LOADING", "LAZY", 1);
      std::vector<GraphCache::Counts> counts(row.tp * row.stages);
      const std::vector<std::string> actual =
          RunRanks(*gpus, batches, [&](const TestModel& model, uint32_t rank, Communicator* world) {
            return MakeCudaExecutor(
                model.plan(), rank, world,
                {.model_dir = model.directory, .graphs = with_graphs, .graph_counts = &counts[rank]});
          });
      unsetenv("CUDA_MODULE_LOADING");
      unsetenv("MRS_NCCL_LEAST_SAVED");
      const uint64_t called = emulated::CountOf(emulated::Point::kNcclCall) - calls;
      if (gpus == &by_nccl && !graphs) calls_whole = called;
      if (gpus == &in_shares && !graphs) {
        EXPECT_GT(called, 3 * calls_whole);
      }
      ASSERT_EQ(actual.size(), batches.size());
      for (size_t i = 0; i < batches.size(); ++i) ASSERT_TRUE(actual[i] == expected[i]) << "batch " << i;
      for (const GraphCache::Counts& of_rank : counts) EXPECT_EQ(of_rank.launched > 20, with_graphs);
    }
  }
}

// What results and exchanges take of the host is there before the first forward, for the largest.
TEST(CudaExecutor, AllocatesNothingOnceItIsThere) {
  struct Row {
    uint32_t tp, stages;
    bool nccl;
  };
  for (const Row& row : {Row{1, 1, false}, Row{2, 1, false}, Row{2, 2, false}, Row{2, 2, true}}) {
    SCOPED_TRACE(fmt::format("tp {}, {} stages, {}", row.tp, row.stages, row.nccl ? "nccl" : "staged"));
    const testing::TestModelConfig config = {.tp = row.tp, .stages = row.stages, .layers = 2, .max_seqs = 3};
    const TestModel model = OnGpus(config, Folder(fmt::format("taken-{}-{}", row.tp, row.stages).c_str()),
                                   GraphCount(3, /*ends_model=*/true), row.nccl);
    const auto allocations = [&](const std::vector<Batch>& batches) {
      emulated::UseFaults({});  // counts from here on
      RunRanks(model, batches, [](const TestModel& of, uint32_t rank, Communicator* world) {
        return MakeCudaExecutor(of.plan(), rank, world, {.model_dir = of.directory});
      });
      return std::pair(emulated::CountOf(emulated::Point::kAllocation),
                       emulated::CountOf(emulated::Point::kHostAllocation));
    };
    RandomBatches random(model, 20261127);
    std::vector<Batch> batches;
    for (int i = 0; i < 30; ++i) batches.push_back(random.Next());
    const auto at_start = allocations({});
    EXPECT_GT(at_start.second, 0u);
    EXPECT_EQ(allocations(batches), at_start);
  }
}

// A context of two segments, whose parts two blocks of a decode leave to whichever comes last, beside one that has one:
// the bits of a plan that has no memory for that. NCCL's sums and cuBLASLt's products have the same workspace.
TEST(CudaExecutor, ContextsThatAreSpreadHaveTheBitsOfOthers) {
  constexpr int64_t kPartBytes = 8192, kCountBytes = kernels::cuda::kMostCounts * int64_t{sizeof(uint32_t)};
  struct Row {
    uint32_t tp;
    plan::Chain chain;
  };
  for (const Row& row : {Row{1, plan::Chain::pair2}, Row{2, plan::Chain::block32}, Row{1, plan::Chain::fast}}) {
    SCOPED_TRACE(fmt::format("tp {}, chain {}", row.tp, static_cast<int>(row.chain)));
    testing::TestModelConfig config = {.tp = row.tp, .dtype = plan::DType::bf16, .chain = row.chain};
    config.layers = 1;
    config.max_len = 640;
    config.max_seqs = 2;
    const std::string folder = Folder(fmt::format("spread-{}", row.tp).c_str());
    const TestModel alone = OnGpus(config, folder, GraphCount(2, /*ends_model=*/true), /*nccl=*/row.tp > 1);
    TestModel spread = OnGpus(config, folder, GraphCount(2, /*ends_model=*/true), /*nccl=*/row.tp > 1);
    for (auto& stage : spread.tree.stages) stage->workspace_bytes = kPartBytes + kCountBytes;
    Repack(&spread);
    const kernels::cuda::AttentionSize size = {
        2, config.heads / row.tp, config.kv_heads / row.tp, config.head_dim, config.max_len / 32, 0};
    constexpr int64_t kMultiprocessors = 108;  // of the emulator (dialect.h)
    ASSERT_EQ(kernels::cuda::SplitOf(size, kMultiprocessors, kPartBytes).blocks, 2);
    RandomBatches random(alone, 20261127);
    std::vector<Batch> batches;
    for (const uint32_t tokens : {128, 128, 128, 128, 8}) batches.push_back(random.Continue(1, tokens));
    for (int decodes = 0; decodes < 5; ++decodes) {  // each replayed
      for (const uint32_t rows : {1, 2}) batches.push_back(random.Continue(rows, 1));
    }
    std::vector<GraphCache::Counts> counts(row.tp);
    const auto run = [&](const TestModel& of, bool with_graphs) {
      return RunRanks(of, batches, [&](const TestModel& model, uint32_t rank, Communicator* world) {
        return MakeCudaExecutor(model.plan(), rank, world,
                                {.model_dir = model.directory, .graphs = with_graphs, .graph_counts = &counts[rank]});
      });
    };
    const std::vector<std::string> expected = run(alone, false);
    ASSERT_EQ(expected.size(), batches.size());
    for (const bool with_graphs : {false, true}) {
      const std::vector<std::string> actual = run(spread, with_graphs);
      ASSERT_EQ(actual.size(), batches.size());
      for (size_t i = 0; i < batches.size(); ++i) {
        ASSERT_TRUE(actual[i] == expected[i]) << "batch " << i << ", graphs " << with_graphs;
      }
    }
    for (const GraphCache::Counts& of_rank : counts) EXPECT_EQ(of_rank.launched, 10u);
  }
}

TEST(CudaExecutor, RefusesAWorldAndADeviceThatAreNotThePlans) {
  TestModel model = OnGpus({.tp = 2}, Folder("unlike"), 1);
  EXPECT_EQ(MakeCudaExecutor(model.plan(), 0, nullptr, {.model_dir = model.directory}).message(),
            "rank 0: the plan has 2 ranks, 1 run; start exactly those");
  const auto world = *MakeLocalCommunicators(2);
  model.tree.cluster->memory_bytes = {1000000, (uint64_t{2} << 30) + 1};
  Repack(&model);
  EXPECT_EQ(MakeCudaExecutor(model.plan(), 1, world[1].get(), {.model_dir = model.directory}).message(),
            "rank 1: the plan uses up to 2147483649 bytes of its device, and cuda:1 (emulated) has 2147483648: it is "
            "another one than the plan is for; run on a node that the plan is for, or plan for this one (mrs-exec "
            "doctor says what it has)");
}

}  // namespace
}  // namespace mrs
