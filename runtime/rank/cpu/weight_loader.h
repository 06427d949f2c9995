// Reads pieces of a rank's weights and checks them, on all threads of a pool: packed into the arena of a CPU's rank
// (weights.h), or as they are into buffers from which a device packs them (weight_stream.h).
//
//   MRS_ASSIGN_OR_RETURN(const auto loader, WeightLoader::Open(plan, rank, "/models/mini", progress));
//   MRS_RETURN_IF_ERROR(loader->Load(arena.data(), pool));
//   MRS_ASSIGN_OR_RETURN(const std::vector<std::string> shared_digests, loader->Finish());   // until here all may be
//   wrong
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/cpu/thread_pool.h"
#include "runtime/rank/weight_tiles.h"

namespace mrs {

// Bytes of the checkpoint read so far, of all this rank reads. Called by one thread at a time, about a hundred times.
using LoadProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Adds up what threads have done, and says so at every percent.
class LoadCounter {
 public:
  LoadCounter(uint64_t total_bytes, LoadProgress progress)
      : total_bytes_(total_bytes), progress_(std::move(progress)) {}
  uint64_t total_bytes() const { return total_bytes_; }
  void Add(uint64_t bytes);

 private:
  const uint64_t total_bytes_;
  const LoadProgress progress_;
  std::mutex mutex_;  // the rest, and calls of progress
  uint64_t done_bytes_ = 0;
  uint64_t reported_percent_ = 0;
};

// What the kernels call a type of a checkpoint.
kernels::Type KernelType(plan::DType dtype);

class WeightLoader {
 public:
  // `plan` outlives it. `model_dir` may contain `{rank}`. Errors: a file that is missing, truncated or of another
  // checkpoint (kRefused).
  static Result<std::unique_ptr<WeightLoader>> Open(const plan::Plan& plan, uint32_t rank, const std::string& model_dir,
                                                    LoadProgress progress);
  ~WeightLoader();
  WeightLoader(const WeightLoader&) = delete;
  WeightLoader& operator=(const WeightLoader&) = delete;

  const std::vector<WeightRead>& reads() const { return reads_; }
  const std::vector<WeightTile>& tiles() const { return tiles_; }
  uint64_t read_bytes() const { return counter_.total_bytes(); }

  // All tiles, packed into an arena of zeros: padding is not written. Errors: what cannot be read (kUnavailable).
  Status Load(std::byte* arena, ThreadPool& pool);
  // The rows of one of the windows of tiles(), as their files have them, each run where it lies in the buffer. Errors
  // as Load's.
  Status Read(const WeightWindow& window, std::byte* buffer, ThreadPool& pool);

  // Once all tiles are loaded or read: the digests of what other ranks read, too (shared_slices.h), where the plan has
  // none. Errors: files written to while they were read, or with other bytes than the plan has digests of (kRefused).
  Result<std::vector<std::string>> Finish() const;

 private:
  struct Checkpoint;  // its files, and what the plan says of their bytes
  // Where the rows of a tile go; a thread may have them in `own` first.
  using Place = std::function<std::span<std::byte>(const WeightTile& tile, std::vector<std::byte>& own)>;
  using Then = std::function<void(const WeightTile& tile, const std::byte* rows)>;
  WeightLoader(const plan::Plan& plan, uint32_t rank, std::vector<WeightRead> reads, LoadProgress progress);
  Status Fetch(std::span<const WeightTile> tiles, const Place& place, const Then& then, ThreadPool& pool);

  const plan::Stage& stage_;
  const std::vector<WeightRead> reads_;
  const std::vector<WeightTile> tiles_;
  std::unique_ptr<Checkpoint> checkpoint_;
  LoadCounter counter_;
};

}  // namespace mrs
