// Reads pieces of a rank's weights, checks them and packs them into memory, on all threads of a pool: into the arena of
// a CPU's rank (weights.h), or into buffers on their way to a device (weight_stream.h).
//
//   MRS_ASSIGN_OR_RETURN(const auto loader, WeightLoader::Open(plan, rank, "/models/mini", progress));
//   MRS_RETURN_IF_ERROR(loader->Load(loader->tiles(), arena.data(), /*begin=*/0, pool));
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

  // `memory` is where the arena's byte `begin` lies, and holds all that these of tiles() cover; padding between their
  // rows is not written. Errors: what cannot be read (kUnavailable).
  Status Load(std::span<const WeightTile> tiles, std::byte* memory, uint64_t begin, ThreadPool& pool);

  // Once all tiles are loaded: the digests of what other ranks read, too (shared_slices.h), where the plan has none.
  // Errors: files written to while they were read, or with other bytes than the plan has digests of (kRefused).
  Result<std::vector<std::string>> Finish() const;

 private:
  struct Checkpoint;  // its files, and what the plan says of their bytes
  WeightLoader(const plan::Plan& plan, uint32_t rank, std::vector<WeightRead> reads, LoadProgress progress);

  const plan::Stage& stage_;
  const std::vector<WeightRead> reads_;
  const std::vector<WeightTile> tiles_;
  std::unique_ptr<Checkpoint> checkpoint_;
  LoadCounter counter_;
};

}  // namespace mrs
