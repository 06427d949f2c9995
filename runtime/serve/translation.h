// A request's body on its way to the translating thread, and what comes back. The session that waits for it may give it
// up at any time: then a body that waits is dropped at once, and work under way ends soon.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "runtime/serve/api_error.h"
#include "runtime/serve/api_request.h"
#include "runtime/serve/byte_budget.h"
#include "runtime/serve/http_body.h"

namespace mrs::serve {

class Translation {
 public:
  // `hold`: the bytes of `body`.
  Translation(BodyBytes body, ByteHold hold, bool chat, uint64_t seed)
      : body_bytes_(body.capacity()), body_(std::move(body)), hold_(std::move(hold)), chat_(chat), seed_(seed) {}

  size_t body_bytes() const { return body_bytes_; }  // as it came

  // The waiting session's.
  void GiveUp();

  // The translating thread's. False: nobody waits for it any more, and the body is gone.
  bool TakeUp() { return !taken_.exchange(true); }
  // After TakeUp, once. False: it was given up meanwhile, and cut short.
  bool Run(const ApiModel& model) noexcept;

  // After Run.
  bool out_of_memory = false;  // then nothing of the rest
  Fault fault;
  ApiCall call;

 private:
  void DropBody();

  const size_t body_bytes_;
  BodyBytes body_;
  ByteHold hold_;
  bool chat_;
  uint64_t seed_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> taken_{false};  // whoever sets it owns the body
};

}  // namespace mrs::serve
