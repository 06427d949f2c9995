#include "formats/ring_config.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <tuple>

#include "formats/json.h"

namespace mrs {
namespace {

constexpr uint32_t kMaxWorld = 1 << 16;
constexpr size_t kMaxUnknown = 16;  // named, each by a warning

struct Field {
  std::string_view key;
  bool required;
  std::string_view is;  // for whoever left it out
};
constexpr Field kFields[] = {
    {"master_ip", false, "where rank 0 is"},
    {"master_port", true, "on which rank 0 hands requests to the others"},
    {"port", true, "on which this rank hears its left neighbour"},
    {"right_port", true, "the 'port' of the right neighbour"},
    {"right_ip", false, "where the right neighbour is"},
    {"rank", true, "which rank this is, from 0"},
    {"world_size", true, "how many ranks the ring has"},
};

constexpr uint32_t MostOf(std::string_view key) {
  return key == "rank" ? kMaxWorld - 1 : key == "world_size" ? kMaxWorld : 65535;
}
constexpr uint32_t LeastOf(std::string_view key) { return key == "rank" ? 0 : 1; }

// Why `address` cannot stand before ":port", or "".
std::string WrongAddress(std::string_view address) {
  if (address.empty()) return "is empty; leave it out, or give a host name or an IP address";
  if (address.size() > 253) return fmt::format("has {} bytes, a host name has at most 253", address.size());
  if (address.find("://") != address.npos) return "is a URL; give the host alone";
  if (address.front() == '[' && address.back() == ']') {
    const std::string_view inside = address.substr(1, address.size() - 2);
    const bool hex = std::all_of(inside.begin(), inside.end(), [](char c) {
      return std::string_view("0123456789abcdefABCDEF:.").find(c) != std::string_view::npos;
    });
    return hex && std::count(inside.begin(), inside.end(), ':') >= 2 ? "" : "is no IPv6 address";
  }
  if (const auto colons = std::count(address.begin(), address.end(), ':'); colons > 0) {
    return colons > 1 ? fmt::format("is an IPv6 address, which stands in brackets before a port: [{}]", address)
                      : "has a port in it; the ports are fields of their own";
  }
  for (const char c : address) {
    const bool of_name =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
    if (!of_name) return "is neither a host name nor an IP address";
  }
  const bool numbers =
      std::all_of(address.begin(), address.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  if (!numbers) return "";
  size_t parts = 0;
  for (std::string_view rest = address; parts < 5; ++parts) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    int number = -1;
    std::from_chars(part.data(), part.data() + part.size(), number);
    if (part.empty() || part.size() > 3 || number > 255 || (part.size() > 1 && part[0] == '0')) {
      return "is no IPv4 address: four numbers from 0 to 255";
    }
    if (part.size() == rest.size()) return parts == 3 ? "" : "is no IPv4 address: four numbers from 0 to 255";
    rest.remove_prefix(part.size() + 1);
  }
  return "is no IPv4 address: four numbers from 0 to 255";
}

// Levenshtein's distance, for keys of a few letters.
size_t Distance(std::string_view a, std::string_view b) {
  std::array<size_t, 32> row{};
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

// The field that a key misspells: no more than two letters off, and not there itself.
std::optional<std::string_view> Meant(std::string_view key, const Json& object) {
  std::optional<std::string_view> nearest;
  size_t least = 3;
  for (const Field& field : kFields) {
    if (key.size() > 24 || FindValue(object, field.key) != nullptr) continue;
    if (const size_t distance = Distance(key, field.key); distance < least) {
      std::tie(least, nearest) = std::pair(distance, std::optional(field.key));
    }
  }
  return nearest;
}

class Reader {
 public:
  Reader(std::string_view text, const RingNeeds& needs) : text_(text), needs_(needs) {}

  RingReading Read() && {
    Result<Json> parsed = ParseJson(text_, "ring", {.max_bytes = kMaxRingBytes, .max_values = 4096, .max_depth = 16});
    if (!parsed) {
      PlacedMessage split = SplitPlace(parsed.message(), "ring", text_);
      reading_.faults.push_back({RingRule::kSyntax, std::move(split.message), split.place, split.place, {}});
      return std::move(reading_);
    }
    object_ = *std::move(parsed);
    if (!object_.is_object()) {
      Add(RingRule::kSyntax, {},
          fmt::format("expected an object with 'rank' and 'world_size', got {}", DescribeJson(object_)));
      return std::move(reading_);
    }
    RingRankConfig& config = reading_.config;
    config.master_ip = Address("master_ip");
    if (needs_.master || FindValue(object_, "master_port") != nullptr) {
      config.master_port = static_cast<uint16_t>(Number("master_port"));
    }
    config.port = static_cast<uint16_t>(Number("port"));
    config.right_port = static_cast<uint16_t>(Number("right_port"));
    config.right_ip = Address("right_ip");
    config.rank = Number("rank");
    config.world_size = Number("world_size");
    WarnOfUnknownKeys();
    if (reading_.whole()) CheckRules();
    std::stable_sort(reading_.faults.begin(), reading_.faults.end(), [](const RingFault& a, const RingFault& b) {
      return std::tie(a.begin.line, a.begin.column) < std::tie(b.begin.line, b.begin.column);
    });
    return std::move(reading_);
  }

 private:
  // At the value of `key`, or of the whole object where it has none.
  void Add(RingRule rule, std::string_view key, std::string message, std::optional<std::string> replacement = {}) {
    RingFault fault{rule, std::move(message), {1, 1}, {1, 1}, {}};
    if (const std::optional<RingField> field = FindRingField(text_, key)) {
      fault.begin = field->begin;
      fault.end = field->end;
      fault.replacement = std::move(replacement);
    } else if (const std::optional<JsonSpan> whole = FindJsonSpan(text_, {})) {
      fault.begin = fault.end = PlaceOf(text_, whole->begin);
    }
    reading_.faults.push_back(std::move(fault));
  }

  const Field& FieldOf(std::string_view key) {
    return *std::find_if(std::begin(kFields), std::end(kFields), [&](const Field& field) { return field.key == key; });
  }

  uint32_t Number(std::string_view key) {
    const Json* value = FindValue(object_, key);
    const std::string expected = fmt::format("expected a whole number from {} to {}", LeastOf(key), MostOf(key));
    if (value == nullptr) {
      Add(RingRule::kField, key, fmt::format("'{}' is missing; {}: {}", key, expected, FieldOf(key).is));
      return 0;
    }
    const bool fits =
        value->is_number_unsigned() && value->get<uint64_t>() >= LeastOf(key) && value->get<uint64_t>() <= MostOf(key);
    if (fits) return value->get<uint32_t>();
    Add(RingRule::kField, key, fmt::format("'{}': {}, got {}", key, expected, DescribeJson(*value)));
    return 0;
  }

  std::optional<std::string> Address(std::string_view key) {
    const Json* value = FindValue(object_, key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) {
      Add(RingRule::kField, key, fmt::format("'{}': expected a string, got {}", key, DescribeJson(*value)));
      return std::nullopt;
    }
    const auto& address = value->get_ref<const std::string&>();
    const std::string wrong = WrongAddress(address);
    if (wrong.empty()) return address;
    const bool brackets = wrong.find("in brackets") != wrong.npos;
    Add(RingRule::kAddress, key, fmt::format("'{}': {} {}", key, DescribeJson(*value), wrong),
        brackets ? std::optional(fmt::format("\"[{}]\"", address)) : std::nullopt);
    return std::nullopt;
  }

  void WarnOfUnknownKeys() {
    size_t unknown = 0;
    for (const auto& [key, value] : *object_.get_ptr<const Json::object_t*>()) {
      const std::string& name = key;
      const bool known =
          std::any_of(std::begin(kFields), std::end(kFields), [&](const Field& field) { return field.key == name; });
      if (known || ++unknown > kMaxUnknown) continue;
      const std::optional<std::string_view> meant = Meant(name, object_);
      const std::vector<JsonStep> path = {{name}};
      const std::optional<JsonSpan> span = FindJsonSpan(text_, path);
      if (!span) continue;
      reading_.faults.push_back(
          {RingRule::kUnknownKey,
           fmt::format("{} is no key of RING_CONFIG, so mistral.rs passes over it{}", DescribeJson(Json(name)),
                       meant ? fmt::format("; did you mean '{}'?", *meant) : ""),
           PlaceOf(text_, span->key_begin), PlaceOf(text_, span->key_end),
           meant ? std::optional(fmt::format("\"{}\"", *meant)) : std::nullopt});
    }
  }

  // What mistral.rs refuses when it starts, or hangs over.
  void CheckRules() {
    const RingRankConfig& config = reading_.config;
    if (const uint32_t world = config.world_size; world < 2 || !std::has_single_bit(world)) {
      const uint32_t below = std::bit_floor(world);
      Add(RingRule::kWorldSize, "world_size",
          world < 2
              ? "'world_size' 1: a ring has at least 2 ranks"
              : fmt::format("'world_size' {} is no power of two, as the ring backend needs it; the nearest are {} "
                            "and {}",
                            world, below, below * 2));
    }
    if (config.rank >= config.world_size) {
      Add(RingRule::kRankRange, "rank",
          fmt::format("'rank' {}: the ranks of a world of {} are 0 to {}", config.rank, config.world_size,
                      config.world_size - 1));
    }
    if (config.rank != 0 && !config.master_ip && needs_.master) {
      Add(RingRule::kMasterIp, "rank",
          fmt::format("'master_ip' is missing: rank {} is not the master, and must say where rank 0 is", config.rank));
    }
    if (config.rank == 0 && config.master_port == config.port) {
      Add(RingRule::kPortClash, "port",
          fmt::format("'port' {} is 'master_port', too; rank 0 listens on both, so they must differ", config.port));
    }
    if (IsThisHost(config.right_ip) && config.right_port == config.port) {
      Add(RingRule::kOwnNeighbour, "right_port",
          fmt::format("'right_port' {} is this rank's own 'port', on this host: it would be its own right neighbour",
                      config.right_port));
    }
  }

  std::string_view text_;
  RingNeeds needs_;
  Json object_;
  RingReading reading_;
};

}  // namespace

bool IsThisHost(const std::optional<std::string>& address) {
  return !address || *address == "0.0.0.0" || *address == "localhost" || address->starts_with("127.") ||
         *address == "[::1]" || *address == "[::]";
}

bool RingReading::whole() const {
  return std::none_of(faults.begin(), faults.end(), [](const RingFault& fault) {
    return fault.rule == RingRule::kSyntax || fault.rule == RingRule::kField || fault.rule == RingRule::kAddress;
  });
}

RingReading ReadRing(std::string_view text, const RingNeeds& needs) { return Reader(text, needs).Read(); }

Result<RingRankConfig> ParseRingConfig(std::string_view text, std::string_view where, const RingNeeds& needs) {
  RingReading reading = ReadRing(text, needs);
  for (const RingFault& fault : reading.faults) {
    if (fault.rule == RingRule::kUnknownKey) continue;
    if (fault.begin.line == 0) return Refuse("{}: {}", where, fault.message);
    return Refuse("{}: line {}, column {}: {}", where, fault.begin.line, fault.begin.column, fault.message);
  }
  return std::move(reading.config);
}

Result<RingRankConfig> ReadRingConfig(const std::string& path, const RingNeeds& needs) {
  MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxRingBytes, "RING_CONFIG names a file for each rank"));
  return ParseRingConfig(text, path, needs);
}

std::optional<RingField> FindRingField(std::string_view text, std::string_view key) {
  const std::vector<JsonStep> path = {{std::string(key)}};
  const std::optional<JsonSpan> span = FindJsonSpan(text, path);
  if (!span) return std::nullopt;
  return RingField{PlaceOf(text, span->begin), PlaceOf(text, span->end)};
}

}  // namespace mrs
