#include "kernels/cuda/emulation/tensor_cores.h"

#include <bit>
#include <cstring>

namespace mrs::emulation {
namespace {

constexpr unsigned kLanes = 32, kRows = 16, kColumns = 8, kDepth = 16;
constexpr uint32_t kWholeWarp = ~0u;
using Slots = const std::byte (*)[kLaneBytes];

struct Fragments {
  uint32_t a[4];
  uint32_t b[2];
  float c[4];
};
static_assert(sizeof(Fragments) <= kLaneBytes);

float HalfOf(uint32_t word, unsigned half) { return std::bit_cast<float>(half == 0 ? word << 16 : word & 0xffff0000u); }

void Multiply(uint32_t /*mask*/, Slots in, LaneSlots out) {
  float a[kRows][kDepth], b[kDepth][kColumns], c[kRows][kColumns];
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    Fragments own;
    std::memcpy(&own, in[lane], sizeof(own));
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 8; ++i) {
      a[i / 2 % 2 == 0 ? g : g + 8][t * 2 + i % 2 + i / 4 * 8] = HalfOf(own.a[i / 2], i % 2);
    }
    for (unsigned i = 0; i < 4; ++i) b[t * 2 + i % 2 + i / 2 * 8][g] = HalfOf(own.b[i / 2], i % 2);
    for (unsigned i = 0; i < 4; ++i) c[g + i / 2 * 8][t * 2 + i % 2] = own.c[i];
  }
  for (unsigned row = 0; row < kRows; ++row) {
    for (unsigned k = 0; k < kDepth; ++k) {
      for (unsigned column = 0; column < kColumns; ++column) {
        c[row][column] = c[row][column] + a[row][k] * b[k][column];
      }
    }
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const unsigned g = lane / 4, t = lane % 4;
    const float own[4] = {c[g][t * 2], c[g][t * 2 + 1], c[g + 8][t * 2], c[g + 8][t * 2 + 1]};
    std::memcpy(out[lane], own, sizeof(own));
  }
}

void TransposeAll(uint32_t /*mask*/, Slots in, LaneSlots out) {
  uint16_t rows[kLanes][8];  // eight of each tile
  for (unsigned lane = 0; lane < kLanes; ++lane) std::memcpy(rows[lane], in[lane], sizeof(rows[lane]));
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const unsigned g = lane / 4, t = lane % 4;
    uint32_t words[4];
    for (unsigned tile = 0; tile < 4; ++tile) {
      words[tile] = rows[tile * 8 + t * 2][g] | uint32_t{rows[tile * 8 + t * 2 + 1][g]} << 16;
    }
    std::memcpy(out[lane], words, sizeof(words));
  }
}

}  // namespace

void MultiplyTiles(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Site& site) {
  const Fragments own = {{a[0], a[1], a[2], a[3]}, {b0, b1}, {c[0], c[1], c[2], c[3]}};
  SyncWarp(kWholeWarp, &own, sizeof(own), c, sizeof(c), Multiply, site);
}

void CheckRow(const void* row) {
  constexpr size_t kBytes = 16;
  const auto offset = reinterpret_cast<uintptr_t>(row) - reinterpret_cast<uintptr_t>(Here().shared);
  if (offset >= Here().shared_bytes || kBytes > Here().shared_bytes - offset) {
    Fault("a row of a tile is not shared memory");
  }
  if (offset % kBytes != 0) Fault("a row of a tile is not aligned to sixteen bytes");
}

void Transpose(uint32_t (&words)[4], const void* row, const Site& site) {
  SyncWarp(kWholeWarp, row, 16, words, sizeof(words), TransposeAll, site);
}

}  // namespace mrs::emulation
