// A file, read once and whole: what was checked is what is used, whatever becomes of the file afterwards.
//
//   MRS_ASSIGN_OR_RETURN(const WholeFile file, ReadWholeFile("x.mrsplan", contract::kMaxFileBytes));
//   file.bytes();   // aligned to 8
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs {

struct WholeFile {
  std::vector<uint64_t> words;  // for alignment
  size_t size_bytes = 0;

  std::span<const std::byte> bytes() const { return {reinterpret_cast<const std::byte*>(words.data()), size_bytes}; }
};

// Refuses what is absent, unreadable, no regular file, empty, over max_bytes, or shorter than it was a moment ago.
// Never blocks (a FIFO is refused).
Result<WholeFile> ReadWholeFile(const std::string& path, uint64_t max_bytes);

// The same of an open descriptor, which stays the caller's and where it is; `where` is what errors call it.
Result<WholeFile> ReadWholeDescriptor(int descriptor, std::string_view where, uint64_t max_bytes);

}  // namespace mrs
