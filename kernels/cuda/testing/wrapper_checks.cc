#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/cuda/testing/wrappers.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

using Finish = int (*)();

std::string Failed(int launched, Finish finish) {
  const int error = launched != 0 ? launched : finish();
  return error == 0 ? "" : fmt::format("error {}", error);
}

// Of a[i][k] = 16 i + k, b[k][j] = 8 k + j and c[i][j] = 1000 (8 i + j), all of which are what they are.
std::string Product(Finish finish) {
  Buffers buffers;
  bf16* const a = buffers.New<bf16>(16 * 16);
  bf16* const b = buffers.New<bf16>(16 * 8);
  float* const c = buffers.New<float>(16 * 8);
  for (int i = 0; i < 16 * 16; ++i) a[i] = Bf16FromF32(static_cast<float>(i));
  for (int i = 0; i < 16 * 8; ++i) b[i] = Bf16FromF32(static_cast<float>(i));
  for (int i = 0; i < 16 * 8; ++i) c[i] = static_cast<float>(1000 * i);
  if (std::string failed = Failed(StartProduct({a, b, c}, nullptr), finish); !failed.empty()) return failed;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      int expected = 1000 * (i * 8 + j);
      for (int k = 0; k < 16; ++k) expected += (i * 16 + k) * (k * 8 + j);
      if (c[i * 8 + j] != static_cast<float>(expected)) {
        return fmt::format("row {}, column {}: {}, expected {}", i, j, c[i * 8 + j], expected);
      }
    }
  }
  return "";
}

std::string Transpose(Finish finish) {
  Buffers buffers;
  uint16_t* const rows = buffers.New<uint16_t>(32 * 8);
  uint32_t* const words = buffers.New<uint32_t>(32 * 4);
  for (int i = 0; i < 32 * 8; ++i) rows[i] = static_cast<uint16_t>(i * 251 + 7);
  if (std::string failed = Failed(StartTranspose({rows, words}, nullptr), finish); !failed.empty()) return failed;
  for (int lane = 0; lane < 32; ++lane) {
    for (int tile = 0; tile < 4; ++tile) {
      const uint16_t* const column = rows + tile * 64 + lane / 4;  // elements from one row to the next: 8
      const uint32_t expected = column[lane % 4 * 16] | uint32_t{column[lane % 4 * 16 + 8]} << 16;
      if (words[lane * 4 + tile] != expected) {
        return fmt::format("lane {}, tile {}: {:08x}, expected {:08x}", lane, tile, words[lane * 4 + tile], expected);
      }
    }
  }
  return "";
}

std::string Pack(Finish finish) {
  Buffers buffers;
  float* const x = buffers.New<float>(32 * 2);
  uint32_t* const words = buffers.New<uint32_t>(32);
  // Of each sign: halves of a place below and above an even one, what is next to them, the largest that is finite.
  const uint32_t of_interest[] = {0x00000000u, 0x3f800000u, 0x3f808000u, 0x3f818000u, 0x3f807fffu, 0x3f808001u,
                                  0x3fff8000u, 0x7f7f7fffu, 0x7f7f8000u, 0x7f800000u, 0x00800000u, 0x40490fdbu};
  for (uint32_t i = 0; i < 64; ++i) x[i] = FloatOf(of_interest[i % 12] | (i / 12 % 2) << 31);
  if (std::string failed = Failed(StartPack({x, words}, nullptr), finish); !failed.empty()) return failed;
  for (int i = 0; i < 32; ++i) {
    const uint32_t expected = Bf16FromF32(x[i * 2]).bits | uint32_t{Bf16FromF32(x[i * 2 + 1]).bits} << 16;
    if (words[i] != expected) {
      return fmt::format("{:a} and {:a}: {:08x}, expected {:08x}", x[i * 2], x[i * 2 + 1], words[i], expected);
    }
  }
  return "";
}

std::string Copies(Finish finish) {
  Buffers buffers;
  uint32_t* const from = buffers.New<uint32_t>(3 * 32 * 4);
  uint32_t* const to = buffers.New<uint32_t>(3 * 32);
  for (uint32_t i = 0; i < 3 * 32 * 4; ++i) from[i] = i * 2654435761u;
  if (std::string failed = Failed(StartCopies({from, to}, nullptr), finish); !failed.empty()) return failed;
  for (int i = 0; i < 96; ++i) {
    const uint32_t expected = from[(i / 32 * 32 + (i + 1) % 32) * 4 + 3];
    if (to[i] != expected) return fmt::format("group {}, lane {}: {}, expected {}", i / 32, i % 32, to[i], expected);
  }
  return "";
}

