#include "runtime/rank/shared_slices.h"

#include <map>
#include <optional>
#include <tuple>

#include "plans/printable.h"
#include "plans/sha256.h"
#include "plans/weight_digests.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

// What makes two reads the same bytes: file, first byte, rows, their bytes and their distance.
using Place = std::tuple<uint32_t, uint64_t, uint64_t, uint64_t, uint64_t>;

Place PlaceOf(const WeightRead& read) {
  return {read.file, read.file_offset, read.row_count, read.row_bytes, read.row_stride_bytes};
}

struct Use {
  uint32_t first_rank = 0;
  bool shared = false;  // another rank has it, too
  uint32_t slice = 0;
};

std::string Shown(const std::string& digest) {
  return Hex(std::span(reinterpret_cast<const uint8_t*>(digest.data()), digest.size()));
}

}  // namespace

SharedSlices SharedSlicesOf(const plan::Plan& plan) {
  SharedSlices shared;
  shared.of_rank.resize(plan.ranks()->size());
  std::map<Place, Use> uses;
  std::vector<std::vector<WeightRead>> reads;
  for (uint32_t rank = 0; rank < plan.ranks()->size(); ++rank) {
    reads.push_back(PlanWeightReads(plan, rank));
    shared.all_bytes += ReadBytes(reads.back());
    for (const WeightRead& read : reads.back()) {
      const auto [found, added] = uses.emplace(PlaceOf(read), Use{.first_rank = rank});
      if (!added && found->second.first_rank != rank) found->second.shared = true;
    }
  }
  uint32_t slice_count = 0;
  for (auto& [place, use] : uses) use.slice = slice_count++;
  for (uint32_t rank = 0; rank < reads.size(); ++rank) {
    for (uint32_t i = 0; i < reads[rank].size(); ++i) {
      const WeightRead& read = reads[rank][i];
      const Use& use = uses.at(PlaceOf(read));
      if (!use.shared) continue;
      shared.of_rank[rank].push_back({.read = i, .slice = use.slice});
      shared.bytes += read.row_count * read.row_bytes;
    }
  }
  return shared;
}

Status CompareShared(const plan::Plan& plan, const SharedSlices& shared,
                     const std::vector<std::vector<std::string>>& digests) {
  struct First {
    uint32_t rank;
    const std::string* digest;
  };
  std::map<uint32_t, First> first;  // by slice
  for (uint32_t rank = 0; rank < shared.of_rank.size(); ++rank) {
    const std::vector<SharedRead>& own = shared.of_rank[rank];
    if (rank >= digests.size() || digests[rank].size() != own.size()) {
      return Refuse("rank {} sent {} digests of what other ranks read, too; expected {}", rank,
                    rank < digests.size() ? digests[rank].size() : 0, own.size());
    }
    for (size_t i = 0; i < own.size(); ++i) {
      const auto [found, added] = first.emplace(own[i].slice, First{rank, &digests[rank][i]});
      if (added || *found->second.digest == digests[rank][i]) continue;
      const plan::WeightSource& source =
          *StageOf(plan, rank).sources()->Get(PlanWeightReads(plan, rank)[own[i].read].source);
      return Refuse(
          "{}: tensor {}, slice {} of {}: ranks {} and {} read different bytes ({} {} and {}); their copies of the "
          "model "
          "differ: copy it again, and build the plan with mrs-plan build --hash-weights xxh3 to learn which is right",
          plan.files()->Get(source.file())->name()->string_view(),
          Printable(plan.names()->Get(source.name())->string_view()), SliceOf(source, *plan.ranks()->Get(rank)),
          SlicesOf(plan, source), found->second.rank, rank, DigestName(plan::DigestKind::xxh3_128),
          Shown(*found->second.digest), Shown(digests[rank][i]));
    }
  }
  return Status();
}

}  // namespace mrs
