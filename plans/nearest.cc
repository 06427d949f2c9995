#include "plans/nearest.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <utility>

namespace mrs {
namespace {

constexpr size_t kMaxLetters = 256;
constexpr uint64_t kMaxWork = uint64_t{1} << 28;  // letters against letters

// Levenshtein's distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({row[j + 1] + 1, row[j] + 1, replaced}));
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> Nearest(std::string_view text, const std::vector<std::string_view>& names, size_t count) {
  text = text.substr(0, kMaxLetters);
  std::set<std::pair<size_t, std::string_view>> best;  // of `count` at most
  std::set<std::string_view> seen;
  uint64_t work = 0;
  for (const std::string_view name : names) {
    if (name.size() > kMaxLetters || !seen.insert(name).second) continue;
    work += (name.size() + 1) * (text.size() + 1);
    if (work > kMaxWork) break;
    const bool contains = !text.empty() && name.find(text) != std::string_view::npos;
    best.emplace(contains ? 0 : 1 + Distance(text, name), name);
    if (best.size() > count) best.erase(std::prev(best.end()));
  }
  std::vector<std::string> out;
  for (const auto& [distance, name] : best) out.emplace_back(name);
  return out;
}

}  // namespace mrs
