#include "planner/hash_weights.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "formats/checkpoint_file.h"
#include "plans/slice_digest.h"
#include "host/cores.h"
#include "host/thread.h"
#include "plans/printable.h"
#include "plans/recorded_file.h"
#include "plans/tensor_parts.h"
#include "plans/weight_digests.h"

namespace mrs::planner {
namespace {

// The plan's files, each opened once and held against its record.
class OpenFiles {
 public:
  OpenFiles() = default;
  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;
  ~OpenFiles() {
    for (const OpenFile& file : files_) close(file.descriptor);
  }

  Status Open(const plan::Plan& plan, const std::string& model_dir) {
    for (const RecordedFile& recorded : RecordedFilesOf(plan)) {
      const std::string path = fmt::format("{}/{}", model_dir, recorded.name);
      MRS_ASSIGN_OR_RETURN(const int descriptor, OpenCheckpointFile(path, recorded));
      files_.push_back({descriptor, path, {}});
      if (fstat(descriptor, &files_.back().status) != 0) return Refuse("{}: cannot be looked at", path);
    }
    return Status();
  }

  Status Read(uint32_t file, uint64_t offset, std::span<std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t got = pread(files_[file].descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Refuse("{}: cannot be read: {}", files_[file].path, strerror(errno));
      if (got == 0) return Refuse("{}: ends at byte {}; copy it again", files_[file].path, offset);
      bytes = bytes.subspan(static_cast<size_t>(got));
      offset += static_cast<uint64_t>(got);
    }
    return Status();
  }

  Status CheckUnchanged() const {
    for (const OpenFile& file : files_) {
      struct stat now {};
      const timespec& then = file.status.st_mtim;
      if (fstat(file.descriptor, &now) == 0 && now.st_mtim.tv_sec == then.tv_sec &&
          now.st_mtim.tv_nsec == then.tv_nsec && now.st_size == file.status.st_size) {
        continue;
      }
      return Refuse("{}: somebody wrote to it while it was read; plan again once it is complete", file.path);
    }
    return Status();
  }

 private:
  struct OpenFile {
    int descriptor;
    std::string path;
    struct stat status;
  };
  std::vector<OpenFile> files_;
};

// A slice, and where its bytes are.
struct Slice {
  uint32_t stage = 0, source = 0;
  uint64_t number = 0;
  uint32_t file = 0;
  FileRanges ranges;
  uint64_t row_bytes = 0, row_count = 0;
  SliceDigest digest;
};

// A rank that holds slice `number` of a source.
plan::Rank Holder(const plan::WeightSource& source, uint64_t number) {
  const plan::Slice& split = source.rows().axis() != plan::Axis::none ? source.rows() : source.columns();
  const auto coordinate = static_cast<uint32_t>(number * std::max(1u, split.every()));
  const plan::Axis axis = split.axis();
  return {axis == plan::Axis::tp ? coordinate : 0,
          axis == plan::Axis::ep ? coordinate : 0,
          axis == plan::Axis::stage ? coordinate : 0,
          axis == plan::Axis::dp ? coordinate : 0,
          0,
          0,
          plan::DeviceKind::cpu};
}

std::vector<Slice> SlicesOfPlan(const plan::Plan& plan, plan::DigestKind kind) {
  std::vector<Slice> slices;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const auto& sources = *plan.stages()->Get(s)->sources();
    for (uint32_t i = 0; i < sources.size(); ++i) {
      const plan::WeightSource& source = *sources[i];
      for (uint64_t number = 0; number < SlicesOf(plan, source); ++number) {
        const diff::Rectangle part = PartOf(source, Holder(source, number));
        const FileRanges ranges = RangesOf(source, part);
        // Whole rows are one range; here they are rows all the same.
        const uint64_t rows = part.empty() ? 0 : part.row_end - part.row_begin;
        const uint64_t row_bytes = rows == 0 ? 0 : ranges.total_bytes() / rows;
        slices.push_back({s, i, number, source.file(), ranges, row_bytes, rows, SliceDigest(kind, row_bytes, rows)});
      }
    }
  }
  return slices;
}

Status ReadPiece(const OpenFiles& files, const Slice& slice, size_t piece, std::vector<std::byte>* bytes) {
  const uint64_t rows_of_a_piece = RowsOfAPiece(slice.row_bytes);
  const uint64_t begin = piece * rows_of_a_piece;
  const uint64_t rows = std::min(rows_of_a_piece, slice.row_count - begin);
  bytes->resize(rows * slice.row_bytes);
  if (slice.ranges.range_count == 1) {
    return files.Read(slice.file, slice.ranges.first_byte + begin * slice.row_bytes, *bytes);
  }
  for (uint64_t row = 0; row < rows; ++row) {
    MRS_RETURN_IF_ERROR(files.Read(slice.file, slice.ranges.first_byte + (begin + row) * slice.ranges.stride_bytes,
                                   std::span(*bytes).subspan(row * slice.row_bytes, slice.row_bytes)));
  }
  return Status();
}

// What the threads share: each takes the next piece until there is none or one has failed.
class Work {
 public:
  Work(const OpenFiles& files, std::vector<Slice>* slices, const HashOptions& options)
      : files_(files), slices_(*slices), options_(options) {
    for (uint32_t s = 0; s < slices_.size(); ++s) {
      for (size_t piece = 0; piece < slices_[s].digest.piece_count(); ++piece) pieces_.push_back({s, piece});
      total_bytes_ += slices_[s].ranges.total_bytes();
    }
  }

