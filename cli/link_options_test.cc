#include "cli/link_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

TEST(LinkOptions, WhatDoesNothingOnOneHostIsSaid) {
  const char* const none[] = {"NCCL_SOCKET_NTHREADS=4", nullptr};
  EXPECT_THAT(LinkNotices({}, /*alone=*/true, none), IsEmpty());
  EXPECT_THAT(LinkNotices({.streams = 1, .congestion = ""}, true, none), IsEmpty());
  EXPECT_THAT(LinkNotices({.streams = 4, .congestion = "re\nno"}, true, none),
              ElementsAre("--cluster-streams 4 does nothing here: all ranks of the plan are of one host",
                          "--cluster-congestion re\\x0ano does nothing here: all ranks of the plan are of one host"));
}

TEST(LinkOptions, VariablesOfNcclAreHintsThatAreSaid) {
  const auto notices = [](std::vector<const char*> environment, uint32_t streams = 0) {
    environment.push_back(nullptr);
    return LinkNotices({.streams = streams, .congestion = ""}, /*alone=*/false, environment.data());
  };
  EXPECT_THAT(notices({"HOME=/", "NCCL_DEBUG=INFO"}), IsEmpty());
  EXPECT_THAT(notices({"NCCL_SOCKET_NTHREADS=4", "NCCL_NSOCKS_PERTHREAD=2"}),
              ElementsAre("NCCL_SOCKET_NTHREADS=4 and NCCL_NSOCKS_PERTHREAD=2 are for NCCL alone: for 8 connections "
                          "between two ranks of different hosts, give all nodes --cluster-streams 8"));
  EXPECT_THAT(notices({"NCCL_SOCKET_NTHREADS=16"}),
              ElementsAre("NCCL_SOCKET_NTHREADS=16 is for NCCL alone: for up to 8 connections between two ranks of "
                          "different hosts, give all nodes --cluster-streams 8"));
  for (const char* nothing : {"NCCL_SOCKET_NTHREADS=1", "NCCL_SOCKET_NTHREADS=", "NCCL_SOCKET_NTHREADS=-2",
                              "NCCL_SOCKET_NTHREADS=99999999999999999999"}) {
    EXPECT_THAT(notices({nothing}), IsEmpty()) << nothing;
  }
  EXPECT_THAT(notices({"NCCL_SOCKET_NTHREADS=4"}, /*streams=*/1), IsEmpty());  // who said it has decided
}

TEST(LinkOptions, ACongestionControlThatIsNotToBeHadIsSaid) {
  EXPECT_THAT(LinkNotices({.streams = 0, .congestion = "reno"}, false, nullptr), IsEmpty());
  EXPECT_THAT(
      LinkNotices({.streams = 0, .congestion = "no-such"}, false, nullptr),
      ElementsAre(MatchesRegex("--cluster-congestion: congestion control 'no-such' is not to be had \\(this kernel has "
                               "none of that name; allowed here: .*reno.*\\); links use '.+'")));
}

TEST(LinkOptions, ARingHasNoStreams) {
  EXPECT_TRUE(CheckRingLinks({}, true).ok());
  EXPECT_TRUE(CheckRingLinks({.streams = 1, .congestion = "reno"}, false).ok());
  EXPECT_EQ(CheckRingLinks({.streams = 3, .congestion = ""}, true).message(),
            "--cluster-streams 3: in a ring a rank has one connection to each neighbour; leave it out");
  EXPECT_EQ(
      CheckRingLinks({.streams = 3, .congestion = ""}, false).message(),
      "--cluster-streams 3: in a ring a rank has one connection to each neighbour; leave it out, or let all reach "
      "each other with --transport auto or tcp");
}

TEST(LinkOptions, AStartSaysWhatLinksAre) {
  EXPECT_EQ(DescribeLinks(4, "reno", false),
            "links         4 streams between ranks of different hosts, congestion control reno\n");
  EXPECT_THAT(
      DescribeLinks(1, "", true),
      MatchesRegex("links         one stream between neighbours, congestion control .+, as this kernel has it\n"));
  // What is not to be had is not said to be used.
  EXPECT_EQ(DescribeLinks(1, "no-such", false), DescribeLinks(1, "", false));
}

}  // namespace
}  // namespace mrs::cli
