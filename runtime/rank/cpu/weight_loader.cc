#include "runtime/rank/cpu/weight_loader.h"

#include <algorithm>
#include <optional>

#include "kernels/rows.h"
#include "plans/dtype.h"
#include "plans/printable.h"
#include "plans/sha256.h"
#include "plans/slice_digest.h"
#include "plans/weight_digests.h"
#include "runtime/rank/model_files.h"
#include "runtime/rank/shared_slices.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

// What the plan says of the bytes that a rank reads, and what it read.
class ReadDigests {
 public:
  // Of a plan without digests nothing is checked here: what ranks share is told, and compared by whom all tell it.
  ReadDigests(const plan::Plan& plan, uint32_t rank, const std::vector<WeightRead>& reads)
      : plan_(plan), rank_(rank), reads_(reads), digests_(reads.size()) {
    if (plan.digest_kind() != plan::DigestKind::none) {
      for (size_t i = 0; i < reads.size(); ++i) Begin(i, plan.digest_kind());
    } else {
      shared_ = SharedSlicesOf(plan).of_rank[rank];
      for (const SharedRead& one : shared_) Begin(one.read, plan::DigestKind::xxh3_128);
    }
  }

  void Add(const WeightTile& tile, std::span<const std::byte> rows) {
    if (digests_[tile.read].has_value()) digests_[tile.read]->Add(tile.piece, rows);
  }

  std::vector<std::string> Shared() const {
    std::vector<std::string> told;
    for (const SharedRead& one : shared_) told.push_back(digests_[one.read]->Finish());
    return told;
  }

  // Once all tiles are added.
  Status Check(const std::string& model_dir) const {
    if (plan_.digest_kind() == plan::DigestKind::none) return Status();
    const plan::Stage& stage = StageOf(plan_, rank_);
    const std::vector<uint64_t> starts = DigestStarts(plan_, stage);
    const uint64_t bytes = DigestBytes(plan_.digest_kind());
    for (size_t i = 0; i < digests_.size(); ++i) {
      const plan::WeightSource& source = *stage.sources()->Get(reads_[i].source);
      const uint64_t slice = SliceOf(source, *plan_.ranks()->Get(rank_));
      const auto said = DigestsOf(stage).subspan((starts[reads_[i].source] + slice) * bytes, bytes);
      const std::string actual = digests_[i]->Finish();
      const std::span actual_bytes(reinterpret_cast<const uint8_t*>(actual.data()), actual.size());
      if (std::equal(said.begin(), said.end(), actual_bytes.begin(), actual_bytes.end())) continue;
      return Refuse(
          "{}/{}: tensor {}, slice {} of {}: its bytes are not those that the plan was made from ({} {}, expected {}); "
          "copy the file again, or rebuild the plan with mrs-plan build --hash-weights",
          ModelDirOfRank(model_dir, rank_), plan_.files()->Get(source.file())->name()->string_view(),
          Printable(plan_.names()->Get(source.name())->string_view()), slice, SlicesOf(plan_, source),
          DigestName(plan_.digest_kind()), Hex(actual_bytes), Hex(said));
    }
    return Status();
  }

 private:
  void Begin(size_t read, plan::DigestKind kind) {
    digests_[read].emplace(kind, reads_[read].row_bytes, reads_[read].row_count);
  }

  const plan::Plan& plan_;
  const uint32_t rank_;
  const std::vector<WeightRead>& reads_;
  std::vector<SharedRead> shared_;
  std::vector<std::optional<SliceDigest>> digests_;  // as reads
};

// Puts the rows of a tile, dense in `rows`, where the weight wants them, which begins at `dst`.
void Store(const plan::Weight& weight, const WeightRead& read, const WeightTile& tile, const std::byte* rows,
           std::byte* dst) {
  const uint64_t dest_begin = read.dest_row + tile.row_begin;
  const uint64_t dest_end = read.dest_row + tile.row_end;
  if (read.encoding == plan::EncodingKind::dense) {
    kernels::ConvertToF32(rows, KernelType(read.dtype), reinterpret_cast<float*>(dst) + dest_begin,
                          static_cast<int64_t>(dest_end - dest_begin));
    if (read.transform == plan::Transform::add_one) {
      for (uint64_t i = dest_begin; i < dest_end; ++i) reinterpret_cast<float*>(dst)[i] += 1.0F;
    }
    return;
  }
  // The source is addressed by the weight's row: hand over the address that row 0 would have.
  const auto row_zero = reinterpret_cast<uintptr_t>(rows) - dest_begin * read.row_bytes;
  const kernels::PackArgs args{.src = reinterpret_cast<const std::byte*>(row_zero),
                               .src_type = KernelType(read.dtype),
                               .src_stride = static_cast<int64_t>(read.row_bytes / ByteSize(read.dtype)),
                               .dst = dst,
                               .dst_type = KernelType(weight.dtype()),
                               .shape = {.n = static_cast<int64_t>(weight.n()),
                                         .chunk_k = static_cast<int64_t>(weight.chunk_k()),
                                         .chunk_count = static_cast<int64_t>(weight.chunk_count())}};
  const auto put = read.encoding == plan::EncodingKind::rows ? kernels::CopyRows : kernels::PackRows;
  put(args, static_cast<int64_t>(dest_begin), static_cast<int64_t>(dest_end));
}

