// The logits of one answer, written as they come: rows of the unpadded vocabulary, f32 little-endian, no header.
//
//   LogitsFile file = *LogitsFile::Create("logits.bin");
//   file.Write(row);   // the last prompt position's, then each generated step's
//   file.Finish();     // an error if any byte did not reach the disk
#pragma once

#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "plans/status.h"

namespace mrs::cli {

class LogitsFile {
 public:
  static Result<LogitsFile> Create(const std::string& path);
  void Write(std::span<const float> row);
  Status Finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  LogitsFile(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  bool whole_ = true;
};

}  // namespace mrs::cli
