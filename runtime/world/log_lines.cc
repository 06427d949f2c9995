#include "runtime/world/log_lines.h"

#include <algorithm>
#include <utility>

namespace mrs {

bool LogBudget::Take(size_t bytes, Time now) {
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - filled_).count());
  filled_ = std::max(filled_, now);
  lines_ = std::min(kLines, lines_ + seconds * kLinesPerSecond);
  bytes_ = std::min(kBytes, bytes_ + seconds * kBytesPerSecond);
  if (lines_ < 1 || bytes_ < static_cast<double>(bytes)) return false;
  lines_ -= 1;
  bytes_ -= static_cast<double>(bytes);
  return true;
}

bool LogLines::Add(wire::LogLine line, LogBudget::Time now) {
  const bool full = log_.lines.size() >= wire::kMaxLogLines;
  if (full || !budget_.Take(line.text.size(), now)) {
    ++log_.dropped;
    return false;
  }
  log_.lines.push_back(std::move(line));
  return true;
}

std::vector<std::string> LineSplitter::Add(std::string_view text) {
  std::vector<std::string> lines;
  const auto end = [&] {
    if (!begun_.empty()) lines.push_back(std::exchange(begun_, {}));
  };
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    const size_t bytes = std::min(line_end, wire::kMaxLogText - begun_.size());
    begun_.append(text.substr(0, bytes));
    text.remove_prefix(bytes);
    if (bytes < line_end) {
      end();
      continue;
    }
    if (!text.empty()) {
      text.remove_prefix(1);
      end();
    }
  }
  return lines;
}

}  // namespace mrs
