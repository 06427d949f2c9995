#include "cli/doctor_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "runtime/testing/llama_plan.h"

namespace mrs::cli {
namespace {

using doctor::Finding;
using doctor::Verdict;
using ::testing::HasSubstr;

class DoctorPlanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/doctor_plan";
    std::filesystem::create_directories(directory_);
    facts_.cores = 4;
    facts_.isa = {.baseline = true, .isa = "avx512bf16", .wanted = "", .native = {"pair2"}, .emulated = {"block32"}};
    facts_.memory = {.total_bytes = uint64_t{8} << 30, .free_bytes = uint64_t{6} << 30};
    run_ = {.transport = "tcp",
            .ranks = 2,
            .threads = 2,
            .links_error = "",
            .links = {},
            .libraries = {},
            .port = 1234,
            .port_error = ""};
    for (const uint32_t from : {0u, 1u}) {
      run_.links.push_back(
          {.from = from, .to = 1 - from, .latency_ns = 7000 + from, .bytes_per_second = 3'000'000'000});
    }
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // By id.
  std::map<std::string, Finding> Judged(const testing::TestModelConfig& config) {
    const testing::TestModel model = testing::MakeTestModel(config, directory_);
    std::map<std::string, Finding> found;
    for (const Finding& finding : JudgePlan(model.plan(), facts_, run_)) found[finding.id] = finding;
    return found;
  }

  std::string directory_;
  doctor::Facts facts_;
  PlanRun run_;
};

TEST_F(DoctorPlanTest, AHostThatHasAllIsOk) {
  const auto found = Judged({.tp = 2, .layers = 2});
  for (const char* id :
       {"plan.memory", "plan.cores", "plan.isa", "plan.port", "plan.links", "plan.latency", "plan.bandwidth"}) {
    ASSERT_TRUE(found.contains(id)) << id;
    EXPECT_EQ(found.at(id).verdict, Verdict::kOk) << id << ": " << found.at(id).says;
    EXPECT_EQ(found.at(id).fix, "") << id;
  }
  EXPECT_EQ(found.size(), 7u);
  EXPECT_EQ(found.at("plan.cores").says, "2 ranks x 2 threads on 4 cores");
  EXPECT_EQ(found.at("plan.isa").says, "pair2, the plan's order of sums, in hardware (avx512bf16)");
  EXPECT_EQ(found.at("plan.links").says, "2 over tcp, each checked by data");
  EXPECT_THAT(found.at("plan.latency").says, HasSubstr("the slowest is rank 1 -> rank 0: 7.0 us, 3 GB/s; "));
}

TEST_F(DoctorPlanTest, EachLackHasItsVerdict) {
  facts_.memory.free_bytes = 1000;
  EXPECT_EQ(Judged({.tp = 2}).at("plan.memory").verdict, Verdict::kBad);
  EXPECT_EQ(Judged({.tp = 2}).at("plan.memory").fix, "end what holds the memory");
  facts_.memory.total_bytes = 2000;
  EXPECT_THAT(Judged({.tp = 2}).at("plan.memory").fix, HasSubstr("--memory BYTES"));
  facts_.cores = 3;
  EXPECT_EQ(Judged({.tp = 2}).at("plan.cores").verdict, Verdict::kWarn);
  EXPECT_EQ(Judged({.tp = 2}).at("plan.cores").fix, "give --threads fewer");
  facts_.cores = 1;
  EXPECT_THAT(Judged({.tp = 2}).at("plan.cores").fix, HasSubstr("fewer ranks"));
  EXPECT_EQ(Judged({.chain = plan::Chain::block32}).at("plan.isa").verdict, Verdict::kWarn);
  facts_.isa.baseline = false;
  EXPECT_EQ(Judged({}).at("plan.isa").verdict, Verdict::kBad);
  run_.port_error = "port 1234 on 127.0.0.1 is in use by another process; choose another with --port";
  EXPECT_EQ(Judged({}).at("plan.port").verdict, Verdict::kBad);
  run_.links[0].bytes_per_second = 99'999'999;
  EXPECT_EQ(Judged({.tp = 2}).at("plan.bandwidth").verdict, Verdict::kWarn);
  run_.links[1].latency_ns = 200'000'000;
  EXPECT_EQ(Judged({.tp = 2}).at("plan.latency").verdict, Verdict::kWarn);
  run_.links_error = "rank 1 failed while rehearsing the start: link rank 1 -> rank 0 (tcp 127.0.0.1:1): x";
  const auto broken = Judged({.tp = 2});
  EXPECT_EQ(broken.at("plan.links").verdict, Verdict::kBad);
  EXPECT_EQ(broken.at("plan.links").says, run_.links_error);
  EXPECT_FALSE(broken.contains("plan.latency"));
  EXPECT_EQ(Judged({.tp = 1}).at("plan.links").says, "one rank: no links");
}

TEST_F(DoctorPlanTest, WhatGpuRanksOpenIsThereOrNamedWithWhatToDo) {
  EXPECT_FALSE(Judged({}).contains("plan.libraries"));
  run_.libraries = {{"cuBLASLt", std::string("13.1.0")}};
  EXPECT_EQ(Judged({}).at("plan.libraries").verdict, Verdict::kOk);
  EXPECT_EQ(Judged({}).at("plan.libraries").says, "cuBLASLt 13.1.0 is there");
  run_.libraries = {{"cuBLASLt", Unavailable("no cuBLASLt on this host: it is not found; install it; or another")}};
  const Finding missing = Judged({}).at("plan.libraries");
  EXPECT_EQ(missing.verdict, Verdict::kBad);
  EXPECT_EQ(missing.says, "no cuBLASLt on this host: it is not found");
  EXPECT_EQ(missing.fix, "install it; or another");
  run_.libraries = {{"CUDA", Refuse("none")}};
  EXPECT_EQ(Judged({}).at("plan.libraries").says, "none");
  EXPECT_EQ(Judged({}).at("plan.libraries").fix, "");
}

TEST_F(DoctorPlanTest, AStepWaitsForEverySumGatheringAndStage) {
  const testing::TestModel one = testing::MakeTestModel({.tp = 2, .layers = 2}, directory_);
  uint64_t expected = 0;
  for (const plan::Step* step : *one.plan().stages()->Get(0)->steps()) {
    const bool exchanges = step->op() == plan::OpKind::all_reduce || step->op() == plan::OpKind::all_gather;
    expected += exchanges && step->variant() != plan::Variant::all_logits ? 1 : 0;
  }
  EXPECT_EQ(ExchangesOfAStep(one.plan()), expected);
  EXPECT_GE(expected, 5u);
}

}  // namespace
}  // namespace mrs::cli
