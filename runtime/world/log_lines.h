// The lines of a node's log on their way to the head: so many a second, and no more. What is too much is counted.
//
//   LogLines lines;
//   lines.Add({.rank = 1, .text = "a notice"}, now);    // false: over the bound, and counted
//   wire::Log log = lines.Take();                       // all that are kept, and how many were not
//
// A log is for people; beats and verdicts go over the same connection, so it must stay small beside them.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/world/node_wire.h"

namespace mrs {

// A bucket of lines and one of bytes, which fill up as time goes by.
class LogBudget {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr double kLines = 100, kLinesPerSecond = 40;
  static constexpr double kBytes = 16384, kBytesPerSecond = 8192;

  // Whether a line of so many bytes is within the bounds now; then it has been taken off.
  bool Take(size_t bytes, Time now);

 private:
  double lines_ = kLines, bytes_ = kBytes;
  Time filled_ = {};
};

class LogLines {
 public:
  bool Add(wire::LogLine line, LogBudget::Time now);
  bool empty() const { return log_.lines.empty() && log_.dropped == 0; }
  wire::Log Take() { return std::exchange(log_, {}); }

 private:
  LogBudget budget_;
  wire::Log log_;
};

// Text as it comes, cut into lines; a line that is longer than a message has room for comes in pieces.
class LineSplitter {
 public:
  // Whole lines, without their ends; empty ones are left out.
  std::vector<std::string> Add(std::string_view text);
  // What came without an end.
  std::vector<std::string> End() { return Add("\n"); }

 private:
  std::string begun_;
};

}  // namespace mrs
