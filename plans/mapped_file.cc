#include "plans/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace mrs {
namespace {

struct Fd {
  int fd = -1;
  ~Fd() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path, uint64_t max_bytes) {
  const Fd file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) return Refuse("{}: cannot open: {}", path, std::strerror(errno));
  struct stat info;
  if (fstat(file.fd, &info) != 0) return Refuse("{}: cannot read its size: {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return Refuse("{}: is a directory, expected a file", path);
  if (!S_ISREG(info.st_mode)) return Refuse("{}: is no regular file", path);
  if (info.st_size == 0) return Refuse("{}: is empty", path);
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes) return Refuse("{}: has {} bytes, at most {} are accepted", path, size, max_bytes);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) return Refuse("{}: cannot map {} bytes: {}", path, size, std::strerror(errno));
  return MappedFile({static_cast<const std::byte*>(data), size});
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace mrs