// Reads this rank's columns of the rows of a tile, and nothing between them.
Status FetchRows(const ModelFiles& files, const WeightRead& read, const WeightTile& tile, std::span<std::byte> rows) {
  const uint64_t offset = read.file_offset + tile.row_begin * read.row_stride_bytes;
  if (read.row_stride_bytes == read.row_bytes) return files.Read(read.file, offset, rows);
  for (uint64_t row = 0; row < tile.row_end - tile.row_begin; ++row) {
    MRS_RETURN_IF_ERROR(files.Read(read.file, offset + row * read.row_stride_bytes,
                                   rows.subspan(row * read.row_bytes, read.row_bytes)));
  }
  return Status();
}

}  // namespace

kernels::Type KernelType(plan::DType dtype) {
  if (dtype == plan::DType::bf16) return kernels::Type::kBf16;
  return dtype == plan::DType::f16 ? kernels::Type::kF16 : kernels::Type::kF32;
}

void LoadCounter::Add(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  done_bytes_ += bytes;
  const uint64_t percent = done_bytes_ / std::max<uint64_t>(1, total_bytes_ / 100);
  if (percent == reported_percent_ && done_bytes_ != total_bytes_) return;
  reported_percent_ = percent;
  if (progress_) progress_(done_bytes_, total_bytes_);
}

struct WeightLoader::Checkpoint {
  std::string model_dir;
  ModelFiles files;
  ReadDigests digests;
};

WeightLoader::WeightLoader(const plan::Plan& plan, uint32_t rank, std::vector<WeightRead> reads, LoadProgress progress)
    : stage_(StageOf(plan, rank)),
      reads_(std::move(reads)),
      tiles_(CutTiles(stage_, reads_)),
      counter_(ReadBytes(reads_), std::move(progress)) {}
WeightLoader::~WeightLoader() = default;

Result<std::unique_ptr<WeightLoader>> WeightLoader::Open(const plan::Plan& plan, uint32_t rank,
                                                         const std::string& model_dir, LoadProgress progress) {
  std::unique_ptr<WeightLoader> loader(new WeightLoader(plan, rank, PlanWeightReads(plan, rank), std::move(progress)));
  std::vector<bool> needed(plan.files()->size());
  for (const WeightRead& read : loader->reads_) needed[read.file] = true;
  MRS_ASSIGN_OR_RETURN(ModelFiles files, ModelFiles::Open(plan, ModelDirOfRank(model_dir, rank), needed));
  loader->checkpoint_.reset(new Checkpoint{model_dir, std::move(files), ReadDigests(plan, rank, loader->reads_)});
  return loader;
}

Status WeightLoader::Fetch(std::span<const WeightTile> tiles, const Place& place, const Then& then, ThreadPool& pool) {
  std::atomic<size_t> next_tile{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of the first failure
  Status failure;
  const kernels::ScopedFlushToZero flush;  // as in the pool's threads
  pool.For(pool.thread_count(), [&](int64_t, int64_t) {
    std::vector<std::byte> own;
    for (size_t t = next_tile++; t < tiles.size() && !failed; t = next_tile++) {
      const WeightTile& tile = tiles[t];
      const std::span<std::byte> rows = place(tile, own);
      if (Status status = FetchRows(checkpoint_->files, reads_[tile.read], tile, rows); !status) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) failure = std::move(status);
        return;
      }
      checkpoint_->digests.Add(tile, rows);
      then(tile, rows.data());
      counter_.Add(rows.size());
      ThreadPool::CountWork();
    }
  });
  return failure;
}

Status WeightLoader::Load(std::byte* arena, ThreadPool& pool) {
  const auto own = [&](const WeightTile& tile, std::vector<std::byte>& rows) {
    rows.resize((tile.row_end - tile.row_begin) * reads_[tile.read].row_bytes);
    return std::span(rows);
  };
  const auto store = [&](const WeightTile& tile, const std::byte* rows) {
    const WeightRead& read = reads_[tile.read];
    const plan::Weight& weight = *stage_.weights()->Get(read.weight);
    Store(weight, read, tile, rows, arena + weight.offset());
  };
  return Fetch(tiles_, own, store, pool);
}

Status WeightLoader::Read(const WeightWindow& window, std::byte* buffer, ThreadPool& pool) {
  const auto in_its_run = [&](const WeightTile& tile, std::vector<std::byte>&) {
    const auto run = std::ranges::find(window.runs, tile.read, &WeightRun::read);
    const uint64_t row_bytes = reads_[tile.read].row_bytes;
    return std::span(buffer + run->at + (tile.row_begin - run->row_begin) * row_bytes,
                     (tile.row_end - tile.row_begin) * row_bytes);
  };
  return Fetch(
      std::span(tiles_).subspan(window.first, window.last - window.first), in_its_run,
      [](const WeightTile&, const std::byte*) {}, pool);
}

Result<std::vector<std::string>> WeightLoader::Finish() const {
  MRS_RETURN_IF_ERROR(checkpoint_->files.CheckUnchanged());
  MRS_RETURN_IF_ERROR(checkpoint_->digests.Check(checkpoint_->model_dir));
  return checkpoint_->digests.Shared();
}

}  // namespace mrs
