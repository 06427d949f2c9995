// Decides who runs in the next forward: pure bookkeeping on counts; it sees no token, no rank and no clock.
//
//   Scheduler scheduler({.max_seqs = 2, .tokens = 8, .sequences = 2, .logit_rows = 2, .chunk = 4, .block_count = 16});
//   scheduler.Add(7, /*prompt_count=*/10, /*max_tokens=*/5);
//   Forward forward = scheduler.Next();   // {7, begin 0, count 4}: a chunk of the prompt, no logits yet
//   scheduler.Done(forward);
//   ...                                   // {7, 4, 4}, {7, 8, 2, wants_logits}: then one token was sampled:
//   scheduler.Append(7);                  // so the next piece is {7, 10, 1, wants_logits}
//   scheduler.Remove(7);                  // finished or cancelled: its blocks are free again
//
// First come, first served: a sequence is admitted when a seat and all blocks it can ever need are free, so none has to
// be thrown out later. In a forward every running sequence gets one token before any gets a second, starting from the
// one after the last served; what is left goes to prompts, up to `chunk` each.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "runtime/engine/block_allocator.h"
#include "runtime/engine/request.h"

namespace mrs {

// Tokens, sequences and logit rows are those of the plan's largest bucket.
struct SchedulerLimits {
  uint32_t max_seqs = 1;
  uint32_t tokens = 1;
  uint32_t sequences = 1;
  uint32_t logit_rows = 1;
  uint32_t chunk = 256;  // prompt tokens of one sequence in one forward
  uint32_t block_count = 1;
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

  // Admits whom it can and picks the next forward. Empty: nobody is there. Changes nothing else until Done.
  Forward Next();
  // The forward ran: its tokens are in the cache.
  void Done(const Forward& forward);
  // One token was sampled for a sequence whose tokens are all in the cache.
  void Append(RequestId id);

  // KV blocks of a running sequence, in order of position.
  const std::vector<int32_t>& blocks(RequestId id) const;
  size_t waiting_count() const { return waiting_.size(); }
  size_t running_count() const { return running_.size(); }
  uint64_t free_block_count() const { return allocator_.free_count(); }

 private:
  struct Sequence {
    RequestId id = 0;
    uint32_t known_count = 0;   // tokens: the prompt and what was sampled
    uint32_t cached_count = 0;  // of these, in the KV cache
    uint64_t block_count = 0;
    std::vector<int32_t> blocks;  // empty while waiting
  };
  Sequence& Find(RequestId id);

  SchedulerLimits limits_;
  BlockAllocator allocator_;
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;  // in order of admission
  size_t cursor_ = 0;              // whose turn it is in running_
};

}  // namespace mrs
