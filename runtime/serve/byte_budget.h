// Bytes that many hold together: a limit for each of 1,024 connections is none for the server.
//
//   ByteBudget bodies(256 << 20);
//   ByteHold hold(&bodies);
//   if (!hold.Resize(body.capacity())) ...   // the others hold the rest: refused, and nothing has changed
//
// Any thread may use a budget; a hold belongs to one at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace mrs::serve {

class ByteBudget {
 public:
  explicit ByteBudget(size_t limit) : limit_(limit) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  bool Take(size_t bytes);  // false past the limit: then nothing is taken
  void Give(size_t bytes) { held_ -= bytes; }
  size_t limit() const { return limit_; }
  size_t held() const { return held_; }
  size_t peak() const { return peak_; }  // the most that was ever held

 private:
  const size_t limit_;
  std::atomic<size_t> held_{0};
  std::atomic<size_t> peak_{0};
};

// What one holder has of a budget, which outlives it; given back when it goes.
class ByteHold {
 public:
  explicit ByteHold(ByteBudget* budget) : budget_(budget) {}
  ByteHold(ByteHold&& other) noexcept : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  ByteHold& operator=(ByteHold&&) = delete;
  ~ByteHold() { Clear(); }

  bool Resize(size_t bytes);  // false past the limit: then it holds what it held
  void Clear() { budget_->Give(std::exchange(bytes_, 0)); }
  size_t bytes() const { return bytes_; }

 private:
  ByteBudget* budget_;
  size_t bytes_ = 0;
};

}  // namespace mrs::serve
