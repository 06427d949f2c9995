#include "planner/cluster/map_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "formats/text/utf8.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/nearest.h"
#include "planner/cluster/units.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

constexpr std::string_view kName = "a name of 1 to 256 bytes, without control characters";

std::string Listed(std::span<const std::string_view> words) {
  std::string text;
  for (size_t w = 0; w < words.size(); ++w) {
    text += w == 0 ? "" : w + 1 == words.size() ? " or " : ", ";
    text += words[w];
  }
  return text;
}

}  // namespace

void Faults::Add(YamlPlace at, std::string_view path, std::string_view message) {
  if (first) return;
  first = Refuse("{}: line {}, column {}: {}{}{}", where, at.line, at.column, path, path.empty() ? "" : ": ", message);
}

MapReader::MapReader(Faults* faults, const YamlValue& map, std::string path, std::span<const std::string_view> keys)
    : faults_(faults), map_(map), path_(std::move(path)), keys_(keys) {
  if (map.kind != YamlValue::Kind::kMap) {
    faults_->Add(map.at, path_,
                 fmt::format("expected a map with keys such as '{}', got {}", keys[0], DescribeYaml(map)));
    return;
  }
  for (const YamlEntry& entry : map.keys) {
    if (std::ranges::find(keys, entry.text) != keys.end()) continue;
    const std::string_view nearest = Nearest(entry.text, keys);
    const std::string known =
        nearest.empty() ? fmt::format("known: {}", Listed(keys)) : fmt::format("did you mean '{}'?", nearest);
    faults_->Add(entry.at, path_,
                 fmt::format("unknown key '{}'; {}", Printable(std::string_view(entry.text).substr(0, 60)), known));
  }
}

std::string MapReader::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const YamlValue* MapReader::Find(std::string_view key) const {
  MRS_CHECK(std::ranges::find(keys_, key) != keys_.end());
  const YamlValue* value = FindYaml(map_, key);
  return value != nullptr && value->kind != YamlValue::Kind::kNull ? value : nullptr;
}

bool MapReader::Has(std::string_view key) const { return Find(key) != nullptr; }

void MapReader::Fault(std::string_view key, std::string_view message) {
  const YamlValue* value = Find(key);
  faults_->Add(value != nullptr ? value->at : map_.at, PathOf(key), message);
}

void MapReader::FaultExpected(std::string_view key, std::string_view expected) {
  const YamlValue* value = Find(key);
  Fault(key, fmt::format("expected {}, got {}", expected, value != nullptr ? DescribeYaml(*value) : "nothing"));
}

std::string MapReader::Text(std::string_view key, std::string_view absent) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return std::string(absent);
  if (value->kind == YamlValue::Kind::kText && IsName(value->text)) return value->text;
  FaultExpected(key, kName);
  return std::string(absent);
}

int64_t MapReader::Integer(std::string_view key, int64_t min, int64_t max, int64_t absent) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return absent;
  int64_t number = 0;
  const std::string& text = value->text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (value->kind == YamlValue::Kind::kText && error == std::errc() && end == text.data() + text.size() &&
      number >= min && number <= max) {
    return number;
  }
  FaultExpected(key, fmt::format("a whole number from {} to {}", min, max));
  return absent;
}

bool MapReader::Bool(std::string_view key, bool absent) {
  constexpr std::string_view kWords[] = {"false", "true"};
  const int word = Word(key, kWords);
  return word < 0 ? absent : word == 1;
}

uint64_t MapReader::Bytes(std::string_view key, uint64_t absent) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return absent;
  const auto bytes = value->kind == YamlValue::Kind::kText ? ParseBytes(value->text) : std::nullopt;
  if (bytes && *bytes > 0) return *bytes;
  FaultExpected(key, "a size such as 80GiB");
  return absent;
}

double MapReader::Gigabits(std::string_view key, double absent) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return absent;
  const auto gigabits = value->kind == YamlValue::Kind::kText ? ParseGigabits(value->text) : std::nullopt;
  if (gigabits) return *gigabits;
  FaultExpected(key, "a rate such as 400Gbit/s or 25GB/s");
  return absent;
}

std::string MapReader::BusId(std::string_view key) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return "";
  const auto id = value->kind == YamlValue::Kind::kText ? NormalizedBusId(value->text) : std::nullopt;
  if (id) return *id;
  FaultExpected(key, "a PCI bus id such as 0000:17:00.0");
  return "";
}

const YamlValue* MapReader::List(std::string_view key, size_t most) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return nullptr;
  if (value->kind != YamlValue::Kind::kList) {
    FaultExpected(key, "a list");
    return nullptr;
  }
  if (value->items.size() > most) {
    Fault(key, fmt::format("{} entries; expected at most {}", value->items.size(), most));
    return nullptr;
  }
  return value;
}

std::vector<std::string> MapReader::Texts(std::string_view key, size_t most) {
  std::vector<std::string> texts;
  const YamlValue* list = List(key, most);
  if (list == nullptr) return texts;
  for (size_t i = 0; i < list->items.size(); ++i) {
    const YamlValue& item = list->items[i];
    if (item.kind != YamlValue::Kind::kText || !IsName(item.text)) {
      faults_->Add(item.at, fmt::format("{}[{}]", PathOf(key), i),
                   fmt::format("expected {}, got {}", kName, DescribeYaml(item)));
    }
    texts.push_back(item.text);
  }
  return texts;
}

int MapReader::Word(std::string_view key, std::span<const std::string_view> words) {
  const YamlValue* value = Find(key);
  if (value == nullptr) return -1;
  const auto word = std::ranges::find(words, value->text);
  if (value->kind == YamlValue::Kind::kText && word != words.end()) return static_cast<int>(word - words.begin());
  FaultExpected(key, Listed(words));
  return -1;
}

std::optional<std::string> NormalizedBusId(std::string_view text) {
  std::string id;
  for (const unsigned char c : text.substr(0, 32)) id.push_back(static_cast<char>(std::tolower(c)));
  if (std::ranges::count(id, ':') == 1) id.insert(0, "0000:");
  const size_t domain = std::min(id.find(':'), id.size());
  if (domain < 4 || domain > 8) return std::nullopt;
  // Digits of the domain past four are zero on every host so far, but need not be.
  size_t drop = 0;
  while (drop < domain - 4 && id[drop] == '0') ++drop;
  const std::string shape = domain == id.size() ? "" : id.substr(domain);
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (!std::all_of(id.begin(), id.begin() + static_cast<ptrdiff_t>(domain), hex)) return std::nullopt;
  constexpr std::string_view kShape = ":hh:hh.h";
  if (shape.size() != kShape.size() && shape.size() != kShape.size() - 2) return std::nullopt;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (kShape[i] == 'h' ? !hex(shape[i]) : shape[i] != kShape[i]) return std::nullopt;
  }
  return id.substr(drop);
}

}  // namespace mrs::cluster
