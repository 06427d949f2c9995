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

namespace mrs {

// A value of many magnitudes, so that sums in another order round otherwise.
inline float Value(int rank, size_t i, uint64_t salt) {
  uint64_t x = salt * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(rank) * 0xbf58476d1ce4e5b9u + i;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  const uint32_t exponent = 127 - 6 + static_cast<uint32_t>((x >> 40) % 13);
  return std::bit_cast<float>(static_cast<uint32_t>(x >> 63) << 31 | exponent << 23 |
                              (static_cast<uint32_t>(x) & 0x7fffff));
}

inline std::vector<float> Operand(int rank, size_t count, uint64_t salt) {
  std::vector<float> operand(count);
  for (size_t i = 0; i < count; ++i) operand[i] = Value(rank, i, salt);
  return operand;
}

inline std::vector<float> TreeSum(int size, size_t count, uint64_t salt) {
  std::vector<float> sum(count);
  std::vector<float> parts(size);
  for (size_t i = 0; i < count; ++i) {
    for (int rank = 0; rank < size; ++rank) parts[rank] = Value(rank, i, salt);
    for (int left = size; left > 1; left /= 2) {
      for (int pair = 0; pair < left / 2; ++pair) parts[pair] = parts[2 * pair] + parts[2 * pair + 1];
    }
    sum[i] = parts[0];
  }
  return sum;
}

inline std::vector<float> RankOrderSum(int size, size_t count, uint64_t salt) {
  std::vector<float> sum = Operand(0, count, salt);
  for (int rank = 1; rank < size; ++rank) {
    for (size_t i = 0; i < count; ++i) sum[i] += Value(rank, i, salt);
  }
  return sum;
}

inline bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

inline std::vector<std::byte> Bytes(int rank, size_t count, uint64_t salt) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>((i * 31 + rank * 97 + salt) % 251);
  return bytes;
}

}  // namespace mrs
