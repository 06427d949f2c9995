#include "plans/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mrs {

Result<WholeFile> ReadWholeFile(const std::string& path, uint64_t max_bytes) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return Refuse("{}: cannot open: {}", path, std::strerror(errno));
  Result<WholeFile> file = ReadWholeDescriptor(descriptor, path, max_bytes);
  close(descriptor);
  return file;
}

Result<WholeFile> ReadWholeDescriptor(int descriptor, std::string_view where, uint64_t max_bytes) {
  struct stat info;
  if (fstat(descriptor, &info) != 0) return Refuse("{}: cannot read its size: {}", where, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return Refuse("{}: is a directory, expected a file", where);
  if (!S_ISREG(info.st_mode)) return Refuse("{}: is no regular file", where);
  if (info.st_size == 0) return Refuse("{}: is empty", where);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes) return Refuse("{}: has {} bytes, at most {} are accepted", where, size, max_bytes);
  WholeFile file{.words = std::vector<uint64_t>((size + 7) / 8), .size_bytes = size};
  for (uint64_t done = 0; done < size;) {
    const ssize_t count =
        pread(descriptor, reinterpret_cast<char*>(file.words.data()) + done, size - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Refuse("{}: cannot be read: {}", where, std::strerror(errno));
    if (count == 0) return Refuse("{}: ended after {} of {} bytes; was it truncated meanwhile?", where, done, size);
    done += static_cast<uint64_t>(count);
  }
  return file;
}

}  // namespace mrs
