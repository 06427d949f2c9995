#include "plans/slice_digest.h"

#include <xxhash.h>

#include <algorithm>

#include "plans/sha256.h"

namespace mrs {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr uint64_t kRows = 16;  // a block of packed rows, which loaders write at once

}  // namespace

uint64_t RowsOfAPiece(uint64_t row_bytes) {
  return std::max<uint64_t>(1, kPieceBytes / std::max<uint64_t>(1, row_bytes) / kRows) * kRows;
}

std::string DigestOf(plan::DigestKind kind, std::span<const std::byte> bytes) {
  if (kind == plan::DigestKind::sha256) {
    const Sha256Digest digest = Sha256(bytes);
    return {digest.begin(), digest.end()};
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return {reinterpret_cast<const char*>(canonical.digest), sizeof(canonical.digest)};
}

SliceDigest::SliceDigest(plan::DigestKind kind, uint64_t row_bytes, uint64_t row_count) : kind_(kind) {
  const uint64_t rows = RowsOfAPiece(row_bytes);
  pieces_.resize(row_bytes == 0 ? 0 : row_count / rows + (row_count % rows == 0 ? 0 : 1));
}

void SliceDigest::Add(size_t piece, std::span<const std::byte> bytes) { pieces_[piece] = DigestOf(kind_, bytes); }

std::string SliceDigest::Finish() const {
  std::string all;
  for (const std::string& piece : pieces_) all += piece;
  return DigestOf(kind_, std::as_bytes(std::span(all)));
}

}  // namespace mrs
