#include "runtime/world/liveness.h"

#include <algorithm>

namespace mrs {
namespace {

// Ranks that were frozen together beat last within this.
constexpr std::chrono::milliseconds kTogether{500};

// A rank that has not beaten for this long may be about to be lost: it does not merely hang. One that waits wakes as
// often.
constexpr std::chrono::milliseconds kBeating{1000};

bool GetsOn(const RankProgress& before, const RankProgress& now) {
  return before.work != now.work || before.phase != now.phase || before.step != now.step ||
         before.operation != now.operation;
}

bool IsIdle(const RankSight& rank) { return rank.progress.phase == RankPhase::kIdle; }

// Whom it waits for, where that makes sense.
std::optional<uint32_t> WaitsFor(const Sight& sight, uint32_t rank) {
  const std::optional<uint32_t> peer = sight.ranks[rank].progress.waits_for;
  if (!peer.has_value() || *peer >= sight.ranks.size() || *peer == rank) return std::nullopt;
  return peer;
}

// The ranks from `rank` on, each waiting for the next, up to one that waits for none or has been there before.
struct Chain {
  std::vector<uint32_t> ranks;
  std::optional<size_t> circle;  // where in `ranks` it closes
};

Chain FollowWaits(const Sight& sight, uint32_t rank) {
  Chain chain;
  for (std::optional<uint32_t> next = rank; next.has_value();) {
    const auto seen = std::ranges::find(chain.ranks, *next);
    if (seen != chain.ranks.end()) {
      chain.circle = static_cast<size_t>(seen - chain.ranks.begin());
      break;
    }
    chain.ranks.push_back(*next);
    next = IsIdle(sight.ranks[*next]) ? std::nullopt : WaitsFor(sight, *next);
  }
  return chain;
}

}  // namespace

std::optional<Finding> Liveness::Look(const Sight& sight) {
  Advance(sight);
  if (auto lost = FindLost(sight)) return lost;
  if (auto hang = FindHang(sight)) return hang;
  if (auto deaf = FindDeaf(sight)) return deaf;
  return FindSlow(sight);
}

void Liveness::Advance(const Sight& sight) {
  const bool slept = last_look_.has_value() && sight.now - *last_look_ > limits_.own_gap;
  const bool first = clocks_.size() != sight.ranks.size();
  last_look_ = sight.now;
  if (slept || awaited_ != sight.awaited) awaited_since_ = sight.now;
  awaited_ = sight.awaited;
  clocks_.resize(sight.ranks.size());
  for (size_t rank = 0; rank < clocks_.size(); ++rank) {
    Clocks& clocks = clocks_[rank];
    const RankProgress& now = sight.ranks[rank].progress;
    // One that was stopped and goes on has not had that time to get on in.
    const bool woke = !first && clocks.seen.beat != now.beat && sight.now - clocks.beat >= kBeating;
    const bool anew = first || slept || woke;
    if (anew || clocks.seen.beat != now.beat) clocks.beat = sight.now;
    if (anew || GetsOn(clocks.seen, now)) clocks.work = sight.now;
    if (anew || GetsOn(clocks.seen, now) || clocks.seen.looks != now.looks) clocks.looks = sight.now;
    if (anew || clocks.seen.wakes != now.wakes) clocks.wakes = sight.now;
    if (first || clocks.seen.step != now.step || clocks.seen.phase != now.phase) clocks.step = sight.now;
    clocks.seen = now;
  }
}

Finding Liveness::Make(Finding::Kind kind, std::vector<uint32_t> ranks, Time since, const Sight& sight) const {
  Finding finding{.kind = kind,
                  .since = std::chrono::duration_cast<std::chrono::milliseconds>(sight.now - since),
                  .progress = sight.ranks[ranks[0]].progress};
  for (uint32_t rank = 0; rank < sight.ranks.size(); ++rank) {
    if (sight.ranks[rank].ended || std::ranges::find(ranks, rank) != ranks.end()) continue;
    const Chain chain = FollowWaits(sight, rank);
    if (std::ranges::find(chain.ranks, ranks[0]) != chain.ranks.end()) finding.waiting.push_back(rank);
  }
  finding.ranks = std::move(ranks);
  return finding;
}

std::optional<Finding> Liveness::FindLost(const Sight& sight) const {
  std::vector<uint32_t> silent, unstarted;
  bool found = false;
  Time since = sight.now;
  for (uint32_t rank = 0; rank < clocks_.size(); ++rank) {
    const RankSight& seen = sight.ranks[rank];
    if (seen.ended) continue;
    const auto silence = sight.now - clocks_[rank].beat;
    if (seen.progress.beat == 0 && !seen.stopped) {  // a program that is read from afar takes its time to start
      if (silence >= limits_.hang_after) unstarted.push_back(rank);
      continue;
    }
    if (silence + kTogether >= limits_.lost_after && silence >= limits_.lost_after / 2) silent.push_back(rank);
    if (silence >= limits_.lost_after) {
      found = true;
      since = std::min(since, clocks_[rank].beat);
    }
  }
  if (found) return Make(Finding::Kind::kLost, silent, since, sight);
  if (!unstarted.empty()) {
    const Time start = clocks_[unstarted[0]].beat;
    return Make(Finding::Kind::kUnstarted, unstarted, start, sight);
  }
  return std::nullopt;
}

// Looks at every rank that does not get on, and follows whom it waits for. Where the end of the chain gets on, all is
// well; where it does not, that one hangs.
std::optional<Finding> Liveness::FindHang(const Sight& sight) const {
  const auto stands = [&](uint32_t rank) { return sight.now - clocks_[rank].work >= limits_.hang_after; };
  std::optional<Finding> in_circle;  // a last resort: what two ranks exchange may go through a third that hangs
  const auto beats = [&](uint32_t rank) { return sight.now - clocks_[rank].beat < kBeating; };
  for (uint32_t rank = 0; rank < clocks_.size(); ++rank) {
    const RankSight& seen = sight.ranks[rank];
    if (seen.ended || seen.progress.beat == 0 || IsIdle(seen) || !stands(rank)) continue;
    const Chain chain = FollowWaits(sight, rank);
    if (!std::ranges::all_of(chain.ranks, stands) || !std::ranges::all_of(chain.ranks, beats)) continue;
    // Whoever says that it waits, and does not even look, holds up the one that it seems to wait for.
    const auto sleeps = std::ranges::find_if(chain.ranks, [&](uint32_t other) {
      return !IsIdle(sight.ranks[other]) && WaitsFor(sight, other).has_value() &&
             sight.now - clocks_[other].wakes >= kBeating;
    });
    const bool loose = chain.circle.has_value() || IsIdle(sight.ranks[chain.ranks.back()]);
    if (loose && sleeps != chain.ranks.end()) {
      if (!sight.ranks[*sleeps].ended) return Make(Finding::Kind::kHangs, {*sleeps}, clocks_[*sleeps].work, sight);
      continue;
    }
    if (chain.circle.has_value()) {
      if (in_circle.has_value()) continue;
      const std::vector<uint32_t> circle(chain.ranks.begin() + static_cast<ptrdiff_t>(*chain.circle),
                                         chain.ranks.end());
      in_circle = Make(Finding::Kind::kCircle, circle, clocks_[circle[0]].work, sight);
      continue;
    }
    const uint32_t last = chain.ranks.back();
    if (sight.ranks[last].ended) continue;
    if (!IsIdle(sight.ranks[last])) return Make(Finding::Kind::kHangs, {last}, clocks_[last].work, sight);
    // One that was not given the batch yet is idle by right.
    if (!sight.handing_out) return Make(Finding::Kind::kMissed, {last}, clocks_[last].work, sight);
  }
  return in_circle;
}

bool Liveness::AllIdle(const Sight& sight, std::optional<uint32_t> process) const {
  return std::ranges::all_of(sight.ranks, [&](const RankSight& rank) {
    return rank.ended || (process.has_value() && rank.process != *process) || IsIdle(rank);
  });
}

// A process whose ranks are all idle looks for a message at least once a second. And where all processes do, whatever
// the supervisor waits for will not come.
std::optional<Finding> Liveness::FindDeaf(const Sight& sight) const {
  for (uint32_t rank = 0; rank < clocks_.size(); ++rank) {
    const uint32_t process = sight.ranks[rank].process;
    if (sight.ranks[rank].ended || (rank > 0 && sight.ranks[rank - 1].process == process)) continue;
    if (!AllIdle(sight, process)) continue;
    std::vector<uint32_t> ranks;
    Time since = clocks_[rank].looks;
    for (uint32_t other = rank; other < clocks_.size() && sight.ranks[other].process == process; ++other) {
      ranks.push_back(other);
      since = std::max(since, clocks_[other].looks);
    }
    if (sight.now - clocks_[rank].beat >= kBeating) continue;
    if (sight.now - since >= limits_.hang_after) return Make(Finding::Kind::kDeaf, ranks, since, sight);
  }
  if (!sight.awaited.has_value() || *sight.awaited >= clocks_.size() || sight.handing_out) return std::nullopt;
  if (sight.ranks[*sight.awaited].ended || !AllIdle(sight, std::nullopt)) return std::nullopt;
  Time since = awaited_since_;
  for (const Clocks& clocks : clocks_) since = std::max(since, clocks.work);
  if (sight.now - since < limits_.hang_after) return std::nullopt;
  return Make(Finding::Kind::kOwes, {*sight.awaited}, since, sight);
}

std::optional<Finding> Liveness::FindSlow(const Sight& sight) {
  if (last_slow_.has_value() && sight.now - *last_slow_ < limits_.slow_again) return std::nullopt;
  std::optional<uint32_t> last;
  const auto share = [&](uint32_t rank) {
    const RankProgress& progress = sight.ranks[rank].progress;
    return static_cast<double>(progress.operation) / std::max(1u, progress.operations);
  };
  for (uint32_t rank = 0; rank < clocks_.size(); ++rank) {
    const RankSight& seen = sight.ranks[rank];
    if (seen.ended || seen.progress.phase != RankPhase::kWorking || WaitsFor(sight, rank).has_value()) continue;
    if (sight.now - clocks_[rank].step < limits_.slow_after) continue;
    if (!last.has_value() || share(rank) < share(*last)) last = rank;
  }
  if (!last.has_value()) return std::nullopt;
  last_slow_ = sight.now;
  return Make(Finding::Kind::kSlow, {*last}, clocks_[*last].step, sight);
}

}  // namespace mrs
