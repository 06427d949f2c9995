#include "runtime/rank/memory_need.h"

namespace mrs {
namespace {

std::string MiB(uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace

Status CheckMemory(const MemoryNeed& need, uint32_t rank_count_here, const HostMemory& host) {
  // Byte counts of a verified plan are below 2^62; double is exact enough for a comparison of totals.
  const uint64_t now = need.weight_bytes + need.activation_bytes;
  if (now > host.free_bytes) {
    return Refuse(
        "rank {} needs {} now ({} weights, {} activations), but only {} of this host's memory are free; free some, or "
        "rebuild the plan with more ranks",
        need.rank, MiB(now), MiB(need.weight_bytes), MiB(need.activation_bytes), MiB(host.free_bytes));
  }
  const double all = static_cast<double>(rank_count_here) * static_cast<double>(now + need.kv_bytes);
  if (all > static_cast<double>(host.total_bytes)) {
    return Refuse(
        "{} rank(s) here need {} each ({} weights, {} activations, up to {} KV), but this host has {} in all; rebuild "
        "the "
        "plan for it with mrs-plan build --memory BYTES",
        rank_count_here, MiB(now + need.kv_bytes), MiB(need.weight_bytes), MiB(need.activation_bytes),
        MiB(need.kv_bytes), MiB(host.total_bytes));
  }
  return Status();
}

}  // namespace mrs
