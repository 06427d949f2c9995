#include "cli/nccl_options.h"

#include <fmt/format.h>
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
  EXPECT_EQ(DescribeNccl({}), begin + "no variable that is set here\n");
  EXPECT_EQ(DescribeNccl({.settings = {{"NCCL_DEBUG", "IN\nFO", ""}, {"NCCL_P2P_DISABLE", "1", "/etc/nccl.conf"}},
                          .unread = {"/a\x1b.conf: is a pipe, expected a file"}}),
            begin +
                "NCCL_DEBUG=IN\\x0aFO, NCCL_P2P_DISABLE=1 (/etc/nccl.conf)\n"
                "              not looked into: /a\\x1b.conf: is a pipe, expected a file\n");
  NcclSettings many;
  for (int i = 0; i < 40; ++i) many.settings.push_back({fmt::format("NCCL_{}", i), std::string(200, 'x'), ""});
  const std::string text = DescribeNccl(many);
  EXPECT_TRUE(text.ends_with("xxx and 8 more\n"));
  EXPECT_LT(text.size(), 33u * 170);
}

TEST(NcclOptions, WhatOverridesTheProgramIsSaid) {
  const auto says = [](const char* value) {
    const std::string text =
        DescribeNccl({.settings = {{"NCCL_COMM_BLOCKING", value, "/etc/nccl.conf"}}, .unread = {}});
    return text.substr(text.find('\n') + 1);
  };
  EXPECT_EQ(
      says("1"),
      "              NCCL_COMM_BLOCKING=1 (/etc/nccl.conf) overrides what this program asks of it, to wait nowhere: "
      "ranks wait in NCCL for one that does not come or is lost, however long; leave it out, or set it to 0\n");
  EXPECT_NE(says("0x1"), "");
  for (const char* other : {"0", "", "2", "-1", "yes"}) EXPECT_EQ(says(other), "") << other;
}

}  // namespace
}  // namespace mrs::cli
