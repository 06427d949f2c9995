// Over which of several connections, the streams of two ranks, the next bytes of a message go.
//
//   NextStripe(/*in_head=*/false, /*body_left=*/200 << 10, /*stream_count=*/4)    // 8 KiB over stream 3, then
//   NextStripe(false, 192 << 10, 4), (false, 128 << 10, 4), (false, 64 << 10, 4)  // 64 KiB each over 2, 1 and 0
//
// A body ends with whole stripes, and what is over comes first. The last stripe is stream 0's, the one before it stream
// 1's, and so on around: what is left of a message says the stream, so each end knows it from the size that it expects
// itself, and nothing is said or kept about it. The header is stream 0's, alone where the body takes several stripes:
// whoever expects another message finds out before anything else is waited for. A message whose body fits into a stripe
// is stream 0's as a whole.
#pragma once

#include <cstddef>

#include "runtime/comm/integrity.h"

namespace mrs {

inline constexpr int kMaxStreams = 8;

// As large as a record, so that stripes cost no records; a few of them fill every stream of a message that is worth it.
inline constexpr size_t kStripeBytes = kMaxRecordPayload;

struct Stripe {
  int stream = 0;
  size_t body_bytes = 0;  // at most, from here on
};

// in_head: some of the header is left, too, and goes before the body.
inline Stripe NextStripe(bool in_head, size_t body_left, int stream_count) {
  if (stream_count == 1 || body_left <= kStripeBytes) return {.stream = 0, .body_bytes = body_left};
  if (in_head) return {};
  const size_t after = (body_left - 1) / kStripeBytes;  // stripes behind this one
  return {.stream = static_cast<int>(after % static_cast<size_t>(stream_count)),
          .body_bytes = body_left - after * kStripeBytes};
}

}  // namespace mrs
