#include "plans/slice_digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "plans/sha256.h"

namespace mrs {
namespace {

std::string HexOf(const std::string& digest) {
  return Hex({reinterpret_cast<const uint8_t*>(digest.data()), digest.size()});
}

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// XXH3's of "" and of "abc" are those of xxhsum -H2; SHA-256's those of FIPS 180-4.
TEST(SliceDigest, OfBytesIsThatOfTheReferencePrograms) {
  EXPECT_EQ(HexOf(DigestOf(plan::DigestKind::xxh3_128, {})), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(HexOf(DigestOf(plan::DigestKind::xxh3_128, Bytes("abc"))), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(HexOf(DigestOf(plan::DigestKind::sha256, Bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(SliceDigest, PiecesAreAboutAMebibyteOfWholeBlocksOfRows) {
  EXPECT_EQ(RowsOfAPiece(2), uint64_t{1} << 19);
  EXPECT_EQ(RowsOfAPiece(1000), 1040u);
  EXPECT_EQ(RowsOfAPiece(8192), 128u);
  EXPECT_EQ(RowsOfAPiece(uint64_t{1} << 30), 16u);
  EXPECT_EQ(RowsOfAPiece(0), uint64_t{1} << 20);
  EXPECT_EQ(SliceDigest(plan::DigestKind::sha256, 8192, 0).piece_count(), 0u);
  EXPECT_EQ(SliceDigest(plan::DigestKind::sha256, 8192, 1).piece_count(), 1u);
  EXPECT_EQ(SliceDigest(plan::DigestKind::sha256, 8192, 128).piece_count(), 1u);
  EXPECT_EQ(SliceDigest(plan::DigestKind::sha256, 8192, 129).piece_count(), 2u);
}

TEST(SliceDigest, IsThatOfItsPiecesInWhateverOrderTheyCome) {
  std::string slice(8192 * 300, '\0');
  std::iota(slice.begin(), slice.end(), 0);
  for (const plan::DigestKind kind : {plan::DigestKind::xxh3_128, plan::DigestKind::sha256}) {
    SliceDigest digest(kind, 8192, 300);
    ASSERT_EQ(digest.piece_count(), 3u);
    const size_t piece = size_t{8192} * 128;
    std::string all;
    for (const size_t i : {0, 1, 2})
      all += DigestOf(kind, Bytes(slice).subspan(i * piece, std::min(piece, slice.size() - i * piece)));
    for (const size_t i : {2, 0, 1})
      digest.Add(i, Bytes(slice).subspan(i * piece, std::min(piece, slice.size() - i * piece)));
    EXPECT_EQ(digest.Finish(), DigestOf(kind, Bytes(all)));
    slice[5] ^= 1;
    digest.Add(0, Bytes(slice).first(piece));
    EXPECT_NE(digest.Finish(), DigestOf(kind, Bytes(all)));
  }
}

}  // namespace
}  // namespace mrs
