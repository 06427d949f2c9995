#include "runtime/node/claims.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "plans/printable.h"

namespace mrs::node {
namespace {

constexpr size_t kShownBytes = 80;

std::optional<uint32_t> ReadWhole(std::string_view text, uint32_t min, uint32_t max) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && value >= min && value <= max ? std::optional(value) : std::nullopt;
}

// The bytes of an IP address: 4, 16, or none where it is a name.
std::string Numbers(const std::string& address) {
  std::array<char, 16> bytes{};
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 4);
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 16);
  return "";
}

}  // namespace

const std::string* Find(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() || found->second.empty() ? nullptr : &found->second;
}

std::string_view Absence(const Environment& environment, std::string_view name) {
  return environment.contains(name) ? "is empty" : "is not set";
}

std::string Shown(std::string_view name, std::string_view value) {
  const bool cut = value.size() > kShownBytes;
  return fmt::format("{}={}{}", name, Printable(value.substr(0, kShownBytes)), cut ? "..." : "");
}

Result<std::optional<uint32_t>> FindNumber(const Environment& environment, std::string_view name, uint32_t min,
                                           uint32_t max) {
  const std::string* text = Find(environment, name);
  if (text == nullptr) return std::optional<uint32_t>();
  const std::optional<uint32_t> value = ReadWhole(*text, min, max);
  if (value) return value;
  return Refuse("{}: expected a whole number from {} to {}", Shown(name, *text), min, max);
}

std::string Describe(const std::vector<PlanNode>& nodes) {
  constexpr size_t kNamed = 8;
  std::string names;
  for (size_t i = 0; i < std::min(nodes.size(), kNamed); ++i) {
    names += fmt::format("{}{}", i > 0 ? ", " : "", Printable(nodes[i].name));
  }
  return fmt::format("{} node{} ({}{})", nodes.size(), nodes.size() == 1 ? "" : "s", names,
                     nodes.size() > kNamed ? ", ..." : "");
}

uint32_t RankCount(const std::vector<PlanNode>& nodes) {
  uint32_t count = 0;
  for (const PlanNode& node : nodes) count += static_cast<uint32_t>(node.ranks.size());
  return count;
}

Result<HeadClaim> ReadHead(std::string_view name, std::string_view text, bool port_needed) {
  HeadClaim head;
  head.said = Shown(name, text);
  if (name.starts_with("--")) head.said[name.size()] = ' ';
  const auto wrong = [&](std::string_view why) {
    return Refuse("{}: {}; expected ADDRESS{}, such as 10.0.0.1{} or [fd00::1]{}", head.said, why,
                  port_needed ? ":PORT" : " or ADDRESS:PORT", port_needed ? ":9000" : "", port_needed ? ":9000" : "");
  };
  const bool brackets = text.starts_with('[');
  std::string_view address = text, port;
  bool with_port = false;
  if (brackets) {
    const size_t end = text.find(']');
    if (end == text.npos) return wrong("'[' without ']'");
    address = text.substr(1, end - 1);
    std::string_view rest = text.substr(end + 1);
    with_port = rest.starts_with(':');
    if (!rest.empty() && !with_port) return wrong("something other than a port follows ']'");
    if (with_port) port = rest.substr(1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const size_t colon = text.find(':');
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
    with_port = true;
  }
  head.address = std::string(address);
  if (address.empty() || address.size() > 253) return wrong("no address of 1 to 253 bytes");
  const bool number = !Numbers(head.address).empty();
  if (brackets && (!number || address.find(':') == address.npos))
    return wrong("no IPv6 address stands in the brackets");
  const bool name_like = std::all_of(address.begin(), address.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
           c == '_';
  });
  if (!number && !name_like) return wrong("neither a host name nor an IP address");
  const bool digits = address.find_first_not_of("0123456789.") == address.npos;
  if (!number && digits) return wrong("no IPv4 address: four numbers from 0 to 255");
  if (with_port) {
    const std::optional<uint32_t> value = ReadWhole(port, 1, 65535);
    if (!value) return wrong("the port is no whole number from 1 to 65535");
    head.port = static_cast<uint16_t>(*value);
  } else if (port_needed) {
    return wrong("the port is missing");
  }
  return head;
}

// Slurm's hostlist: elements between commas outside brackets; each bracket of the first stands for its first number.
std::string FirstHost(std::string_view list) {
  std::string host;
  for (size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    const char c = list[i];
    if (c == '[') {
      const size_t close = list.find(']', i);
      if (close == list.npos) return "";
      const std::string_view inside = list.substr(i + 1, close - i - 1);
      const std::string_view first = inside.substr(0, inside.find_first_of("-,"));
      if (first.empty() || first.find_first_not_of("0123456789") != first.npos) return "";
      host += first;
      i = close;
    } else {
      const bool of_name = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                           c == '.' || c == '_';
      if (!of_name) return "";
      host.push_back(c);
    }
    if (host.size() > 253) return "";
  }
  return host;
}

bool SurelyUnlike(const std::string& a, const std::string& b) {
  const std::string left = Numbers(a), right = Numbers(b);
  return !left.empty() && !right.empty() && left != right;
}

}  // namespace mrs::node
