#include "planner/cluster/units.h"

#include <gtest/gtest.h>

namespace mrs::cluster {
namespace {

TEST(Units, BytesAreExact) {
  EXPECT_EQ(ParseBytes("0"), 0);
  EXPECT_EQ(ParseBytes("17"), 17);
  EXPECT_EQ(ParseBytes("17B"), 17);
  EXPECT_EQ(ParseBytes("80GiB"), 85899345920);
  EXPECT_EQ(ParseBytes("80 gib"), 85899345920);
  EXPECT_EQ(ParseBytes("47.5GB"), 47500000000);
  EXPECT_EQ(ParseBytes("0.000000001GB"), 1);
  EXPECT_EQ(ParseBytes("81559MiB"), uint64_t{81559} << 20);
  EXPECT_EQ(ParseBytes("4096TiB"), kMaxBytes);
}

TEST(Units, WhatIsNoSizeIsNone) {
  for (const char* text : {"",
                           " ",
                           "GB",
                           "-1GB",
                           "+1GB",
                           "1e3",
                           "1.GB",
                           ".5GB",
                           "80  GiB",
                           "80GiB ",
                           "80PB",
                           "80G",
                           "0x10",
                           "0.5B",
                           "1.0000000001GB",
                           "4097TiB",
                           "18446744073709551616",
                           "99999999999999TiB",
                           "1,5GB",
                           "nan",
                           "inf"}) {
    EXPECT_EQ(ParseBytes(text), std::nullopt) << text;
  }
}

TEST(Units, RatesTellBitsFromBytes) {
  EXPECT_EQ(ParseGigabits("400Gbit/s"), 400);
  EXPECT_EQ(ParseGigabits("400 Gbit"), 400);
  EXPECT_EQ(ParseGigabits("400Gb/s"), 400);
  EXPECT_EQ(ParseGigabits("1.6Tbps"), 1600);
  EXPECT_EQ(ParseGigabits("25GB/s"), 200);
  EXPECT_EQ(ParseGigabits("26.5625GB/s"), 212.5);
  for (const char* text : {"", "400", "400G", "0Gbit/s", "400GBit/s", "400gb/s", "400GB", "-1Gbit/s", "1e3Gbit/s",
                           "1001Tbit/s", "0.9Mbit/s", "400Gbit/s/s"}) {
    EXPECT_EQ(ParseGigabits(text), std::nullopt) << text;
  }
}

TEST(Units, TextReadsBack) {
  EXPECT_EQ(BytesText(85899345920), "80GiB");
  EXPECT_EQ(BytesText(85899345921), "85899345921B");
  EXPECT_EQ(BytesText(uint64_t{81559} << 20), "81559MiB");
  EXPECT_EQ(BytesText(0), "0B");
  EXPECT_EQ(GigabitsText(400), "400Gbit/s");
  EXPECT_EQ(GigabytesText(26.5625), "26.5625GB/s");
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{1} << 40, kMaxBytes}) {
    EXPECT_EQ(ParseBytes(BytesText(bytes)), bytes);
  }
  for (const double rate : {0.001, 100.0 / 3, 1.0, 212.5, 399.9, 1e6}) {
    EXPECT_EQ(ParseGigabits(GigabitsText(rate)), rate);
    EXPECT_EQ(ParseGigabits(GigabytesText(rate / 8)), rate);
  }
}

}  // namespace
}  // namespace mrs::cluster
