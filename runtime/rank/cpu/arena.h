// Zeroed anonymous memory for the addresses a plan has fixed: weights, activations, KV.
//
//   MRS_ASSIGN_OR_RETURN(Arena weights, Arena::Map("weights", bytes, Arena::Use::kAll));
//   std::byte* w = weights.data() + weight.offset();   // 64-byte aligned, as the plan's offsets are
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "plans/status.h"

namespace mrs {

class Arena {
 public:
  // kAll: will be touched throughout, huge pages where the host has them. kLazy: address space only, until touched.
  // kZeros: only read, so that it takes no memory however large.
  enum class Use { kAll, kLazy, kZeros };

  // `what` names the arena in the error. 0 bytes map nothing.
  static Result<Arena> Map(const char* what, uint64_t size_bytes, Use use);

  Arena() = default;
  Arena(Arena&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  Arena& operator=(Arena&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }
  ~Arena();

  std::byte* data() const { return data_; }
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  Arena(std::byte* data, uint64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}
  std::byte* data_ = nullptr;
  uint64_t size_bytes_ = 0;
};

}  // namespace mrs
