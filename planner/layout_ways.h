// Layouts near one that is refused, of which a plan comes: another size, other stages, a map by memory, other devices.
// Part of ways_out.h, which says them.
//
//   LayoutWays(decider, {.tp = 6}, false).Near()[0]({.tp = 6})  ->  {.tp = 4, .devices = "cuda:0,1,2,3"}
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "ir/canonical_chunks.h"
#include "planner/decision.h"

namespace mrs {

// From what is wished, limits and all, to a wish of the same limits that plans; nothing: there is none of that kind.
using LayoutWay = std::function<std::optional<Wish>(const Wish& base)>;

class LayoutWays {
 public:
  // `memory`: it is refused as it does not fit, so that larger ones are nearer than smaller ones.
  LayoutWays(const Decider& decider, const Wish& wish, bool memory);

  // One change each, nearest first.
  std::vector<LayoutWay> Near() const;
  // The first that plans of those near and of all others: every legal size and number of stages, maps by memory, fewer
  // or more of the cluster's devices, with NCCL or without.
  std::optional<Wish> Any(const Wish& base) const;

 private:
  // What there is for a layout that flags say.
  struct Ground {
    std::optional<int64_t> count;        // of devices; nothing: no cluster
    std::vector<VisibleDevice> devices;  // in their order
    int64_t near = kMaxChunks;           // devices that are joined best
    bool cuda = false;
    bool alike = true;   // in what ranks may use of them
    bool named = false;  // --devices can say them: they are of one node
  };
  Ground GroundOf(const Wish& base) const;
  bool Hopeless(const Wish& base) const;
  bool KeepsTp() const;
  std::optional<Wish> If(Wish wish) const;  // it plans
  int64_t MostStages(const Ground& ground, int64_t tp) const;
  std::optional<Wish> LeastStages(const Wish& base, const Ground& ground, int64_t tp, int64_t above) const;

  std::optional<Wish> OneOfTwo(const Wish& base) const;
  std::optional<Wish> AnyWorld(const Wish& base) const;
  std::optional<Wish> OtherTp(const Wish& base) const;
  std::optional<Wish> WithoutNccl(const Wish& base) const;
  std::optional<Wish> VisibleDevices(const Wish& base) const;
  std::optional<Wish> FewerStages(const Wish& base) const;
  std::optional<Wish> MoreStages(const Wish& base) const;
  std::optional<Wish> AsManyRanks(const Wish& base) const;
  std::optional<Wish> StagesAlone(const Wish& base) const;
  std::optional<Wish> ByMemory(const Wish& base) const;
  std::optional<Wish> AnySizes(const Wish& base) const;
  std::optional<Wish> LargestDevices(const Wish& base) const;
  std::optional<Wish> FirstOf(const Wish& base) const;
  std::optional<Wish> Otherwise(const Wish& base) const;

  const Decider& decider_;
  const ModelSpec& spec_;
  const bool memory_;
  const std::vector<int64_t> legal_;
  const int64_t layers_;
  int64_t tp_ = 1, stages_ = 1;  // asked for, or the default
  bool tp_said_ = false;
};

}  // namespace mrs
