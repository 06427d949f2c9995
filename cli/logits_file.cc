#include "cli/logits_file.h"

#include <bit>
#include <cerrno>
#include <cstring>

namespace mrs::cli {

static_assert(std::endian::native == std::endian::little);

Result<LogitsFile> LogitsFile::Create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return Refuse("--logits-out {}: cannot write: {}", path, std::strerror(errno));
  return LogitsFile(path, file);
}

void LogitsFile::Write(std::span<const float> row) {
  whole_ &= std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) == row.size();
}

Status LogitsFile::Finish() {
  whole_ &= std::fflush(file_.get()) == 0;
  if (whole_) return Status();
  return Refuse("--logits-out {}: not all logits could be written; is the disk full?", path_);
}

}  // namespace mrs::cli
