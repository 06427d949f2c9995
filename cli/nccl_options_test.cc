#include "cli/nccl_options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "runtime/testing/llama_plan.h"

namespace mrs::cli {
namespace {

TEST(NcclOptions, APlanThatNeedsItIsRefusedWhereThereIsNone) {
  const std::string folder = ::testing::TempDir() + "nccl_options";
  std::filesystem::create_directories(folder);
  testing::TestModel model = testing::MakeTestModel({.tp = 2}, folder);
  const char* const none[] = {"HOME=/", "MISTRALRS_NO_NCCL=1", nullptr};
  EXPECT_TRUE(CheckNccl(model.plan(), true, none).ok());  // it does not
  model.tree.stages[0]->communicators_bytes = 1;
  testing::Repack(&model);
  const std::string rest =
      " says there is none: rebuild it with mrs-plan build --collectives staged, or leave that out";
  EXPECT_EQ(CheckNccl(model.plan(), true, none).message(), "the plan's GPUs talk by NCCL, and --no-nccl" + rest);
  EXPECT_EQ(CheckNccl(model.plan(), false, none).message(),
            "the plan's GPUs talk by NCCL, and MISTRALRS_NO_NCCL=1" + rest);
  for (const char* other : {"MISTRALRS_NO_NCCL=0", "MISTRALRS_NO_NCCL=", "MISTRALRS_NO_NCCL=11"}) {
    const char* const environment[] = {other, nullptr};
    EXPECT_TRUE(CheckNccl(model.plan(), false, environment).ok()) << other;
  }
}

TEST(NcclOptions, ItsVariablesAreSaid) {
  const std::string begin = "NCCL          not run on a device yet by this program; it reads ";
  EXPECT_EQ(DescribeNccl(nullptr), begin + "no variable that is set here\n");
  const char* const environment[] = {"NCCL_P2P_DISABLE=1", "HOME=/", "NCCL_DEBUG=IN\nFO", nullptr};
  EXPECT_EQ(DescribeNccl(environment), begin + "NCCL_DEBUG=IN\\x0aFO, NCCL_P2P_DISABLE=1\n");
}

}  // namespace
}  // namespace mrs::cli
