#include "runtime/rank/model_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "formats/checkpoint_file.h"
#include "formats/input_file.h"
#include "plans/recorded_file.h"
#include "plans/sha256.h"

namespace mrs {
namespace {

constexpr uint64_t kMaxCheckedBytes = uint64_t{128} << 20;

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

Result<timespec> LastWritten(int descriptor, const std::string& path) {
  struct stat info {};
  if (fstat(descriptor, &info) != 0) return CannotRead(path);
  return info.st_mtim;
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

Result<std::string> ReadCheckedFile(const std::string& path, const plan::File& file) {
  MRS_ASSIGN_OR_RETURN(const InputFile opened,
                       InputFile::Open(path, "--model must name the folder the plan was built from"));
  const uint64_t size_bytes = opened.bytes();
  if (size_bytes > kMaxCheckedBytes) {
    return Refuse("{}: {} bytes, at most {} are accepted", path, size_bytes, kMaxCheckedBytes);
  }
  std::string content(size_bytes, '\0');
  MRS_RETURN_IF_ERROR(opened.ReadAt(0, content.data(), content.size()));
  if (IsGitLfsPointer(content)) return GitLfsPointer(path);
  // Content first, since another file differs in size too.
  if (size_bytes >= file.header_bytes()) {
    const Sha256Digest actual = Sha256(std::as_bytes(std::span(content)).first(file.header_bytes()));
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
  return content;
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
    MRS_ASSIGN_OR_RETURN(open_file.written, LastWritten(open_file.descriptor, open_file.path));
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

Status ModelFiles::CheckUnchanged() const {
  for (const OpenFile& file : files_) {
    if (file.descriptor < 0) continue;
    MRS_ASSIGN_OR_RETURN(const timespec now, LastWritten(file.descriptor, file.path));
    if (now.tv_sec == file.written.tv_sec && now.tv_nsec == file.written.tv_nsec) continue;
    return Refuse("{}: somebody wrote to it while it was loaded; start again once it is complete", file.path);
  }
  return Status();
}

}  // namespace mrs
