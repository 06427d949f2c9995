// The digest of a slice of a checkpoint tensor: of its bytes in the file's order, rows of its columns one after the
// other. Taken in pieces of whole rows, so that any number of threads can share the work and one pass over the bytes is
// enough; the slice's digest is that of its pieces' digests.
//
//   SliceDigest digest(kXxh3, row_bytes 512, 128 rows);
//   for (piece ...) digest.Add(piece, bytes);   // in any order, by any thread
//   digest.Finish()                             // 16 bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs {

// Rows [piece * n, (piece + 1) * n) of a slice are a piece, the last one may be shorter: about a MiB of rows of
// `row_bytes`, and a multiple of 16. Part of what a digest means: not to be changed.
uint64_t RowsOfAPiece(uint64_t row_bytes);

class SliceDigest {
 public:
  SliceDigest(plan::DigestKind kind, uint64_t row_bytes, uint64_t row_count);

  size_t piece_count() const { return pieces_.size(); }
  // All bytes of a piece. Of different pieces, any number of threads at once.
  void Add(size_t piece, std::span<const std::byte> bytes);
  // Once all pieces are added.
  std::string Finish() const;

 private:
  plan::DigestKind kind_;
  std::vector<std::string> pieces_;
};

// Of bytes at once: XXH3's 128 bits in canonical (big-endian) order, or SHA-256.
std::string DigestOf(plan::DigestKind kind, std::span<const std::byte> bytes);

}  // namespace mrs
