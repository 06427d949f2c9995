#include "runtime/rank/cpu/weights.h"

#include <algorithm>
#include <cstring>

#include "runtime/rank/weight_reads.h"

namespace mrs {

Result<LoadedWeights> LoadWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir, ThreadPool& pool,
                                  const LoadProgress& progress) {
  MRS_ASSIGN_OR_RETURN(const std::unique_ptr<WeightLoader> loader, WeightLoader::Open(plan, rank, model_dir, progress));
  LoadedWeights loaded;
  loaded.read_bytes = loader->read_bytes();
  MRS_ASSIGN_OR_RETURN(loaded.arena, Arena::Map("weights", StageOf(plan, rank).weight_arena_bytes(), Arena::Use::kAll));
  MRS_RETURN_IF_ERROR(loader->Load(loaded.arena.data(), pool));
  MRS_ASSIGN_OR_RETURN(loaded.shared_digests, loader->Finish());
  return loaded;
}

Result<Arena> ZeroWeights(uint64_t size_bytes, bool touched, ThreadPool& pool, const LoadProgress& progress) {
  MRS_ASSIGN_OR_RETURN(Arena arena, Arena::Map("weights", size_bytes, touched ? Arena::Use::kAll : Arena::Use::kZeros));
  if (!touched) return arena;
  constexpr uint64_t kPiece = uint64_t{4} << 20;
  LoadCounter written(size_bytes, progress);
  pool.For(static_cast<int64_t>((size_bytes + kPiece - 1) / kPiece), [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const uint64_t at = static_cast<uint64_t>(piece) * kPiece;
      const uint64_t bytes = std::min(kPiece, size_bytes - at);
      std::memset(arena.data() + at, 0, bytes);
      written.Add(bytes);
    }
  });
  return arena;
}

}  // namespace mrs
