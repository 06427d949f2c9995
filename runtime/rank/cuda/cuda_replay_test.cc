// Graphs replayed in every legal order, and errors of the device at every point: over whole forwards of a small model
// on the emulated device.
//
// MRS_EVERY_FAULT=1: 1,000 batches, each dependency and each point; else some of them. Other batches:
// MRS_RANDOM_BATCHES (random_batches_for_test.h).
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/emulation/memory.h"
#include "runtime/rank/cuda/cuda_executor.h"
#include "runtime/rank/cuda/emulated_faults.h"
#include "runtime/rank/cuda/random_batches_for_test.h"

namespace mrs {
namespace {

using emulated::ParseFaults;
using emulated::Point;
using testing::TestModel;

constexpr uint64_t kSeed = 20261126;

bool IsEvery() { return std::getenv("MRS_EVERY_FAULT") != nullptr; }

struct Asked {
  explicit Asked(const std::string& faults) { emulated::UseFaults(*ParseFaults(faults)); }
  ~Asked() { emulated::UseFaults({}); }
};

std::string Folder(const char* name) { return ::testing::TempDir() + "/" + name; }

Result<std::unique_ptr<Executor>> Make(const TestModel& model, bool graphs, GraphCache::Counts* counts = nullptr) {
  return MakeCudaExecutor(model.plan(), 0, nullptr,
                          {.model_dir = model.directory, .graphs = graphs, .graph_counts = counts});
}

std::vector<Batch> Batches(const TestModel& model, const BatchRun& run) {
  RandomBatches random(model, run.seed);
  std::vector<Batch> batches;
  for (int i = 0; i < run.count; ++i) batches.push_back(random.Next());
  return batches;
}

// Of each batch, step by step.
std::vector<std::string> Expected(const TestModel& model, const std::vector<Batch>& batches) {
  const auto steps = Make(model, /*graphs=*/false);
  std::vector<std::string> expected;
  if (!steps.ok()) ADD_FAILURE() << steps.message();
  for (const Batch& batch : batches) expected.push_back(BytesOf(RunForward(**steps, batch)));
  return expected;
}

// The first batch whose bytes differ; -1: none.
int FirstThatDiffers(const TestModel& model, const std::vector<Batch>& batches,
                     const std::vector<std::string>& expected, GraphCache::Counts* counts = nullptr) {
  const auto graphs = Make(model, /*graphs=*/true, counts);
  if (!graphs.ok()) ADD_FAILURE() << graphs.message();
  for (size_t i = 0; i < batches.size(); ++i) {
    if (BytesOf(RunForward(**graphs, batches[i])) != expected[i]) return static_cast<int>(i);
  }
  return -1;
}

TEST(CudaReplay, EveryLegalOrderHasTheBitsOfSteps) {
  const BatchRun run = BatchRun::Asked(50);
  for (const plan::Chain chain : {plan::Chain::pair2, plan::Chain::block32, plan::Chain::fast}) {
    // Fast, the largest graph has more rows than the kernel for few.
    const bool is_fast = chain == plan::Chain::fast;
    const uint32_t most = is_fast ? 18 : 6;
    const TestModel model = OnGpus({.dtype = plan::DType::bf16,
                                    .chain = chain,
                                    .window = 40u,
                                    .max_seqs = most,
                                    .max_tokens = is_fast ? 256u : 96u},
                                   Folder("orders"), GraphCount(most, /*ends_model=*/true));
    const std::vector<Batch> batches = Batches(model, run);
    Coverage coverage(model);
    for (const Batch& batch : batches) coverage.Add(batch);
    if (!is_fast || run.count >= 1000) {  // few batches do not use each of its graphs
      EXPECT_EQ(coverage.Missing(), "");
    }
    const std::vector<std::string> expected = Expected(model, batches);
    for (const uint64_t seed : {1, 2}) {
      const Asked asked(fmt::format("order:{}", seed));
      GraphCache::Counts counts;
      EXPECT_EQ(FirstThatDiffers(model, batches, expected, &counts), -1) << "orders of seed " << seed;
      EXPECT_EQ(counts.captured, static_cast<uint64_t>(GraphCount(most, /*ends_model=*/true)));
      EXPECT_GT(counts.launched, batches.size() / 2);
    }
  }
}

// A dependency that is forgotten shows: some order runs what reads before what writes.
TEST(CudaReplay, EachMissingDependencyShows) {
  const TestModel model = OnGpus({.layers = 2, .max_seqs = 2}, Folder("missing"), GraphCount(2, /*ends_model=*/true));
  const std::vector<Batch> batches = Batches(model, {.count = 60});
  const std::vector<std::string> expected = Expected(model, batches);
  int tried = 0;
  std::vector<int> missed;
  for (int number = 1;; number += IsEvery() ? 1 : 9) {
    const Asked asked(fmt::format("missing-dependency:{},order:{}", number, kSeed));
    const int differs = FirstThatDiffers(model, batches, expected);
    if (emulated::ForgottenCount() == 0) break;  // no graph has so many
    ++tried;
    if (differs < 0) missed.push_back(number);
  }
  EXPECT_GT(tried, 4);
  EXPECT_EQ(missed, std::vector<int>{}) << tried << " tried, seed " << kSeed;
}

// Fails at each point from `first` on that a run asks for; more than `least` are tried. What cuBLASLt has no way for in
// a forward is no error.
void TryEachPoint(const TestModel& model, const std::vector<Batch>& batches, Point first, uint64_t least) {
  const auto run = [&]() -> Status {
    MRS_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor, Make(model, /*graphs=*/true));
    for (const Batch& batch : batches) MRS_RETURN_IF_ERROR(RunForward(*executor, batch).status());
    return Status();
  };
  uint64_t chosen_at_start = 0;  // of the largest sizes, which there must be a way for
  {
    const Asked asked("");
    const auto executor = Make(model, /*graphs=*/false);
    ASSERT_TRUE(executor.ok()) << executor.message();
    chosen_at_start = emulated::CountOf(Point::kCublasltChoose);
  }
  std::vector<uint64_t> counts;
  {
    const Asked asked("");
    const Status done = run();
    ASSERT_TRUE(done.ok()) << done.message();
    for (size_t i = 0; i < emulated::kPointNames.size(); ++i) {
      counts.push_back(emulated::CountOf(static_cast<Point>(i)));
    }
  }
  uint64_t tried = 0;
  for (auto i = static_cast<size_t>(first); i < counts.size(); ++i) {
    const uint64_t step = IsEvery() || counts[i] < 5 ? 1 : counts[i] / 4;
    for (uint64_t number = 1; number <= counts[i]; number += step) {
      const std::string fault = fmt::format("{}:{}", emulated::kPointNames[i], number);
      SCOPED_TRACE(fault);
      const Asked asked(fault);
      const Status done = run();
      if (static_cast<Point>(i) == Point::kCublasltChoose && number > chosen_at_start) {
        EXPECT_TRUE(done.ok()) << done.message();
      } else {
        ASSERT_FALSE(done.ok());
        const bool is_version = static_cast<Point>(i) == Point::kCublasltVersion;  // what is said is the library's
        EXPECT_NE(done.message().find(is_version ? "is 12.8.4, expected 13" : "MRS_EMULATED_FAULT=" + fault),
                  std::string::npos)
            << done.message();
      }
      EXPECT_EQ(emulation::LeftOf(std::nullopt), "");
      ++tried;
    }
  }
  EXPECT_GT(tried, least);
  emulated::UseFaults({});
  const Status done = run();
  EXPECT_TRUE(done.ok()) << done.message();
}

// What was taken is given back in order, whatever fails: else the emulated device ends the program.
TEST(CudaFaults, AtEachPointTheErrorIsNamedAndNothingIsLeft) {
  const TestModel exact = OnGpus({.layers = 1, .max_seqs = 2}, Folder("faults"), GraphCount(2, /*ends_model=*/true));
  TryEachPoint(exact, Batches(exact, {.count = 12}), Point{}, 40);
}

TEST(CudaFaults, AtEachPointOfCublasltToo) {
  const TestModel fast = OnGpus({.dtype = plan::DType::bf16, .chain = plan::Chain::fast, .layers = 1, .max_seqs = 20},
                                Folder("fast-faults"), GraphCount(20, /*ends_model=*/true));
  TryEachPoint(fast, Batches(fast, {.count = 6}), Point::kCublasltOpen, 10);
  EXPECT_GT(emulated::CountOf(Point::kCublasltMultiply), 0u);
}

}  // namespace
}  // namespace mrs
