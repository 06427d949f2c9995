#include "runtime/serve/byte_budget.h"

namespace mrs::serve {

bool ByteBudget::Take(size_t bytes) {
  size_t held = held_;
  do {
    if (held > limit_ || bytes > limit_ - held) return false;
  } while (!held_.compare_exchange_weak(held, held + bytes));
  size_t peak = peak_;
  while (peak < held + bytes && !peak_.compare_exchange_weak(peak, held + bytes)) {
  }
  return true;
}

bool ByteHold::Resize(size_t bytes) {
  if (bytes > bytes_ && !budget_->Take(bytes - bytes_)) return false;
  if (bytes < bytes_) budget_->Give(bytes_ - bytes);
  bytes_ = bytes;
  return true;
}

}  // namespace mrs::serve
