#include "runtime/world/progress_board.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <thread>

#include "runtime/world/heart.h"

namespace mrs {
namespace {

TEST(ProgressBoard, WhatOneMappingWritesTheOtherReads) {
  const Result<Fd> fd = CreateProgressBoard(3);
  ASSERT_TRUE(fd.ok()) << fd.message();
  const Result<ProgressBoard> ranks = ProgressBoard::Map(fd->get(), 3), watcher = ProgressBoard::Map(fd->get(), 3);
  ASSERT_TRUE(ranks.ok() && watcher.ok());
  EXPECT_EQ(Read(watcher->line(1)), RankProgress());
  Pulse pulse(&ranks->line(1));
  pulse.Begin(57);
  pulse.Expect(203);
  pulse.At(12, 14);
  pulse.WaitFor(0);
  pulse.Wake();
  pulse.Beat();
  const RankProgress expected{.beat = 1,
                              .work = 1,
                              .looks = 0,
                              .wakes = 2,
                              .step = 57,
                              .phase = RankPhase::kWorking,
                              .operation = 12,
                              .operations = 203,
                              .plan_step = 14,
                              .waits_for = 0};
  EXPECT_EQ(Read(watcher->line(1)), expected);
  EXPECT_EQ(Read(watcher->line(0)), RankProgress());
  EXPECT_EQ(Read(watcher->line(2)), RankProgress());
  pulse.WaitOver();
  EXPECT_EQ(Read(watcher->line(1)).waits_for, std::nullopt);
}

TEST(ProgressBoard, APhaseThatIsNoneIsUnseen) {
  ProgressLine line;
  line.phase = 4000000000;
  line.waits_for = UINT32_MAX;
  EXPECT_EQ(Read(line).phase, RankPhase::kUnseen);
  EXPECT_EQ(Read(line).waits_for, UINT32_MAX - 1);
}

TEST(ProgressBoard, ItsSizeIsFixed) {
  const Result<Fd> fd = CreateProgressBoard(2);
  ASSERT_TRUE(fd.ok());
  EXPECT_NE(ftruncate(fd->get(), 0), 0);
  EXPECT_NE(ftruncate(fd->get(), 4096), 0);
  EXPECT_EQ(ProgressBoard::Map(fd->get(), 3).message(), "progress board: 256 bytes, that of 3 ranks has 384");
  EXPECT_EQ(CreateProgressBoard(0).message(), "progress board: 0 ranks; it has room for 1 to 4096");
  EXPECT_FALSE(CreateProgressBoard(4097).ok());
  const Fd other(memfd_create("short", MFD_CLOEXEC));
  EXPECT_FALSE(ProgressBoard::Map(other.get(), 1).ok());
  EXPECT_FALSE(ProgressBoard::Map(-1, 1).ok());
}

TEST(Pulse, AddsUpWhatItsThreadsCount) {
  ProgressLine line;
  Pulse pulse(&line);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&pulse] {
      Pulse::Counter* const counter = pulse.AddCounter();
      for (int n = 0; n < 1000; ++n) Pulse::CountIn(counter);
    });
  }
  for (int n = 0; n < 10; ++n) pulse.Count();
  for (std::thread& thread : threads) thread.join();
  pulse.Enter(RankPhase::kWorking);
  pulse.Beat();
  EXPECT_EQ(Read(line).work, 4010u);
}

// What reads a plan counts nothing, but spends time; what waits spends none.
TEST(Pulse, ProcessorTimeIsWorkWhileARankStartsOrLoads) {
  const auto spend = [] {
    timespec begin{}, now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    do {
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 30);
  };
  for (const RankPhase phase : {RankPhase::kStarting, RankPhase::kLoading, RankPhase::kWorking, RankPhase::kIdle}) {
    ProgressLine line;
    Pulse pulse(&line);
    pulse.Enter(phase);
    pulse.Beat();
    const uint64_t before = Read(line).work;
    spend();
    pulse.Beat();
    const bool counts = phase == RankPhase::kStarting || phase == RankPhase::kLoading;
    EXPECT_EQ(Read(line).work > before, counts) << static_cast<int>(phase);
  }
}

TEST(Heart, BeatsByItself) {
  ProgressLine lines[2];
  Pulse pulses[] = {Pulse(&lines[0]), Pulse(&lines[1])};
  {
    Heart heart;
    ASSERT_TRUE(heart.Start({&pulses[0], &pulses[1]}).ok());
    while (Read(lines[1]).beat < 3) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const uint64_t beats = Read(lines[0]).beat;
  EXPECT_EQ(Read(lines[1]).beat, beats);
}

}  // namespace
}  // namespace mrs