std::string HandOver(Finish finish) {
  Buffers buffers;
  uint64_t* const told = buffers.New<uint64_t>(2);
  uint64_t* const sums = buffers.New<uint64_t>(2 * 32);
  uint64_t* const passed = buffers.New<uint64_t>(1);
  *passed = ~uint64_t{0};
  if (std::string failed = Failed(StartHandOver({told, sums, passed}, nullptr), finish); !failed.empty()) return failed;
  for (uint64_t i = 0; i < 64; ++i) {
    const uint64_t expected = (2 * kHandOvers - (i < 32 ? 1 : 0)) * (i % 32 + 1);
    if (sums[i] != expected)
      return fmt::format("block {}, lane {}: {}, expected {}", i / 32, i % 32, sums[i], expected);
  }
  constexpr uint64_t kMost = 10'000'000'000;
  return *passed < kMost ? "" : fmt::format("{} ns have passed", *passed);
}

// Twice, as the first leaves the count as it was.
std::string Count(Finish finish) {
  Buffers buffers;
  uint32_t* const count = buffers.New<uint32_t>(1);
  uint64_t* const parts = buffers.New<uint64_t>(kCountedBlocks * 32);
  uint64_t* const sums = buffers.New<uint64_t>(32);
  for (uint64_t run = 1; run <= 2; ++run) {
    if (std::string failed = Failed(StartCount({count, parts, sums}, nullptr), finish); !failed.empty()) return failed;
    if (*count != 0) return fmt::format("a count of {} is left, expected 0", *count);
    for (uint64_t i = 0; i < 32; ++i) {
      const uint64_t expected = run * (32 - i) * kCountedBlocks * (kCountedBlocks + 1) / 2;
      if (sums[i] != expected) return fmt::format("run {}, lane {}: {}, expected {}", run, i, sums[i], expected);
    }
    std::fill_n(parts, kCountedBlocks * 32, 0);
  }
  return "";
}

struct Depended {
  std::string failed;  // empty: it went well, with what follows
  std::vector<uint32_t> read;
  std::vector<uint64_t> came, began;
};
Depended Depend(Finish finish, void* stream = nullptr) {
  Buffers buffers;
  uint32_t* const words = buffers.New<uint32_t>(kDependBuffers * kDependWords);
  uint32_t* const read = buffers.New<uint32_t>(kDependWords);
  uint64_t* const came = buffers.New<uint64_t>(kDependTurns);
  uint64_t* const began = buffers.New<uint64_t>(kDependTurns);
  std::fill_n(words, kDependBuffers * kDependWords, 0u);
  std::fill_n(read, kDependWords, 0u);
  int error = 0;
  for (int turn = 0; turn < kDependTurns && error == 0; ++turn) {
    error = StartDepend({words, read, came, began, turn}, stream);
  }
  if (std::string failed = Failed(error, finish); !failed.empty()) return {failed, {}, {}, {}};
  return {"", {read, read + kDependWords}, {came, came + kDependTurns}, {began, began + kDependTurns}};
}

std::string Depends(Finish finish) {
  const Depended done = Depend(finish);
  if (!done.failed.empty()) return done.failed;
  for (int i = 0; i < kDependWords; ++i) {
    uint32_t expected = 0;
    for (int turn = 0; turn < kDependTurns; ++turn) {
      uint32_t word = 0;
      for (int before = 1; before < kDependBuffers; ++before) {
        word = word * 5 + (turn < before ? 0 : DependWord(turn - before, kDependWords - 1 - i));
      }
      expected = expected * 3 + word;
    }
    const uint32_t read = done.read[static_cast<size_t>(i)];
    if (read != expected) return fmt::format("word {}: {:08x}, expected {:08x}", i, read, expected);
  }
  return "";
}

}  // namespace

int EarlyLaunches(Finish finish, void* stream) {
  const Depended done = Depend(finish, stream);
  if (!done.failed.empty()) return -1;
  int early = 0;
  for (size_t turn = 1; turn < done.came.size(); ++turn) {
    if (done.came[turn] < done.began[turn - 1] + kLateNs) ++early;
  }
  return early;
}

std::vector<WrapperCheck> WrapperChecks() {
  return {{"MultiplyTiles", Product},
          {"LoadTransposed", Transpose},
          {"PackBf16", Pack},
          {"copies.h", Copies},
          {"dependents.h", Depends},
          {"signals.h", HandOver},
          {"CountBlock", Count}};
}

}  // namespace mrs::kernels::cuda
