// What the collectives must give, by plain loops over values that every rank can compute for every other.
//
//   TreeSum(/*size=*/4, /*count=*/1, salt)[0] == (Value(0) + Value(1)) + (Value(2) + Value(3))
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

// What the oracle makes is its own until it is handed on: the thread sanitizer follows none of it, which would take
// most of the time of the tests that are for it.
#define MRS_ORACLE __attribute__((no_sanitize("thread")))

namespace mrs {

// A value of many magnitudes, so that sums in another order round otherwise.
MRS_ORACLE inline float Value(int rank, size_t i, uint64_t salt) {
  uint64_t x = salt * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(rank) * 0xbf58476d1ce4e5b9u + i;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  const uint32_t exponent = 127 - 6 + static_cast<uint32_t>((x >> 40) % 13);
  return std::bit_cast<float>(static_cast<uint32_t>(x >> 63) << 31 | exponent << 23 |
                              (static_cast<uint32_t>(x) & 0x7fffff));
}

MRS_ORACLE inline std::vector<float> Operand(int rank, size_t count, uint64_t salt) {
  std::vector<float> operand(count);
  float* const to = operand.data();
  for (size_t i = 0; i < count; ++i) to[i] = Value(rank, i, salt);
  return operand;
}

MRS_ORACLE inline std::vector<float> TreeSum(int size, size_t count, uint64_t salt) {
  std::vector<float> sum(count);
  std::vector<float> of_ranks(size);
  float* const to = sum.data();
  float* const parts = of_ranks.data();
  for (size_t i = 0; i < count; ++i) {
    for (int rank = 0; rank < size; ++rank) parts[rank] = Value(rank, i, salt);
    for (int left = size; left > 1; left /= 2) {
      for (int pair = 0; pair < left / 2; ++pair) parts[pair] = parts[2 * pair] + parts[2 * pair + 1];
    }
    to[i] = parts[0];
  }
  return sum;
}

MRS_ORACLE inline std::vector<float> RankOrderSum(int size, size_t count, uint64_t salt) {
  std::vector<float> sum = Operand(0, count, salt);
  float* const to = sum.data();
  for (int rank = 1; rank < size; ++rank) {
    for (size_t i = 0; i < count; ++i) to[i] += Value(rank, i, salt);
  }
  return sum;
}

// Whole, by memcmp, of which the thread sanitizer sees what is read.
template <typename A, typename B>
bool SameBits(const A& a, const B& b) {
  const std::span<const std::byte> left = std::as_bytes(std::span(a));
  const std::span<const std::byte> right = std::as_bytes(std::span(b));
  return left.size() == right.size() && (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
}

MRS_ORACLE inline std::vector<std::byte> Bytes(int rank, size_t count, uint64_t salt) {
  std::vector<std::byte> bytes(count);
  std::byte* const to = bytes.data();
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<std::byte>((i * 31 + rank * 97 + salt) % 251);
  return bytes;
}

}  // namespace mrs
