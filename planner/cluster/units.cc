#include "planner/cluster/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

namespace mrs::cluster {
namespace {

constexpr size_t kMaxDecimals = 20;     // more than any double needs of a rate
constexpr size_t kMaxByteDecimals = 9;  // of which the powers of ten below are exact

// A number without sign or exponent, in two parts: "47.5 GB" is 47, "5" and "GB".
struct Quantity {
  uint64_t whole = 0;
  std::string_view decimals;  // at most kMaxDecimals, without the dot
  std::string_view unit;
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<Quantity> Split(std::string_view text) {
  Quantity quantity;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), quantity.whole);
  if (error != std::errc() || !IsDigit(text.front()) || quantity.whole > kMaxBytes) return std::nullopt;
  text.remove_prefix(end - text.data());
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    const size_t count = std::find_if_not(text.begin(), text.end(), IsDigit) - text.begin();
    if (count == 0 || count > kMaxDecimals) return std::nullopt;
    quantity.decimals = text.substr(0, count);
    text.remove_prefix(count);
  }
  if (text.starts_with(' ')) text.remove_prefix(1);
  quantity.unit = text;
  return quantity;
}

bool SameLetters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

constexpr uint64_t kThousand = 1000;
constexpr std::array<std::pair<std::string_view, uint64_t>, 10> kByteUnits = {{
    {"", 1},
    {"B", 1},
    {"KB", kThousand},
    {"MB", kThousand * 1000},
    {"GB", kThousand * 1000 * 1000},
    {"TB", kThousand * 1000 * 1000 * 1000},
    {"KiB", uint64_t{1} << 10},
    {"MiB", uint64_t{1} << 20},
    {"GiB", uint64_t{1} << 30},
    {"TiB", uint64_t{1} << 40},
}};

// In gigabits per second.
constexpr std::array<std::pair<std::string_view, double>, 15> kRateUnits = {{
    {"Mbit/s", 1e-3},
    {"Mbit", 1e-3},
    {"Mb/s", 1e-3},
    {"Mbps", 1e-3},
    {"Gbit/s", 1},
    {"Gbit", 1},
    {"Gb/s", 1},
    {"Gbps", 1},
    {"Tbit/s", 1e3},
    {"Tbit", 1e3},
    {"Tb/s", 1e3},
    {"Tbps", 1e3},
    {"MB/s", 8e-3},
    {"GB/s", 8},
    {"TB/s", 8e3},
}};

}  // namespace

std::optional<uint64_t> ParseBytes(std::string_view text) {
  const std::optional<Quantity> quantity = Split(text);
  if (!quantity || quantity->decimals.size() > kMaxByteDecimals) return std::nullopt;
  const auto unit =
      std::ranges::find_if(kByteUnits, [&](const auto& u) { return SameLetters(u.first, quantity->unit); });
  if (unit == kByteUnits.end()) return std::nullopt;
  // whole <= 2^52 and unit <= 2^40, decimals < 10^9 < 2^30: all below 2^93.
  __extension__ using Wide = unsigned __int128;
  Wide fraction = 0;
  Wide scale = 1;
  for (const char digit : quantity->decimals) {
    fraction = fraction * 10 + (digit - '0');
    scale *= 10;
  }
  if (fraction * unit->second % scale != 0) return std::nullopt;
  const Wide bytes = static_cast<Wide>(quantity->whole) * unit->second + fraction * unit->second / scale;
  if (bytes > kMaxBytes) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

std::optional<double> ParseGigabits(std::string_view text) {
  const std::optional<Quantity> quantity = Split(text);
  if (!quantity) return std::nullopt;
  const auto unit = std::ranges::find_if(kRateUnits, [&](const auto& u) { return u.first == quantity->unit; });
  if (unit == kRateUnits.end()) return std::nullopt;
  double number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const double gigabits = number * unit->second;
  if (!(gigabits >= kMinGigabits && gigabits <= kMaxGigabits)) return std::nullopt;
  return gigabits;
}

std::string BytesText(uint64_t bytes) {
  for (auto unit = kByteUnits.rbegin(); unit != kByteUnits.rend() && unit->first != "TB"; ++unit) {
    if (bytes != 0 && bytes % unit->second == 0) return fmt::format("{}{}", bytes / unit->second, unit->first);
  }
  return fmt::format("{}B", bytes);
}

std::string GigabitsText(double gigabits) { return fmt::format("{}Gbit/s", gigabits); }

std::string GigabytesText(double gigabytes) { return fmt::format("{}GB/s", gigabytes); }

}  // namespace mrs::cluster
