#include "runtime/rank/cpu/weights.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "plans/slice_digest.h"
#include "kernels/kernels.h"
#include "plans/dtype.h"
#include "plans/printable.h"
#include "plans/sha256.h"
#include "plans/weight_digests.h"
#include "runtime/rank/model_files.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

// Rows [row_begin, row_end) of a read, a piece of its digest: what one thread does at a time.
struct Tile {
  uint32_t read;
  size_t piece;
  uint64_t row_begin;
  uint64_t row_end;
};

// Pieces are whole blocks of packed rows, so that two threads seldom write one cache line.
std::vector<Tile> CutTiles(const std::vector<WeightRead>& reads) {
  std::vector<Tile> tiles;
  for (uint32_t i = 0; i < reads.size(); ++i) {
    const uint64_t rows = RowsOfAPiece(reads[i].row_bytes);
    for (uint64_t row = 0; row < reads[i].row_count; row += rows) {
      tiles.push_back({i, row / rows, row, std::min(reads[i].row_count, row + rows)});
    }
  }
  return tiles;
}

// What the plan says of the bytes that a rank reads, and what it read.
class ReadDigests {
 public:
  // Of a plan without digests nothing is checked.
  ReadDigests(const plan::Plan& plan, uint32_t rank, const std::vector<WeightRead>& reads)
      : plan_(plan), rank_(rank), reads_(reads) {
    if (plan.digest_kind() == plan::DigestKind::none) return;
    for (const WeightRead& read : reads) digests_.emplace_back(plan.digest_kind(), read.row_bytes, read.row_count);
  }

  void Add(const Tile& tile, std::span<const std::byte> rows) {
    if (!digests_.empty()) digests_[tile.read].Add(tile.piece, rows);
  }

