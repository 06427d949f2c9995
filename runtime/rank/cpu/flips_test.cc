// Every byte of a plan flipped, and the seal made good again: the plan is refused, or it runs to the end. Either way
// nothing reads or writes where it should not; under asan and ubsan this test is the proof.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "plans/reader.h"
#include "plans/testing/tiny_plan.h"
#include "plans/writer.h"
#include "runtime/comm/region.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cpu/cpu_executor.h"
#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

using testing::MakeTestModel;
using testing::TestModel;

// Three prompt tokens of one sequence, then one more: prefill and decode.
std::vector<Batch> TwoForwards(const plan::Plan& plan, Variant variant) {
  Batch prefill;
  prefill.variant = variant;
  prefill.tokens = {1, 2, 3};
  prefill.positions = {0, 1, 2};
  prefill.sequence = {0, 0, 0};
  prefill.table_stride = TableStride(plan);
  const Result<std::vector<KvSpace>> spaces = KvSpacesOf(plan);
  EXPECT_TRUE(spaces.ok()) << spaces.message();
  prefill.kv.assign(spaces->size(), {.slots = {0, 1, 2}, .block_table = std::vector<int32_t>(prefill.table_stride, 0)});
  prefill.logit_rows = {2};
  Batch decode = prefill;
  decode.tokens = {4};
  decode.positions = {3};
  decode.sequence = {0};
  for (KvBatch& kv : decode.kv) kv.slots = {3};
  decode.logit_rows = {0};
  return {prefill, decode};
}

// One rank from load to end: "" where it finished, else why it was refused.
std::string RunRank(const plan::Plan& plan, uint32_t rank, const std::string& directory, Communicator* comm) {
  const auto executor = MakeCpuExecutor(plan, rank, comm, {.model_dir = directory, .threads = 1, .spin = false});
  if (!executor.ok()) {
    if (comm != nullptr) comm->Abort();
    return executor.message();
  }
  for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
    for (const Batch& batch : TwoForwards(plan, variant)) {
      const Result<StepOutput> output = RunForward(**executor, batch);
      if (output.ok()) continue;
      if (comm != nullptr) comm->Abort();
      return output.message();
    }
  }
  return "";
}

struct Count {
  int refused = 0;   // by the verifier
  int finished = 0;  // accepted, and run to the end
  int stopped = 0;   // accepted, and refused by a rank: another file, too little memory, a batch out of its bounds
};

Count FlipAll(const TestModel& model, const std::string& file, uint8_t mask, size_t stride) {
  Count count;
  for (size_t at = 0; at + 32 < file.size(); at += stride) {
    std::string flipped = file;
    flipped[at] = static_cast<char>(flipped[at] ^ mask);
    testing::Reseal(&flipped);
    const auto opened = OpenPlanBytes(std::as_bytes(std::span(flipped)));
    if (!opened.ok()) {
      ++count.refused;
      continue;
    }
    const auto world = MakeLocalCommunicators(2, {.timeout = std::chrono::seconds(20), .spin = 0});
    std::string why[2];
    std::thread other([&] { why[1] = RunRank(opened->plan(), 1, model.directory, (*world)[1].get()); });
    why[0] = RunRank(opened->plan(), 0, model.directory, (*world)[0].get());
    other.join();
    EXPECT_EQ(why[0].empty(), why[1].empty()) << "byte " << at << ": " << why[0] << " / " << why[1];
    ++(why[0].empty() ? count.finished : count.stopped);
  }
  return count;
}

TEST(Flips, EveryByteRefusedOrRunToTheEnd) {
  const std::string directory = ::testing::TempDir() + "/flips";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  const TestModel model = MakeTestModel({.tp = 2, .layers = 1, .max_len = 64, .max_seqs = 2}, directory);
  const std::string file = PackPlan(model.tree);
  ASSERT_TRUE(OpenPlanBytes(std::as_bytes(std::span(file))).ok());
  for (const uint8_t mask : {0x01, 0xff}) {
    const Count count = FlipAll(model, file, mask, 1);
    std::printf("mask %02x over %zu bytes: %d refused, %d run to the end, %d stopped by a rank\n", mask, file.size(),
                count.refused, count.finished, count.stopped);
    EXPECT_GT(count.refused, 0);
    EXPECT_GT(count.finished, 0);
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace mrs
