// Any bytes as what comes over a connection with tags: nothing is given out that its sender did not write.
//
// The first two bytes say how much of the rest is a payload that is sent as it should be; what remains overwrites the
// records from a place of its choice on. Whatever comes out must be a beginning of the payload.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime/comm/integrity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs;
  if (size < 4) return 0;
  uint16_t numbers[2];
  std::memcpy(numbers, data, 4);
  const std::span<const std::byte> rest = std::as_bytes(std::span(data + 4, size - 4));
  const std::span<const std::byte> payload = rest.first(std::min<size_t>(numbers[0], rest.size()));
  const std::span<const std::byte> noise = rest.subspan(payload.size());

  const IntegrityKey key{};
  Seal seal(key);
  std::vector<std::byte> wire;
  for (size_t at = 0; at < payload.size();) {
    const auto part = payload.subspan(at, std::min<size_t>(1 + (at * 7 + size) % 97, payload.size() - at));
    const uint32_t length = static_cast<uint32_t>(part.size());
    const auto length_bytes = std::as_bytes(std::span(&length, 1));
    const Tag tag = seal.Next({length_bytes, part});
    wire.insert(wire.end(), length_bytes.begin(), length_bytes.end());
    wire.insert(wire.end(), part.begin(), part.end());
    wire.insert(wire.end(), tag.begin(), tag.end());
    at += part.size();
  }
  const size_t place = wire.empty() ? 0 : numbers[1] % (wire.size() + 1);
  wire.resize(std::max(wire.size(), place + noise.size()));
  std::copy(noise.begin(), noise.end(), wire.begin() + static_cast<ptrdiff_t>(place));

  RecordReader reader(key);
  std::vector<std::byte> taken(64);
  size_t received = 0;
  for (std::span<const std::byte> left = wire;;) {
    if (!reader.Check().ok()) return 0;
    const size_t count = reader.Take(std::span(taken).first(5), std::span(taken).subspan(5));
    if (count > 0) {
      if (received + count > payload.size() || std::memcmp(taken.data(), payload.data() + received, count) != 0) {
        std::abort();
      }
      received += count;
      continue;
    }
    if (left.empty()) return 0;
    const std::span<std::byte> space = reader.Space();
    const size_t bytes = std::min<size_t>({1 + size % 301, left.size(), space.size()});
    if (bytes == 0) std::abort();
    std::copy_n(left.begin(), bytes, space.begin());
    reader.Came(bytes);
    left = left.subspan(bytes);
  }
}
