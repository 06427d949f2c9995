#include "host/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>

#include "host/process.h"

namespace mrs {
namespace {

// Runs in a process of its own, in which standard output or error is what a test makes of it.
template <typename Body>
void ExpectExit(int code, const char* says, Body body) {
  ::testing::FLAGS_gtest_death_test_style = "fast";
  EXPECT_EXIT(_exit(RunMain("prog", body)), ::testing::ExitedWithCode(code), says);
}

void Replace(int fd, int by) {
  if (dup2(by, fd) != fd) _exit(99);
}

TEST(Print, SaysWhyStandardOutputTakesNothing) {
  ExpectExit(1, "^prog: standard output: cannot write: No space left on device\n$", [] {
    Replace(1, open("/dev/full", O_WRONLY));
    const Status status = Print("much");
    return status.ok() ? 0 : Fail(status.error());
  });
  ExpectExit(1, "^prog: standard output: cannot write: Broken pipe\n$", [] {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) return 99;
    Replace(1, ends[1]);
    close(ends[0]);
    const Status status = Print("much");
    return status.ok() ? 0 : Fail(status.error());
  });
}

TEST(Print, WritesAllOfALongTextToASlowReader) {
  const std::string text(300'000, 'x');
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    Replace(1, ends[1]);
    fcntl(1, F_SETFL, O_NONBLOCK);  // as a shell's other job may leave it
    _exit(Print(text).ok() ? 0 : 1);
  }
  close(ends[1]);
  size_t seen = 0;
  std::array<char, 1000> piece{};
  for (ssize_t bytes; (bytes = read(ends[0], piece.data(), piece.size())) > 0;) seen += static_cast<size_t>(bytes);
  close(ends[0]);
  EXPECT_EQ(seen, text.size());
}

TEST(Print, IsInterruptedWhereNobodyReads) {
  ExpectExit(7, "^$", [] {
    std::array<int, 2> full{}, word{};
    if (pipe(full.data()) != 0 || pipe(word.data()) != 0 || write(word[1], "!", 1) != 1) return 99;
    Replace(1, full[1]);
    return Print(std::string(1 << 20, 'x'), word[0]).error().kind == ErrorKind::kCancelled ? 7 : 8;
  });
}

TEST(Say, DropsWhatNobodyTakes) {
  ExpectExit(5, "^$", [] {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) return 99;
    Replace(2, open("/dev/full", O_WRONLY));
    Say("{}\n", "a word");
    close(2);
    Say("{}\n", "another");
    Replace(2, ends[1]);
    SayText(std::string(1 << 20, 'x'));  // its reader stands still
    return 5;
  });
}

// Were they left closed, the next file opened would be standard output, and be printed into.
TEST(RunMain, TakesClosedStandardDescriptors) {
  ExpectExit(6, "^prog: standard output: cannot write: Bad file descriptor\n$", [] {
    close(0);
    close(1);
    return RunMain("prog", [] {
      const int file = open("/dev/null", O_WRONLY);
      const Status status = Print("a word");
      return file > 2 && !status.ok() && Fail(status.error()) == 1 ? 6 : 7;
    });
  });
}

TEST(RunMain, TurnsWhatEscapesIntoAMessageAndACode) {
  ExpectExit(1, "^prog: out of memory\n$", []() -> int { throw std::bad_alloc(); });
  ExpectExit(1, "^prog: no legs\n$", []() -> int { throw std::runtime_error("no legs"); });
  ExpectExit(1, "^prog: ended: no frame\n$", []() -> int {
    const auto border = [](const std::function<void()>& inner) noexcept { inner(); };
    border([] { throw std::runtime_error("no frame"); });
    return 0;
  });
  ExpectExit(2, "^prog: the wrong word\n$", [] { return Fail({ErrorKind::kUsage, "the wrong word"}); });
}

}  // namespace
}  // namespace mrs
