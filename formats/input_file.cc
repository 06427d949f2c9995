#include "formats/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace mrs {
namespace {

// What else than a regular file `mode` is; null for one.
const char* OtherKind(mode_t mode) {
  if (S_ISREG(mode)) return nullptr;
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

Error NotAFile(const std::string& path, const char* kind) { return Refuse("{}: is {}, expected a file", path, kind); }

bool IsAbsent(int error) { return error == ENOENT || error == ENOTDIR; }

// Where a symbolic link points to, "" where `path` is none.
std::string LinkTarget(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = readlink(path.c_str(), target, sizeof(target));
  return length > 0 ? std::string(target, static_cast<size_t>(length)) : std::string();
}

// Each cause has its own way out; "download it" is none for a file that may not be read.
Error CannotOpen(const std::string& path, int error, std::string_view if_absent) {
  const auto with = [&](std::string_view what_to_do) {
    return Unavailable("{}: cannot be opened: {}{}{}", path, std::strerror(error), what_to_do.empty() ? "" : "; ",
                       what_to_do);
  };
  if (IsAbsent(error)) {
    const std::string target = LinkTarget(path);
    if (target.empty()) return with(if_absent);
    return Unavailable("{}: is a symbolic link to {}, where nothing is{}{}", path, target,
                       if_absent.empty() ? "" : "; ", if_absent);
  }
  struct stat info {};
  switch (error) {
    case EACCES:
    case EPERM:
      return with(fmt::format("let this user (uid {}) read it and search its folders", geteuid()));
    case EMFILE:
    case ENFILE:
      return with("raise the limit of open files (ulimit -n)");
    case ELOOP:
      return with("its symbolic links lead in a circle");
    case ENXIO:  // a socket, or a device without a driver
      if (stat(path.c_str(), &info) == 0 && OtherKind(info.st_mode)) return NotAFile(path, OtherKind(info.st_mode));
      return with("");
    default:
      return with("");
  }
}

}  // namespace

Result<InputFile> InputFile::Open(const std::string& path, std::string_view if_absent) {
  // O_NONBLOCK: a pipe in the file's place must not block us.
  InputFile file(path, open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.descriptor_ < 0) return CannotOpen(path, errno, if_absent);
  struct stat info {};
  if (fstat(file.descriptor_, &info) != 0) {
    return Unavailable("{}: cannot be examined: {}", path, std::strerror(errno));
  }
  if (const char* kind = OtherKind(info.st_mode); kind != nullptr) return NotAFile(path, kind);
  file.bytes_ = static_cast<uint64_t>(info.st_size);
  return file;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Status InputFile::ReadAt(uint64_t offset, char* out, size_t bytes) const {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(descriptor_, out + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Unavailable("{}: reading fails at byte {}: {}", path_, offset + done, std::strerror(errno));
    if (got == 0) return Refuse("{}: ends at byte {}; it changed while it was read", path_, offset + done);
    done += static_cast<size_t>(got);
  }
  return {};
}

bool IsNamed(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 || !IsAbsent(errno);
}

bool IsGitLfsPointer(std::string_view start) {
  // git-lfs, docs/spec.md: the version line comes first; the other two are its older names.
  constexpr std::string_view kVersions[] = {"version https://git-lfs.github.com/spec/",
                                            "version https://hawser.github.com/spec/",
                                            "version http://git-media.io/v/"};
  return std::any_of(std::begin(kVersions), std::end(kVersions),
                     [&](std::string_view version) { return start.starts_with(version); });
}

Error GitLfsPointer(std::string_view path) {
  return Refuse("{}: is a git-lfs pointer, not the file that it stands for; run 'git lfs pull' where it was cloned",
                path);
}

}  // namespace mrs
