#include "cli/progress_bar.h"

#include <unistd.h>

#include <algorithm>

#include "host/output.h"
#include "plans/text.h"

namespace mrs::cli {
namespace {

constexpr uint64_t kLong = uint64_t{1} << 30;  // less is over before a log would tell anything

}  // namespace

void ProgressBar::Show(uint64_t done_bytes, uint64_t total_bytes) {
  done_bytes_ = done_bytes;
  const int percent =
      total_bytes == 0 ? 100
                       : static_cast<int>(static_cast<double>(done_bytes) * 100.0 / static_cast<double>(total_bytes));
  if (percent == percent_) return;
  if (isatty(2)) {
    Say("\r{:<13} {:3d} % of {}", what_, percent, HumanBytes(total_bytes));
    line_open_ = true;
  } else if (total_bytes >= kLong && percent / 10 != percent_ / 10) {
    Say("{:<13} {:3d} % of {}\n", what_, percent, HumanBytes(total_bytes));
  }
  percent_ = percent;
}

void ProgressBar::End() {
  if (line_open_) SayText("\n");
  line_open_ = false;
}

void ProgressBar::EndWithRate() {
  End();
  if (done_bytes_ == 0) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  Say("{:<13} {} in {:.1f} s, {}/s\n", what_, HumanBytes(done_bytes_), seconds,
      HumanBytes(static_cast<uint64_t>(static_cast<double>(done_bytes_) / std::max(seconds, 1e-3))));
}

}  // namespace mrs::cli
