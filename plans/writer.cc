#include "plans/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "plans/contract.h"
#include "plans/sha256.h"
#include "plans/structure.h"
#include "plans/verify.h"

namespace mrs {
namespace {

// Pack() dereferences what the schema calls required.
Status CheckRequiredTables(const plan::PlanT& plan) {
  const auto missing = [](std::string_view what) { return Refuse("plan to write: '{}' is missing", what); };
  if (!plan.model) return missing("model");
  if (!plan.model->sampling) return missing("model.sampling");
  if (!plan.cluster) return missing("cluster");
  if (!plan.numerics) return missing("numerics");
  const auto all_set = [](const auto& tables) {
    for (const auto& table : tables) {
      if (!table) return false;
    }
    return true;
  };
  if (!all_set(plan.options)) return missing("options[]");
  if (!all_set(plan.files)) return missing("files[]");
  if (!all_set(plan.ropes)) return missing("ropes[]");
  if (!all_set(plan.encodings)) return missing("encodings[]");
  if (!all_set(plan.stages)) return missing("stages[]");
  for (const auto& stage : plan.stages) {
    if (!all_set(stage->norms)) return missing("stages[].norms[]");
    if (!all_set(stage->heads)) return missing("stages[].heads[]");
    if (!all_set(stage->attentions)) return missing("stages[].attentions[]");
    if (!all_set(stage->glus)) return missing("stages[].glus[]");
  }
  if (!all_set(plan.predictions)) return missing("predictions[]");
  if (!all_set(plan.certificates)) return missing("certificates[]");
  return Status();
}

// An open temporary file that is deleted unless it is given its final name.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {
    fd_ = mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ < 0) path_.clear();
  }
  ~TemporaryFile() {
    if (fd_ >= 0) close(fd_);
    if (!path_.empty()) unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool Close() { return close(std::exchange(fd_, -1)) == 0; }
  bool RenameTo(const std::string& path) {
    if (rename(path_.c_str(), path.c_str()) != 0) return false;
    path_.clear();
    return true;
  }

 private:
  std::string path_;
  int fd_ = -1;
};

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Best effort: some file systems refuse to sync a folder, and the file itself is whole either way.
void SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  if (fsync(fd) != 0) errno = 0;
  close(fd);
}

}  // namespace

std::string PackPlan(const plan::PlanT& plan) {
  flatbuffers::FlatBufferBuilder builder(1 << 16);
  builder.ForceDefaults(true);  // a field is there whether it is zero or not
  plan::FinishPlanBuffer(builder, plan::Plan::Pack(builder, &plan));
  std::string bytes(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
  const Sha256Digest digest = Sha256(std::as_bytes(std::span(bytes)));
  bytes.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return bytes;
}

Result<std::string> SerializePlan(plan::PlanT plan, std::span<const PlanCheck> checks) {
  MRS_RETURN_IF_ERROR(CheckRequiredTables(plan));
  plan.certificates.clear();
  const auto certify = [&](std::string_view name, std::string_view statement) {
    plan.certificates.push_back(std::make_unique<plan::CertificateT>());
    plan.certificates.back()->name = name;
    plan.certificates.back()->statement = statement;
  };
  certify(kVerifyName, kVerifyStatement);
  for (const PlanCheck& check : checks) certify(check.name, check.statement);
  std::string bytes = PackPlan(plan);
  const auto verify = [&]() -> Status {
    MRS_ASSIGN_OR_RETURN(const SealedPlan sealed, CheckStructure(std::as_bytes(std::span(bytes))));
    MRS_RETURN_IF_ERROR(VerifyPlan(*sealed.plan));
    for (const PlanCheck& check : checks) MRS_RETURN_IF_ERROR(check.run(*sealed.plan));
    return Status();
  };
  if (const Status verified = verify(); !verified.ok()) {
    return Error{verified.error().kind, fmt::format("plan to write: {}", verified.message())};
  }
  return bytes;
}

Status WritePlanFile(const std::string& path, std::string_view bytes) {
  const auto failed = [&](std::string_view what) {
    return Refuse("{}: cannot {}: {}; nothing was written", path, what, std::strerror(errno));
  };
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return Refuse("{}: is {}, expected a file name; nothing was written", path,
                  S_ISDIR(info.st_mode) ? "a directory" : "no regular file");
  }
  const std::string folder = FolderOf(path);
  TemporaryFile file(folder + "/.mrsplan-XXXXXX");
  if (!file.is_open()) return failed(fmt::format("create a file in {}", folder));
  const mode_t mask = umask(0);
  umask(mask);
  if (fchmod(file.fd(), 0666 & ~mask) != 0) return failed("set its permissions");
  if (!WriteAll(file.fd(), bytes)) return failed(fmt::format("write {} bytes", bytes.size()));
  if (fsync(file.fd()) != 0) return failed("sync");
  if (!file.Close()) return failed("close");
  if (!file.RenameTo(path)) return failed("rename the finished file");
  SyncFolder(folder);
  return Status();
}

}  // namespace mrs
