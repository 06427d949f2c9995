// A regular file, mapped read-only for as long as this lives.
//
//   MRS_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open("x.mrsplan", contract::kMaxFileBytes));
//   file.bytes();   // page-aligned
//
// The file must not shrink while it is mapped: touching the lost pages ends the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "plans/status.h"

namespace mrs {

class MappedFile {
 public:
  // Refuses what is absent, unreadable, no regular file, empty, or over max_bytes. Never blocks (a FIFO is refused).
  static Result<MappedFile> Open(const std::string& path, uint64_t max_bytes);

  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace mrs
