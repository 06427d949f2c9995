#include "runtime/rank/cuda/device_memory.h"

#include <fmt/format.h>

#include "plans/rank_memory.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

// Of `room` bytes for the whole cache, a class's blocks have the share that they have of the plan's cache. Of one class
// that is exact.
uint64_t BlocksIn(uint64_t room, const plan::KvClass& kv, uint64_t kv_bytes) {
  const uint64_t bytes_a_block = kv_bytes / kv.block_count() + (kv_bytes % kv.block_count() != 0 ? 1 : 0);
  return room / bytes_a_block;
}

// "in which about 4 of its 8 KV blocks would fit; what to do".
std::string WhatWouldFit(const plan::Plan& plan, const plan::Stage& stage, const RankMemory& memory,
                         uint64_t free_bytes) {
  constexpr const char* kEnd = "end what else uses the device, or plan";
  const uint64_t rest = memory.Total() - memory.kv;
  if (free_bytes <= rest || memory.kv == 0) {
    return fmt::format("and without any KV block it needs {}; {} for more ranks (mrs-plan build --tp, --pp)", rest,
                       kEnd);
  }
  const uint64_t room = free_bytes - rest;
  uint64_t sequence_bytes = 0;
  std::string fits;
  for (const plan::KvClass* kv : *stage.kv_classes()) {
    sequence_bytes += kv->sequence_blocks() * kv->block_bytes();
    fits += fmt::format("{}{} of its {} KV blocks", fits.empty() ? "in which about " : " and ",
                        BlocksIn(room, *kv, memory.kv), kv->block_count());
    if (kv->window() != 0) fits += fmt::format(" of window {}", kv->window());
  }
  fits += " would fit";
  const bool one_fits = sequence_bytes <= room;
  if (!one_fits) fits += fmt::format(", and a sequence of {} tokens takes {} bytes", plan.max_len(), sequence_bytes);
  return fmt::format("{}; {} anew with mrs-plan build --memory {}{}", fits, kEnd, free_bytes,
                     one_fits ? "" : " and a smaller --max-len");
}

}  // namespace

Status CheckTotalMemory(const plan::Plan& plan, uint32_t rank, const std::string& device, uint64_t total_bytes) {
  if (rank >= plan.cluster()->memory_bytes()->size()) return Status();  // it is not said
  const uint64_t planned_bytes = plan.cluster()->memory_bytes()->Get(rank);
  if (planned_bytes <= total_bytes) return Status();
  return Refuse(
      "rank {}: the plan uses up to {} bytes of its device, and {} has {}: it is another one than the plan is for; run "
      "on a node that the plan is for, or plan for this one (mrs-exec doctor says what it has)",
      rank, planned_bytes, device, total_bytes);
}

Status CheckFreeMemory(const plan::Plan& plan, uint32_t rank, const std::string& device, uint64_t free_bytes) {
  const plan::Stage& stage = StageOf(plan, rank);
  const RankMemory memory = MemoryOf(stage);
  if (memory.Total() <= free_bytes) return Status();
  return Refuse("rank {}: needs {} bytes of {} ({}), but {} are free now, {}", rank, memory.Total(), device,
                MemoryText(memory, [](uint64_t bytes) { return std::to_string(bytes); }), free_bytes,
                WhatWouldFit(plan, stage, memory, free_bytes));
}

}  // namespace mrs