  // Once all tiles are added.
  Status Check(const std::string& model_dir) const {
    const plan::Stage& stage = StageOf(plan_, rank_);
    const std::vector<uint64_t> starts = DigestStarts(plan_, stage);
    const uint64_t bytes = DigestBytes(plan_.digest_kind());
    for (size_t i = 0; i < digests_.size(); ++i) {
      const plan::WeightSource& source = *stage.sources()->Get(reads_[i].source);
      const uint64_t slice = SliceOf(source, *plan_.ranks()->Get(rank_));
      const auto said = DigestsOf(stage).subspan((starts[reads_[i].source] + slice) * bytes, bytes);
      const std::string actual = digests_[i].Finish();
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
  const plan::Plan& plan_;
  const uint32_t rank_;
  const std::vector<WeightRead>& reads_;
  std::vector<SliceDigest> digests_;  // as reads
};

kernels::Type KernelType(plan::DType dtype) {
  if (dtype == plan::DType::bf16) return kernels::Type::kBf16;
  return dtype == plan::DType::f16 ? kernels::Type::kF16 : kernels::Type::kF32;
}

// Puts the rows of a tile, dense in `rows`, where the weight wants them.
void Store(const plan::Weight& weight, const WeightRead& read, const Tile& tile, const std::byte* rows,
           std::byte* arena) {
  std::byte* dst = arena + weight.offset();
  const uint64_t dest_begin = read.dest_row + tile.row_begin;
  const uint64_t dest_end = read.dest_row + tile.row_end;
  if (read.is_vector) {
    kernels::ConvertToF32(rows, KernelType(read.dtype), reinterpret_cast<float*>(dst) + dest_begin,
                          static_cast<int64_t>(dest_end - dest_begin));
    if (read.transform == plan::Transform::add_one) {
      for (uint64_t i = dest_begin; i < dest_end; ++i) reinterpret_cast<float*>(dst)[i] += 1.0F;
    }
    return;
  }
  // PackRows addresses its source by the packed row: hand it the address that row 0 would have.
  const auto row_zero = reinterpret_cast<uintptr_t>(rows) - dest_begin * read.row_bytes;
  const kernels::PackArgs args{.src = reinterpret_cast<const std::byte*>(row_zero),
                               .src_type = KernelType(read.dtype),
                               .src_stride = static_cast<int64_t>(read.row_bytes / ByteSize(read.dtype)),
                               .dst = dst,
                               .dst_type = KernelType(weight.dtype()),
                               .shape = {.n = static_cast<int64_t>(weight.n()),
                                         .chunk_k = static_cast<int64_t>(weight.chunk_k()),
                                         .chunk_count = static_cast<int64_t>(weight.chunk_count())}};
  kernels::PackRows(args, static_cast<int64_t>(dest_begin), static_cast<int64_t>(dest_end));
}

// Reads this rank's columns of the rows of a tile, and nothing between them.
Status Fetch(const ModelFiles& files, const WeightRead& read, const Tile& tile, std::span<std::byte> rows) {
  const uint64_t offset = read.file_offset + tile.row_begin * read.row_stride_bytes;
  if (read.row_stride_bytes == read.row_bytes) return files.Read(read.file, offset, rows);
  for (uint64_t row = 0; row < tile.row_end - tile.row_begin; ++row) {
    MRS_RETURN_IF_ERROR(files.Read(read.file, offset + row * read.row_stride_bytes,
                                   rows.subspan(row * read.row_bytes, read.row_bytes)));
  }
  return Status();
}

// What the loading threads share.
struct Loading {
  std::atomic<size_t> next_tile{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;  // the rest
  Status status;
  uint64_t done_bytes = 0;
  uint64_t reported_percent = 0;

  void Fail(Status why) {
    const std::lock_guard lock(mutex);
    if (!failed.exchange(true)) status = std::move(why);
  }
  void Advance(uint64_t bytes, uint64_t total_bytes, const LoadProgress& progress) {
    const std::lock_guard lock(mutex);
    done_bytes += bytes;
    const uint64_t percent = done_bytes / std::max<uint64_t>(1, total_bytes / 100);
    if (percent == reported_percent && done_bytes != total_bytes) return;
    reported_percent = percent;
    if (progress) progress(done_bytes, total_bytes);
  }
};

}  // namespace

Result<LoadedWeights> LoadWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir, ThreadPool& pool,
                                  const LoadProgress& progress) {
  const plan::Stage& stage = StageOf(plan, rank);
  const std::vector<WeightRead> reads = PlanWeightReads(plan, rank);
  std::vector<bool> needed(plan.files()->size());
  for (const WeightRead& read : reads) needed[read.file] = true;
  MRS_ASSIGN_OR_RETURN(const ModelFiles files, ModelFiles::Open(plan, ModelDirOfRank(model_dir, rank), needed));

  LoadedWeights loaded;
  loaded.read_bytes = ReadBytes(reads);
  MRS_ASSIGN_OR_RETURN(loaded.arena, Arena::Map("weights", stage.weight_arena_bytes(), Arena::Use::kAll));

  const std::vector<Tile> tiles = CutTiles(reads);
  ReadDigests digests(plan, rank, reads);
  Loading loading;
  const kernels::ScopedFlushToZero flush;  // as in the pool's threads
  pool.For(pool.thread_count(), [&](int64_t, int64_t) {
    std::vector<std::byte> rows;
    for (size_t t = loading.next_tile++; t < tiles.size() && !loading.failed; t = loading.next_tile++) {
      const WeightRead& read = reads[tiles[t].read];
      rows.resize((tiles[t].row_end - tiles[t].row_begin) * read.row_bytes);
      if (Status status = Fetch(files, read, tiles[t], rows); !status) return loading.Fail(std::move(status));
      digests.Add(tiles[t], rows);
      Store(*stage.weights()->Get(read.weight), read, tiles[t], rows.data(), loaded.arena.data());
      loading.Advance(rows.size(), loaded.read_bytes, progress);
    }
  });
  if (!loading.status.ok()) return loading.status;
  MRS_RETURN_IF_ERROR(files.CheckUnchanged());
  MRS_RETURN_IF_ERROR(digests.Check(model_dir));
  return loaded;
}

}  // namespace mrs
