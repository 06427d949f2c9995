#include "runtime/model_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "formats/checkpoint_file.h"
#include "plans/recorded_file.h"
#include "plans/sha256.h"

namespace mrs {
namespace {

// pread that goes on after signals and short reads. False: an error (errno), or the end of the file (errno 0).
bool ReadFully(int descriptor, uint64_t offset, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = 0;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return true;
}

Error CannotRead(const std::string& path) {
  const std::string reason = errno == 0 ? "it ended early; was it truncated meanwhile?" : std::strerror(errno);
  return Unavailable("{}: cannot be read: {}", path, reason);
}

Result<Sha256Digest> HashContent(int descriptor, const std::string& path, uint64_t size_bytes) {
  Sha256Stream hash;
  std::vector<std::byte> piece;
  for (uint64_t done = 0; done < size_bytes; done += piece.size()) {
    piece.resize(std::min<uint64_t>(1 << 20, size_bytes - done));
    if (!ReadFully(descriptor, done, piece)) return CannotRead(path);
    hash.Update(piece);
  }
  return hash.Finish();
}

// The comparison of an open file with the plan's entry: content first, since another file differs in size too.
Status CheckFile(int descriptor, const std::string& path, const plan::File& file) {
  struct stat info {};
  if (fstat(descriptor, &info) != 0) return CannotRead(path);
  if (!S_ISREG(info.st_mode)) {
    return Refuse("{}: is no regular file; --model must name the folder the plan was built from", path);
  }
  const auto size_bytes = static_cast<uint64_t>(info.st_size);
  if (size_bytes >= file.header_bytes()) {
    MRS_ASSIGN_OR_RETURN(const Sha256Digest actual, HashContent(descriptor, path, file.header_bytes()));
    const std::span<const uint8_t> expected(file.header_sha256()->data(), file.header_sha256()->size());
    if (!std::equal(expected.begin(), expected.end(), actual.begin(), actual.end())) {
      return Refuse(
          "{}: its content does not match the plan (expected sha256 {}, actual {}): this plan was made for another "
          "file; rebuild it with mrs-plan build",
          path, Hex(expected), Hex(actual));
    }
  }
  if (size_bytes < file.size_bytes()) {
    return Refuse("{}: truncated: the plan expects {} bytes, the file has {}; copy it again", path, file.size_bytes(),
                  size_bytes);
  }
  if (size_bytes != file.size_bytes()) {
    return Refuse(
        "{}: the plan expects {} bytes, the file has {}; copy it again, or rebuild the plan with mrs-plan build", path,
        file.size_bytes(), size_bytes);
  }
  return Status();
}

}  // namespace

std::string ModelDirOfRank(std::string_view model_dir, uint32_t rank) {
  constexpr std::string_view kMark = "{rank}";
  std::string out(model_dir);
  const std::string number = std::to_string(rank);
  for (size_t at = out.find(kMark); at != std::string::npos; at = out.find(kMark, at + number.size())) {
    out.replace(at, kMark.size(), number);
  }
  return out;
}

Result<int> OpenCheckedFile(const std::string& path, const plan::File& file) {
  const int descriptor =
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe in its place must not block us
  if (descriptor < 0) {
    return Refuse("{}: cannot be opened: {}; --model must name the folder the plan was built from", path,
                  std::strerror(errno));
  }
  if (const Status status = CheckFile(descriptor, path, file); !status) {
    close(descriptor);
    return status.error();
  }
  return descriptor;
}

Result<ModelFiles> ModelFiles::Open(const plan::Plan& plan, const std::string& model_dir,
                                    const std::vector<bool>& needed) {
  const std::vector<RecordedFile> recorded = RecordedFilesOf(plan);
  ModelFiles files;
  files.files_.resize(recorded.size());
  for (uint32_t i = 0; i < recorded.size(); ++i) {
    if (!needed[i]) continue;
    OpenFile& open_file = files.files_[i];
    open_file.path = fmt::format("{}/{}", model_dir, recorded[i].name);
    MRS_ASSIGN_OR_RETURN(open_file.descriptor, OpenCheckpointFile(open_file.path, recorded[i]));
  }
  return files;
}

ModelFiles::~ModelFiles() {
  for (const OpenFile& file : files_) {
    if (file.descriptor >= 0) close(file.descriptor);
  }
}

Status ModelFiles::Read(uint32_t file, uint64_t offset, std::span<std::byte> bytes) const {
  const OpenFile& open_file = files_[file];
  if (!ReadFully(open_file.descriptor, offset, bytes)) return CannotRead(open_file.path);
  return Status();
}

}  // namespace mrs
