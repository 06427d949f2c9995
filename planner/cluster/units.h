// Sizes and rates as people write them: a decimal number and its unit, exactly.
//
//   ParseBytes("80GiB")     ->  85899345920        ParseBytes("47.5 GB")   ->  47500000000
//   ParseGigabits("400Gbit/s")  ->  400            ParseGigabits("25GB/s")  ->  200
//
// A GB is 1000^3 bytes and a GiB 1024^3, also where vendors write GB for the latter: what is planned for a little less
// memory than there is fits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mrs::cluster {

inline constexpr uint64_t kMaxBytes = uint64_t{1} << 52;  // 4 PiB: of a device or a host
inline constexpr double kMinGigabits = 1e-3;              // of a link or a card, per second
inline constexpr double kMaxGigabits = 1e6;

// A whole number of bytes up to kMaxBytes: B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB; no unit: bytes.
// Letters in any case, one space before the unit or none. Nothing for any other text.
std::optional<uint64_t> ParseBytes(std::string_view text);

// From kMinGigabits to kMaxGigabits: Mbit/s, Gbit/s, Tbit/s, Gbit, Gb/s, Gbps; MB/s, GB/s, TB/s are 8 times as much.
// Here, b is a bit and B a byte.
std::optional<double> ParseGigabits(std::string_view text);

// Text that the above read to the same value: "80GiB", "85899345921B"; "400Gbit/s"; "26.5625GB/s".
std::string BytesText(uint64_t bytes);
std::string GigabitsText(double gigabits);
std::string GigabytesText(double gigabytes);

}  // namespace mrs::cluster
