#include "runtime/engine/scheduler.h"

#include <algorithm>

#include "plans/status.h"

namespace mrs {

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits), allocator_(limits.block_count) {
  MRS_CHECK(limits.max_seqs > 0 && limits.tokens > 0 && limits.sequences > 0 && limits.logit_rows > 0 &&
            limits.chunk > 0);
}

bool Scheduler::Fits(uint64_t prompt_count, uint64_t max_tokens) const {
  return KvBlocksFor(prompt_count + max_tokens) <= allocator_.block_count();
}

void Scheduler::Add(RequestId id, uint32_t prompt_count, uint32_t max_tokens) {
  MRS_CHECK(prompt_count > 0 && Fits(prompt_count, max_tokens));
  waiting_.push_back(Sequence{.id = id,
                              .known_count = prompt_count,
                              .cached_count = 0,
                              .block_count = KvBlocksFor(uint64_t{prompt_count} + max_tokens),
                              .blocks = {}});
}

void Scheduler::Remove(RequestId id) {
  const auto is_it = [id](const Sequence& sequence) { return sequence.id == id; };
  // One request may bring hundreds that wait, and its client leaves with all of them: each ends the search.
  if (const auto waits = std::find_if(waiting_.begin(), waiting_.end(), is_it); waits != waiting_.end()) {
    waiting_.erase(waits);
    return;
  }
  const auto found = std::find_if(running_.begin(), running_.end(), is_it);
  if (found == running_.end()) return;
  allocator_.GiveBack(found->blocks);
  if (static_cast<size_t>(found - running_.begin()) < cursor_) --cursor_;
  running_.erase(found);
}

Forward Scheduler::Next() {
  Forward forward;
  while (!waiting_.empty() && running_.size() < limits_.max_seqs) {
    std::optional<std::vector<int32_t>> blocks = allocator_.Take(waiting_.front().block_count);
    if (!blocks.has_value()) break;  // nobody overtakes
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    running_.back().blocks = *std::move(blocks);
    forward.admitted.push_back(running_.back().id);
  }
  if (running_.empty()) return forward;

  // One token each, in turn. A piece that reaches the last known token needs a logit row.
  uint32_t tokens_left = limits_.tokens;
  uint32_t rows_left = limits_.logit_rows;
  for (size_t turn = 0; turn < running_.size(); ++turn) {
    if (tokens_left == 0 || forward.pieces.size() == limits_.sequences) break;
    const Sequence& sequence = running_[(cursor_ + turn) % running_.size()];
    const uint32_t pending = sequence.known_count - sequence.cached_count;
    if (pending == 0 || (pending == 1 && rows_left == 0)) continue;
    const bool wants_logits = pending == 1;
    forward.pieces.push_back({sequence.id, sequence.cached_count, 1, wants_logits});
    --tokens_left;
    if (wants_logits) --rows_left;
  }
  // The rest of the room goes to prompts.
  for (Piece& piece : forward.pieces) {
    const uint32_t pending = Find(piece.id).known_count - piece.begin;
    if (pending == 1 || tokens_left == 0) continue;
    uint32_t count = std::min({pending, limits_.chunk, tokens_left + 1});
    if (count == pending && rows_left == 0) --count;
    if (count == pending) {
      piece.wants_logits = true;
      --rows_left;
    }
    tokens_left -= count - 1;
    piece.count = count;
  }
  return forward;
}

void Scheduler::Done(const Forward& forward) {
  for (const Piece& piece : forward.pieces) {
    Sequence& sequence = Find(piece.id);
    MRS_CHECK(sequence.cached_count == piece.begin && piece.begin + piece.count <= sequence.known_count);
    sequence.cached_count += piece.count;
  }
  if (forward.pieces.empty()) return;
  const RequestId last = forward.pieces.back().id;
  for (size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].id == last) cursor_ = (i + 1) % running_.size();
  }
}

void Scheduler::Append(RequestId id) {
  Sequence& sequence = Find(id);
  MRS_CHECK(sequence.cached_count == sequence.known_count);
  MRS_CHECK(KvBlocksFor(uint64_t{sequence.known_count} + 1) <= sequence.block_count);
  ++sequence.known_count;
}

const std::vector<int32_t>& Scheduler::blocks(RequestId id) const {
  return const_cast<Scheduler*>(this)->Find(id).blocks;
}

Scheduler::Sequence& Scheduler::Find(RequestId id) {
  for (Sequence& sequence : running_) {
    if (sequence.id == id) return sequence;
  }
  MRS_CHECK(!"a sequence that is not running");
  return running_.front();
}

}  // namespace mrs
