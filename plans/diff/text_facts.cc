#include "plans/diff/text_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace mrs::diff {
namespace {

constexpr size_t kMaxDepth = 32;

// A key, or a list with the number of its item, that lines further in stand under.
struct Level {
  size_t indent;
  std::string key;
  std::optional<uint64_t> item;
};

std::string PathOf(const std::vector<Level>& levels) {
  std::string path;
  for (const Level& level : levels) {
    if (level.item) {
      path += fmt::format("[{}]", *level.item);
    } else {
      path += fmt::format("{}{}", path.empty() ? "" : ".", level.key);
    }
  }
  return path;
}

// Bytes of the key that begins the text, 0 where none does: "name: x", "nodes:".
size_t KeyBytes(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return 0;
  const bool word = std::ranges::all_of(text.substr(0, colon), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return word && (colon + 1 == text.size() || text[colon + 1] == ' ') ? colon : 0;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> TextFacts(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> facts;
  std::unordered_map<std::string, uint64_t> times;
  const auto emit = [&](std::string path, std::string_view value) {
    const uint64_t before = times[path]++;
    if (before > 0) path += fmt::format("#{}", before + 1);
    facts.emplace_back(std::move(path), value);
  };
  std::vector<Level> levels;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    size_t indent = std::min(line.find_first_not_of(' '), line.size());
    line.remove_prefix(indent);
    if (line.empty()) continue;
    bool item = false;
    while (levels.size() < kMaxDepth && (line.starts_with("- ") || line == "-")) {
      while (!levels.empty() && levels.back().indent > indent) levels.pop_back();
      if (!levels.empty() && levels.back().indent == indent && levels.back().item) {
        ++*levels.back().item;
      } else {
        levels.push_back({.indent = indent, .key = "", .item = 0});
      }
      const size_t next = std::min(line.find_first_not_of(' ', 1), line.size());
      line.remove_prefix(next);
      indent += next;
      item = true;
    }
    if (!item) {
      while (!levels.empty() && levels.back().indent >= indent) levels.pop_back();
    }
    if (const size_t key = KeyBytes(line); key > 0 && levels.size() < kMaxDepth) {
      levels.push_back({.indent = indent, .key = std::string(line.substr(0, key)), .item = std::nullopt});
      line.remove_prefix(std::min(key + 2, line.size()));
      if (line.empty()) continue;
    }
    emit(PathOf(levels), line);
  }
  return facts;
}

}  // namespace mrs::diff
