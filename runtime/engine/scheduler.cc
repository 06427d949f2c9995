#include "runtime/engine/scheduler.h"

#include <algorithm>
#include <optional>

#include "plans/contract.h"
#include "plans/status.h"

namespace mrs {

uint64_t BlocksNeeded(const KvLimits& kv, uint64_t token_count) {
  return std::min<uint64_t>(contract::KvBlocks(token_count), kv.sequence_blocks);
}

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits) {
  MRS_CHECK(limits.max_seqs > 0 && limits.tokens > 0 && limits.sequences > 0 && limits.logit_rows > 0 &&
            limits.chunk > 0 && limits.under_way > 0);
  for (const KvLimits& kv : limits.kv) {
    MRS_CHECK(kv.sequence_blocks > 0);
    allocators_.emplace_back(kv.block_count);
  }
}

bool Scheduler::Fits(uint64_t prompt_count, uint64_t max_tokens) const {
  for (size_t space = 0; space < allocators_.size(); ++space) {
    if (BlocksNeeded(limits_.kv[space], prompt_count + max_tokens) > allocators_[space].block_count()) return false;
  }
  return true;
}

void Scheduler::Add(RequestId id, uint32_t prompt_count, uint32_t max_tokens) {
  MRS_CHECK(prompt_count > 0 && Fits(prompt_count, max_tokens));
  waiting_.push_back(Sequence{.id = id,
                              .known_count = prompt_count,
                              .cached_count = 0,
                              .token_count = uint64_t{prompt_count} + max_tokens,
                              .blocks = {}});
}

// Of every space, or of none.
bool Scheduler::TakeBlocks(Sequence& sequence) {
  for (size_t space = 0; space < allocators_.size(); ++space) {
    if (BlocksNeeded(limits_.kv[space], sequence.token_count) > allocators_[space].free_count()) return false;
  }
  for (size_t space = 0; space < allocators_.size(); ++space) {
    sequence.blocks.push_back(*allocators_[space].Take(BlocksNeeded(limits_.kv[space], sequence.token_count)));
  }
  return true;
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
  for (size_t space = 0; space < allocators_.size(); ++space) allocators_[space].GiveBack(found->blocks[space]);
  if (static_cast<size_t>(found - running_.begin()) < cursor_) --cursor_;
  running_.erase(found);
}

Forward Scheduler::Next() {
  Forward forward;
  while (!waiting_.empty() && running_.size() < limits_.max_seqs) {
    if (!TakeBlocks(waiting_.front())) break;  // nobody overtakes
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    forward.admitted.push_back(running_.back().id);
  }
  if (running_.empty()) return forward;

  // One token each, in turn. A piece that reaches the last known token needs a logit row.
  const size_t part = (running_.size() + limits_.under_way - 1) / limits_.under_way;
  const size_t most = std::min<size_t>(limits_.sequences, part);
  uint32_t tokens_left = limits_.tokens;
  uint32_t rows_left = limits_.logit_rows;
  std::optional<size_t> passed_over;  // the first that no logit row was left for
  for (size_t turn = 0; turn < running_.size(); ++turn) {
    if (tokens_left == 0 || forward.pieces.size() == most) break;
    const size_t at = (cursor_ + turn) % running_.size();
    const Sequence& sequence = running_[at];
    const uint32_t pending = sequence.known_count - sequence.cached_count;
    if (pending == 0) continue;
    if (pending == 1 && rows_left == 0) {
      if (!passed_over) passed_over = at;
      continue;
    }
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
  for (const Piece& piece : forward.pieces) Find(piece.id).cached_count += piece.count;
  if (passed_over) {
    cursor_ = *passed_over;  // or prompts behind it, which need no row, would take the turn from it for ever
  } else if (!forward.pieces.empty()) {
    const auto last = std::ranges::find(running_, forward.pieces.back().id, &Sequence::id);
    cursor_ = (static_cast<size_t>(last - running_.begin()) + 1) % running_.size();
  }
  return forward;
}

void Scheduler::Append(RequestId id) {
  Sequence& sequence = Find(id);
  MRS_CHECK(sequence.cached_count == sequence.known_count);
  MRS_CHECK(sequence.known_count < sequence.token_count);
  ++sequence.known_count;
}

const std::vector<int32_t>& Scheduler::blocks(RequestId id, size_t space) const {
  return const_cast<Scheduler*>(this)->Find(id).blocks[space];
}

Scheduler::Sequence& Scheduler::Find(RequestId id) {
  for (Sequence& sequence : running_) {
    if (sequence.id == id) return sequence;
  }
  MRS_CHECK(!"a sequence that is not running");
  return running_.front();
}

}  // namespace mrs
