// The axes that ranks lie along, and how many there are on each.
//
//   Mesh{.tp = 4, .stage = 2}.Size(Axis::kTp)  ->  4     // a slice `8{tp 2}` is cut for these four
//   AxisSet{Axis::kTp}                                   // of which a value may be a partial sum
//
// Plain C++ (no MLIR). tp: tensor parallelism; ep: experts; dp: replicas of the whole; stage: runs of layers.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mrs::ir {

enum class Axis : uint8_t { kTp, kEp, kDp, kStage };

inline constexpr std::array kAxes = {Axis::kTp, Axis::kEp, Axis::kDp, Axis::kStage};
inline constexpr std::array<std::string_view, 4> kAxisNames = {"tp", "ep", "dp", "stage"};

constexpr std::string_view NameOf(Axis axis) { return kAxisNames[static_cast<size_t>(axis)]; }
constexpr std::optional<Axis> AxisOf(std::string_view name) {
  for (const Axis axis : kAxes) {
    if (NameOf(axis) == name) return axis;
  }
  return std::nullopt;
}

class AxisSet {
 public:
  constexpr AxisSet() = default;
  constexpr AxisSet(Axis axis)
      : bits_(static_cast<uint8_t>(1u << static_cast<unsigned>(axis))) {}  // NOLINT: a set of one

  constexpr bool empty() const { return bits_ == 0; }
  constexpr explicit operator bool() const { return !empty(); }
  constexpr bool Has(Axis axis) const { return (bits_ & AxisSet(axis).bits_) != 0; }
  constexpr int size() const { return std::popcount(bits_); }
  constexpr AxisSet With(AxisSet other) const { return AxisSet(static_cast<uint8_t>(bits_ | other.bits_)); }
  constexpr AxisSet Without(AxisSet other) const { return AxisSet(static_cast<uint8_t>(bits_ & ~other.bits_)); }
  constexpr uint8_t bits() const { return bits_; }
  constexpr bool operator==(const AxisSet&) const = default;

 private:
  constexpr explicit AxisSet(uint8_t bits) : bits_(bits) {}
  uint8_t bits_ = 0;
};

struct Mesh {
  int64_t tp = 1;
  int64_t ep = 1;
  int64_t dp = 1;
  int64_t stage = 1;

  constexpr int64_t Size(Axis axis) const {
    switch (axis) {
      case Axis::kTp:
        return tp;
      case Axis::kEp:
        return ep;
      case Axis::kDp:
        return dp;
      case Axis::kStage:
        return stage;
    }
    return 1;
  }
  constexpr int64_t RankCount() const { return tp * ep * dp * stage; }
  bool operator==(const Mesh&) const = default;
};

// A batch size that memory is planned for: at most so many tokens, sequences and rows that want logits.
struct BucketSize {
  int64_t tokens = 0;
  int64_t sequences = 0;
  int64_t logit_rows = 0;
  bool operator==(const BucketSize&) const = default;
};

}  // namespace mrs::ir
