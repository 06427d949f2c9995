// Decides who runs in the next forward: pure bookkeeping on counts; it sees no token, no rank and no clock.
//
//   Scheduler scheduler({.max_seqs = 2, .tokens = 8, .sequences = 2, .logit_rows = 2, .chunk = 4, .kv = {{16}}});
//   scheduler.Add(7, /*prompt_count=*/10, /*max_tokens=*/5);
//   Forward forward = scheduler.Next();   // {7, begin 0, count 4}: a chunk of the prompt, no logits yet
//   ...                                   // {7, 4, 4}, {7, 8, 2, wants_logits}: then one token was sampled:
//   scheduler.Append(7);                  // so the next piece is {7, 10, 1, wants_logits}
//   scheduler.Remove(7);                  // finished or cancelled: its blocks are free again
//
// First come, first served: a sequence is admitted when a seat and all blocks it can ever need are free, in each space
// of KV blocks, so none has to be thrown out later. In a forward every running sequence gets one token before any gets
// a second, starting from the one after the last served or, where logit rows ran out, the first that found none; what is
// left goes to prompts, up to `chunk` each.
//
// Forwards run in the order in which they are given out, so what is in one counts as cached for the next: chunks of a
// prompt follow each other, a sequence whose token is still to be sampled waits, and blocks that are given back may be
// taken at once. Where several forwards are under way, each takes its part of the running sequences, so that there is
// one for every stage to work on.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "runtime/engine/block_allocator.h"
#include "runtime/engine/request.h"

namespace mrs {

// Of one space of KV blocks. The blocks of a sequence are a ring where it needs more than sequence_blocks: block b of
// its positions is its block b % sequence_blocks.
struct KvLimits {
  uint32_t block_count = 1;
  uint32_t sequence_blocks = UINT32_MAX;  // of one sequence at most
};
// What a sequence of so many tokens needs of it.
uint64_t BlocksNeeded(const KvLimits& kv, uint64_t token_count);

// Tokens, sequences and logit rows are those of the plan's largest bucket.
struct SchedulerLimits {
  uint32_t max_seqs = 1;
  uint32_t tokens = 1;
  uint32_t sequences = 1;
  uint32_t logit_rows = 1;
  uint32_t chunk = 256;                     // prompt tokens of one sequence in one forward
  std::vector<KvLimits> kv = {KvLimits{}};  // [space]
  uint32_t under_way = 1;                   // forwards that are given out before the first has run
};

// Tokens [begin, begin + count) of one sequence.
struct Piece {
  RequestId id = 0;
  uint32_t begin = 0;
  uint32_t count = 0;
  bool wants_logits = false;  // its last token is the last one known: the next is sampled from it

  bool operator==(const Piece&) const = default;
};

struct Forward {
  std::vector<Piece> pieces;
  std::vector<RequestId> admitted;  // just now, in order
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  // Whether such a sequence could ever run; Add asks for it.
  bool Fits(uint64_t prompt_count, uint64_t max_tokens) const;
  void Add(RequestId id, uint32_t prompt_count, uint32_t max_tokens);
  // Waiting or running; unknown ids are ignored.
  void Remove(RequestId id);

  // Admits whom it can and picks the next forward. Empty: nobody is there, or all wait for a token to be sampled.
  Forward Next();
  // One token was sampled for a sequence whose tokens are all in forwards that were given out.
  void Append(RequestId id);

  // KV blocks of a running sequence in one space, in order of position or, where they are a ring, of its start.
  const std::vector<int32_t>& blocks(RequestId id, size_t space) const;
  size_t waiting_count() const { return waiting_.size(); }
  size_t running_count() const { return running_.size(); }
  uint64_t free_block_count(size_t space) const { return allocators_[space].free_count(); }

 private:
  struct Sequence {
    RequestId id = 0;
    uint32_t known_count = 0;   // tokens: the prompt and what was sampled
    uint32_t cached_count = 0;  // of these, in forwards that were given out: for the next one, in the KV cache
    uint64_t token_count = 0;   // at most
    std::vector<std::vector<int32_t>> blocks;  // [space]; empty while waiting
  };
  Sequence& Find(RequestId id);
  bool TakeBlocks(Sequence& sequence);

  SchedulerLimits limits_;
  std::vector<BlockAllocator> allocators_;  // [space]
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;  // in order of admission
  size_t cursor_ = 0;              // whose turn it is in running_
};

}  // namespace mrs
