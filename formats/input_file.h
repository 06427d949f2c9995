// A file that somebody named, open for reading, or why it cannot be read and what to do about that.
//
//   MRS_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open("m/a.safetensors", "download this file too"));
//   MRS_RETURN_IF_ERROR(file.ReadAt(0, start.data(), start.size()));
//   // absent:   m/a.safetensors: cannot be opened: No such file or directory; download this file too
//   // no right: m/a.safetensors: cannot be opened: Permission denied; let this user (uid 1000) read it and search its
//   //           folders
//   // a folder: m/a.safetensors: is a directory, expected a file
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "plans/status.h"

namespace mrs {

class InputFile {
 public:
  // A regular file; never blocks, whatever lies there. `if_absent` is what to do where nothing does, "": nothing to
  // say.
  static Result<InputFile> Open(const std::string& path, std::string_view if_absent = "");

  InputFile(InputFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), bytes_(other.bytes_) {}
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  uint64_t bytes() const { return bytes_; }
  int Release() { return std::exchange(descriptor_, -1); }  // the caller's now

  // Fills `out` from `offset`. The file may be shorter than it was a moment ago: that is refused.
  Status ReadAt(uint64_t offset, char* out, size_t bytes) const;

 private:
  InputFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::string path_;
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
};

// False where nothing has that name. True also of what cannot be read or looked at, and of a link to nothing: whoever
// opens it hears why, so a file that may be left out is never left out by accident.
bool IsNamed(const std::string& path);

// A checkout without git-lfs holds a few lines of text in place of each big file. `start`: that many of its first
// bytes, or more.
inline constexpr size_t kGitLfsPointerStart = 64;
bool IsGitLfsPointer(std::string_view start);
Error GitLfsPointer(std::string_view path);

}  // namespace mrs
