// How far something long is, on standard error: one line that is written over on a terminal, a line each tenth in a
// log.
//
//   hashing        37 % of 131 GiB
//   hashing       131 GiB in 61.2 s, 2.14 GiB/s
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace mrs::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string_view what) : what_(what) {}

  // Of one thread at a time.
  void Show(uint64_t done_bytes, uint64_t total_bytes);
  // Ends the line, where there is one.
  void End();
  // And says how much it was and how fast; nothing where nothing was.
  void EndWithRate();

 private:
  std::string what_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  uint64_t done_bytes_ = 0;
  bool line_open_ = false;
  int percent_ = -1;
};

}  // namespace mrs::cli