  Status Run() {
    std::vector<std::thread> threads;
    for (uint32_t t = 1; t < CoreCount(); ++t) {
      auto thread = StartThread(
          "hashing weights", [this] { Take(); }, [this](const Error& e) { Fail(e); });
      if (!thread) break;  // fewer do it, too
      threads.push_back(*std::move(thread));
    }
    Take();
    for (std::thread& thread : threads) thread.join();
    return status_;
  }

 private:
  void Fail(Status why) {
    const std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = std::move(why);
    failed_ = true;
  }

  void Take() {
    std::vector<std::byte> bytes;
    for (size_t i = next_++; i < pieces_.size() && !failed_; i = next_++) {
      Slice& slice = slices_[pieces_[i].slice];
      if (Status read = ReadPiece(files_, slice, pieces_[i].piece, &bytes); !read.ok()) return Fail(std::move(read));
      slice.digest.Add(pieces_[i].piece, bytes);
      const std::lock_guard lock(mutex_);
      done_bytes_ += bytes.size();
      const uint64_t share = done_bytes_ / std::max<uint64_t>(1, total_bytes_ / 1000);
      if (options_.progress && (share != told_ || done_bytes_ == total_bytes_)) {
        options_.progress(done_bytes_, total_bytes_);
      }
      told_ = share;
    }
  }

  struct Piece {
    uint32_t slice;
    size_t piece;
  };
  const OpenFiles& files_;
  std::vector<Slice>& slices_;
  const HashOptions& options_;
  std::vector<Piece> pieces_;
  uint64_t total_bytes_ = 0;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;  // the rest
  Status status_;
  uint64_t done_bytes_ = 0, told_ = 0;
};

Result<std::vector<Slice>> Hashed(const plan::Plan& plan, const HashOptions& options) {
  OpenFiles files;
  MRS_RETURN_IF_ERROR(files.Open(plan, options.model_dir));
  std::vector<Slice> slices = SlicesOfPlan(plan, options.kind);
  MRS_RETURN_IF_ERROR(Work(files, &slices, options).Run());
  MRS_RETURN_IF_ERROR(files.CheckUnchanged());
  return slices;
}

}  // namespace

Result<plan::DigestKind> ParseDigestKind(std::string_view name) {
  if (name == "xxh3") return plan::DigestKind::xxh3_128;
  if (name == "sha256") return plan::DigestKind::sha256;
  return Error{ErrorKind::kUsage, fmt::format("--hash-weights {}: expected xxh3 or sha256", Printable(name))};
}

Result<std::vector<std::string>> DigestsOfWeights(const plan::Plan& plan, const HashOptions& options) {
  MRS_ASSIGN_OR_RETURN(const std::vector<Slice> slices, Hashed(plan, options));
  std::vector<std::string> digests(plan.stages()->size());
  for (const Slice& slice : slices) digests[slice.stage] += slice.digest.Finish();
  return digests;
}

Status CheckDigestsOfWeights(const plan::Plan& plan, const HashOptions& options) {
  HashOptions as_planned = options;
  as_planned.kind = plan.digest_kind();
  if (as_planned.kind == plan::DigestKind::none) {
    return Refuse("the plan has no digests of its weights; mrs-plan build --hash-weights xxh3 records them");
  }
  MRS_ASSIGN_OR_RETURN(const std::vector<Slice> slices, Hashed(plan, as_planned));
  std::vector<uint64_t> next(plan.stages()->size());  // bytes compared
  for (const Slice& slice : slices) {
    const plan::Stage& stage = *plan.stages()->Get(slice.stage);
    const std::string actual = slice.digest.Finish();
    const std::span<const uint8_t> said = DigestsOf(stage).subspan(next[slice.stage], actual.size());
    next[slice.stage] += actual.size();
    if (std::equal(said.begin(), said.end(), reinterpret_cast<const uint8_t*>(actual.data()))) continue;
    const plan::WeightSource& source = *stage.sources()->Get(slice.source);
    return Refuse("{}/{}: tensor {}, slice {} of {}: its bytes are not those that the plan was made from ({} expected)",
                  options.model_dir, plan.files()->Get(source.file())->name()->string_view(),
                  Printable(plan.names()->Get(source.name())->string_view()), slice.number, SlicesOf(plan, source),
                  DigestName(as_planned.kind));
  }
  return Status();
}

}  // namespace mrs::planner
